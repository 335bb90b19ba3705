"""Corpora: where clips come from, and the plan that puts them into shards."""
