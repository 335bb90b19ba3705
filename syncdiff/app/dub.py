"""The tab that dubs a video: what goes in, whose mouth, consent, and what came out beside the source."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import gradio as gr

from syncdiff.app.players import PACKAGE, Player, in_step, playable, served
from syncdiff.app.studio import ONE_AT_A_TIME, Studio, attempt, said, wrong
from syncdiff.app.uploads import MAX_SECONDS, check_sound, check_source
from syncdiff.dubbing.people import LARGEST, SPEAKING, FoundFace
from syncdiff.dubbing.report import Report
from syncdiff.report.jinja import template

CHOSEN = "chosen"
WHOSE = {
    "The largest face of each frame": LARGEST,
    "Whose lips fit the video's own sound": SPEAKING,
    "The faces chosen below": CHOSEN,
}
LENGTHS = {
    "As long as the shorter of the two": "shortest",
    "As long as the sound: the video goes on there and back": "sound",
    "As long as the video: silence follows": "video",
}
CONSENT = (
    "The person shown has agreed to this video with these words. Whoever sees it will be told that it is synthetic."
)
ABOUT = (
    "Give a video that shows a face, and what its mouth is to say. Every file that comes out carries a tag that says "
    "that it is synthetic. Nothing leaves this machine; what you give is removed when you close the page."
)
DOWNLOAD = "To download. It is tagged as synthetic; say so where you show it."
MINUTES = MAX_SECONDS // 60
PROGRESS = gr.Progress()
SOUND: dict[str, Any] = {
    "label": "Sound, or your voice",
    "sources": ["upload", "microphone"],
    "type": "filepath",
    "editable": False,
    "buttons": [],
    "elem_id": "sound",
}
FACES: dict[str, Any] = {
    "label": "Faces",
    "show_label": False,
    "visible": False,
    "columns": 6,
    "fit_columns": False,
    "height": "auto",
    "allow_preview": False,
    "buttons": [],
    "interactive": False,
    "elem_id": "faces",
}
NEXT = {"video": "Upload a video first.", "sound": "Upload or record a sound first."}


class Made(NamedTuple):
    """What came out: the video, its report as a file, and both videos as a browser plays them."""

    video: Path
    report_file: Path
    source: Path
    report: Report


LOST = "the page was cut off from its server; load it again"
NOTHING_MADE = "", "", None


class DubTab:
    """The tab: its parts, and what they do; `request` says whose visit it is."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._visits = studio, studio.visits
        self._lay_out()

    def _lay_out(self) -> None:
        gr.Markdown(ABOUT)
        with gr.Row():
            with gr.Column():
                video = gr.Video(
                    label=f"Video, at most {MINUTES} minutes", sources=["upload"], buttons=[], elem_id="video"
                )
                video_said = gr.HTML(elem_classes="said", elem_id="video-said")
            with gr.Column():
                sound = gr.Audio(**SOUND)
                sound_said = gr.HTML(elem_classes="said", elem_id="sound-said")
        whose = [(name, face) for name, face in WHOSE.items() if face != SPEAKING or self._studio.syncnet]
        whom = gr.Radio(whose, value=LARGEST, label="Whose mouth", elem_id="whom")
        look = gr.Button("Show the faces", elem_id="look")
        faces = gr.Gallery(**FACES)
        faces_said = gr.HTML(elem_classes="said", elem_id="faces-said")
        numbers = gr.State(())
        self._take_in("video", video, video_said, check_source)
        self._take_in("sound", sound, sound_said, check_sound)
        private = partial(gr.on, api_visibility="private")
        private(video.change, forget_faces, None, [numbers, faces, whom, faces_said], show_progress="hidden")
        private(look.click, self._go_on, queue=False).then(
            self._look, None, [faces, faces_said], show_progress_on=faces_said, **ONE_AT_A_TIME
        )
        private(faces.select, choose, numbers, [numbers, whom, faces_said], show_progress="hidden")
        self._lay_out_work(private, [whom, numbers])

    def _lay_out_work(self, private: Callable[..., Any], whose: list[Any]) -> None:
        length = gr.Dropdown([*LENGTHS.items()], value="shortest", label="How long", elem_id="length")
        consent = gr.Checkbox(label=CONSENT, elem_id="consent")
        with gr.Row():
            go = gr.Button("Dub", variant="primary", elem_id="dub")
            stop = gr.Button("Stop", elem_id="stop")
        said_of_out = gr.HTML(elem_classes="said", elem_id="out-said")
        players, report = gr.HTML(elem_id="players"), gr.HTML(elem_id="report")
        files = gr.File(label=DOWNLOAD, file_count="multiple", visible=False, interactive=False, elem_id="files")
        private(go.click, self._go_on, queue=False).then(
            self._dub,
            [consent, *whose, length],
            [said_of_out, players, report, files],
            show_progress_on=said_of_out,
            **ONE_AT_A_TIME,
        )
        private(stop.click, self._stop, queue=False)

    def _take_in(self, slot: str, given: Any, line: Any, check: Callable[[Path], str]) -> None:
        """Look at a file as soon as it is there: one that cannot be used is removed, and the page says why."""

        def take(file: str | None, request: gr.Request) -> tuple[Any, Any]:
            upload, visit = Path(file) if file else None, str(request.session_hash)
            if upload is None:
                self._visits.keep(visit, slot, None)
                return gr.skip(), gr.skip()
            found, why = attempt(partial(check, upload), upload.parent)
            is_open = self._visits.keep(visit, slot, None if why else upload)
            if is_open and not why:
                return gr.skip(), said(found or "")
            self._visits.remove(upload)
            return None, wrong(f"this {slot} cannot be used: {why or LOST}")

        told = [given, line]
        given.change(take, given, told, api_visibility="private", show_progress="minimal", concurrency_limit=2)
        given.clear(lambda: "", None, line, api_visibility="private", queue=False)

    def _go_on(self, request: gr.Request) -> None:
        self._visits.go_on(str(request.session_hash))

    def _stop(self, request: gr.Request) -> None:
        self._visits.stop(str(request.session_hash))

    def _look(self, request: gr.Request, progress: gr.Progress = PROGRESS) -> tuple[Any, str]:
        """Show the faces of the video, with the numbers that `syncdiff dub --list-faces` gives them."""
        visit = str(request.session_hash)
        video = self._visits.kept(visit, "video")
        if video is None:
            return gr.Gallery(visible=False), wrong(NEXT["video"])
        find = partial(self._studio.model.find_faces, video, self._studio.syncnet)
        found, why = attempt(partial(self._studio.run, visit, progress, find), video.parent)
        if found is None:
            return gr.Gallery(visible=False), wrong(why)
        pictures = write_pictures(self._visits.new_folder(), found)
        self._visits.keep(visit, "faces", Path(pictures[0][0]))
        count = f"{len(found)} face{'s' * (len(found) != 1)} found. Click on one to choose it, again to let it go."
        return gr.Gallery(pictures, visible=True), said(count, *(face.line for face in found))

    def _dub(
        self,
        agreed: bool,
        whom: str,
        numbers: tuple[int, ...],
        length: str,
        request: gr.Request,
        progress: gr.Progress = PROGRESS,
    ) -> tuple[Any, ...]:
        visit = str(request.session_hash)
        if lacking := self._lacking(visit, agreed, whom, numbers):
            return wrong(lacking), *NOTHING_MADE
        folder = self._visits.new_folder()
        face = ",".join(map(str, numbers)) if whom == CHOSEN else whom
        work = partial(self._make, visit, folder, face=face, length=length)
        made, why = attempt(partial(self._studio.run, visit, progress, work), folder)
        if made is None:
            self._visits.remove(folder)
            return wrong(why), *NOTHING_MADE
        self._visits.keep(visit, "made", made.video)
        pair = Player("the source", served(made.source)), Player("dubbed: synthetic", served(made.video), True)
        downloads = gr.File([str(made.video), str(made.report_file)], visible=True)
        return said("Done."), in_step(pair), template("report.html.j2", PACKAGE).render(report=made.report), downloads

    def _lacking(self, visit: str, agreed: bool, whom: str, numbers: tuple[int, ...]) -> str:
        """Say what must be done before a video can be dubbed; nothing: ""."""
        for slot, wanted in NEXT.items():
            if self._visits.kept(visit, slot) is None:
                return wanted
        if whom == CHOSEN and not numbers:
            return "Show the faces, and click on one."
        return "" if agreed else "Tick that the person shown has agreed."

    def _make(self, visit: str, folder: Path, **wishes: str) -> Made:
        """Dub what was uploaded, under names of our own: a name would decide how a file is read."""
        for slot in NEXT:
            os.link(self._visits.kept(visit, slot) or "", folder / slot)
        out, model = folder / "dubbed.mp4", self._studio.model
        made = model.dub(folder / "video", folder / "sound", out, syncnet=self._studio.syncnet, **wishes)
        source = playable(folder / "video", folder)
        for slot in NEXT:
            (folder / slot).unlink()
        notes = [note.replace(f"{folder}/", "") for note in made.notes]
        report = replace(made, video="video", sound="sound", out=out.name, notes=notes)
        report.write(folder / "report.json")
        return Made(out, folder / "report.json", source, report)


def forget_faces() -> tuple[Any, ...]:
    """Forget the faces of a video that is no longer there."""
    return (), gr.Gallery(visible=False), LARGEST, ""


def write_pictures(folder: Path, found: Sequence[FoundFace]) -> list[tuple[str, str]]:
    """Write a picture of each face; return them with their numbers."""
    shown = []
    for face in found:
        path = folder / f"{face.number}.png"
        cv2.imwrite(str(path), cv2.cvtColor(face.pictures[len(face.pictures) // 2], cv2.COLOR_RGB2BGR))
        shown.append((str(path), f"face {face.number}"))
    return shown


def choose(numbers: tuple[int, ...], picked: gr.SelectData) -> tuple[tuple[int, ...], str, str]:
    """Add a face to those that are chosen, or let it go."""
    chosen = tuple(sorted(set(numbers) ^ {int(picked.index) + 1}))
    if not chosen:
        return (), LARGEST, said("No face is chosen: the largest of each frame is dubbed.")
    return chosen, CHOSEN, said(f"Chosen: face {' and face '.join(map(str, chosen))}.")
