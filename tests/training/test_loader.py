"""The loader that docs/shards.md shows, on tiny shards."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from syncdiff.media.audio import write_wav
from syncdiff.media.video import write_crops
from syncdiff.shards.tar import clip_key, encode_npy, to_json, write_shard

DOCS = Path(__file__).resolve().parents[2] / "docs/shards.md"
T, S = 5, 32


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of two clips each, and the rest of a third that a killed process has left."""
    folder = tmp_path / "it's results/train/shards"
    folder.mkdir(parents=True)
    write_crops(tmp_path / "crop.mp4", iter(np.zeros((T, S, S, 3), np.uint8)))
    write_wav(tmp_path / "audio.wav", [np.zeros(T * 640, np.int16)])
    members = {
        "crop.mp4": tmp_path / "crop.mp4",
        "audio.wav": tmp_path / "audio.wav",
        "landmarks.npy": encode_npy(np.zeros((T, 68, 2), np.float32)),
        "fbank.npy": encode_npy(np.zeros((T, 104), np.float32)),
    }
    for shard in range(2):
        clips = [f"main/a.b {shard}/{clip}" for clip in range(2)]
        samples = [{"__key__": clip_key(c), "json": to_json({"clip": c, "n_frames": T}), **members} for c in clips]
        write_shard(folder / f"{shard:05d}.tar", samples)
    (folder / ".00002.tmp.tar").write_bytes(b"half")
    return folder


def test_more_workers_than_shards_give_every_clip_once(shards: Path, capfd: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    definitions, shown, use = code.partition("for clip in loader(")
    assert use
    example = (shown + use).replace("results/demo/train/shards", str(shards).replace("'", "\\'"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores
        exec(definitions + example.replace("workers=8", "workers=4"), {})
    printed = sorted(capfd.readouterr().out.splitlines())
    shapes = f"[{T}, {S}, {S}, 3] [{T * 640}] [{T}, 104]"
    assert printed == [f"main/a.b {shard}/{clip} {shapes}" for shard in range(2) for clip in range(2)]
