"""Peak memory of the stage `faces` and of dubbing on video of growing length.

python benchmarks/memory.py [VIDEO] [--faces 1 10] [--dub 1 10] [--height 1080], in minutes and pixels; writes
benchmarks/results/memory-HEIGHT.json. The video (by default one clip of the demo corpus, rendered here) is scaled once
to pictures of 16 by 9, and repeated by stream copy.
Dubbing takes small networks of random weights and one step, so that an hour of video takes hours and not days.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import ffmpeg
import pandas as pd
from imageio_ffmpeg import get_ffmpeg_exe
from machine import save

from syncdiff.config import parse_config
from syncdiff.corpus.demo import render_corpus
from syncdiff.faces.shard import faces_shard
from syncdiff.media.video import probe
from syncdiff.pipeline.files import read_parquet, write_parquet

SMALL = {
    "denoiser": {"channels": [32, 32]},
    "speech": {"dim": 32, "layers": 1},
    "sample": {"steps": 1, "guidance": 1.0},
}


def main() -> None:
    """Measure each length in a process of its own: a peak is for life."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--faces", nargs="*", type=float, default=[1, 10])
    parser.add_argument("--dub", nargs="*", type=float, default=[1, 10])
    parser.add_argument("--height", type=int, default=1080)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = enlarge(arguments.video or rendered(folder), folder / "large.mp4", arguments.height)
        rows = {
            work.__name__: [measured(work, repeat(large, minutes, folder / "long.mp4")) for minutes in lengths]
            for work, lengths in ((run_faces, arguments.faces), (run_dub, arguments.dub))
        }
    save(f"memory-{arguments.height}", {"height": arguments.height, "crop": parse_config({}).faces.size, **rows})


def rendered(folder: Path) -> Path:
    """Render a few seconds of the demo corpus."""
    demo = {"identities": 3, "clips_per_identity": 1, "seconds": 3.0}
    render_corpus(parse_config({"corpus": {"demo": demo}}), folder / "demo", workers=1)
    return min((folder / "demo").rglob("*.mp4"))


def enlarge(video: Path, out: Path, height: int) -> Path:
    """Scale a video to a height, with its sides filled to 16 by 9."""
    source = ffmpeg.input(str(video))
    pictures = source.video.filter("scale", height, height).filter("pad", "ceil(ih*8/9)*2", "ih", "(ow-iw)/2", 0)
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


def measured(work: Callable[[Path, Path], int], video: Path) -> dict[str, float]:
    """Run work on one video in a new process; return the video's length, peak resident memory and time."""
    with get_context("spawn").Pool(1) as pool:
        row = pool.apply(in_process, (work, video))
    print(work.__name__, row, flush=True)
    return row


def in_process(work: Callable[[Path, Path], int], video: Path) -> dict[str, float]:
    """What work on one video took in this process."""
    before_mb, start = peak_mb(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        n_frames = work(video, Path(folder))
    return {
        "minutes": round(probe(video).duration_s / 60, 1),
        "frames": n_frames,
        "imports_mb": before_mb,
        "peak_mb": peak_mb(),
        "seconds": round(time.monotonic() - start, 1),
    }


def run_faces(video: Path, folder: Path) -> int:
    """The stage `faces` on one clip; return the frames that it kept."""
    clip = {"clip": "long", "video": str(video), "width": 1920, "height": 1080, "text": ""}
    write_parquet(folder / "clips.parquet", pd.DataFrame([clip | {"status": "ok", "split": "test", "shard": "0"}]))
    tar, ledger = folder / "faces.tar", folder / "faces.parquet"
    faces_shard(parse_config({}), folder / "clips.parquet", "test", "0", tar, ledger)
    return int(read_parquet(ledger).iloc[0]["n_frames"])


def run_dub(video: Path, folder: Path) -> int:
    """Dub a video with its own sound; return the frames with generated lips."""
    import torch  # here, so that `faces` is measured without it

    from syncdiff.diffusion.schedule import scheduler
    from syncdiff.dubbing.dub import dub
    from syncdiff.models.autoencoder import build_autoencoder
    from syncdiff.models.denoiser import Denoiser
    from syncdiff.synthesis.generate import Networks

    torch.set_num_threads(1)  # two are slower where networks are as small as these
    config = parse_config(SMALL)
    denoiser, autoencoder = Denoiser(config).eval(), build_autoencoder(config.autoencoder).eval()
    networks = Networks(config, denoiser, autoencoder, scheduler(config.diffusion, config.sample), torch.device("cpu"))
    return dub(networks, video, video, folder / "out.mp4").generated


def peak_mb() -> float:
    """Peak resident memory of this process so far; ru_maxrss would begin with that of the process that started it."""
    [line] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return round(int(line) / 1e3, 1)


if __name__ == "__main__":
    main()
