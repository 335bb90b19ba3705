"""Synthesis: generate the frames of clips, put them back into their videos, and make the rows to compare with."""
