"""README.md and docs/: what the command writes, what they name, and how they are laid out."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main

import syncdiff
from syncdiff.cli import app
from syncdiff.config import Config
from tools.docs.__main__ import PAGES, written
from tools.docs.figures import CLAIM, claim
from tools.docs.markers import MARKER, PLACE
from tools.docs.results import ROOT

PROSE = [page for page in PAGES if page.name not in ("command-line.md", "config.md")]
NAMED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(.+?)\1")
PATH = re.compile(r"^(?:syncdiff|tests|workflow|config|benchmarks|docs|tools|profiles|envs)/[\w./-]*$")
FILES = {"csv", "html", "npy", "parquet", "py", "svg", "json", "txt", "yaml"}
API = ROOT / "docs/python.md"


def code_of(page: Path) -> list[str]:
    """What stands in backticks outside of fenced blocks, and the lines of these."""
    text = page.read_text()
    return [match[2].strip() for match in CODE.finditer(FENCE.sub("", text))]


def fenced(page: Path) -> list[str]:
    return [line.strip() for block in FENCE.findall(page.read_text()) for line in block.splitlines()]


def ids(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_tables_and_quoted_figures_are_those_of_the_results(page: Path) -> None:
    assert page.read_text() == written(page), "run `python -m tools.docs`"


def test_the_figure_is_that_of_the_results() -> None:
    assert CLAIM.read_text() == claim(), "run `python -m tools.docs`"


@pytest.mark.parametrize("page", NAMED, ids=ids(NAMED))
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    named = {code for code in code_of(page) if PATH.match(code)}
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", NAMED, ids=ids(NAMED))
def test_every_name_that_a_page_puts_into_a_module_is_there(page: Path) -> None:
    """`mouth_mask` in `syncdiff/priors.py`."""
    for name, path in re.findall(r"`(\w+)` in `(syncdiff/[\w/]+\.py)`", page.read_text()):
        tree = ast.parse((ROOT / path).read_text())
        assert name in {getattr(node, "name", None) for node in ast.walk(tree)}, f"{name} in {path}"


@pytest.mark.parametrize("page", NAMED, ids=ids(NAMED))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", FENCE.sub("", page.read_text()))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", WITHOUT_API := [page for page in NAMED if page != API], ids=ids(WITHOUT_API))
def test_every_subcommand_that_a_page_names_is_there(page: Path) -> None:
    check_subcommands(page)


def test_what_the_python_page_names_is_there() -> None:
    check_subcommands(API)
    names = {
        name
        for page in (API, ROOT / "README.md")
        for name in re.findall(r"\bsyncdiff\.([a-zA-Z]\w+)\(", page.read_text())
    }
    assert names
    assert not [name for name in names if not hasattr(syncdiff, name)]


def check_subcommands(page: Path) -> None:
    group = typer.main.get_command(app)
    for line in [*code_of(page), *fenced(page)]:
        for called in re.findall(r"(?:^|\$ )syncdiff ([a-z]\w*)(?: ([a-z]+)\b)?", line):
            assert called[0] in group.commands, line
            inner = getattr(group.commands[called[0]], "commands", None)
            assert inner is None or not called[1] or called[1] in inner, line


def keys() -> set[str]:
    """Every dotted key of the config, and every section."""
    schema = Config.model_json_schema()

    def below(section: dict, path: str) -> set[str]:
        found = set()
        for name, key in section["properties"].items():
            inner = schema["$defs"].get(key.get("$ref", "").rpartition("/")[2], {})
            found |= {path + name} | (below(inner, f"{path}{name}.") if "properties" in inner else set())
        return found

    return below(schema, "")


@pytest.mark.parametrize("page", PROSE, ids=ids(PROSE))
def test_every_config_key_that_a_page_names_is_there(page: Path) -> None:
    known = keys()
    sections = {key.partition(".")[0] for key in known if "." in key}
    for code in code_of(page):
        match = re.match(r"^([a-z_]+)\.([a-z_]+(?:\.[a-z_]+)*)(?::|$)", code)
        if match and match[1] in sections and match[2] not in FILES:
            assert f"{match[1]}.{match[2]}" in known, code


def messages() -> list[str]:
    """Every text of the program, what it fills in as a single mark."""
    found = []
    for file in (ROOT / "syncdiff").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(p.value if isinstance(p, ast.Constant) else "\0" for p in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_the_lines_that_troubleshooting_explains_are_those_of_the_program() -> None:
    texts = messages()
    quoted = re.findall(r"^\| (`+) ?(.+?) ?\1 \|", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    assert len(quoted) > 50
    for _, line in quoted:
        parts = [part.strip(" ;:().,") for part in line.split("…")]
        wanted = ".*".join(re.escape(part) for part in parts if part)
        assert any(re.search(wanted, text, re.DOTALL) for text in texts), line


@pytest.mark.parametrize("page", NAMED, ids=ids(NAMED))
def test_lines_are_at_most_120_characters_beside_tables_and_markers(page: Path) -> None:
    text = PLACE.sub(lambda place: "" if "\n" in place["body"] else place["body"], page.read_text())
    lines = [line for line in MARKER.sub("", text).splitlines() if not line.startswith("|")]
    assert not [line for line in lines if len(line) > 120]


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_no_line_begins_with_a_figure_where_its_marker_would_end_the_paragraph(page: Path) -> None:
    def before(place: re.Match[str]) -> str:
        return place.string[: place.start()].rpartition("\n")[2]

    inline = [place for place in PLACE.finditer(page.read_text()) if "\n" not in place["body"]]
    assert not [place["name"] for place in inline if not before(place).strip()]


def test_the_readme_has_less_than_130_lines_and_no_figure_by_hand() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 130
    by_hand = re.sub(r"\[arXiv.*?\)", "", CODE.sub("", FENCE.sub("", PLACE.sub("", text))), flags=re.DOTALL)
    figures = re.findall(r"\d+\.\d+|\d+ ?%|\d+ (?:min|s|h|MB|GB)\b", by_hand)
    allowed = {"3.11", "3.12", "27.7"}  # Python's versions, and the paper's headline
    assert set(figures) <= allowed


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    if not shutil.which("zensical"):
        pytest.skip("zensical is not installed")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    done = subprocess.run(["zensical", "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.stem for page in (tmp_path / "docs").rglob("*.md")}
    assert pages <= {page.stem for page in (tmp_path / "site").rglob("*.html")}
