"""Documents become token ids: tokenizers, BPE training, fill in the middle, packing and loss masks."""
