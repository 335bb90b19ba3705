"""Speech features of one file, of one clip, or of a shard: exactly one row per video frame at 25 fps."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from syncdiff.config import Config, Speech
from syncdiff.device import choose_device, full_fp32
from syncdiff.errors import ClipRejected, UserError
from syncdiff.media.audio import SAMPLES_PER_FRAME, read_audio, read_wav
from syncdiff.media.clock import has_pictures, n_shown
from syncdiff.media.video import probe
from syncdiff.pipeline.ledger import Ledger
from syncdiff.pipeline.parallel import Outcome, attempt, attempt_together
from syncdiff.pipeline.progress import progress
from syncdiff.shards.tar import Sample, encode_npy, metadata, read_shard, to_json, write_npy, write_shard
from syncdiff.speech.avhubert import AVHubertEncoder, load_encoder
from syncdiff.speech.filterbank import stack, stacked_filterbank
from syncdiff.speech.mel import mel_windows
from syncdiff.speech.mfcc import mfcc

BATCH_FRAMES = 2048  # of a padded batch: bounds the memory, and is enough to fill a CPU or a GPU
MARGIN_FRAMES = 100  # of sound on either side of the rows of a long one
MEL_PERIOD = 5  # frames: 16 whole columns of the mel spectrogram
CLIPS_AT_ONCE = 64  # of a shard, sorted into batches by their length


def features(audio: np.ndarray, n_frames: int, name: str, speech: Speech, device: str = "cpu") -> np.ndarray:
    """Return one feature set of one clip.

    Args:
        audio: (n,) int16 mono at 16 kHz, n >= 1.
        n_frames: video frames at 25 fps.
        name: as `Speech.feature_set` gives it, or mfcc, which SyncNet hears.
        speech: names the checkpoint that `avhubert<N>` needs.
        device: for avhubert<N>, the only ones that a network computes: as `choose_device` takes it.

    Returns:
        (n_frames, D) float32; D is 104 for fbank, 1280 for mel, 52 for mfcc, the encoder's width for avhubert<N>.
    """
    return clip_features([(audio, n_frames)], name, speech, device)[0]


@dataclass(frozen=True)
class LongSpeech:
    """One feature set of a sound of any length, made as its rows are asked for: it is never there as a whole.

    Rows depend on the sound around them: fbank and mel on less than `MARGIN_FRAMES` of it, so that they are those of
    `features`; avhubert<N> then hears no further than that, which for a longer sound is an approximation.

    wav: the sound, as `write_wav` writes it.
    first: the video frame of row 0.
    n_frames: rows.
    name, speech, device: as for `features`.
    """

    wav: Path
    first: int
    n_frames: int
    name: str
    speech: Speech
    device: str = "cpu"

    def __len__(self) -> int:
        """T, the number of rows."""
        return self.n_frames

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return (n, D) float32."""
        start, stop, _ = rows.indices(self.n_frames)
        start, stop, last = self.first + start, self.first + stop, self.first + self.n_frames
        begin, end = max(start - MARGIN_FRAMES, 0), min(stop + MARGIN_FRAMES, last)
        begin -= begin % MEL_PERIOD
        audio = read_wav(self.wav, begin * SAMPLES_PER_FRAME, (end + MARGIN_FRAMES) * SAMPLES_PER_FRAME)
        made = features(audio, end - begin, self.name, self.speech, self.device)
        return made[start - begin : stop - begin]


