"""Shards: deterministic WebDataset tars, what is packed into them, and the training windows drawn from them."""
