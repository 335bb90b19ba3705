"""Dub a video: the same pictures with lips that say another sound, whatever their length in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from zlib import crc32

import numpy as np
import torch

from syncdiff.artifacts import progress
from syncdiff.config import Config
from syncdiff.errors import ClipRejected, UserError
from syncdiff.faces.align import paste, warp
from syncdiff.faces.extract import align, find_speaker
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.faces.track import Segment
from syncdiff.media.audio import SAMPLES_PER_FRAME, fit_audio, stream_audio, stream_wav, write_wav
from syncdiff.media.container import FPS
from syncdiff.media.video import read_frames, write_video
from syncdiff.priors import identity_index, mouth_mask
from syncdiff.speech.extract import LongSpeech
from syncdiff.synthesis.generate import Networks, Target, generate, load_networks
from syncdiff.synthesis.split import SYNTHETIC


def dub(
    config: Config, video: Path, sound: Path, out: Path, denoiser: Path, autoencoder: Path, device: torch.device
) -> int:
    """Write `out`: the pictures of `video` at 25 fps with the sound of `sound`, as long as the shorter of the two.

    Frames without the speaker stay as they are. The video is decoded several times, so that no pictures are kept: to
    track the face, up to the identity frame, for the crops, and for the pictures that these are pasted into.

    Args:
        config: that of the denoiser; of the rest it reads `faces` and `sample`.
        sound: a sound file, or any container with sound.
        denoiser: denoiser.safetensors of a run.
        autoencoder: its autoencoder's folder.

    Returns:
        The number of frames whose mouth was generated.

    Raises:
        UserError: no face in the video, or none before the sound ends, or one of the two cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "sound.wav")
        with _naming(sound):
            n_samples = write_wav(wav, stream_audio(sound))
        with _naming(video):
            segment = find_speaker(video, open_landmarker(config.faces, str(device)), config.faces)
        n_frames = min(segment.clip_frames, n_samples // SAMPLES_PER_FRAME)
        n_dubbed = min(len(segment.landmarks), n_frames - segment.start)
        if n_dubbed < 1:
            raise UserError(
                f"{sound}: ends before the face appears in {video}, at {segment.start / FPS:.2f} s; give more sound"
            )
        networks = load_networks(config, denoiser, autoencoder, device)
        target, transforms = _target(networks, video, segment, wav, n_dubbed)
        mouths = (crops[0] for crops in progress(generate(networks, [target]), "dub", n_dubbed))
        pictures = _pasted(islice(read_frames(video), n_frames), segment.start, mouths, transforms, config.faces.size)
        write_video(out, pictures, fit_audio(stream_wav(wav), n_frames), comment=SYNTHETIC)
        return n_dubbed


def _target(networks: Networks, video: Path, segment: Segment, wav: Path, n_dubbed: int) -> tuple[Target, np.ndarray]:
    """Return what is to be generated, and the transforms (T, 2, 3) from the video to its crops."""
    config, device = networks.config, str(networks.device)
    transforms, crops = align(video, segment, config.faces)
    target = Target(
        crops=crops,
        identity=_identity(config, video, segment, transforms),
        speech=LongSpeech(wav, segment.start, n_dubbed, config.speech.feature_set, config.speech, device),
        noise_seed=crc32(video.name.encode()) + config.seed,
    )
    return target, transforms


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file it was that could not be used."""
    try:
        yield
    except ClipRejected as error:
        raise UserError(f"{path}: {error}; give another file") from None


def _identity(config: Config, video: Path, segment: Segment, transforms: np.ndarray) -> np.ndarray:
    """Return the identity frame (S, S, 3), one of the speaker's crops."""
    index = identity_index(segment.landmarks, transforms)
    frame = next(read_frames(video, segment.start + index))
    return warp(frame, transforms[index], config.faces.size)


def _pasted(
    frames: Iterable[np.ndarray], start: int, mouths: Iterator[np.ndarray], transforms: np.ndarray, size: int
) -> Iterator[np.ndarray]:
    """Yield the frames with the mouths, as far as there are some, put into those from `start` on."""
    mask = mouth_mask(size)
    for index, frame in enumerate(frames):
        mouth = next(mouths, None) if index >= start else None
        yield frame if mouth is None else paste(frame, mouth, transforms[index - start], mask)
