"""The ledger of clips."""

import pytest

from syncdiff.pipeline.ledger import Ledger


@pytest.mark.quick
def test_ledger_counts_every_clip() -> None:
    ledger = Ledger("faces")
    ledger.add("a")
    ledger.add("b", "rejected", "no face", first_frame=3)
    assert ledger.summary() == "faces: 2 in, 1 ok, 1 rejected, 0 failed"
    assert list(ledger.frame().columns) == ["clip", "stage", "status", "reason", "first_frame"]
