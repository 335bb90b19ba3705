"""The tab that looks through a results folder: clips with verdicts and scores, real and generated in step."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from syncdiff.app.players import Player, in_step
from syncdiff.app.results import Results
from syncdiff.app.studio import attempt, said, wrong
from syncdiff.report.gallery import Tile

ALL = "all"
ABOUT = "The clips of {folder}, the worst first. Click on a row: what it shows of a clip is its beginning, made small."
NO_RESULTS = "Start the page with `syncdiff app --results FOLDER`, such as results/demo, to look through its clips."


class BrowseTab:
    """The tab: its parts, and what they do."""

    def __init__(self, results: Results) -> None:
        self._results = results
        gr.Markdown(ABOUT.format(folder=f"`{results.folder}`"))
        first = "syncdiff" if "syncdiff" in results.methods else results.methods[0]
        measures = self._labels(first)
        with gr.Row():
            method = gr.Dropdown(results.methods, value=first, label="Run", min_width=200, elem_id="run")
            by = gr.Dropdown(measures, value=measures[0], label="Worst by", min_width=200, elem_id="by")
            verdict = gr.Dropdown(
                [ALL, *results.verdicts], value=ALL, label="Verdict", min_width=200, elem_id="verdict"
            )
        line = gr.HTML(elem_classes="said", elem_id="clip-said")
        players = gr.HTML(elem_id="clip-players")
        rows = self._table(first, measures[0], ALL)
        table = gr.Dataframe(rows, interactive=False, wrap=True, max_height=420, elem_id="clips")
        asked = [method, by, verdict]
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        method.change(self._relabel, method, by, **hidden).then(self._table, asked, table, **hidden)
        gr.on([by.input, verdict.input], self._table, asked, table, **hidden)
        table.select(self._show, method, [line, players], api_visibility="private", show_progress_on=line)

    def _labels(self, method: str) -> list[str]:
        return [*self._results.measures(method)] or [""]

    def _relabel(self, method: str) -> Any:
        labels = self._labels(method)
        return gr.Dropdown(labels, value=labels[0])

    def _table(self, method: str, by: str, verdict: str) -> Any:
        return self._results.table(method, by, None if verdict == ALL else verdict)

    def _show(self, method: str, picked: gr.SelectData) -> tuple[str, str]:
        clip = str(picked.row_value[0])
        found, why = attempt(partial(self._results.tiles, clip, method))
        if found is None:
            return wrong(why), ""
        tiles, notes = found
        heard = min(1, len(tiles) - 1)  # the generated one, of those under the clip's own sound
        players = [
            Player(label_of(tile), f"data:video/mp4;base64,{tile.data}", place == heard)
            for place, tile in enumerate(tiles)
        ]
        return said("; ".join([clip, *notes])), in_step(players)


def label_of(tile: Tile) -> str:
    """Return what stands below a video."""
    return f"{tile.label}: {tile.note}" if tile.note else tile.label
