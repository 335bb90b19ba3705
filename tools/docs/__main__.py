"""python -m tools.docs [--check]: write every table, quoted figure and reference page of README.md and docs/.

With --check nothing is written: the pages that differ are named, and the exit code is 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

from syncdiff.pipeline.files import write_text
from tools.docs.figures import CLAIM, claim
from tools.docs.markers import fill
from tools.docs.results import ROOT
from tools.docs.tables import content

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def written(page: Path) -> str:
    """Return a page as it should be.

    Raises:
        ValueError: a place of the page has a name that nothing has.
    """
    try:
        return fill(page.read_text(), content)
    except ValueError as error:
        raise ValueError(f"{page.relative_to(ROOT)}: {error}") from None


def main() -> None:
    """Write the pages, or with --check name those that differ."""
    should_be = {page: written(page) for page in PAGES} | {CLAIM: claim()}
    stale = [page for page, text in should_be.items() if not page.is_file() or page.read_text() != text]
    for page in stale:
        print(page.relative_to(ROOT))
        if "--check" not in sys.argv:
            write_text(page, should_be[page])
    if "--check" in sys.argv and stale:
        sys.exit("these differ from the results; run `python -m tools.docs`")


if __name__ == "__main__":
    main()
