"""The cell: who belongs to it, how devices join and are forgotten, and what a device shows of itself and others."""
