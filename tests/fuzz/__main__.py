"""`make stress`: thousands of inputs a reader; the counts go to benchmarks/results/fuzz.json.

python -m tests.fuzz [--inputs 2000] [--reader NAME] [--seed N]; with a reader or a seed named, nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from tests.fuzz.campaign import LIMIT_S, campaign
from tests.fuzz.readers import READERS


def main() -> None:
    """Run the campaigns, print each reader's counts, and exit with 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000, help="a reader")
    parser.add_argument("--reader", choices=list(READERS))
    parser.add_argument("--seed", type=int, help="only this one")
    arguments = parser.parse_args()
    seeds = range(arguments.inputs) if arguments.seed is None else range(arguments.seed, arguments.seed + 1)
    readers, faults = {}, []
    for reader in [arguments.reader] if arguments.reader else READERS:
        tally = asdict(campaign(reader, seeds))
        found = [f"{reader}, {fault}" for fault in tally.pop("faults")]
        print(reader, tally, *found, sep="\n", flush=True)
        readers[reader] = tally
        faults += found
    if arguments.reader is None and arguments.seed is None:
        from machine import save  # benchmarks/machine.py, on the path that the Makefile sets

        save("fuzz", {"readers": readers, "limit_s": LIMIT_S, "faults": len(faults)})
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
