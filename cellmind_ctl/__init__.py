"""The command line: people, words, exit codes. Speaks to this device's own agent, and through it to the others."""
