"""Dub a video: the same pictures with lips that say another sound, whatever their length in bounded memory."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from zlib import crc32

import numpy as np

from syncdiff.config import Config
from syncdiff.errors import ClipRejected, UserError
from syncdiff.faces.align import align, paste, warp
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.faces.track import Segment, find_speaker
from syncdiff.media.audio import SAMPLES_PER_FRAME, stream_audio, write_wav
from syncdiff.media.container import FPS
from syncdiff.media.soundtrack import soundtrack_of
from syncdiff.media.video import SUFFIXES, Probe, probe, read_frames, write_video
from syncdiff.pipeline.files import temporary_name
from syncdiff.pipeline.progress import progress
from syncdiff.priors import identity_index, mouth_mask
from syncdiff.speech.extract import LongSpeech
from syncdiff.synthesis.generate import Networks, Target, generate
from syncdiff.synthesis.sample import SYNTHETIC

log = logging.getLogger(__name__)


def dub(networks: Networks, video: Path, sound: Path, out: Path) -> int:
    """Write `out`: the pictures of `video` at 25 fps with the sound of `sound`, as long as the shorter of the two.

    Returns the number of frames whose mouth was generated; all others stay as they are. The output is upright and has
    square pixels, the matrix and the colour tags of `video` (of HDR: BT.709), and the sound at its own rate and
    channels, as AAC. What is left out or left alone is logged, a line each. The video is decoded several times, so that
    no pictures are kept: to track the face, up to the identity frame, for the crops, and to paste these in.

    Args:
        networks: of one model; of its config, `faces` and `sample` count too.
        video: any that FFmpeg reads, with a face.
        sound: a sound file, or any container with sound.
        out: mp4, m4v, mov or mkv; none of the files that are read.

    Raises:
        UserError: `out` cannot be written; no face in the video, or none before the sound ends; or one of the two
            cannot be read.
    """
    check_out(out, video, sound)
    faces = networks.config.faces
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "sound.wav")
        with _naming(sound):
            n_samples = write_wav(wav, stream_audio(sound))
        with _naming(video):
            facts, segment = probe(video), find_speaker(video, open_landmarker(faces, str(networks.device)), faces)
        n_frames = min(segment.clip_frames, n_samples // SAMPLES_PER_FRAME)
        n_dubbed = min(len(segment.landmarks), n_frames - segment.start)
        if n_dubbed < 1:
            start = f"{segment.start / FPS:.2f} s"
            raise UserError(f"{sound}: ends before the face appears in {video}, at {start}; give more sound")
        with _naming(sound):
            track = soundtrack_of(sound, n_frames / FPS)
        target, transforms = _target(networks, video, segment, wav, n_dubbed)
        mouths = (crops[0] for crops in progress(generate(networks, [target]), "dub", n_dubbed))
        pictures = _pasted(islice(read_frames(video), n_frames), segment.start, mouths, transforms, faces.size)
        write_video(out, pictures, track, comment=SYNTHETIC, color_space=facts.color_space)
    for line in _remarks(video, sound, facts, segment, n_samples, n_dubbed):
        log.warning(line)
    return n_dubbed


def check_out(out: Path, *inputs: Path) -> None:
    """Refuse an output that could not be written, or that is one of the inputs, before any work is done.

    Raises:
        UserError: a folder or no ordinary file, a suffix that is not written, an input under whatever name, or a place
            where this user may not write.
    """
    try:
        _check_name(out, inputs)
        folder = next(folder for folder in out.absolute().parents if folder.exists())
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another place or name") from None
    if not folder.is_dir():
        raise UserError(f"{out}: {folder} is no folder; choose another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{out}: {folder} cannot be written to; choose another folder")


def _check_name(out: Path, inputs: Sequence[Path]) -> None:
    if out.is_dir():
        raise UserError(f"{out}: is a folder; name a file in it, such as {out / 'dubbed.mp4'}")
    if out.suffix.lower() not in SUFFIXES:
        what = f"the suffix {out.suffix}" if out.suffix else "no suffix"
        raise UserError(f"{out}: {what}; videos are written as {', '.join(SUFFIXES)}: name it {out.stem}.mp4")
    if out.exists() and not out.is_file():
        raise UserError(f"{out}: is no ordinary file; give another name")
    for written, source in product((out, temporary_name(out)), inputs):
        if written.exists() and source.exists() and written.samefile(source):
            how = "" if written == out else f" (by {written.name}, its name while it is written)"
            raise UserError(f"{out}: is the same file as {source}{how}, which would be lost; give another name")


def _remarks(video: Path, sound: Path, facts: Probe, segment: Segment, n_samples: int, n_dubbed: int) -> Iterator[str]:
    """Say, a line each, what is unusual about the video, what of the two was left out, and which frames were left."""
    for note in facts.notes:
        yield f"{video}: {note}"
    longer = n_samples / (SAMPLES_PER_FRAME * FPS) - segment.clip_frames / FPS  # seconds that there is more sound
    if longer >= 1 / FPS:
        yield f"{sound}: its last {longer:.2f} s are left out, for {video} ends before"
    elif longer <= -1 / FPS:
        yield f"{video}: its last {-longer:.2f} s are left out, for {sound} ends before"
    n_frames = min(segment.clip_frames, n_samples // SAMPLES_PER_FRAME)
    if n_dubbed < n_frames:
        yield f"{video}: {n_frames - n_dubbed} of {n_frames} frames are left as they are: {segment.note}"
    elif segment.note:
        yield f"{video}: {segment.note}"


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
