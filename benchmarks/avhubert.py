"""AV-HuBERT Base on one core: times real time, one by one, batched, and in bf16, beside fairseq's own encoder.

Random weights, 16 clips of 3 s. Run `python benchmarks/avhubert.py`; it writes benchmarks/results/avhubert.json.
"""

import copy
import time
from collections.abc import Callable

import numpy as np
import torch
from machine import one_core, save

from syncdiff.speech.avhubert import AVHubertEncoder
from syncdiff.speech.checkpoint import EncoderConfig
from syncdiff.speech.fairseq_compat import FairseqTransformer
from syncdiff.speech.filterbank import stacked_filterbank
from syncdiff.speech.hidden_states import hidden_states

CLIPS, SECONDS, REPEATS = 16, 3, 3


def times_real_time(work: Callable[[], object]) -> dict[str, float]:
    """Return how many seconds of sound a second of wall clock (and of CPU time) handles: the best of some runs."""
    work()
    wall, cpu = [], []
    for _ in range(REPEATS):
        started, started_cpu = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - started_cpu)
    return {"wall": round(CLIPS * SECONDS / min(wall), 1), "cpu": round(CLIPS * SECONDS / min(cpu), 1)}


def encoders() -> tuple[AVHubertEncoder, AVHubertEncoder, AVHubertEncoder]:
    """Return the same random weights three times: native, on fairseq's transformer, native in bf16."""
    native, fairseq = AVHubertEncoder(EncoderConfig()), AVHubertEncoder(EncoderConfig())
    fairseq.encoder = FairseqTransformer(EncoderConfig())
    fairseq.load_state_dict(native.state_dict())
    return native.eval(), fairseq.eval(), copy.deepcopy(native).eval().bfloat16()


def main() -> None:
    """Measure, print and write."""
    one_core()
    torch.manual_seed(0)
    sounds = [np.random.default_rng(i).integers(-8000, 8000, SECONDS * 16_000).astype(np.int16) for i in range(CLIPS)]
    rows = [stacked_filterbank(sound) for sound in sounds]
    native, fairseq, half = encoders()
    run: dict[str, object] = {"clips": CLIPS, "seconds": SECONDS}
    run["times_real_time"] = {
        "fairseq, one by one": times_real_time(lambda: [hidden_states(fairseq, [clip], None) for clip in rows]),
        "fairseq, batched": times_real_time(lambda: hidden_states(fairseq, rows, None)),
        "native, one by one": times_real_time(lambda: [hidden_states(native, [clip], None) for clip in rows]),
        "native, batched": times_real_time(lambda: hidden_states(native, rows, None)),
        "native, batched, bf16": times_real_time(lambda: hidden_states(half, rows, None)),
        "filterbank alone": times_real_time(lambda: [stacked_filterbank(sound) for sound in sounds]),
    }
    exact, theirs, fast = (np.concatenate(hidden_states(encoder, rows, None)) for encoder in (native, fairseq, half))
    run["against_native_fp32"] = {
        "fairseq, max abs": float(abs(theirs - exact).max()),
        "bf16, max abs": float(abs(fast - exact).max()),
        "bf16, relative rms": float(np.sqrt(np.square(fast - exact).mean() / np.square(exact).mean())),
    }
    save("avhubert", run)


if __name__ == "__main__":
    main()
