"""What is written by a command in README.md and docs/: tables, figures quoted in the text, the reference pages.

`python -m tools.docs` fills the places between `<!-- begin NAME -->` and `<!-- end NAME -->` from benchmarks/results,
the command line and the config's models. `python -m tools.docs.picture results/demo` makes the moving picture.
"""
