"""Speech features of a file, of a clip, or of a long recording: exactly one row per video frame at 25 fps."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from syncdiff.config import Speech
from syncdiff.device import choose_device
from syncdiff.errors import ClipRejected, UserError
from syncdiff.media.audio import SAMPLES_PER_FRAME, read_audio, read_wav
from syncdiff.media.clock import n_shown
from syncdiff.media.container import FPS
from syncdiff.media.decode import has_video
from syncdiff.media.video import probe
from syncdiff.speech.avhubert import AVHubertEncoder, load_encoder
from syncdiff.speech.encoders import open_encoder
from syncdiff.speech.filterbank import stacked_filterbank
from syncdiff.speech.hidden_states import hidden_states

log = logging.getLogger(__name__)


def features(audio: np.ndarray, n_frames: int, name: str, speech: Speech, device: str = "cpu") -> np.ndarray:
    """Return one feature set of one clip.

    Args:
        audio: (n,) int16 mono at 16 kHz, n >= 1.
        n_frames: video frames at 25 fps.
        name: as `Speech.feature_set` gives it, or another of `registry.speech_encoders`.
        speech: names the checkpoint of a network.
        device: of a network, as `choose_device` takes it.

    Returns:
        (n_frames, D) float32; D is the encoder's `dim`: 104 for fbank, 1280 for mel, 52 for mfcc.

    Raises:
        UserError: see `open_encoder`.
    """
    return open_encoder(name, speech.checkpoint, device).encode([(audio, n_frames)])[0]


@dataclass(frozen=True)
class LongSpeech:
    """One feature set of a recording of any length, made as its rows are asked for: it is never there as a whole.

    Rows are made of the audio around them, as far as the encoder's `context_frames`. Where that is all that decides a
    row, they are those of `features`; AV-HuBERT attends to more, so that of longer audio they are an approximation.

    wav: the audio, as `write_wav` writes it.
    first: the video frame of row 0.
    n_frames: rows; those after the end of the audio are of silence.
    name, speech, device: as for `features`.
    shift: samples by which all rows are later.
    """

    wav: Path
    first: int
    n_frames: int
    name: str
    speech: Speech
    device: str = "cpu"
    shift: int = 0

    def __len__(self) -> int:
        """T, the number of rows."""
        return self.n_frames

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return (n, D) float32."""
        encoder = open_encoder(self.name, self.speech.checkpoint, self.device)
        start, stop, _ = rows.indices(self.n_frames)
        start, stop, last = self.first + start, self.first + stop, self.first + self.n_frames
        begin, end = max(start - encoder.context_frames, 0), min(stop + encoder.context_frames, last)
        begin -= begin % FPS  # at a whole second, where any encoder's windows lie as they do in the whole recording
        first, beyond = (n * SAMPLES_PER_FRAME + self.shift for n in (begin, end + encoder.context_frames))
        heard = read_wav(self.wav, first, beyond)
        heard = heard if len(heard) else np.zeros(SAMPLES_PER_FRAME, np.int16)
        return encoder.encode([(heard, end - begin)])[0][start - begin : stop - begin]


def extract_features(
    source: Path | str,
    checkpoint: Path | str | None = None,
    layer: int | str | None = None,
    frames: int | None = None,
    engine: Literal["native", "fairseq"] = "native",
    device: str = "auto",
) -> np.ndarray:
    """Return AV-HuBERT's features of an audio file, or of a video with sound.

    Args:
        source: any file that libav reads.
        checkpoint: AV-HuBERT, fairseq .pt or converted .safetensors.
        layer: "none": the normalised stacked filterbank, D = 104, no checkpoint. N: hidden states after layer N, as
            AV-HuBERT's output_layer=N gives them, without the final layer norm. "last": all layers and that norm.
            None: "last" with a checkpoint, "none" without.
        frames: T, to cut or zero-pad the filterbank to; None: the frames at 25 fps of a file that has a video stream,
            else as many rows as the audio fills.
        engine: the encoder that runs; see `fairseq_compat`. Both give the same numbers to 1e-5.
        device: of the encoder, as `choose_device` takes it.

    Returns:
        (T, D) float32.

    Raises:
        UserError: no sound, no checkpoint where a layer needs one, no such layer, or `frames` < 1.
    """
    layer = str(layer) if layer not in (None, "") else "last" if checkpoint else "none"
    if layer != "none" and checkpoint is None:
        raise UserError(f"--layer {layer}: needs --checkpoint, an AV-HuBERT file; without one, say --layer none")
    rows = _filterbank_rows(source, frames)
    if layer != "none" and checkpoint is not None:
        encoder = _load(checkpoint, engine).to(choose_device(device))
        [rows] = hidden_states(encoder, [rows], _layer_number(layer, encoder.config.layers))
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
    """Return the number of frames at 25 fps, or None for a file without a video stream; say what is odd about it."""
    if not has_video(path):
        return None
    try:
        found = probe(path)
    except ClipRejected as error:
        raise UserError(f"{path}: {error}; give another file, or its sound alone") from None
    for note in found.notes:
        log.warning("%s: %s", path, note)
    return n_shown(found.duration_s)
