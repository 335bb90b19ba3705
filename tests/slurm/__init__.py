"""Tests of the profile for SLURM, on a SLURM of one machine that they start and stop."""
