"""CPU milliseconds a frame of measuring clips for a curation, without a SyncNet and with some of several sizes.

python benchmarks/curate.py [FOLDER OF MP4 FILES] [--clips 9] [--source "what they show"]; writes
benchmarks/results/curate.json, which `syncdiff estimate` reads. The SyncNets are untrained: that costs the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from machine import one_core, save

from syncdiff.config import Config, Faces
from syncdiff.curation.clip import Curator, FacedClip, measure_clip
from syncdiff.curation.measures import Place
from syncdiff.curation.shard import record
from syncdiff.evaluation.crops import faces_of
from syncdiff.faces.align import align
from syncdiff.media.audio import concatenate, pad_or_trim, stream_audio
from syncdiff.media.container import FPS
from syncdiff.media.video import probe
from syncdiff.models.syncnet import SyncNet, save_syncnet
from syncdiff.pipeline.ledger import Ledger
from syncdiff.pipeline.parallel import Outcome

SYNCNETS = ((0.25, 64), (1.0, 64))  # width and image side: the demo's, the recipes'
CROP_SIZE = 128
REPEATS = 2


def main() -> None:
    """Measure the clips with each SyncNet in this process, and keep the best time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/demo/corpus"))
    parser.add_argument("--clips", type=int, default=9)
    parser.add_argument("--source", default="the demo corpus")
    arguments = parser.parse_args()
    found = sorted(arguments.folder.rglob("*.mp4"))
    videos = found[:: max(1, len(found) // arguments.clips)][: arguments.clips]
    if not videos:
        parser.error(f"{arguments.folder}: no mp4 files there")
    one_core()
    clips = [faced(video, Config().faces.model_copy(update={"size": CROP_SIZE})) for video in videos]
    n_frames = sum(len(clip.transforms) for clip in clips)
    times = {"none": cpu_ms(clips, None) / n_frames}
    with tempfile.TemporaryDirectory() as folder:
        for width, image_size in SYNCNETS:
            path = Path(folder, f"{width:g}-{image_size}.safetensors")
            save_syncnet(SyncNet(width, image_size), path, "nothing", CROP_SIZE)
            times[f"{width:g} at {image_size} px"] = cpu_ms(clips, path) / n_frames
    first = probe(videos[0])
    about = {"source": arguments.source, "clips": len(clips), "frames": n_frames, "crop_size": CROP_SIZE}
    pictures = {"pictures": f"{first.width}x{first.height}"}
    save("curate", {**about, **pictures, "cpu_ms_per_frame": {name: round(ms, 4) for name, ms in times.items()}})


def faced(video: Path, faces: Faces) -> FacedClip:
    """Find the largest face of a video."""
    segment = faces_of(video, faces)[0]
    transforms, _ = align(video, segment, faces)
    audio = concatenate(pad_or_trim(stream_audio(video, segment.start / FPS), len(transforms)))
    return FacedClip(video.stem, video, segment, transforms, audio)


def cpu_ms(clips: list[FacedClip], syncnet: Path | None) -> float:
    """CPU milliseconds for all clips, with eight wrong sounds each: the best of some runs after a first clip."""
    curator = Curator(syncnet, "cpu", CROP_SIZE)
    measure_clip(curator, clips[0])
    assert torch.get_num_threads() == 1
    places = [Place(clip.clip, str(clip.video), clip.segment.start, len(clip.transforms)) for clip in clips]
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        outcomes = [Outcome("ok", value=measure_clip(curator, clip)) for clip in clips]
        record(Ledger("measures"), places, outcomes)
        times.append(time.process_time() - started)
    return 1e3 * min(times)


if __name__ == "__main__":
    main()