def clip_features(
    clips: Sequence[tuple[np.ndarray, int]], name: str, speech: Speech, device: str = "cpu"
) -> list[np.ndarray]:
    """Return one feature set of several clips (audio, n_frames), the encoder's batched; else as `features`."""
    if name == "mel":
        return [mel_windows(audio, n_frames) for audio, n_frames in clips]
    if name == "mfcc":
        return [stack(mfcc(audio), n_frames).astype(np.float32) for audio, n_frames in clips]
    rows = [stacked_filterbank(audio, n_frames) for audio, n_frames in clips]
    if name == "fbank":
        return rows
    if not speech.checkpoint:
        raise UserError(f"config: speech.checkpoint: missing; the features {name} come from an AV-HuBERT checkpoint")
    encoder, layer = _frozen_encoder(speech.checkpoint, device), int(name.removeprefix("avhubert"))
    if layer > encoder.config.layers:
        raise UserError(f"config: speech.frozen_layers: {speech.checkpoint} has only {encoder.config.layers} layers")
    return hidden_states(encoder, rows, layer)


def hidden_states(encoder: AVHubertEncoder, utterances: Sequence[np.ndarray], layer: int | None) -> list[np.ndarray]:
    """Encode stacked filterbank rows, batched by length with padding masked: no clip depends on its batch (to 1e-5).

    Args:
        encoder: on the device and in the dtype to compute in.
        utterances: (T_i, 104) each.
        layer: counted from 1, without the final layer norm; None: the last, with it.

    Returns:
        (T_i, D) float32 each, in the order of `utterances`.
    """
    like = next(encoder.parameters())
    states: dict[int, np.ndarray] = {}
    for batch in _batches([len(rows) for rows in utterances]):
        padded = pad_sequence([torch.from_numpy(utterances[i]) for i in batch], batch_first=True).to(like)
        lengths = torch.tensor([len(utterances[i]) for i in batch], device=like.device)
        valid = torch.arange(padded.shape[1], device=like.device) < lengths[:, None]  # (B, T)
        with torch.inference_mode(), full_fp32():
            encoded = encoder(padded, None if valid.all() else valid, layer).float().cpu().numpy()
        states |= {i: encoded[row, : len(utterances[i])] for row, i in enumerate(batch)}
    return [states[i] for i in range(len(utterances))]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices, longest first, in groups whose padded size stays under BATCH_FRAMES (or that have one member)."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > BATCH_FRAMES:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@lru_cache(maxsize=1)
def _frozen_encoder(checkpoint: str, device: str) -> AVHubertEncoder:
    return load_encoder(checkpoint).to(choose_device(device))


def extract_features(
    audio: Path | str,
    out: Path | str,
    checkpoint: Path | str | None = None,
    layer: str | None = None,
    frames: int | None = None,
    engine: Literal["native", "fairseq"] = "native",
    device: str = "cpu",
) -> np.ndarray:
    """Write the speech features of a sound file, or of any container with sound, as (T, D) float32 .npy.

    Args:
        layer: `none`: the normalised stacked filterbank, D = 104, no checkpoint. `N`: hidden states after layer N as
            AV-HuBERT's output_layer=N gives them, without the final layer norm. `last`: all layers and that norm.
            None: `last` with a checkpoint, `none` without.
        frames: T, to cut or zero-pad the filterbank to; None: the pictures at 25 fps of a file that has a video
            stream, else as many rows as the sound fills.
        engine: the encoder that runs; see `fairseq_compat`. Both give the same numbers to 1e-5.
        device: of the encoder, as `choose_device` takes it.

    Raises:
        UserError: no sound, no checkpoint where a layer needs one, no such layer, or `frames` < 1.
    """
    layer = layer or ("last" if checkpoint else "none")
    if layer != "none" and checkpoint is None:
        raise UserError(f"--layer {layer}: needs --checkpoint, an AV-HuBERT file; without one, say --layer none")
    rows = _filterbank_rows(audio, frames)
    if layer != "none" and checkpoint is not None:
        encoder = _load(checkpoint, engine).to(choose_device(device))
        [rows] = hidden_states(encoder, [rows], _layer_number(layer, encoder.config.layers))
    write_npy(out, rows)
    return rows


