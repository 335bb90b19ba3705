"""How well the mouth aperture follows from speech: by a run's encoder, and by one that is trained for nothing else.

python benchmarks/mouth_from_speech.py [results/demo], from the folder that the run was made in; writes
benchmarks/results/mouth_from_speech.json. The aperture is what mouth_corr looks at: that of the landmarks found in real
video. A ridge regression from an encoder's context of a frame, fitted on the training split, predicts it in each test
clip. What the encoder does not hold cannot be sampled: the correlation is about the best that mouth_corr could be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from machine import one_core, save
from torch import Tensor, nn
from unseen import CPU, trained_run

from syncdiff.config import Config
from syncdiff.evaluation.metrics.mouth import mouth_aperture, mouth_corr
from syncdiff.models.speech_encoder import SpeechEncoder
from syncdiff.shards.tar import decode_npy, read_shard
from syncdiff.training.loop import Run, fit
from syncdiff.training.rounds import shuffled
from syncdiff.training.windows import rows_around

STEPS = 2000
SPREAD = 0.1  # of apertures, about: brings the loss near 1
RIDGE = 1.0
BLOCK = 512  # frames encoded at once


def main() -> None:
    """Measure both encoders."""
    one_core()
    folder, config, denoiser = trained_run(__doc__)
    train, test = Clips(config, folder / "train"), Clips(config, folder / "test")
    encoders = {
        "denoiser": denoiser.speech,
        f"trained on apertures, {STEPS} steps": trained_on_apertures(config, train),
    }
    figures = {name: {"mouth_corr": round(correlation(encoder, train, test), 3)} for name, encoder in encoders.items()}
    save("mouth_from_speech", {"minutes_of_speech": round(len(train.aperture) / 25 / 60, 1), **figures})


class Clips:
    """All frames of a split: speech (N, D), aperture (N,) less its mean over the clip, where that begins and ends."""

    def __init__(self, config: Config, split: Path) -> None:
        samples = [sample for shard in sorted((split / "shards").glob("*.tar")) for sample in read_shard(shard)]
        apertures = [mouth_aperture(decode_npy(sample["landmarks.npy"])).astype(np.float32) for sample in samples]
        lengths = torch.tensor([len(aperture) for aperture in apertures])
        member = f"{config.speech.feature_set}.npy"
        self.width = config.speech.window_frames
        self.speech = torch.from_numpy(np.concatenate([decode_npy(sample[member]) for sample in samples]))
        self.aperture = torch.from_numpy(np.concatenate([aperture - aperture.mean() for aperture in apertures]))
        self.lengths = lengths.tolist()
        self.stop = lengths.cumsum(0).repeat_interleave(lengths)
        self.start = self.stop - lengths.repeat_interleave(lengths)

    def windows(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the speech around frames (B,), as the denoiser is given it: (B, W, D), and its validity (B, W)."""
        rows, valid = rows_around(frames, self.start[frames], self.stop[frames], self.width)
        return self.speech[rows] * valid[..., None], valid


class AperturePredictor(nn.Module):
    """A speech encoder, and a linear layer from its context of the middle frame to that frame's aperture."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.speech = SpeechEncoder(config.speech)
        self.aperture = nn.Linear(self.speech.context_dim, 1)

    def forward(self, speech: Tensor, valid: Tensor) -> Tensor:
        """Map (B, W, D) and (B, W) to (B,), in units of `SPREAD`."""
        return self.aperture(self.speech(speech, valid)[:, speech.shape[1] // 2])[:, 0]


def trained_on_apertures(config: Config, clips: Clips) -> SpeechEncoder:
    """Train an encoder like the denoiser's, in as many frames a step as its pretraining has, on the aperture."""
    torch.manual_seed(config.seed)
    settings = config.pretraining.model_copy(update={"steps": STEPS})

    def batches(done: int) -> Iterator[Tensor]:
        size = settings.batch_size
        for step in count(done):
            yield torch.from_numpy(shuffled(len(clips.aperture), (config.seed, 0), step * size, size))

    def loss(predictor: nn.Module, frames: Tensor) -> dict[str, Tensor]:
        predicted = predictor(*clips.windows(frames)).float()
        return {"loss": (predicted - clips.aperture[frames] / SPREAD).square().mean()}

    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), settings, config.seed, "", CPU, config.mixed_precision, label="mouth_from_speech")
        return fit(AperturePredictor(config), loss, batches, run).speech


@torch.inference_mode()
def correlation(encoder: SpeechEncoder, train: Clips, test: Clips) -> float:
    """Return the mean over test clips of the correlation of the aperture with its prediction."""
    known, unknown = contexts(encoder, train), contexts(encoder, test)
    gram = known.T @ known + RIDGE * torch.eye(known.shape[1])
    predicted = unknown @ torch.linalg.solve(gram, known.T @ train.aperture)
    pairs = zip(predicted.split(test.lengths), test.aperture.split(test.lengths), strict=True)
    return float(np.mean([mouth_corr(a.numpy(), b.numpy()) for a, b in pairs]))


def contexts(encoder: SpeechEncoder, clips: Clips) -> Tensor:
    """Return the encoder's context of every frame, and a constant one: (N, E + 1)."""
    frames = torch.arange(len(clips.aperture)).split(BLOCK)
    context = [encoder(*clips.windows(some))[:, clips.width // 2] for some in frames]
    return torch.cat([torch.cat(context), torch.ones(len(clips.aperture), 1)], dim=1)


if __name__ == "__main__":
    main()
