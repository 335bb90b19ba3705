"""Dub a video: the same pictures with lips that say another sound, whatever their length in bounded memory."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from syncdiff.dubbing.cues import CueSheet, cue_sheet, look
from syncdiff.dubbing.mouths import dubbed
from syncdiff.dubbing.output import check_out
from syncdiff.dubbing.people import SPEAKING, FoundFace, found_faces
from syncdiff.dubbing.report import Report, remarks, report_of
from syncdiff.dubbing.voices import is_table, mixed, naming, voices_of
from syncdiff.dubbing.wishes import Wishes
from syncdiff.evaluation.metrics.lse import Face, score_videos
from syncdiff.media.encode import check_form, write_pictures
from syncdiff.media.pictures import Video
from syncdiff.media.soundtrack import soundtrack_of
from syncdiff.pipeline.progress import progress
from syncdiff.synthesis.generate import Networks
from syncdiff.synthesis.sample import SYNTHETIC

log = logging.getLogger(__name__)


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
        sheet = cue_sheet(networks, source, sound, voices, folder, wishes)
        notes = list(remarks(sheet))
        for note in notes:
            log.warning(note)
        hidden = _write(networks, sheet, out, folder, wishes.crf)
    report = report_of(sheet, out, hidden, notes)
    return replace(report, lse=_lse(networks, video, out, wishes)) if wishes.syncnet else report


def _write(networks: Networks, sheet: CueSheet, out: Path, folder: Path, crf: int) -> set[int]:
    """Write the output by a cue sheet; return its frames whose mouth was hidden, which passed."""
    hidden: set[int] = set()
    video, seconds, sound = sheet.video, sheet.timeline.seconds, sheet.sound
    pictures = dubbed(networks, video, sheet.timeline, sheet.runs, hidden)
    shown = progress(pictures, "dub", len(sheet.timeline.order))
    heard = mixed(video.path, sheet.voices, seconds, folder / "mixed.flac") if is_table(sound) else sound
    with naming(sound):
        track = soundtrack_of(heard, seconds)
    with naming(video.path):
        write_pictures(out, video.form, shown, track, SYNTHETIC, crf)
    return hidden


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


def _lse(networks: Networks, video: Path, out: Path, wishes: Wishes) -> dict[str, Any]:
    """Score the video before and after; a score that cannot be had says why."""
    assert wishes.syncnet is not None
    face: Face = "speaking" if wishes.face == SPEAKING else "largest"
    scores = score_videos([video, out], wishes.syncnet, "face", device=networks.device, face=face)
    rows = {row["video"]: row for row in (*scores["videos"], *scores["failed"])}
    return {"before": rows[str(video)], "after": rows[str(out)], "scorer": scores["scorer"]}
