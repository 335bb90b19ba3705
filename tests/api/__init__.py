"""Tests of what `import syncdiff` gives."""
