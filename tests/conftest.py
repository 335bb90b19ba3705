"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, golden outputs and small weights that may lie beside the repository; the test is skipped without."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared folder beside the repository")
    return SHARED
