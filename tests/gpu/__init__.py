"""Tests of what runs on a GPU; without one, on a stand-in that refuses what a card would refuse."""
