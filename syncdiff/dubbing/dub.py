"""Dub a video: the same pictures with lips that say another sound, whatever their length in bounded memory."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from syncdiff.config import Faces
from syncdiff.dubbing.mouths import Run, dubbed, stored
from syncdiff.dubbing.output import check_out
from syncdiff.dubbing.people import SPEAKING, FoundFace, Person, choose, found_faces, people_of
from syncdiff.dubbing.report import Report, report_of
from syncdiff.dubbing.silence import THRESHOLD_DB, closing
from syncdiff.dubbing.speaking import LipReader
from syncdiff.dubbing.stretches import Seen, Stretch, look_through
from syncdiff.dubbing.timeline import Length, Timeline, speech_of, timeline
from syncdiff.dubbing.voices import Voice, is_table, mixed, naming, voices_of
from syncdiff.errors import ClipRejected, UserError
from syncdiff.evaluation.metrics.lse import Face, score_videos
from syncdiff.faces.align import alignment, smooth_landmarks
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.media.audio import SAMPLE_RATE, stream_audio, write_wav
from syncdiff.media.container import FPS
from syncdiff.media.encode import CRF, check_form, write_pictures
from syncdiff.media.pictures import Form, Video
from syncdiff.media.soundtrack import soundtrack_of
from syncdiff.pipeline.progress import progress
from syncdiff.synthesis.generate import Networks
from syncdiff.synthesis.sample import SYNTHETIC

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wishes:
    """How a video is dubbed.

    face: `largest` of each frame, `speaking` (needs `syncnet`), or the number of a person; several with commas.
    length: `shortest` of picture and sound; `sound`, the video goes on there and back; `video`, silence follows.
    silence_db: below that level of full scale the sound is silent, and the mouth closes; None: it never does.
    crf: quality of the pictures, 0 to 51, lower is better.
    syncnet: weights; the report then has LSE before and after.
    """

    face: str = "largest"
    length: Length = "shortest"
    silence_db: float | None = THRESHOLD_DB
    crf: int = CRF
    syncnet: Path | None = None


def dub(networks: Networks, video: Path, sound: Path, out: Path, wishes: Wishes | None = None) -> Report:
    """Write `out`: the pictures of `video`, with mouths that say `sound`, and that sound.

    Frames keep their times, size, shape of a pixel, turn, colours and tags; only samples under the mask of a generated
    mouth change before they are encoded. The sound is copied, or encoded at its own rate and channels. Frames that do
    not show the chosen face pass through. The video is decoded twice; memory does not grow with its length. What is
    left out is logged, a line each.

    Args:
        networks: of one model; of its config, `faces` and `sample` count too.
        video: any that FFmpeg reads, with a face.
        sound: a sound file, or any container with sound; or a table (.csv) of several for several faces, see
            `voices.voices_of`: then the video keeps its length, and its own sound where nobody is dubbed.
        out: mp4, m4v, mov, mkv or webm; none of the files that are read.
        wishes: None: the defaults.

    Raises:
        UserError: `out` cannot be written; no face in the video, or none before the sound ends; or one of the two
            cannot be read.
    """
    wishes = wishes or Wishes()
    check_out(out, video, sound)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voices = voices_of(sound, wishes.face, folder)
        check_out(out, *(voice.sound for voice in voices))
        with naming(video):
            source = Video(video)
        check_form(out, source.form)
        seen, people = look(networks, source, folder, wishes)
        length: Length = "video" if is_table(sound) else wishes.length
        laid_out = timeline(source.form, seen.ticks, voices[0].n_samples, length)
        runs = [
            run
            for voice in voices
            for run in _runs(networks, source, seen, choose(video, seen, people, voice.face), laid_out, voice, wishes)
        ]
        if not runs:
            raise UserError(_nothing(video, sound, seen, laid_out, source.form))
        said = list(_remarks(video, sound, source.form, seen, laid_out, voices))
        for line in said:
            log.warning(line)
        hidden: set[int] = set()
        pictures = progress(dubbed(networks, source, laid_out, runs, hidden), "dub", len(laid_out.order))
        heard = mixed(video, voices, laid_out.seconds, folder / "mixed.flac") if is_table(sound) else sound
        with naming(sound):
            track = soundtrack_of(heard, laid_out.seconds)
        with naming(video):
            write_pictures(out, source.form, pictures, track, SYNTHETIC, wishes.crf)
    report = report_of((video, sound, out), source.form, seen, people, laid_out, runs, hidden, said)
    return replace(report, lse=_lse(networks, video, out, wishes)) if wishes.syncnet else report


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


def find_faces(networks: Networks, video: Path, syncnet: Path | None = None) -> list[FoundFace]:
    """Return what to choose each person of a video by.

    With `syncnet`, weights, the lines say how well each one's lips fit the video's own sound.

    Raises:
        UserError: as `look`.
    """
    wishes = Wishes(SPEAKING, syncnet=syncnet) if syncnet else Wishes()
    with naming(video):
        source = Video(video)
    with tempfile.TemporaryDirectory() as folder:
        seen, people = look(networks, source, Path(folder), wishes)
    return found_faces(seen, people, float(source.form.tick))


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


def _nothing(video: Path, sound: Path, seen: Seen, laid_out: Timeline, form: Form) -> str:
    first = min(stretch.start for stretch in seen.stretches)
    when = f"{float(seen.ticks[first] * form.tick):.2f} s"
    if first >= len(laid_out.order):
        return f"{sound}: ends before the face appears in {video}, at {when}; give more sound"
    return f"{video}: the chosen face is in none of the {len(laid_out.order)} frames; choose another"


def _remarks(
    video: Path, sound: Path, form: Form, seen: Seen, laid_out: Timeline, voices: Sequence[Voice]
) -> Iterator[str]:
    """Say, a line each, what is unusual about the video, and what of the two was left out, added or kept."""
    for note in form.notes:
        yield f"{video}: {note}"
    if form.is_hdr:
        yield f"{video}: HDR is kept; the mouth is generated in the signal's own values"
    picture_s = float((seen.ticks[-1] * form.tick) + 1 / form.rate)
    if is_table(sound):
        for voice in voices:
            if (left := voice.start + voice.n_samples / SAMPLE_RATE - min(voice.end, picture_s)) >= 1 / FPS:
                yield f"{voice.sound}: its last {left:.2f} s are left out, for its place in {sound} ends before"
        return
    sound_s, frame_s = voices[0].n_samples / SAMPLE_RATE, float(1 / form.rate)
    if sound_s - laid_out.seconds >= frame_s:
        yield f"{sound}: its last {sound_s - laid_out.seconds:.2f} s are left out, for {video} ends before"
    if picture_s - laid_out.seconds >= frame_s:
        yield f"{video}: its last {picture_s - laid_out.seconds:.2f} s are left out, for {sound} ends before"
    if laid_out.seconds - sound_s >= frame_s:
        yield f"{sound}: ends {laid_out.seconds - sound_s:.2f} s before {video}: silence follows"
    if laid_out.seconds - picture_s >= frame_s:
        again = laid_out.kept / float(form.rate)
        yield f"{video}: its last {again:.2f} s go there and back for {laid_out.seconds - picture_s:.2f} s more"


def _lse(networks: Networks, video: Path, out: Path, wishes: Wishes) -> dict[str, Any]:
    """Score the video before and after; a score that cannot be had says why."""
    assert wishes.syncnet is not None
    face: Face = "speaking" if wishes.face == SPEAKING else "largest"
    scores = score_videos([video, out], wishes.syncnet, "face", device=networks.device, face=face)
    rows = {row["video"]: row for row in (*scores["videos"], *scores["failed"])}
    return {"before": rows[str(video)], "after": rows[str(out)], "scorer": scores["scorer"]}
