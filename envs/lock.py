"""Pin every package that pyproject.toml asks for, with the sha256 of its published files: `make lock`.

Writes lock.txt, all but torch; lock-cpu.txt, torch's build for the CPU, which is only on PyTorch's own index;
lock-cuda.txt, its build for CUDA and the libraries that this loads; lock-build.txt, what builds the packages that are
published as sources alone. For Python 3.11 and 3.12 on Linux x86_64. uv keeps the pins of an earlier
lock that still fit: delete the files for the newest versions.
"""

import re
import subprocess
import tempfile
from pathlib import Path

ENVS = Path(__file__).resolve().parent
PROJECT = ENVS.parent / "pyproject.toml"
HEADER = "# Made from pyproject.toml by `make lock`, for Python 3.11 and 3.12 on Linux x86_64.\n"
# The marker that every line would carry, and what the others say of the platform.
EVERYWHERE = re.compile(r" ; python_full_version < '3\.13'.*(?= \\$)", re.MULTILINE)
PLATFORM = " and platform_machine == 'x86_64' and sys_platform == 'linux'"
CUDA = ("cuda-", "nvidia-", "torch=", "triton=")
# Of torch's build for the CPU: cp311 and cp312, manylinux_2_28_x86_64.
CPU_BUILDS = {
    "torch==2.13.0": [
        "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
        "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",
    ]
}


def main() -> None:
    """Write the four files anew."""
    locked = [ENVS / "lock.txt", ENVS / "lock-cuda.txt"]
    kept = "".join(file.read_text() for file in locked if file.is_file())
    packages = resolve(kept)
    write("lock.txt", [package for package in packages if not package.startswith(CUDA)])
    write("lock-cuda.txt", [package for package in packages if package.startswith(CUDA)])
    write("lock-cpu.txt", [cpu_build(next(package for package in packages if package.startswith("torch==")))])
    write("lock-build.txt", [package for package in packages if "(pyproject.toml:build)" in package])


def resolve(kept: str) -> list[str]:
    """Return the requirements, each with its hashes and who asked for it.

    Args:
        kept: requirements of an earlier lock; their versions stay where they fit.
    """
    uv = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--generate-hashes", "--no-header"]
    what = ["--extra=app", "--extra=dev", "--extra=pipeline", "--group=no-deps", "--group=build", PROJECT.name]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "lock.txt")
        out.write_text(re.sub(r" \\\n +--hash=\S+", "", kept))  # uv would keep these too
        subprocess.run([*uv, f"--output-file={out}", *what], cwd=PROJECT.parent, check=True)
        text = EVERYWHERE.sub("", out.read_text()).replace(PLATFORM, "")
    return [line + "\n" for line in re.split(r"\n(?=[a-z])", text.rstrip("\n"))]


def cpu_build(torch: str) -> str:
    """Return the requirement of torch's build for the CPU."""
    name = torch.split(maxsplit=1)[0]
    if name not in CPU_BUILDS:
        raise SystemExit(f"envs/lock.py: CPU_BUILDS lacks {name}; take the sha256 from PyTorch's index for the CPU")
    hashes = "".join(f" \\\n    --hash=sha256:{digest}" for digest in CPU_BUILDS[name])
    return f"{name}+cpu{hashes}\n"


def write(name: str, packages: list[str]) -> None:
    """Write one of the files."""
    (ENVS / name).write_text(HEADER + "".join(packages))


if __name__ == "__main__":
    main()
