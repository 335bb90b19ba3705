"""The readers, each with what makes its inputs and what the project then does with them."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.checkpoints import checkpoint_reader
from tests.fuzz.media import decode_reader, probe_reader
from tests.fuzz.place import Make, Place, Read
from tests.fuzz.shards import parquet_reader, shard_reader
from tests.fuzz.texts import config_reader, list_reader, transcript_reader

READERS: dict[str, Callable[[Place], tuple[Make, Read]]] = {
    "probe": probe_reader,
    "decode": decode_reader,
    "transcript": transcript_reader,
    "list": list_reader,
    "config": config_reader,
    "shard": shard_reader,
    "parquet": parquet_reader,
    "checkpoint": checkpoint_reader,
}
