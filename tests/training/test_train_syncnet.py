"""The SyncNet of a corpus: it learns to tell a clip's own audio from another's, and a rerun changes nothing."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.config import Config, parse_config
from syncdiff.diffusion.sync_loss import SYNC_SHIFTS, SyncLoss
from syncdiff.errors import UserError
from syncdiff.evaluation.metrics.lse import embed_audio, embed_lips, lse
from syncdiff.models.autoencoder import to_pixels
from syncdiff.models.syncnet import for_inference, load_syncnet, mouth_view
from syncdiff.shards.tar import Sample, write_shard
from syncdiff.speech.mfcc import audio_windows, mfcc
from syncdiff.training.syncnet import TIMES_PER_CLIP, batches, train_syncnet, training_clips
from tests.members import crop_bytes, wav_bytes

N_FRAMES = 60


def talking(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise in bursts, and a dark mouth that is as high as the noise is loud: (T, 64, 64, 3) and (640 T,) int16."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0, 1, N_FRAMES // 3), 3)
    crops = np.full((N_FRAMES, 64, 64, 3), rng.integers(120, 220, 3), np.uint8)
    for crop, height in zip(crops, np.rint(12 * loud).astype(int), strict=True):
        crop[48 - height : 48 + height, 24:40] = 30
    audio = rng.normal(size=(N_FRAMES, 640)) * (100 + 8000 * loud[:, None])
    return crops, audio.ravel().clip(-32768, 32767).astype(np.int16)


def samples(n: int) -> Iterator[Sample]:
    for seed in range(n):
        crops, audio = talking(seed)
        yield {
            "__key__": str(seed),
            "json": b'{"clip": "a"}',
            "crop.mp4": crop_bytes(crops),
            "audio.wav": wav_bytes(audio),
        }


def small(steps: int) -> Config:
    syncnet = {"steps": steps, "batch_size": 32, "learning_rate": 1e-3, "warmup_steps": 5, "checkpoint_every": steps}
    return parse_config({"syncnet": {**syncnet, "width": 0.125, "image_size": 64}})


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shards") / "00000.tar"
    write_shard(path, samples(8))
    return path


@pytest.fixture(scope="module")
def trained(shard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train_syncnet(small(240), [shard], folder, torch.device("cpu"))
    return folder / "syncnet.safetensors"


def test_it_learns_which_audio_belongs_to_which_lips(trained: Path) -> None:
    loaded = load_syncnet(trained)
    assert loaded.scorer == "SyncNet of demo (64 px, width 0.125)"
    net = for_inference(loaded.net)
    unseen = [talking(seed) for seed in range(100, 106)]
    lips = [embed_lips([mouth_view(crop, 64) for crop in crops], net) for crops, _ in unseen]
    audios = [embed_audio(mfcc(audio), N_FRAMES - 4, net) for _, audio in unseen]
    true = [lse(*pair) for pair in zip(lips, audios, strict=True)]
    other = [lse(*pair) for pair in zip(lips, audios[1:] + audios[:1], strict=True)]
    assert sum(abs(score.offset) <= 1 for score in true) >= 5
    assert np.mean([score.lse_c for score in true]) > 1.4 * np.mean([score.lse_c for score in other])
    assert np.mean([score.lse_d for score in true]) < np.mean([score.lse_d for score in other])


def test_the_sync_loss_by_it_is_low_where_frames_match_the_audio(
    trained: Path,
) -> None:
    """Lips of another time are worse, and so is a mouth that is the mean of all."""
    loss = SyncLoss(trained, torch.device("cpu"))
    matching, late, still = [], [], []
    for seed in range(100, 104):
        crops, audio = talking(seed)
        pixels = to_pixels(crops, torch.device("cpu"))
        of_clip = torch.from_numpy(audio_windows(mfcc(audio)).astype(np.float32))
        starts = torch.arange(15, 35, 5)
        rows = of_clip[starts[:, None] + torch.tensor(SYNC_SHIFTS)]  # (4, K, 13, 20)
        valid = torch.ones(rows.shape[:2], dtype=torch.bool)
        matching.append(loss(pixels[15:35], rows, valid).mean())
        late.append(loss(pixels[22:42], rows, valid).mean())
        still.append(loss(pixels.mean(dim=0).expand(20, -1, -1, -1), rows, valid).mean())
    assert sum(matching) < 0.8 * sum(still)
    assert sum(matching) < 0.8 * sum(late)


def test_rerun_gives_the_same_bytes(shard: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        train_syncnet(small(3), [shard], folder, torch.device("cpu"))
    first = (tmp_path / "a/syncnet.safetensors").read_bytes()
    assert (tmp_path / "b/syncnet.safetensors").read_bytes() == first
    train_syncnet(small(3), [shard], tmp_path / "a", torch.device("cpu"))  # resumes at the end
    assert (tmp_path / "a/syncnet.safetensors").read_bytes() == first


def test_batches_match_and_depend_on_the_step_alone(shard: Path) -> None:
    clips = training_clips([shard], 64, 32, seed=0)
    held = clips.read(next(clips.plan.rounds()))
    assert len(held) == 8
    assert all(len(clip.mfcc) >= TIMES_PER_CLIP for clip in held)
    third = next(islice(batches(clips, done=0), 2, None))
    again = next(batches(clips, done=2))
    np.testing.assert_array_equal(third.frames, again.frames)
    np.testing.assert_array_equal(third.mfcc, again.mfcc)
    assert third.frames.shape == (32, 5, 64, 64, 3)
    dark = (third.frames < 60).mean(axis=(1, 2, 3, 4))  # how open the mouth is
    loudness = third.mfcc[:, 0].mean(axis=1)  # the first MFCC is the log energy
    assert np.corrcoef(dark, loudness)[0, 1] > 0.6


def test_clips_that_are_too_short_are_an_error_that_says_so(tmp_path: Path) -> None:
    crops, audio = talking(0)
    short = {"json": b'{"clip": "a"}', "crop.mp4": crop_bytes(crops[:10]), "audio.wav": wav_bytes(audio[:6400])}
    write_shard(tmp_path / "00000.tar", [{"__key__": "0", **short}])
    with pytest.raises(UserError, match="no clip"):
        train_syncnet(small(3), [tmp_path / "00000.tar"], tmp_path / "out", torch.device("cpu"))
