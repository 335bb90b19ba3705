"""The demo's table, the seconds of its stages, and the machine, kept for README.md and docs/.

python benchmarks/demo.py [RESULTS], after `make eval` on this machine; RESULTS is results/demo unless given. Writes
benchmarks/results/demo.json; then `python -m tools.docs` writes the pages.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from machine import save

STAGES = (
    *("corpus", "plan", "faces", "priors", "speech", "shards", "ledger", "autoencoder", "latents", "syncnet", "train"),
    *("sample", "baseline", "evaluate", "table", "report"),
)


def rows(table: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    """Return the table as method -> protocol -> metric -> value, interval, scorer and clips."""
    found: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for row in table.to_dict("records"):
        entry = {"value": row["value"], "scorer": row["scorer"], "n": f"{row['n_scored']} of {row['n_expected']}"}
        if row["value"] == float("inf"):
            entry["value"] = "inf"
        elif pd.notna(row["ci_low"]):
            entry |= {"low": row["ci_low"], "high": row["ci_high"]}
        found.setdefault(row["method"], {}).setdefault(row["protocol"], {})[row["metric"]] = entry
    return found


def stages(folder: Path) -> dict[str, float]:
    """Return the seconds of each stage by the clock, all its jobs together, from Snakemake's benchmark files."""
    seconds = dict.fromkeys(STAGES, 0.0)
    for file in folder.rglob("*.tsv"):
        name = file.relative_to(folder).parts[0].removesuffix(".tsv").split("-")[0]
        seconds[name] = seconds.get(name, 0.0) + _seconds(file)
    return {stage: round(value, 1) for stage, value in seconds.items() if value}


def wall(folder: Path) -> float:
    """Return the seconds from the start of the first job to the end of the last one."""
    files = list(folder.rglob("*.tsv"))
    ends = [file.stat().st_mtime for file in files]
    return round(max(ends) - min(end - _seconds(file) for end, file in zip(ends, files, strict=True)), 1)


def _seconds(file: Path) -> float:
    return float(pd.read_csv(file, sep="\t")["s"].sum())


if __name__ == "__main__":
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results/demo")
    if not (results / "table.csv").is_file():
        sys.exit(f"{results}: no table.csv; run `make eval` first")
    jobs = results / "benchmarks"
    save("demo", {"rows": rows(pd.read_csv(results / "table.csv")), "stages_s": stages(jobs), "wall_s": wall(jobs)})
