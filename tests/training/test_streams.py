"""SyncNet and the autoencoder on a corpus twenty times as large as what may be in memory: all of it is seen."""

import tracemalloc
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from syncdiff.errors import UserError
from syncdiff.shards.tar import encode_npy, read_shard, to_json, write_shard
from syncdiff.training import autoencoder, syncnet
from tests.members import crop_bytes, wav_bytes

SIZE, N_FRAMES, N_SHARDS, PER_SHARD = 64, 30, 40, 2
N_CLIPS = N_SHARDS * PER_SHARD
A_CLIP = N_FRAMES * SIZE**2 * 3  # bytes of its crops


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clip n shows the grey level 3 n, and sounds as loud."""
    folder = tmp_path_factory.mktemp("shards")
    paths = [folder / f"{number:05d}.tar" for number in range(N_SHARDS)]
    noise = np.random.default_rng(0).normal(size=N_FRAMES * 640)
    for number, path in enumerate(paths):
        samples = []
        for clip in range(PER_SHARD * number, PER_SHARD * (number + 1)):
            about = {"__key__": f"c{clip}", "json": to_json({"clip": f"c{clip}"})}
            crops = np.full((N_FRAMES, SIZE, SIZE, 3), 3 * clip, np.uint8)
            sound = wav_bytes((noise * 10 * (clip + 1)).astype(np.int16))
            pose = encode_npy(np.zeros((N_FRAMES, 8, 8, 3), np.uint8))
            samples.append(about | {"crop.mp4": crop_bytes(crops), "audio.wav": sound, "pose.npy": pose})
        write_shard(path, samples)
    return paths


def clips_of(frames: np.ndarray) -> set[int]:
    return set(np.rint(frames[:, 0, 0].astype(float).mean(axis=-1) / 3).astype(int).tolist())


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> int:
    room = N_CLIPS * A_CLIP // 20
    for module in (syncnet, autoencoder):
        monkeypatch.setattr(module, "BYTES_IN_MEMORY", room)
        monkeypatch.setattr(module, "ROUND_STEPS", 1)  # each clip once in an epoch
    monkeypatch.setattr(autoencoder, "augment", lambda frames, _: frames)
    return room


def peak_mb(work: object) -> float:
    tracemalloc.start()
    work()  # type: ignore[operator]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def test_syncnet_sees_every_clip_in_bounded_memory(shards: list[Path], small_memory: int) -> None:
    clips = syncnet.training_clips(shards, SIZE, 32, seed=1)
    per_epoch = N_CLIPS // 2
    seen: list[set[int]] = []

    def epoch() -> None:
        for batch in islice(syncnet.batches(clips, 0), per_epoch):
            seen.append(clips_of(batch.frames[:, 0]))

    assert (
        peak_mb(epoch) < N_CLIPS * A_CLIP / 1e6 / 2
    )  # most of it is of clips that are being decoded, and of the batch
    assert set().union(*seen) == set(range(N_CLIPS))
    assert all(len(chosen) == 2 for chosen in seen)


def test_the_autoencoder_sees_every_clip_in_bounded_memory(shards: list[Path], small_memory: int) -> None:
    crops = autoencoder.training_crops(shards, 50, seed=1)
    n_steps = N_CLIPS * N_FRAMES // 50
    seen: set[int] = set()
    drawn: list[int] = []

    def epoch() -> None:
        for batch in islice(autoencoder.batches(crops, 0), n_steps):
            seen.update(clips_of(batch))
            drawn.append(len(batch))

    assert peak_mb(epoch) < small_memory / 1e6 + 8 * A_CLIP / 1e6
    assert seen == set(range(N_CLIPS))
    assert len(crops.first) <= autoencoder.FRAMES_FOR_COMPONENTS


@pytest.mark.parametrize("start", [1, 7, 30])
def test_they_resume_anywhere(shards: list[Path], small_memory: int, start: int) -> None:
    clips, crops = syncnet.training_clips(shards, SIZE, 32, seed=1), autoencoder.training_crops(shards, 50, seed=1)
    for whole, again in zip(
        islice(syncnet.batches(clips, 0), start, start + 3), syncnet.batches(clips, start), strict=False
    ):
        assert np.array_equal(whole.frames, again.frames)
        assert np.array_equal(whole.mfcc, again.mfcc)
    pairs = zip(
        islice(autoencoder.batches(crops, 0), start, start + 3), autoencoder.batches(crops, start), strict=False
    )
    assert all(np.array_equal(whole, again) for whole, again in pairs)


def test_kept_frames_hold_no_whole_clips(tmp_path: Path) -> None:
    """Of 400 frames every second is kept; the array is as large as those."""
    crops = np.zeros((400, 32, 32, 3), np.uint8)
    about = {"__key__": "c", "json": to_json({"clip": "c"})}
    write_shard(tmp_path / "0.tar", [about | {"crop.mp4": crop_bytes(crops), "pose.npy": encode_npy(crops[:, :8, :8])}])
    frames = autoencoder.training_crops([tmp_path / "0.tar"], 8, 0).first
    assert frames.shape == (200, 32, 32, 3)
    assert frames.base is None or frames.base.nbytes == frames.nbytes


@pytest.mark.parametrize("members", [[], ["crop.mp4"]])
def test_shards_without_clips_are_a_line(shards: list[Path], tmp_path: Path, members: list[str]) -> None:
    """Without any clip; and with one whose crops are damaged."""
    broken = [sample | dict.fromkeys(members, b"no video") for sample in read_shard(shards[0])] if members else []
    write_shard(tmp_path / "0.tar", broken)
    with pytest.raises(UserError, match="delete the shard and run again" if members else "no clip"):
        next(autoencoder.batches(autoencoder.training_crops([tmp_path / "0.tar"], 8, 0), 0))
    with pytest.raises(UserError, match="delete the shard and run again" if members else "no clip"):
        next(syncnet.batches(syncnet.training_clips([tmp_path / "0.tar"], SIZE, 32, 0), 0))
