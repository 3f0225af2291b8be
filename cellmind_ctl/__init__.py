"""The command line: options, output, exit codes. Asks this device's own agent, and through it the others."""
