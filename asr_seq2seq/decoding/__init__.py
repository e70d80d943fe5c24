"""From encoded utterances to their most likely texts, in NumPy: one beam search for every backend."""
