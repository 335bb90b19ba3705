#!/usr/bin/env bash
# Snakemake runs this after making the environment: packages whose own pins are stale go in alone, and this project last.
set -euo pipefail
python -m pip install --no-deps face-alignment==1.5.0 fairseq==0.12.2 mediapipe==0.10.21
