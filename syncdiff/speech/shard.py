"""The stage `speech`: features of the audio of a faces shard, one row per video frame."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from syncdiff.config import Config
from syncdiff.errors import ClipRejected
from syncdiff.media.audio import read_wav
from syncdiff.pipeline.ledger import Ledger
from syncdiff.pipeline.parallel import Outcome, attempt, attempt_together
from syncdiff.pipeline.progress import progress
from syncdiff.shards.tar import Sample, encode_npy, metadata, read_shard, to_json, write_shard
from syncdiff.speech.encoders import FrozenEncoder, open_encoder

log = logging.getLogger(__name__)

CLIPS_AT_ONCE = 64  # of a shard, which an encoder may batch


def speech_shard(
    config: Config,
    feature_sets: Sequence[str],
    faces_tar: Path,
    out_tar: Path,
    out_ledger: Path,
    device: str = "cpu",
) -> None:
    """Write the speech features of a shard's clips: one member `<feature set>.npy`, (T, D) float32, for each set.

    A clip whose samples are all zero is rejected: an audio track without sound teaches the mouth nothing.

    Args:
        feature_sets: names as `open_encoder` takes them.
        device: of a network, as `choose_device` takes it.

    Raises:
        UserError: the faces shard is missing or damaged; or see `open_encoder`.
    """
    ledger = Ledger("speech")
    encoders = {f"{name}.npy": open_encoder(name, config.speech.checkpoint, device) for name in feature_sets}
    write_shard(out_tar, _samples(encoders, faces_tar, ledger))
    ledger.write(out_ledger)
    log.info(ledger.summary())


def _samples(encoders: Mapping[str, FrozenEncoder], faces_tar: Path, ledger: Ledger) -> Iterator[Sample]:
    faces = iter(progress(read_shard(faces_tar), "speech"))
    while group := [_audio(face) for face in islice(faces, CLIPS_AT_ONCE)]:
        heard = [(clip, outcome.value) for clip, outcome in group if outcome.value is not None]
        tried = attempt_together(partial(_members, encoders), heard) if heard else ()
        encoded = {clip["key"]: outcome for (clip, _), outcome in tried}
        for clip, audio in group:
            members = encoded.get(clip["key"])
            ledger.record(clip["clip"], members or audio)
            if members and members.value is not None:
                yield {"__key__": clip["key"], "json": to_json({"clip": clip["clip"]}), **members.value}


def _members(encoders: Mapping[str, FrozenEncoder], clips: Sequence[tuple[dict, np.ndarray]]) -> list[Sample]:
    """Return the features of some clips, given what is known of each and its audio: a member for each encoder."""
    heard = [(audio, clip["n_frames"]) for clip, audio in clips]
    rows = {member: encoder.encode(heard) for member, encoder in encoders.items()}
    return [{member: encode_npy(arrays[i]) for member, arrays in rows.items()} for i in range(len(clips))]


def _audio(face: Sample) -> tuple[dict, Outcome[np.ndarray]]:
    """Return what is known of a clip and its audio, or why it is not used; the large members are let go."""
    return metadata(face) | {"key": face["__key__"]}, attempt(_read_audio, face)


def _read_audio(face: Sample) -> np.ndarray:
    if not isinstance(metadata(face).get("n_frames"), int):
        raise ClipRejected("its number of frames is missing")
    audio = read_wav(face["audio.wav"])
    if not audio.any():
        raise ClipRejected("digital silence: the audio track has no sound")
    return audio
