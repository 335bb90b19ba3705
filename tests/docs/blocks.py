"""The code blocks of a document, so that a test can run what a reader is shown."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def blocks(document: str, heading: str, language: str = "python") -> list[str]:
    """Return the fenced blocks in `language` below a heading of `document` (a path from the root), up to the next one.

    Raises:
        LookupError: the document has no such heading, or no such block below it.
    """
    text = (ROOT / document).read_text(encoding="utf-8")
    section = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,6}} |\Z)", text, re.MULTILINE | re.DOTALL)
    found = re.findall(rf"^```{language}[^\n]*\n(.*?)^```", section[2], re.MULTILINE | re.DOTALL) if section else []
    if not found:
        raise LookupError(f"{document}: no block of {language} below {heading!r}")
    return found


def install(
    heading: str, module: str, registry: MutableMapping[str, Any], part: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Do what docs/extending.md says below a heading: its first block is `module`, its second a line of `registry`.

    `part` is what the line makes an entry with.
    """
    code, line = blocks("docs/extending.md", heading)
    shown = types.ModuleType(module)
    exec(code, shown.__dict__)
    monkeypatch.setitem(sys.modules, module, shown)
    for name, entry in eval(line, {part.__name__: part}).items():
        monkeypatch.setitem(registry, name, entry)
