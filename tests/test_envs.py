"""The lock and envs/ follow pyproject.toml, the one place for versions; and what it lists is used."""

import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.quick
ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
GROUPS = PROJECT["dependency-groups"]
ASKED = [text for texts in (DEPENDENCIES, *EXTRAS.values(), *GROUPS.values()) for text in texts]
LOCKS = ["lock.txt", "lock-build.txt", "lock-cpu.txt", "lock-cuda.txt"]
# Packages that are imported under another name.
MODULES = {
    "imageio-ffmpeg": "imageio_ffmpeg",
    "ffmpeg-python": "ffmpeg",
    "opencv-python-headless": "cv2",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "tensorboard": "torch.utils.tensorboard",
}
# Packages that are run and not imported: where they are named.
RUN = {"snakemake-executor-plugin-slurm": ("workflow/profiles/slurm/config.yaml", "executor: slurm")}


def locked(name: str) -> dict[str, tuple[set[str], str]]:
    """Per package of a lock: its versions, and who asked for it."""
    packages: dict[str, tuple[set[str], str]] = {}
    for entry in re.split(r"\n(?=[a-z])", (ROOT / "envs" / name).read_text())[1:]:
        package, version = re.match(r"([a-z0-9-]+)==([^ ]+)", entry).groups()  # type: ignore[union-attr]
        packages.setdefault(package, (set(), entry.partition("# via")[2].strip()))[0].add(version)
    return packages


@cache
def sources(*folders: str) -> str:
    """All code below some folders."""
    files = [
        file for folder in folders for file in sorted((ROOT / folder).rglob("*")) if file.suffix in (".py", ".smk")
    ]
    return "\n".join(file.read_text() for file in files)


@pytest.mark.parametrize("text", ASKED)
def test_the_lock_holds_a_version_of_each_dependency_that_fits(text: str) -> None:
    requirement = Requirement(text)
    versions, asked_by = (locked("lock.txt") | locked("lock-cuda.txt")).get(
        canonicalize_name(requirement.name), (set(), "")
    )
    assert versions and all(map(requirement.specifier.contains, versions)), f"{text}: `make lock` is due"
    assert "syncdiff (pyproject.toml" in asked_by, f"{text}: `make lock` is due"


def test_the_lock_holds_nothing_that_pyproject_no_longer_asks_for() -> None:
    packages = (locked("lock.txt") | locked("lock-cuda.txt")).items()
    direct = {name for name, (_, asked_by) in packages if "syncdiff (pyproject.toml" in asked_by}
    asked = {canonicalize_name(Requirement(text).name) for text in ASKED}
    assert direct == asked, "`make lock` is due"


def test_what_is_built_with_is_what_the_lock_has() -> None:
    packages, building = locked("lock.txt"), locked("lock-build.txt")
    assert sorted(building) == sorted(canonicalize_name(Requirement(text).name) for text in GROUPS["build"])
    assert all(packages[name] == entry for name, entry in building.items())


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_hashes_and_names_no_index(name: str) -> None:
    text = (ROOT / "envs" / name).read_text()
    assert "://" not in text and "--index" not in text and "--find-links" not in text and "file:" not in text
    for entry in re.split(r"\n(?=[a-z])", text)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry


def test_torch_is_locked_apart_for_the_cpu_and_for_cuda_in_one_version() -> None:
    assert not [name for name in locked("lock.txt") if name.startswith(("torch-", "nvidia-", "cuda-", "triton"))]
    assert "torch" not in locked("lock.txt") and "nvidia-cublas" in (cuda := locked("lock-cuda.txt"))
    assert locked("lock-cpu.txt") == {"torch": ({f"{version}+cpu" for version in cuda["torch"][0]}, "")}


def test_the_conda_environment_lists_the_dependencies() -> None:
    dependencies = yaml.safe_load((ROOT / "envs/syncdiff.yaml").read_text())["dependencies"]
    assert sorted(dependencies[-1]["pip"]) == sorted([*DEPENDENCIES, *EXTRAS["pipeline"]])


def test_its_post_deploy_script_installs_the_rest() -> None:
    script = (ROOT / "envs/syncdiff.post-deploy.sh").read_text()
    for requirement in GROUPS["no-deps"]:
        assert f" {requirement}" in script


def test_every_rule_names_an_environment_that_exists() -> None:
    for rules in (ROOT / "workflow/rules").glob("*.smk"):
        text = rules.read_text()
        assert text.count("\nrule ") == text.count('"../../envs/syncdiff.yaml"'), rules.name
    assert (ROOT / "envs/syncdiff.yaml").is_file()


@pytest.mark.parametrize("text", [*DEPENDENCIES, *GROUPS["no-deps"]])
def test_each_dependency_is_imported_or_run(text: str) -> None:
    name = canonicalize_name(Requirement(text).name)
    if name in RUN:
        file, words = RUN[name]
        assert words in (ROOT / file).read_text()
        return
    module = MODULES.get(name, name.replace("-", "_"))
    assert re.search(rf"^\s*(import|from) {re.escape(module)}\b", sources("syncdiff", "workflow"), re.MULTILINE), text


@pytest.mark.parametrize("text", EXTRAS["app"])
def test_the_line_that_says_what_the_page_needs_names_the_pinned_version(text: str) -> None:
    assert f'pip install "{text}"' in sources("syncdiff")


@pytest.mark.parametrize("text", GROUPS["no-deps"])
def test_the_line_that_says_what_to_install_names_the_pinned_version(text: str) -> None:
    assert f"pip install --no-deps {text}" in sources("syncdiff")
