"""A corpus of drawn faces that needs no landmarker: shard, videos of methods, an untrained SyncNet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from syncdiff.config import Config, parse_config
from syncdiff.media.video import read_frames, write_video
from syncdiff.models.syncnet import SyncNet, save_syncnet
from syncdiff.pipeline.ledger import Ledger
from syncdiff.shards.tar import encode_npy, to_json, write_shard
from tests.members import wav_bytes

N_FRAMES = 30
SIZE = 64  # of frames and crops: the transform is the identity
CLIPS = ("a/1", "a/2", "b/1")


@dataclass(frozen=True)
class Faked:
    """Where everything lies."""

    root: Path
    config: Config

    @property
    def shard(self) -> Path:
        return self.root / "test/shards/00000.tar"

    @property
    def syncnet(self) -> Path:
        return self.root / "syncnet.safetensors"

    @property
    def plan(self) -> Path:
        return self.root / "plan/clips.parquet"

    def videos(self, method: str) -> Path:
        return self.root / "runs" / method / "videos"

    def generate(self, method: str, protocol: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Write a method's videos: the real frames (T, S, S, 3), changed."""
        for clip in CLIPS:
            frames = np.stack(list(read_frames(self.root / f"source/{clip}.mp4")))
            write_video(self.videos(method) / protocol / f"{clip}.mp4", change(frames), [sound(0)])


class DrawnLandmarker:
    """Reads the mouth off the drawing: the lip points are as far apart as the dark bar is high."""

    misses = ""

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        for frame in frames:
            yield [landmarks_of(int((frame[:, SIZE // 2].mean(axis=-1) < 60).sum()))]


def make(root: Path) -> Faked:
    """Write three test clips into one shard, and one that was lost in packing."""
    ledger, faces, plan = Ledger("shards"), Ledger("faces"), Ledger("plan")
    samples = []
    for index, clip in enumerate(CLIPS):
        video = root / f"source/{clip}.mp4"
        openings = 4 + np.rint(6 + 6 * np.sin(np.arange(N_FRAMES) / (2 + index))).astype(int)
        write_video(video, [drawing(opening, seed=index) for opening in openings], [sound(index)])
        samples.append(sample(clip, video, openings, index))
        for book in (ledger, faces):
            book.add(clip, file=clip, first_frame=0, n_frames=N_FRAMES)
        plan.add(clip, split="test", video=str(video))
    ledger.add("c/<i>1", "rejected", "missing in speech; see the ledger there")
    plan.add("c/<i>1", split="test", video="")
    write_shard(root / "test/shards/00000.tar", samples)
    ledger.write(root / "test/shards/00000.parquet")
    faces.write(root / "test/faces/00000.parquet")
    plan.write(root / "plan/clips.parquet")
    torch.manual_seed(0)
    save_syncnet(SyncNet(width=0.125, image_size=64), root / "syncnet.safetensors", "drawings")
    return Faked(root, parse_config({"evaluate": {"bootstrap": 20}, "faces": {"size": SIZE}}))


def drawing(opening: int, seed: int) -> np.ndarray:
    """A noisy face (S, S, 3) with a black bar, `opening` pixels high, as its mouth."""
    frame = np.random.default_rng(seed).integers(120, 250, (SIZE // 8, SIZE // 8, 3)).astype(np.uint8)
    frame = frame.repeat(8, axis=0).repeat(8, axis=1)
    frame[SIZE // 2 - opening // 2 : SIZE // 2 + opening - opening // 2, 16:48] = 0
    return frame


def landmarks_of(opening: int) -> np.ndarray:
    """Landmarks (68, 2) of a drawing."""
    points = np.zeros((68, 2), np.float32)
    points[36:42], points[42:48] = (20, 20), (44, 20)
    points[48:68] = (32, 32)
    points[62, 1], points[66, 1] = 32 - opening / 2, 32 + opening / 2
    return points


def sample(clip: str, video: Path, openings: np.ndarray, seed: int) -> dict[str, object]:
    """A sample of the joined shard, without the members that scoring does not read."""
    facts = {"clip": clip, "video": str(video), "n_frames": N_FRAMES, "first_frame": 0, "width": SIZE, "height": SIZE}
    return {
        "__key__": clip,
        "json": to_json(facts),
        "landmarks.npy": encode_npy(np.stack([landmarks_of(opening) for opening in openings])),
        "transform.npy": encode_npy(np.tile(np.eye(2, 3, dtype=np.float32), (N_FRAMES, 1, 1))),
        "audio.wav": wav_bytes(sound(seed)),
    }


def sound(seed: int) -> np.ndarray:
    """Noise, (640 * N_FRAMES,) int16."""
    return np.random.default_rng(seed).integers(-3000, 3000, 640 * N_FRAMES).astype(np.int16)
