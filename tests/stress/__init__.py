"""Long tests that `make stress` runs."""
