"""The tests; `pytest -m quick` is the inner loop."""
