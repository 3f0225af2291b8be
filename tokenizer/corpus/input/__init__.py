"""Input files: finds them in folders and zips, decodes them, and cuts them into blocks of whole records."""
