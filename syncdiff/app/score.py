"""The tab that scores videos: how well lips and sound fit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from syncdiff.api import score
from syncdiff.app.studio import ONE_AT_A_TIME, Studio, attempt, said, wrong
from syncdiff.app.uploads import check_video
from syncdiff.errors import UserError, escape

Files = list[dict[str, Any]] | None  # as the browser names them: "path" is where one was uploaded to
MOST = 20  # videos
PROGRESS = gr.Progress()
ABOUT = (
    "How well do lips and sound fit? LSE-C: higher is better; LSE-D: lower is better; offset: frames at 25 a second by "
    "which the sound comes before the lips. Compare only scores of one network and one crop."
)
NO_SYNCNET = "Scores need a SyncNet: start the page with `syncdiff app --syncnet WEIGHTS`."
CROPS = {"The face, found in each frame": "face", "The whole picture, which is a face": "none"}
COLUMNS = ["video", "offset", "LSE-D ↓", "LSE-C ↑", "windows", "why not"]


class ScoreTab:
    """The tab: its parts, and what they do."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        gr.Markdown(ABOUT if studio.syncnet else f"{ABOUT}\n\n{NO_SYNCNET}")
        videos = gr.File(label=f"Videos with sound, at most {MOST}", file_count="multiple", elem_id="score-videos")
        crop = gr.Radio([*CROPS.items()], value="face", label="What the network sees", elem_id="crop")
        go = gr.Button("Score", variant="primary", interactive=studio.syncnet is not None, elem_id="score")
        line = gr.HTML(elem_classes="said", elem_id="score-said")
        table = gr.Dataframe(headers=COLUMNS, interactive=False, wrap=True, elem_id="scores", visible=False)
        # Preprocessed, each file would leave an empty one beside it.
        raw: dict[str, Any] = {"preprocess": False, "api_visibility": "private"}
        videos.change(self._keep, videos, None, queue=False, **raw)
        go.click(self._score, [videos, crop], [line, table], show_progress_on=line, **raw, **ONE_AT_A_TIME)

    def _keep(self, files: Files, request: gr.Request) -> None:
        visit = str(request.session_hash)
        self._studio.visits.go_on(visit)
        for place in range(max(MOST, len(files or []))):
            file = Path(files[place]["path"]) if files and place < len(files) else None
            self._studio.visits.keep(visit, f"score {place}", file)

    def _score(self, files: Files, crop: Any, request: gr.Request, progress: gr.Progress = PROGRESS) -> tuple[str, Any]:
        if not files or len(files) > MOST:
            return wrong(f"Give from one to {MOST} videos."), gr.Dataframe(visible=False)
        work = partial(scores_of, [Path(file["path"]) for file in files], self._studio, crop)
        found, why = attempt(partial(self._studio.run, str(request.session_hash), progress, work))
        if found is None:
            return wrong(why), gr.Dataframe(visible=False)
        n_scored = int((found["why not"] == "").sum())
        return said(f"{n_scored} of {len(found)} videos scored."), gr.Dataframe(found, visible=True)


def scores_of(videos: list[Path], studio: Studio, crop: Any) -> pd.DataFrame:
    """Score videos; a row of `COLUMNS` each, with the reason for those that have no score.

    Raises:
        UserError: there is no SyncNet.
    """
    if studio.syncnet is None:
        raise UserError(NO_SYNCNET)
    refused = {video: attempt(partial(check_video, video), video.parent)[1] for video in videos}
    fit = [video for video in videos if not refused[video]]
    rows = score(fit, syncnet=studio.syncnet, crop=crop, device=str(studio.model.networks.device))
    scores = dict(zip(fit, rows.itertuples(index=False), strict=True))
    return pd.DataFrame([_row(video, scores.get(video), refused[video]) for video in videos], columns=COLUMNS)


def _row(video: Path, found: Any, refused: str) -> list[Any]:
    if found is None or found.failed:
        return [escape(video.name), "", "", "", "", refused or found.failed]
    return [
        escape(video.name),
        int(found.offset),
        round(found.lse_d, 3),
        round(found.lse_c, 3),
        int(found.n_windows),
        "",
    ]
