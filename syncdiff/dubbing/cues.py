"""Who says what, and when: the first pass over a video, and the cue sheet that the second one follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from syncdiff.config import Faces
from syncdiff.dubbing.mouths import Run, stored
from syncdiff.dubbing.people import SPEAKING, Person, choose, people_of
from syncdiff.dubbing.silence import closing
from syncdiff.dubbing.speaking import LipReader
from syncdiff.dubbing.stretches import Seen, Stretch, look_through
from syncdiff.dubbing.timeline import Length, Timeline, speech_of, timeline
from syncdiff.dubbing.voices import Voice, is_table, naming
from syncdiff.dubbing.wishes import Wishes
from syncdiff.errors import ClipRejected, UserError
from syncdiff.faces.align import alignment, smooth_landmarks
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.media.audio import stream_audio, write_wav
from syncdiff.media.container import FPS
from syncdiff.media.pictures import Form, Video
from syncdiff.synthesis.generate import Networks


@dataclass(frozen=True)
class CueSheet:
    """What the first pass has seen, and which mouth says what in the output.

    sound: as it was given, one or a table; voices: what it holds.
    runs: the frames whose mouth is generated, stretch by stretch; at least one.
    """

    video: Video
    sound: Path
    voices: Sequence[Voice]
    seen: Seen
    people: Sequence[Person]
    timeline: Timeline
    runs: Sequence[Run]


def cue_sheet(
    networks: Networks, video: Video, sound: Path, voices: Sequence[Voice], folder: Path, wishes: Wishes
) -> CueSheet:
    """Go through a video once, and lay out what is to be said.

    Args:
        folder: for files that are needed until the output is written.

    Raises:
        UserError: it cannot be read; no face, not the one that is wished for, or none before the sound ends.
    """
    seen, people = look(networks, video, folder, wishes)
    length: Length = "video" if is_table(sound) else wishes.length
    laid_out = timeline(video.form, seen.ticks, voices[0].n_samples, length)
    runs: list[Run] = []
    for voice in voices:
        chosen = choose(video.path, seen, people, voice.face)
        runs += _runs(networks, video, seen, chosen, laid_out, voice, wishes)
    if not runs:
        raise UserError(_nothing(video, sound, seen, laid_out))
    return CueSheet(video, sound, voices, seen, people, laid_out, runs)


def look(networks: Networks, video: Video, folder: Path, wishes: Wishes) -> tuple[Seen, list[Person]]:
    """Go through a video once: its stretches, and its people.

    Raises:
        UserError: it cannot be read, or shows no face.
    """
    faces, device = networks.config.faces, str(networks.device)
    with naming(video.path):
        landmarker = open_landmarker(faces, device)
        seen = look_through(video, landmarker, faces, _reader(networks, video.path, folder, wishes))
        if not seen.stretches:
            misses = f" ({landmarker.misses})" if landmarker.misses else ""
            raise ClipRejected(f"no face in any of {len(seen.ticks)} frames{misses}")
    return seen, people_of(seen.stretches)


def _reader(networks: Networks, video: Path, folder: Path, wishes: Wishes) -> LipReader | None:
    if wishes.face != SPEAKING:
        return None
    if wishes.syncnet is None:
        raise UserError("--face speaking: needs --syncnet, the weights that say whose lips fit the sound")
    wav = folder / "own.wav"
    write_wav(wav, stream_audio(video))
    return LipReader(wishes.syncnet, wav, networks.device)


def _runs(
    networks: Networks,
    video: Video,
    seen: Seen,
    chosen: Sequence[tuple[int, np.ndarray]],
    laid_out: Timeline,
    voice: Voice,
    wishes: Wishes,
) -> list[Run]:
    """Return the frames of the output whose mouth says what a voice does, stretch by stretch."""
    config = networks.config
    times = laid_out.times(video.form) - voice.start
    said = (times >= 0) & (times < voice.over - voice.start)
    speech, rows = speech_of(voice.wav, voice.n_samples, times, config.speech, str(networks.device))
    closed = np.zeros(len(times)) if wishes.silence_db is None else closing(voice.wav, times, wishes.silence_db)
    seed = crc32(video.path.name.encode()) + config.seed
    runs = []
    for index, wanted in chosen:
        stretch = seen.stretches[index]
        transforms, moves = _placed(stretch, config.faces, video.form)
        for frames in _shown(laid_out, stretch, wanted, said):
            here = slice(frames.start, frames.stop)
            own = laid_out.order[here] - stretch.start
            places = stored(transforms[own], video.form), stretch.identity, stretch.closed, moves[own], stretch.scene
            runs.append(Run(frames, index, *places, speech, rows[here], closed[here], seed))
    return runs


def _shown(laid_out: Timeline, stretch: Stretch, wanted: np.ndarray, said: np.ndarray) -> Iterator[range]:
    """Yield the frames of the output that show the wanted frames (T,) of a stretch, without gaps each.

    Of the output, only frames that are `said` (N,) count.
    """
    own = laid_out.order - stretch.start
    inside = (own >= 0) & (own < len(wanted))
    shows = said & inside & wanted[own.clip(0, len(wanted) - 1)]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], shows.astype(int), [0]])))
    yield from (range(first, stop) for first, stop in edges.reshape(-1, 2).tolist())


def _placed(stretch: Stretch, faces: Faces, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """Return of each frame the transform (T, 2, 3) from the shown picture to the crop, and that of the closed mouth.

    Both are as smooth as at 25 frames a second.
    """
    width = max(round(faces.smoothing_frames * float(form.rate) / FPS), 1)
    transforms = alignment(stretch.landmarks, faces.model_copy(update={"smoothing_frames": width}))
    return transforms, stretch.closed.moves(smooth_landmarks(stretch.landmarks, width), transforms)


def _nothing(video: Video, sound: Path, seen: Seen, laid_out: Timeline) -> str:
    first = min(stretch.start for stretch in seen.stretches)
    if first >= len(laid_out.order):
        when = f"{float(seen.ticks[first] * video.form.tick):.2f} s"
        return f"{sound}: ends before the face appears in {video.path}, at {when}; give more sound"
    return f"{video.path}: the chosen face is in none of the {len(laid_out.order)} frames; choose another"
