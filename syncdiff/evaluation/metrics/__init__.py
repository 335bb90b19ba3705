"""The metrics, one module each, and their registry."""
