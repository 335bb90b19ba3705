"""A hundred hostile inputs a reader; `make stress` tries thousands."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import campaign
from tests.fuzz.readers import READERS

INPUTS = 100


@pytest.mark.parametrize("reader", READERS)
def test_a_hostile_input_is_a_value_or_a_refusal(reader: str) -> None:
    tally = campaign(reader, range(INPUTS))
    assert not tally.faults, f"{reader}: {'; '.join(tally.faults)}"
    assert tally.inputs == tally.accepted + tally.refused == INPUTS
    assert tally.refused > INPUTS // 20
