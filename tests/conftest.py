"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
TOGETHER = ("workflow", "slurm", "app")  # folders whose tests share what takes long to make, the longest first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the tests, keep those of a module in one, and those of some folders.

    The folders come first: at the end, the processes have short ones to share.
    """
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder in TOGETHER else str(item.path)))
    items.sort(key=lambda item: (*TOGETHER, item.path.parent.name).index(item.path.parent.name))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, golden outputs and small weights that may lie beside the repository; the test is skipped without."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared folder beside the repository")
    return SHARED
