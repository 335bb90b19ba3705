"""The demo corpus: people who do not exist, rendered as they speak synthetic sentences, in LRS2's layout."""

from __future__ import annotations


def identity_split(i: int, n: int) -> str:
    """Return the split of identity `i` of `n`: the last sixth is test, the two before it (one, if `n` < 12) are val."""
    n_test = max(1, n // 6)
    n_val = 2 if n >= 12 else int(n >= 4)
    if i >= n - n_test:
        return "test"
    return "val" if i >= n - n_test - n_val else "train"
