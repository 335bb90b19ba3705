"""Which clips are fit to train on: measures of each, and verdicts by the config's thresholds."""
