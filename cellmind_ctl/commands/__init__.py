"""One file a command; each is a story of numbered steps."""
