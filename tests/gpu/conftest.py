"""Where these tests run: on a GPU, where one is; on a stand-in always; with SYNCDIFF_TEST_ON_CPU=1 on the CPU too."""

import os
from collections.abc import Iterator

import pytest
import torch

from syncdiff.device import choose_device
from tests.standin import stand_in_card

NO_CARD = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
ON_CPU = pytest.mark.skipif(not os.environ.get("SYNCDIFF_TEST_ON_CPU"), reason="SYNCDIFF_TEST_ON_CPU is not set")


@pytest.fixture(
    params=[
        pytest.param("cuda", marks=[pytest.mark.gpu, NO_CARD]),
        pytest.param("cpu", marks=[pytest.mark.gpu, ON_CPU]),
        "stand-in",
    ]
)
def place(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """A device to compute on."""
    if request.param == "stand-in":
        with stand_in_card():
            yield choose_device("cuda")
    else:
        yield choose_device(request.param)
