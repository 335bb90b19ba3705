"""AV-HuBERT Base on one core: times real time, one by one, batched, and in bf16, beside fairseq's own encoder.

Random weights, 16 clips of 3 s. Run `python benchmarks/avhubert.py`; it writes benchmarks/results/avhubert.json.
"""

import copy
import json
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from syncdiff.artifacts import write_text
from syncdiff.speech.avhubert import AVHubertEncoder
from syncdiff.speech.checkpoint import EncoderConfig
from syncdiff.speech.extract import hidden_states
from syncdiff.speech.fairseq_compat import FairseqTransformer
from syncdiff.speech.filterbank import stacked_filterbank

CLIPS, SECONDS, REPEATS = 16, 3, 3
OUT = Path(__file__).parent / "results" / "avhubert.json"


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


def machine() -> dict[str, object]:
    """Describe what the figures depend on."""
    info = Path("/proc/cpuinfo").read_text()  # Linux
    name = re.search(r"model name\s*: (.*)", info)
    return {
        "cpu": name.group(1) if name else platform.processor(),
        "bf16_units": sorted(set(re.findall(r"amx_bf16|avx512_bf16", info))),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def encoders() -> tuple[AVHubertEncoder, AVHubertEncoder, AVHubertEncoder]:
    """Return the same random weights three times: native, on fairseq's transformer, native in bf16."""
    native, fairseq = AVHubertEncoder(EncoderConfig()), AVHubertEncoder(EncoderConfig())
    fairseq.encoder = FairseqTransformer(EncoderConfig())
    fairseq.load_state_dict(native.state_dict())
    return native.eval(), fairseq.eval(), copy.deepcopy(native).eval().bfloat16()


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sounds = [np.random.default_rng(i).integers(-8000, 8000, SECONDS * 16_000).astype(np.int16) for i in range(CLIPS)]
    rows = [stacked_filterbank(sound) for sound in sounds]
    native, fairseq, half = encoders()
    run = {"machine": machine(), "clips": CLIPS, "seconds": SECONDS}
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
    text = json.dumps(run, indent=2)
    write_text(OUT, text + "\n")
    print(text)


if __name__ == "__main__":
    main()
