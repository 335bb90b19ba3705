"""Tests of diffusion."""
