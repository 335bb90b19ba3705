"""The rooms of the package: imports run downwards only, so that the folders, read from the bottom up, are the flow."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import syncdiff

ROOT = Path(syncdiff.__file__).parent
# From the bottom up. A room may import itself and what stands before it.
ROOMS = [
    "errors",
    "registry",
    "config",
    "pipeline",
    "device",
    "weights",
    "media",
    "shards",
    "faces",
    "speech",
    "priors",
    "corpus",
    "models",
    "diffusion",
    "training",
    "synthesis",
    "evaluation",
    "dubbing",
    "curation",
    "report",
    "estimate",
    "api",
    "app",
    "cli",
    "__main__",
]
MODULES = sorted(ROOT.rglob("*.py"))


def room_of(module: str) -> str:
    """Return the part of a dotted name below the package: its folder, or a module at the root."""
    return module.split(".")[1] if "." in module else "api"  # what the package itself gives


def name_of(path: Path) -> str:
    """Return the dotted name of a module's file."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    """Return the project's modules that a file imports, at its top or inside functions."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            both = [(node.module, f"{node.module}.{alias.name}") for alias in node.names]
            names += [submodule if submodule in NAMES else module for module, submodule in both]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return {name for name in names if name.split(".")[0] == "syncdiff"}


NAMES = {name_of(path) for path in MODULES}


@pytest.mark.quick
@pytest.mark.parametrize("path", MODULES, ids=[name_of(path) for path in MODULES])
def test_imports_run_downwards_only(path: Path) -> None:
    own = ROOMS.index(room_of(name_of(path)))
    above = sorted(name for name in imported(path) if ROOMS.index(room_of(name)) > own)
    assert not above, f"{name_of(path)} imports {', '.join(above)}, which stands above it"


@pytest.mark.quick
def test_no_modules_import_each_other_in_a_circle() -> None:
    waiting = {name_of(path): imported(path) - {name_of(path)} for path in MODULES}
    while free := {name for name, others in waiting.items() if not others}:
        waiting = {name: others - free for name, others in waiting.items() if name not in free}
    assert not waiting, f"a circle among {', '.join(sorted(waiting))}"


@pytest.mark.quick
def test_few_modules_lie_at_the_root() -> None:
    assert len(list(ROOT.glob("[!_]*.py"))) <= 8