def _filterbank_rows(path: Path | str, frames: int | None) -> np.ndarray:
    if frames is not None and frames < 1:
        raise UserError(f"--frames {frames}: must be at least 1")
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    try:
        audio = read_audio(path)
    except ClipRejected as error:
        raise UserError(f"{path}: {error}; give a file with sound") from None
    if not len(audio):
        raise UserError(f"{path}: no sound at or after the first picture; give a file with sound")
    return stacked_filterbank(audio, frames or _video_frames(path))


def _load(checkpoint: Path | str, engine: str) -> AVHubertEncoder:
    if engine == "fairseq":
        from syncdiff.speech.fairseq_compat import load_fairseq_encoder  # takes seconds to import

        return load_fairseq_encoder(checkpoint)
    return load_encoder(checkpoint)


def _layer_number(layer: str, n_layers: int) -> int | None:
    if layer == "last":
        return None
    if not (layer.isdecimal() and 1 <= int(layer) <= n_layers):
        raise UserError(f"--layer {layer}: say none, last, or a layer of this checkpoint, 1 to {n_layers}")
    return int(layer)


def _video_frames(path: Path | str) -> int | None:
    """Return the number of pictures at 25 fps, or None for a file without a video stream; say what is odd about it."""
    if not has_pictures(path):
        return None
    try:
        found = probe(path)
    except ClipRejected as error:
        raise UserError(f"{path}: {error}; give another file, or its sound alone") from None
    for note in found.notes:
        print(f"{path}: {note}", file=sys.stderr)
    return n_shown(found.duration_s)


def speech_shard(
    config: Config,
    feature_sets: Sequence[str],
    faces_tar: Path,
    out_tar: Path,
    out_ledger: Path,
    device: str = "cpu",
) -> None:
    """Add speech features to the clips of a shard: one member `<feature set>.npy`, (T, D) float32, for each set.

    A clip whose samples are all zero is rejected: a sound track without sound teaches the mouth nothing.
    """
    ledger = Ledger("speech")
    write_shard(out_tar, _samples(config.speech, feature_sets, faces_tar, ledger, device))
    ledger.write(out_ledger)
    print(ledger.summary())


def _samples(
    speech: Speech, feature_sets: Sequence[str], faces_tar: Path, ledger: Ledger, device: str
) -> Iterator[Sample]:
    faces = iter(progress(read_shard(faces_tar), "speech"))
    extract = partial(_arrays, speech, feature_sets, device)
    while group := [_sound(face) for face in islice(faces, CLIPS_AT_ONCE)]:
        heard = [(clip, outcome.value) for clip, outcome in group if outcome.value is not None]
        made = {pair[0]["key"]: outcome for pair, outcome in attempt_together(extract, heard)} if heard else {}
        for clip, sound in group:
            arrays = made.get(clip["key"])
            ledger.record(clip["clip"], arrays or sound)
            if arrays and arrays.value is not None:
                yield {"__key__": clip["key"], "json": to_json({"clip": clip["clip"]}), **arrays.value}


def _arrays(
    speech: Speech, feature_sets: Sequence[str], device: str, heard: Sequence[tuple[dict, np.ndarray]]
) -> list[Sample]:
    """Return the features of some clips, given what is known of each and its sound: `<feature set>.npy` each."""
    sounds = [(audio, clip["n_frames"]) for clip, audio in heard]
    sets = {f"{name}.npy": clip_features(sounds, name, speech, device) for name in feature_sets}
    return [{member: encode_npy(arrays[i]) for member, arrays in sets.items()} for i in range(len(heard))]


def _sound(face: Sample) -> tuple[dict, Outcome[np.ndarray]]:
    """Return what is known of a clip and its sound, or why it is not used; the large members are let go."""
    return metadata(face) | {"key": face["__key__"]}, attempt(_read_sound, face)


def _read_sound(face: Sample) -> np.ndarray:
    if not isinstance(metadata(face).get("n_frames"), int):
        raise ClipRejected("its number of frames is missing")
    audio = read_wav(face["audio.wav"])
    if not audio.any():
        raise ClipRejected("digital silence: the audio track has no sound")
    return audio
