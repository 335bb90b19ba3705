"""The README's moving picture: clips of the test split, real beside generated.

python -m tools.docs.picture RESULTS [OUT]; RESULTS is the demo's folder, results/demo: the corpus lies in it.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from syncdiff.errors import UserError
from syncdiff.media.video import FPS, read_frames
from syncdiff.pipeline.files import atomic
from tools.docs.results import ROOT

OUT = ROOT / "docs/images/demo.webp"
CLIPS, COLUMNS = 4, 2
SIDE = 192  # pixels of a picture
EVERY = 2  # of the video's frames one is shown
SECONDS = 3
MAX_BYTES = 1_400_000
QUALITIES = range(80, 20, -10)


def picture(results: Path) -> bytes:
    """Return an animated WebP of test clips, evenly spaced, each a pair: real on the left, generated on the right.

    Raises:
        UserError: the folder holds no generated videos.
    """
    clips = [clip for clip in _clips(results) if _generated(results, clip).is_file()]
    if not clips:
        raise UserError(f"{results}: no video in runs/syncdiff/videos/paired; run `make eval` first")
    chosen = [clips[i * len(clips) // min(CLIPS, len(clips))] for i in range(min(CLIPS, len(clips)))]
    pairs = [_pair(results, clip) for clip in chosen]
    frames = [_grid([pair[t] for pair in pairs]) for t in range(min(map(len, pairs)))]
    for quality in QUALITIES:
        data = _webp(frames, quality)
        if len(data) <= MAX_BYTES:
            break
    return data


def _clips(results: Path) -> Iterator[dict[str, Any]]:
    """The facts of the test split's clips, as the shards have them."""
    for tar in sorted((results / "test/shards").glob("[0-9]*.tar")):
        with tarfile.open(tar) as members:
            for member in members:
                file = members.extractfile(member) if member.name.endswith(".json") else None
                if file:
                    yield json.load(file)


def _generated(results: Path, clip: dict[str, Any]) -> Path:
    return results / "runs/syncdiff/videos/paired" / f"{clip['clip']}.mp4"


def _pair(results: Path, clip: dict[str, Any]) -> list[Image.Image]:
    """Frames of a clip: the real one left, the generated one right."""
    count = min(clip["n_frames"], SECONDS * FPS)
    first = clip["first_frame"]
    real = islice(read_frames(results / "corpus" / clip["video"]), first, first + count)
    fake = islice(read_frames(_generated(results, clip)), count)
    pairs = islice(zip(real, fake, strict=False), 0, None, EVERY)
    return [_row([_labelled(a, "real"), _labelled(b, "generated")]) for a, b in pairs]


def _labelled(frame: np.ndarray, label: str) -> Image.Image:
    image = Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    ImageDraw.Draw(image).text((5, 3), label, "white", ImageFont.load_default(12), stroke_width=1, stroke_fill="black")
    return image


def _row(images: list[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (SIDE * len(images), SIDE))
    for i, image in enumerate(images):
        row.paste(image, (i * SIDE, 0))
    return row


def _grid(pairs: list[Image.Image]) -> Image.Image:
    columns = min(COLUMNS, len(pairs))
    width, height = pairs[0].size
    gap = 8
    rows = -(-len(pairs) // columns)
    grid = Image.new("RGB", (columns * width + (columns - 1) * gap, rows * height + (rows - 1) * gap), "white")
    for i, pair in enumerate(pairs):
        grid.paste(pair, (i % columns * (width + gap), i // columns * (height + gap)))
    return grid


def _webp(frames: list[Image.Image], quality: int) -> bytes:
    out = io.BytesIO()
    first, *others = frames
    duration = 1000 * EVERY // FPS
    first.save(out, "WEBP", save_all=True, append_images=others, duration=duration, loop=0, quality=quality, method=6)
    return out.getvalue()


def main() -> None:
    """Write the picture and say how large it is."""
    if len(sys.argv) < 2:
        raise UserError("python -m tools.docs.picture RESULTS [OUT]")
    results, *rest = map(Path, sys.argv[1:])
    out = rest[0] if rest else OUT
    data = picture(results)
    with atomic(out) as temporary:
        temporary.write_bytes(data)
    print(f"{out}: {len(data):,} bytes")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
