"""The code of each stage, as a digest beside its version: a change of the one asks for a decision about the other.

python -m tests.code_of_stages writes code_of_stages.json anew, once it is decided whether versions must be raised.
"""

from __future__ import annotations

import ast
import hashlib
import json
import platform
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from syncdiff.pipeline.stages import STAGES

PLACE = re.compile(r"syncdiff(\.\w+)+:\w+")  # of a part in a registry
KNOWN = Path(__file__).with_name("code_of_stages.json")
# The config reaches a stage as its slice, which reruns it; the others write no artifact.
LEFT_OUT = {
    "syncdiff",
    "syncdiff.config",
    "syncdiff.errors",
    "syncdiff.pipeline.provenance",
    "syncdiff.pipeline.stages",
}


def state() -> dict[str, object]:
    """Return version and digest of each stage as they are now, and the Python whose syntax trees these are."""
    stages = {stage: {"version": STAGES[stage].version, "code": digest(stage)} for stage in STAGES}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **stages}


def digest(stage: str) -> str:
    """Return a digest of all code that a stage can run: its modules without comments, docstrings and layout."""
    texts = (ast.dump(_without_docstrings(module)) for module in sorted(modules_of(stage)))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def modules_of(stage: str) -> set[str]:
    """Return the project's modules that a stage's command imports, and those that these import, and so on."""
    found: set[str] = set()
    new = {name for command in _commands(stage) for name in _imported(command)}
    while new:
        found |= new
        new = {name for module in new for name in _imported(_tree(module))} - found
    return found


def _commands(stage: str) -> list[ast.FunctionDef]:
    """Return the functions of cli/stages.py that write a stage's provenance."""
    functions = [node for node in _tree("syncdiff.cli.stages").body if isinstance(node, ast.FunctionDef)]
    return [function for function in functions if f"provenance('{stage}'," in ast.unparse(function)]


def _imported(tree: ast.AST) -> set[str]:
    """Return the project's modules that code imports, at its top or inside functions, or names as a registry does."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names = {name for node in imports for name in _named(node)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    names |= {text.partition(":")[0] for text in texts if PLACE.fullmatch(text)}
    return {name for name in names if name.split(".")[0] == "syncdiff" and _is_module(name)} - LEFT_OUT


def _named(node: ast.ImportFrom) -> set[str]:
    """`from a import b` can name the module a, or a.b as well."""
    return {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}


@cache
def _is_module(name: str) -> bool:
    parent, _, last = name.rpartition(".")
    if not parent:
        return True
    folder = Path(str(find_spec("syncdiff").origin)).parent.joinpath(*parent.split(".")[1:])  # type: ignore[union-attr]
    return (folder / f"{last}.py").is_file() or (folder / last / "__init__.py").is_file()


@cache
def _tree(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text())


def _without_docstrings(module: str) -> ast.Module:
    tree = ast.parse(ast.unparse(_tree(module)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


def main() -> None:
    """Accept the code as it is."""
    KNOWN.write_text(json.dumps(state(), indent=2) + "\n")


if __name__ == "__main__":
    main()
