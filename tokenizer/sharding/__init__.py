"""Documents to token shards: encodes documents, packs them into rows, and describes the files in a manifest."""
