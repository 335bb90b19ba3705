"""Tests of what the world brings: files, machines and people that the demo does not have."""
