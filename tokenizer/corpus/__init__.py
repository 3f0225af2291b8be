"""Raw files to documents: reads chat exports and texts, cleans them, and keeps them in a folder of prepared text."""
