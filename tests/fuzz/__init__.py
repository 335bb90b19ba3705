"""Hostile input: every reader gets damaged and malicious files, and may only answer with a value or a plain refusal.

`pytest tests/fuzz` tries about a hundred inputs a reader, `make stress` thousands. An input is a function of the
reader's name and a seed: `python -m tests.fuzz --reader decode --seed 123` tries one again.
"""
