"""What a measured figure depends on: every result in benchmarks/results carries it."""

from __future__ import annotations

import json
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("av", "mediapipe", "numpy", "opencv-python-headless", "torch")


def machine() -> dict[str, object]:
    """Return the processor, its cores and bf16 units, the load now, and versions."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    name = re.search(r"model name\s*: (.*)", text)
    return {
        "cpu": name.group(1) if name else platform.processor(),
        "cores": os.cpu_count(),
        "bf16_units": sorted(set(re.findall(r"amx_bf16|avx512_bf16", text))),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def one_core() -> None:
    """Keep this process and its threads on one core: libraries that start more threads gain nothing by it."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


def save(name: str, figures: dict[str, object]) -> None:
    """Print the figures, and keep them with the machine in results/<name>.json."""
    text = json.dumps({**figures, "machine": machine()}, indent=2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    print(json.dumps(machine(), indent=2))
