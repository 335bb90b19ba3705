"""Frames per second and core of the demo corpus: speech, rendering, encoding and writing.

python benchmarks/demo_corpus.py [--people 3]; writes benchmarks/results/demo_corpus.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import save

from syncdiff.config import Config, parse_config
from syncdiff.corpus.demo import render_corpus


def main() -> None:
    """Render a few people three times, in this process, and keep the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=3)
    arguments = parser.parse_args()
    config = parse_config({"corpus": {"demo": {"identities": arguments.people}}})
    with tempfile.TemporaryDirectory() as folder:
        render_corpus(config, Path(folder), workers=1)  # loads the landmarker and compiles
        cpu_s = min(render_time(config, Path(folder)) for _ in range(3))
        n_frames = sum(len(np.load(truth)["opening"]) for truth in Path(folder).glob("truth/main/*/*.npz"))
    demo = config.corpus.demo
    figures = {"people": demo.identities, "clips": demo.identities * demo.clips_per_identity, "frames": n_frames}
    save(
        "demo_corpus", {**figures, "size": demo.size, "cpu_s": round(cpu_s, 2), "fps_per_core": round(n_frames / cpu_s)}
    )


def render_time(config: Config, folder: Path) -> float:
    """CPU seconds of one rendering."""
    start = time.process_time()
    render_corpus(config, folder, workers=1)
    return time.process_time() - start


if __name__ == "__main__":
    main()
