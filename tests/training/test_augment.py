"""Augmentation of the autoencoder's crops: other colours for each, and mirror images."""

import numpy as np
import pytest

from syncdiff.training.augment import GAINS, augment

pytestmark = pytest.mark.quick


def test_crops_get_other_colours_and_half_of_the_batches_are_mirrored() -> None:
    ramp = np.broadcast_to(np.arange(40, 104, dtype=np.uint8)[:, None], (8, 64, 64, 3))  # brighter from left to right
    mirrored = []
    for seed in range(40):
        batch = augment(ramp, np.random.default_rng(seed))
        mirrored.append(bool(batch[0, 0, 0, 0] > batch[0, 0, -1, 0]))
        upright = batch[:, :, ::-1] if mirrored[-1] else batch
        gains = upright.astype(float).mean((1, 2)) / ramp.astype(float).mean((1, 2))  # (8, 3)
        assert GAINS[0] - 0.02 < gains.min() < gains.max() < GAINS[1] + 0.02
        assert np.ptp(gains, axis=0).min() > 0.01  # each crop has its own
        assert np.abs(upright - ramp * gains[:, None, None]).max() < 1.5
    assert 8 < sum(mirrored) < 32
