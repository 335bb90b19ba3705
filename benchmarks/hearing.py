"""How well the mouth's opening can be heard: by a run's speech encoder, and by one that is trained for nothing else.

python benchmarks/hearing.py [results/demo], from the folder that the run was made in; writes
benchmarks/results/hearing.json. The opening is what mouth_corr looks at: that of the landmarks found in real video. A
ridge regression from what the encoder says of a frame, fitted on the training split, foretells it in each test clip.
What is not heard cannot be sampled: the correlation is about what mouth_corr would be if all that is heard were drawn.
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
from syncdiff.evaluation.metrics.mouth import mouth_corr, mouth_opening
from syncdiff.models.speech_encoder import SpeechEncoder
from syncdiff.shards.tar import decode_npy, read_shard
from syncdiff.training.loop import Run, fit
from syncdiff.training.rounds import shuffled
from syncdiff.training.windows import rows_around

STEPS = 2000
SPREAD = 0.1  # of openings, about: brings the loss near 1
RIDGE = 1.0
BLOCK = 512  # frames encoded at once


def main() -> None:
    """Measure both encoders."""
    one_core()
    folder, config, denoiser = trained_run(__doc__)
    train, test = Clips(config, folder / "train"), Clips(config, folder / "test")
    encoders = {
        "denoiser": denoiser.speech,
        f"trained on openings, {STEPS} steps": trained_on_openings(config, train),
    }
    figures = {name: {"mouth_corr": round(heard(encoder, train, test), 3)} for name, encoder in encoders.items()}
    save("hearing", {"minutes_of_speech": round(len(train.opening) / 25 / 60, 1), **figures})


class Clips:
    """All frames of a split: speech (N, D), opening (N,) less its mean over the clip, where that begins and ends."""

    def __init__(self, config: Config, split: Path) -> None:
        samples = [sample for shard in sorted((split / "shards").glob("*.tar")) for sample in read_shard(shard)]
        openings = [mouth_opening(decode_npy(sample["landmarks.npy"])).astype(np.float32) for sample in samples]
        lengths = torch.tensor([len(opening) for opening in openings])
        member = f"{config.speech.feature_set}.npy"
        self.width = config.speech.window_frames
        self.speech = torch.from_numpy(np.concatenate([decode_npy(sample[member]) for sample in samples]))
        self.opening = torch.from_numpy(np.concatenate([opening - opening.mean() for opening in openings]))
        self.lengths = lengths.tolist()
        self.stop = lengths.cumsum(0).repeat_interleave(lengths)
        self.start = self.stop - lengths.repeat_interleave(lengths)

    def windows(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the speech around frames (B,), as the denoiser is given it: (B, W, D), and its validity (B, W)."""
        rows, valid = rows_around(frames, self.start[frames], self.stop[frames], self.width)
        return self.speech[rows] * valid[..., None], valid


class Teller(nn.Module):
    """A speech encoder, and a linear layer from what it says of the middle frame to that frame's opening."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.speech = SpeechEncoder(config.speech)
        self.opening = nn.Linear(self.speech.context_dim, 1)

    def forward(self, speech: Tensor, valid: Tensor) -> Tensor:
        """Map (B, W, D) and (B, W) to (B,), in units of `SPREAD`."""
        return self.opening(self.speech(speech, valid)[:, speech.shape[1] // 2])[:, 0]


def trained_on_openings(config: Config, clips: Clips) -> SpeechEncoder:
    """Train an encoder like the denoiser's, in as many frames a step as its pretraining has, to tell the opening."""
    torch.manual_seed(config.seed)
    settings = config.pretraining.model_copy(update={"steps": STEPS})

    def batches(done: int) -> Iterator[Tensor]:
        size = settings.batch_size
        for step in count(done):
            yield torch.from_numpy(shuffled(len(clips.opening), (config.seed, 0), step * size, size))

    def loss(teller: nn.Module, frames: Tensor) -> dict[str, Tensor]:
        told = teller(*clips.windows(frames)).float()
        return {"loss": (told - clips.opening[frames] / SPREAD).square().mean()}

    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), settings, config.seed, "", CPU, config.mixed_precision, label="hearing")
        return fit(Teller(config), loss, batches, run).speech


@torch.inference_mode()
def heard(encoder: SpeechEncoder, train: Clips, test: Clips) -> float:
    """Return the mean over test clips of the correlation of the opening with what is heard of it."""
    known, unknown = said(encoder, train), said(encoder, test)
    gram = known.T @ known + RIDGE * torch.eye(known.shape[1])
    foretold = unknown @ torch.linalg.solve(gram, known.T @ train.opening)
    pairs = zip(foretold.split(test.lengths), test.opening.split(test.lengths), strict=True)
    return float(np.mean([mouth_corr(a.numpy(), b.numpy()) for a, b in pairs]))


def said(encoder: SpeechEncoder, clips: Clips) -> Tensor:
    """Return what the encoder says of every frame, and a constant one: (N, E + 1)."""
    frames = torch.arange(len(clips.opening)).split(BLOCK)
    context = [encoder(*clips.windows(some))[:, clips.width // 2] for some in frames]
    return torch.cat([torch.cat(context), torch.ones(len(clips.opening), 1)], dim=1)


if __name__ == "__main__":
    main()
