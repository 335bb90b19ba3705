"""A results folder as the page shows it: its clips with verdicts and scores, the worst first, and their videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from syncdiff.config import Config, parse_config
from syncdiff.curation.measures import MEASURES
from syncdiff.errors import UserError
from syncdiff.pipeline.files import read_parquet
from syncdiff.pipeline.provenance import config_of
from syncdiff.registry.metrics import METRICS
from syncdiff.report.gallery import MADE_OF_OTHER_SOUND, MAX_FRAMES, GalleryClip, Tile, tiles

PLACE = ["video", "first_frame", "n_frames"]  # where a clip lies
VERDICT = {"status": "verdict", "reason": "why"}  # as a ledger has it, and as it is shown
SHOWN = ["clip", "split", "verdict", "why"]
SCORED = " of the run"  # at the end of the columns of a run's scores, which the curation may have too
REAL, PAIRED = "real", "paired"


class Measure(NamedTuple):
    """By what clips are sorted: a column and its heading, whether more of it is better, and digits that are shown."""

    column: str
    heading: str
    is_better: bool
    digits: int


@dataclass(frozen=True)
class Results:
    """What a results folder holds.

    folder: nothing outside it is read, links included.
    clips: a row for each, with `SHOWN`, `PLACE`, and the curation's measures where there are some.
    scores: by method, a row for each clip that was scored under its own sound, a column for each metric.
    root: of the corpus, below which the videos lie.
    """

    folder: Path
    clips: pd.DataFrame
    scores: dict[str, pd.DataFrame]
    root: Path

    @property
    def verdicts(self) -> list[str]:
        """Return those that there are."""
        return sorted(self.clips["verdict"].unique())

    @property
    def methods(self) -> list[str]:
        """Return the runs that can be shown beside the real clips."""
        return [method for method in self.scores if method != REAL] or [REAL]

    def measures(self, method: str) -> dict[str, Measure]:
        """Return by their labels what the clips of a method can be sorted by."""
        scored = self.scores.get(method, pd.DataFrame())
        found = {
            f"{metric.label} of {method}": Measure(
                f"{name}{SCORED}", metric.heading, metric.better == "↑", metric.digits
            )
            for name, metric in METRICS.items()
            if metric.better in ("↑", "↓") and name in scored
        }
        curated = {
            f"{measure.label} of the clip": Measure(name, measure.label, measure.limit == "min", measure.digits)
            for name, measure in MEASURES.items()
            if name in self.clips and self.clips[name].notna().any()
        }
        return found | curated

    def table(self, method: str, by: str, verdict: str | None = None) -> pd.DataFrame:
        """Return the clips of one verdict (None: all), the worst first; those without a value of it are the last.

        Args:
            by: a label of `measures`.
        """
        measures = self.measures(method)
        rows = self.clips.join(self.scores.get(method, pd.DataFrame()).add_suffix(SCORED), on="clip")
        rows = rows if verdict is None else rows[rows["verdict"] == verdict]
        if by not in measures:
            return rows[SHOWN].sort_values("clip").reset_index(drop=True)
        column, heading, is_better, digits = measures[by]
        rows = rows.sort_values([column, "clip"], ascending=[is_better, True], kind="stable")
        values = {heading: rows[column].round(digits)}
        return rows.assign(**values)[["clip", heading, *SHOWN[1:]]].reset_index(drop=True)

    def tiles(self, clip: str, method: str) -> tuple[list[Tile], list[str]]:
        """Return a clip's videos, real and of a method, and in a line each what is not shown.

        Raises:
            UserError: there is no such clip.
        """
        found = self.clips[self.clips["clip"] == clip]
        if found.empty:
            raise UserError(f"no clip {clip} in {self.folder}")
        row = found.iloc[0]
        source = self.root / str(row["video"])
        runs, notes = {}, []
        for name in dict.fromkeys([REAL, method]):
            if not all(self._is_inside(path) for path in self._videos(clip, name, source)):
                notes.append(f"{name}: its video lies outside of {self.folder}, and is not shown")
            else:
                runs[name] = self.folder / "runs" / name
        shown = GalleryClip(clip, source, int(row["first_frame"]), int(row["n_frames"]))
        made = tiles(CONFIG, shown, runs)
        return made, notes if made else [*notes, "there is no video of this clip that can be read"]

    def _videos(self, clip: str, method: str, source: Path) -> list[Path]:
        if method == REAL:
            return [source]
        videos = self.folder / "runs" / method / "videos"
        return [videos / protocol / f"{clip}.mp4" for protocol in (PAIRED, *MADE_OF_OTHER_SOUND)]

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.folder)


CONFIG: Config = parse_config({})  # no methods of others, whose videos lie elsewhere


def read_results(folder: Path) -> Results:
    """Read a results folder, such as results/demo.

    Raises:
        UserError: it holds no plan or no clips, or what it holds is damaged.
    """
    folder = folder.resolve()
    if not (folder / "plan/clips.parquet").is_file():
        raise UserError(f"{folder}: holds no plan/clips.parquet; name a results folder, such as results/demo")
    root = config_of(folder / "plan/clips.parquet")["corpus"]["root"]
    runs = sorted(path for path in folder.glob("runs/*/scores.parquet") if path.resolve().is_relative_to(folder))
    scores = {path.parent.name: _scores(path) for path in runs}
    return Results(folder, _clips(folder), scores, Path(root) if root else folder / "corpus")


def _scores(path: Path) -> pd.DataFrame:
    rows = read_parquet(path, "protocol", "clip", "metric", "value", "status")
    own = rows[(rows["protocol"] == PAIRED) & (rows["clip"] != "") & (rows["status"] == "ok")]
    return own.pivot_table(index="clip", columns="metric", values="value", aggfunc="first")


def _clips(folder: Path) -> pd.DataFrame:
    """Return the clips of the stage `faces`, with the verdicts of the curation where there are some."""
    plan = read_parquet(folder / "plan/clips.parquet", "clip", "split", "video").set_index("clip")
    ledgers = sorted(folder.glob("*/faces/*.parquet"))
    if not ledgers:
        raise UserError(f"{folder}: holds no clips yet; run the workflow first")
    found = pd.concat([read_parquet(path, "file", *VERDICT, *PLACE[1:]) for path in ledgers], ignore_index=True)
    clips = found[["clip", "file", *VERDICT, *PLACE[1:]]].join(plan[["split", "video"]], on="file").set_index("clip")
    clips = clips.fillna({"first_frame": 0, "n_frames": MAX_FRAMES})  # no face was found: the file from its beginning
    if (folder / "curation.parquet").is_file():
        judged = read_parquet(folder / "curation.parquet", "clip", *VERDICT).set_index("clip")
        clips.update(judged[[*VERDICT]])
        clips = clips.join(judged[[name for name in MEASURES if name in judged]])
    return clips.rename(columns=VERDICT).reset_index()
