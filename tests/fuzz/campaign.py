"""Try inputs on a reader in a process of its own, so that a crash or a hang is a result like any other."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from zlib import crc32

import numpy as np

from syncdiff.errors import ClipRejected, UserError
from tests.fuzz.place import Make, Place, Read
from tests.fuzz.readers import READERS

LIMIT_S = 20.0  # for one input; they take milliseconds
START_LIMIT_S = 300.0  # for imports and seed files, on a loaded machine
EXTRA_MEMORY = 3 << 30  # bytes of address space beyond what imports and seed files need


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    crashes: int = 0
    hangs: int = 0
    escapes: int = 0
    faults: list[str] = field(default_factory=list)  # with their seeds

    def count(self, seed: int, outcome: str, detail: str) -> None:
        """Add one input's outcome: the name of one of the numbers above."""
        self.inputs += 1
        setattr(self, outcome, getattr(self, outcome) + 1)
        if outcome not in ("accepted", "refused"):
            self.faults.append(f"seed {seed}: {outcome}: {detail}")


def campaign(reader: str, seeds: range) -> Tally:
    """Try the inputs of `seeds` on one of `READERS`."""
    tally, rest = Tally(), list(seeds)
    with tempfile.TemporaryDirectory() as folder:
        while rest:
            done = _one_process(reader, rest, Path(folder), tally)
            rest = rest[done:]
    return tally


def _one_process(reader: str, seeds: list[int], folder: Path, tally: Tally) -> int:
    """Try inputs until all are done or the process has to be given up; return how many are done."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, reader, folder), daemon=True)
    process.start()
    there.close()
    try:
        if not here.poll(START_LIMIT_S):
            raise RuntimeError(f"{reader}: its process does not start")
        here.recv()
        for done, seed in enumerate(seeds):
            here.send(seed)
            if not here.poll(LIMIT_S):
                tally.count(seed, "hangs", f"more than {LIMIT_S:g} s")
                return done + 1
            try:
                tally.count(seed, *here.recv())
            except (EOFError, ConnectionError):
                process.join()
                tally.count(seed, "crashes", f"the process died with {process.exitcode}")
                return done + 1
        return len(seeds)
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection, reader: str, folder: Path) -> None:
    """Try the inputs that the parent names, one after the other."""
    silence()
    place = Place(Path(tempfile.mkdtemp(dir=folder)))
    make, read = READERS[reader](place)
    _limit_memory()
    pipe.send("ready")
    while True:
        seed = pipe.recv()
        before = place.outside()
        rng = np.random.default_rng([crc32(reader.encode()), seed])
        outcome = _judge(make, read, rng)
        escaped = place.outside() - before
        pipe.send(("escapes", f"{sorted(escaped)}") if escaped else outcome)


def silence() -> None:
    """Send to nowhere what this process prints: ledgers' summaries, the libraries' warnings."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())


def _judge(make: Make, read: Read, rng: np.random.Generator) -> tuple[str, str]:
    """Make one input, read it, and name the outcome."""
    path = make(rng)
    try:
        read(path)
    except (UserError, ClipRejected) as error:
        lines = str(error).splitlines()
        return ("refused", lines[0]) if len(lines) == 1 else ("crashes", f"a refusal of {len(lines)} lines: {error!r}")
    except BaseException:
        return "crashes", traceback.format_exc()
    return "accepted", ""


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + EXTRA_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
