"""Messages to documents: groups messages into conversations, joins them over blocks, and fingerprints the result."""
