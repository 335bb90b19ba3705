"""A face without a picture: 68 plausible iBUG points."""

from __future__ import annotations

import numpy as np
import pytest

from syncdiff.faces.align import ANCHOR_SHAPE, ANCHORS


@pytest.fixture
def face() -> np.ndarray:
    """Landmarks (68, 2) of an upright face at (200, 150), 60 pixels between the eyes."""
    points = np.random.default_rng(0).uniform(-1, 1, (68, 2)) * [1.1, 0.6] + [0, 1.2]
    points[ANCHORS] = ANCHOR_SHAPE
    return (60 * points + [200, 150]).astype(np.float32)
