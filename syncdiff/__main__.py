"""`python -m syncdiff`: the command line from a checkout that is not installed, as in a rule's conda environment."""

from syncdiff.cli import main

main()
