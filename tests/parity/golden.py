"""Random weights of the reference outputs: each tensor from a formula, or from a file (README of ../shared/golden)."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch


def golden_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the state dict that `weights_plan.json` describes, checked against its sums."""
    plan = json.loads((folder / "weights_plan.json").read_text())
    stored = np.load(folder / "stored_tensors.npz")
    weights = {}
    for name, entry in plan["keys"].items():
        if entry["kind"] == "stored":
            value = stored[name]
        elif entry["kind"] == "zero_int64":
            value = np.zeros((), np.int64)
        else:
            seed = (zlib.crc32(name.encode()) + plan["seed"]) & 0xFFFFFFFF
            normal = np.random.default_rng(seed).standard_normal(entry["shape"])
            value = (entry["a"] + entry["b"] * normal).astype(np.float32)
            np.testing.assert_allclose(value.sum(dtype=np.float64), entry["check_sum"], rtol=1e-6, atol=1e-6)
        weights[name] = torch.from_numpy(np.array(value))
    return weights


def compare(name: str, found: object, expected: object, atol: float) -> None:
    """Print the largest error beside the tolerance, and hold it to that."""
    error = np.abs(np.asarray(found, dtype=np.float64) - np.asarray(expected, dtype=np.float64)).max()
    print(f"{name:28} max abs error {error:.1e} (tolerance {atol:.0e})")
    assert error <= atol
