"""Documents to a vocabulary and its encoders: trains a tokenizer, measures it, and turns text into token ids."""
