"""How this device computes fastest: measured at the start of a run, and remembered for the next one."""
