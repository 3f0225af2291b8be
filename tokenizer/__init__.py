"""From raw text to token shards, without torch: `corpus` (raw files to documents), `vocabulary` (documents to a
tokenizer) and `sharding` (documents to token shards)."""
