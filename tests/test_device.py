"""The precision that the networks compute in."""

from __future__ import annotations

import pytest
import torch

from syncdiff.device import use_bf16

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("device", "unit", "bf16"),
    [("cpu", "avx512_bf16", True), ("cpu", "amx_bf16", True), ("cpu", "avx512_f", False)],
)
def test_bf16_is_for_those_who_have_units_for_it(
    monkeypatch: pytest.MonkeyPatch, device: str, unit: str | None, bf16: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {unit: True})
    assert use_bf16("auto", torch.device(device)) == bf16
    assert not use_bf16("no", torch.device(device))
    assert use_bf16("bf16", torch.device(device))
