"""From raw text to token shards, without torch: cleaning, SentencePiece, packing."""
