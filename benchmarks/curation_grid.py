"""Real people with known faults: a copy of a corpus in which some clips of train have a shifted or another sound.

python benchmarks/curation_grid.py SOURCE OUT [--shifted 0.2] [--swapped 0.1] [--seed 0]; SOURCE is a corpus of .mp4
files in LRS2's layout. OUT is laid out like it, with the truth in OUT/truth/faults.csv; then, with the workflow's
curation of OUT, `python benchmarks/curation.py results/<name>/curation.parquet OUT/truth/faults.csv grid`.
Pictures stay as they are, packet by packet.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame

from syncdiff.corpus.demo.faults import OFFSETS, fit, move, write_faults
from syncdiff.corpus.lrs import lrs2_clips
from syncdiff.corpus.split import ListedClip
from syncdiff.media.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, read_audio
from syncdiff.pipeline.files import atomic

Row = dict[str, object]  # of the truth


def main() -> None:
    """Make one copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shifted", type=float, default=0.2, help="share of train's clips")
    parser.add_argument("--swapped", type=float, default=0.1, help="share of train's clips")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = spoil(arguments.source, arguments.out, arguments.shifted, arguments.swapped, arguments.seed)
    print(f"{arguments.out}: {len(rows)} clips with a fault")


def spoil(source: Path, out: Path, shifted: float, swapped: float, seed: int) -> list[Row]:
    """Copy the corpus at `source` to `out`, give shares of train's clips their faults, and write the truth.

    Returns:
        The truth's rows: clip, fault, and offset or sound_of.
    """
    clips = [clip for clip in lrs2_clips(source, ("train",)) if clip.stamp]
    rng = np.random.default_rng(seed)
    order = [clips[i] for i in rng.permutation(len(clips))]
    n_shifted, n_swapped = round(shifted * len(clips)), round(swapped * len(clips))
    shutil.copytree(source, out)
    rows = [shift(clip, source, out, int(rng.choice(OFFSETS))) for clip in order[:n_shifted]]
    rows += [swap(clip, source, out, clips, rng) for clip in order[n_shifted : n_shifted + n_swapped]]
    write_faults(out / "truth" / "faults.csv", rows)
    return rows


def shift(clip: ListedClip, source: Path, out: Path, offset: int) -> Row:
    """Let the sound of a clip's copy come `offset` frames early."""
    with_sound(clip, source, out, move(read_audio(clip.video), offset))
    return {"clip": clip.clip, "fault": "shifted", "offset": offset}


def swap(clip: ListedClip, source: Path, out: Path, clips: Sequence[ListedClip], rng: np.random.Generator) -> Row:
    """Give a clip's copy the sound of another clip."""
    others = [other for other in clips if other != clip]
    other = others[rng.integers(len(others))]
    with_sound(clip, source, out, fit(read_audio(other.video), len(read_audio(clip.video))))
    return {"clip": clip.clip, "fault": "swapped", "sound_of": other.clip}


def with_sound(clip: ListedClip, source: Path, out: Path, audio: np.ndarray) -> None:
    """Write a clip's copy with its own pictures and another sound, (n,) int16 mono at 16 kHz."""
    copy = out / Path(clip.video).relative_to(source)
    with atomic(copy) as path, av.open(clip.video) as pictures, av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream_from_template(pictures.streams.video[0])
        sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for packet in pictures.demux(pictures.streams.video[0]):
            if packet.dts is not None:  # the last one, which ends the stream, has none
                packet.stream = video
                container.mux(packet)
        for start in range(0, len(audio), SAMPLES_PER_FRAME):
            chunk = AudioFrame.from_ndarray(audio[None, start : start + SAMPLES_PER_FRAME], format="s16", layout="mono")
            chunk.sample_rate, chunk.pts = SAMPLE_RATE, start
            container.mux(sound.encode(chunk))
        container.mux(sound.encode(None))


if __name__ == "__main__":
    main()
