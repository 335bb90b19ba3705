"""What was measured, and on which machine: benchmarks/results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syncdiff.config import Config
from syncdiff.errors import UserError

MEASUREMENTS = Path(__file__).parents[2] / "benchmarks/results"


def measured(name: str) -> dict[str, Any]:
    """Read benchmarks/results/<name>.json."""
    path = MEASUREMENTS / f"{name}.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise UserError(f"{path}: no measurements there; run from a clone, or `python benchmarks/{name}.py`") from None


def machine(report: Mapping[str, Any]) -> str:
    """Name the machine that a benchmark ran on."""
    return f"{report['machine']['cpu']}, {report['machine']['cores']} cores"


def nearest(crops: Mapping[str, Any], size: int) -> int:
    """Return the measured crop size whose area is nearest, as a ratio, to that of `size`."""
    return min(map(int, crops), key=lambda known: abs(math.log(known / size)))


def crop_bytes(config: Config) -> tuple[float, str, str]:
    """Return the measured bytes a frame of crop.mp4, their grade and basis; another size is scaled by area."""
    stages, size = measured("stages"), config.faces.size
    near = nearest(stages["crops"], size)
    value = stages["crops"][str(near)]["crop_bytes_per_frame"] * (size / near) ** 2
    if near == size:
        return value, "measured", f"crops of {stages['source']}"
    return value, "assumed", f"crops of {stages['source']} at {near} px, scaled by area"
