"""Seconds that `snakemake -n` takes on a corpus of 150,000 clips: the first time, and again when nothing has changed.

python benchmarks/parse.py [--clips 150000]; writes benchmarks/results/parse.json. The clips are links to small files,
in LRS2's layout and as a folder of speakers. Beside it: the walk alone, and the reading of the listing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from machine import save

from syncdiff.config import Config, parse_config
from syncdiff.corpus.listing import list_clips, shard_counts

ROOT = Path(__file__).resolve().parents[1]
CLIPS_PER_FOLDER = 30
LINKS_PER_FILE = 20_000  # file systems allow no more than some ten thousand


def main() -> None:
    """Make both trees, and time each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=150_000)
    n_clips = parser.parse_args().clips
    figures: dict[str, object] = {"clips": n_clips}
    for kind, make in {"lrs2": lrs2_tree, "folder": folder_tree}.items():
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "corpus"
            make(corpus, n_clips)
            figures[kind] = measure(kind, corpus, Path(folder) / "run")
    save("parse", figures)


def measure(kind: str, corpus: Path, run: Path) -> dict[str, float]:
    """Seconds of two dry runs of the workflow, of listing the corpus, and of counting the shards of its listing."""
    run.mkdir()
    overlay = {"corpus": {"kind": kind, "root": str(corpus)}, "plan": {"frames_per_shard": 25_000}}
    config: Config = parse_config(overlay | {"results": str(run / "results")})
    command = ["snakemake", "-n", "-q", "--cores", "2", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(run)]
    command += ["data", "--config", f"corpus={{kind: {kind}, root: {corpus}}}", "plan={frames_per_shard: 25000}"]
    (run / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    snakemake = lambda: subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)  # noqa: E731
    first, second = seconds(snakemake), seconds(snakemake)
    [listing] = [path for path in (run / f"results/{kind}/.listing").glob("*.parquet") if path.name != "seen.parquet"]
    return {
        "first_dry_run_s": first,
        "second_dry_run_s": second,
        "listing_s": seconds(lambda: list_clips(config)),
        "shard_counts_of_the_listing_s": seconds(lambda: shard_counts(config, listing)),
    }


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of `work`."""
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 2)


def lrs2_tree(root: Path, n_clips: int) -> None:
    """Make mvlrs_v1: two thirds of the clips in pretrain, a hundredth each in val and test, transcripts beside all."""
    shares = {"pretrain": 0.65, "train": 0.33, "val": 0.01, "test": 0.01}
    number = 0
    for split, share in shares.items():
        part = "pretrain" if split == "pretrain" else "main"
        names = [f"{(number + i) // CLIPS_PER_FOLDER}/{(number + i):06d}" for i in range(round(share * n_clips))]
        number += len(names)
        link(root / "mvlrs_v1" / part, [f"{name}{suffix}" for name in names for suffix in (".mp4", ".txt")])
        (root / f"mvlrs_v1/{split}.txt").write_text("\n".join(names))


def folder_tree(root: Path, n_clips: int) -> None:
    """Make a folder for each speaker."""
    link(root, [f"{i // CLIPS_PER_FOLDER}/{i:06d}.mp4" for i in range(n_clips)])


def link(folder: Path, names: list[str]) -> None:
    """Make links to small files; a file has not more of them than file systems allow."""
    folder.mkdir(parents=True, exist_ok=True)
    for parent in dict.fromkeys(name.rpartition("/")[0] for name in names):
        (folder / parent).mkdir(parents=True, exist_ok=True)
    source = folder / names[0]
    for index, name in enumerate(names):
        if index % LINKS_PER_FILE == 0:
            source = folder / name
            source.write_bytes(b"clip")
        else:
            os.link(source, folder / name)


if __name__ == "__main__":
    main()
