"""Methods and protocols: the names under which they are printed, and their order in the table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from syncdiff.registry.metrics import METRICS

METHODS = ["real", "reconstruction", "frozen", "syncdiff"]
METHOD_LABELS = {
    "real": "real video",
    "reconstruction": "autoencoder round trip",
    "frozen": "frozen mouth",
    "syncdiff": "SyncDiff",
}
PROTOCOLS = {
    "paired": "Driven by the clip's own audio: fidelity and sync against the real video.",
    "cross": "Driven by another clip's audio. Real video under it, as the frozen mouth, is the floor of LSE-C.",
    "silent": "Driven by silence, scored against the clip's own audio: LSE-C near real video's means copied lips.",
}


def method_label(method: str) -> str:
    """Return the name under which a method is printed: experiments and external ones keep their own."""
    return METHOD_LABELS.get(method, method)


def in_order(frame: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Sort rows with the columns method, protocol and metric as a table is read; further `methods` follow the usual."""
    orders = {"protocol": [*PROTOCOLS], "method": [*dict.fromkeys([*METHODS, *methods])], "metric": [*METRICS]}
    ranks = frame[[*orders]].apply(lambda column: column.map(orders[column.name].index))
    return frame.loc[ranks.sort_values([*orders], kind="stable").index].reset_index(drop=True)
