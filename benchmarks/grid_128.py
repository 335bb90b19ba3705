"""Rows of results folders beside each other: recipes on GRID at 128 pixels, speakers seen in training and not.

python benchmarks/grid_128.py "NAME=RESULTS:METHOD"..., after `snakemake ... table.csv` in each, with
`evaluate.groups: {speaker_seen: []}`; RESULTS is a folder such as results/lrs2, METHOD a row of its table. Writes
benchmarks/results/grid_128.csv; then `python -m tools.docs` writes the pages. Compare folders whose plan, shards and
scorer are the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from machine import RESULTS

KEPT = ["value", "ci_low", "ci_high", "n_scored"]


def main() -> None:
    """Collect the rows that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="+", metavar="NAME=RESULTS:METHOD")
    tables = []
    for row in parser.parse_args().rows:
        name, _, place = row.partition("=")
        folder, _, method = place.rpartition(":")
        whole = pd.read_csv(Path(folder, "table.csv")).assign(group="all")
        groups = pd.read_csv(Path(folder, "groups.csv"))
        both = pd.concat([whole, groups[groups["column"] == "speaker_seen"]])
        own = both[both["method"] == method]
        tables.append(own.assign(row=name)[["row", "group", "protocol", "metric", "scorer", *KEPT]])
    text = pd.concat(tables).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    (RESULTS / "grid_128.csv").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
