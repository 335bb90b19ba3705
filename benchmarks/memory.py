"""Peak memory of the stage `faces` on 1080p video of growing length.

python benchmarks/memory.py [VIDEO] [--minutes 1 5 10]; writes benchmarks/results/memory.json. The video (by default one
clip of the demo corpus, rendered here) is scaled to 1080p once and repeated by stream copy.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import ffmpeg
import pandas as pd
from imageio_ffmpeg import get_ffmpeg_exe
from machine import save

from syncdiff.artifacts import read_parquet, write_parquet
from syncdiff.config import parse_config
from syncdiff.corpus.demo import render_corpus
from syncdiff.faces.extract import extract_shard
from syncdiff.media.video import probe


def main() -> None:
    """Measure each length in a process of its own: a peak is for life."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--minutes", nargs="+", type=float, default=[1, 5, 10])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = enlarge(arguments.video or rendered(folder), folder / "large.mp4")
        rows = [measured(repeat(large, minutes, folder / "long.mp4")) for minutes in arguments.minutes]
    save("memory", {"pictures": "1920x1080", "crop": parse_config({}).faces.size, "lengths": rows})


def rendered(folder: Path) -> Path:
    """Render a few seconds of the demo corpus."""
    demo = {"identities": 3, "clips_per_identity": 1, "seconds": 3.0}
    render_corpus(parse_config({"corpus": {"demo": demo}}), folder / "demo", workers=1)
    return min((folder / "demo").rglob("*.mp4"))


def enlarge(video: Path, out: Path) -> Path:
    """Scale a video to 1080p, with its sides filled."""
    source = ffmpeg.input(str(video))
    pictures = source.video.filter("scale", 1080, 1080).filter("pad", 1920, 1080, 420, 0)
    options = {"preset": "veryfast", "c:a": "aac", "ar": 48000}
    ffmpeg.output(pictures, source.audio, str(out), **options).run(cmd=get_ffmpeg_exe(), quiet=True)
    return out


def repeat(video: Path, minutes: float, out: Path) -> Path:
    """Repeat a video for so many minutes, by stream copy."""
    looped = ffmpeg.input(str(video), stream_loop=-1)
    ffmpeg.output(looped, str(out), c="copy", t=60 * minutes).run(
        cmd=get_ffmpeg_exe(), quiet=True, overwrite_output=True
    )
    return out


def measured(video: Path) -> dict[str, float]:
    """Run the stage on one video in a new process; return its length, peak resident memory and time."""
    with get_context("spawn").Pool(1) as pool:
        row = pool.apply(run, (video,))
    print(row, flush=True)
    return row


def run(video: Path) -> dict[str, float]:
    """The stage on one clip, and what it took in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.monotonic()
        clip = {"clip": "long", "video": str(video), "width": 1920, "height": 1080, "text": ""}
        write_parquet(folder / "clips.parquet", pd.DataFrame([clip | {"status": "ok", "split": "test", "shard": "0"}]))
        tar, ledger = folder / "faces.tar", folder / "faces.parquet"
        before_mb = peak_mb()
        extract_shard(parse_config({}), folder / "clips.parquet", "test", "0", tar, ledger)
        row = read_parquet(ledger).iloc[0]
        return {
            "minutes": round(probe(video).duration_s / 60, 1),
            "frames_kept": int(row["n_frames"]),
            "tar_mb": round(tar.stat().st_size / 1e6, 1),
            "imports_mb": before_mb,
            "peak_mb": peak_mb(),
            "seconds": round(time.monotonic() - start, 1),
        }


def peak_mb() -> float:
    """Peak resident memory of this process so far (Linux counts it in kB)."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1)


if __name__ == "__main__":
    main()
