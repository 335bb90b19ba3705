"""Fixtures of the evaluation tests."""

from pathlib import Path

import pytest

from tests.evaluation.drawn import DrawnLandmarker, Faked, make


@pytest.fixture
def faked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faked:
    """A corpus of drawn faces, and the landmarker that reads them."""
    monkeypatch.setattr("syncdiff.evaluation.clip_scorer.open_landmarker", lambda faces, device: DrawnLandmarker())
    return make(tmp_path)
