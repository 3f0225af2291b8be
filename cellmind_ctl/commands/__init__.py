"""One file for each command of `cellmindctl`. Each reads as a story of numbered steps."""
