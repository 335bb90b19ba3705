"""The page of a curation: one file that needs nothing else, with every reason, the same every time."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syncdiff.config import Curate
from syncdiff.curation.measures import KEPT
from syncdiff.curation.verdicts import judge
from syncdiff.report.curation import write_page
from tests.evaluation.drawn import CLIPS, Faked


def measured(faked: Faked) -> pd.DataFrame:
    """Three drawn clips, of which one is not in sync, and one that could not be measured."""
    rows = []
    for index, clip in enumerate((*CLIPS, "c/<i>1")):
        good = index < len(CLIPS)
        place = {"clip": clip, "video": f"source/{clip}.mp4", "first_frame": 0, "n_frames": 30}
        ledger = {"stage": "measures", "status": "ok" if good else "failed", "reason": "" if good else "No such file"}
        values = dict.fromkeys(KEPT, 1.0 + index if good else np.nan) | {"offset": 0.0 if good else np.nan}
        about = {"face_x": 32.0, "face_y": 32.0, "curator": "x", "split": "test", "conf": np.nan, "asd": np.nan}
        wrong = {"wrong_confidence": [1.5] * good, "wrong_offset": [0.0] * good}
        rows.append(ledger | place | values | {"face_px": 40.0 if good else np.nan} | about | wrong)
    return pd.DataFrame(rows)


def page(faked: Faked, name: str = "curation", **limits: float) -> str:
    out = faked.root / f"{name}.html"
    curate = Curate.model_validate(limits)
    write_page(curate, "drawings", judge(measured(faked), curate), faked.root, out)
    return out.read_text(encoding="utf-8")


def test_the_page_shows_thresholds_reasons_and_clips_and_needs_nothing(faked: Faked) -> None:
    text = page(faked, max_chance=0.5, min_loudness=-30)
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text)
    assert text.count("data:video/mp4;base64,") == len(CLIPS)
    assert text.count("data:image/jpeg;base64,") == 1  # the one that is rejected; the other has no picture
    for said in ("Chance: 1 clip", "curate.max_chance 0.5", "Could not be measured: 1 clip", "No such file", "Spread"):
        assert said in text
    assert "c/&lt;i&gt;1" in text
    assert "c/<i>1" not in text


def test_the_same_verdicts_give_the_same_bytes(faked: Faked) -> None:
    assert page(faked, "one", max_chance=0.5) == page(faked, "two", max_chance=0.5)


def test_a_video_that_is_gone_leaves_its_place_empty(faked: Faked) -> None:
    (faked.root / "source/a/1.mp4").unlink()
    assert page(faked, max_chance=0.5).count("data:video/mp4;base64,") == len(CLIPS) - 1


def test_nothing_measured_is_a_page_too(faked: Faked, tmp_path: Path) -> None:
    lost = measured(faked).tail(1).reset_index(drop=True)
    write_page(Curate(), "drawings", judge(lost, Curate()), faked.root, tmp_path / "none.html")
    assert "No clip could be measured" in (tmp_path / "none.html").read_text()


@pytest.mark.parametrize("status", ["ok", "rejected"])
def test_a_clip_without_a_syncnet_is_judged_by_the_rest(faked: Faked, tmp_path: Path, status: str) -> None:
    silent = measured(faked).head(3)
    silent = silent.assign(confidence=np.nan, offset=np.nan, lse_d=np.nan, in_sync=np.nan)
    silent = silent.assign(wrong_confidence=[[]] * 3, wrong_offset=[[]] * 3)
    curate = Curate(min_face_px=20 if status == "ok" else 50)
    judged = judge(silent, curate)
    assert set(judged["status"]) == {status}
    write_page(curate, "drawings", judged, faked.root, tmp_path / "page.html")
    assert "sync was not measured" in (tmp_path / "page.html").read_text()
