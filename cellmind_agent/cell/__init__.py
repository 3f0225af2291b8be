"""The cell's life: who belongs to it, who joins and who is forgotten, and how it is."""
