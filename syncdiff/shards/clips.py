"""The clips of joined shards, decoded: what a loader of one's own iterates over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any

import numpy as np
import webdataset as wds

from syncdiff.errors import UserError
from syncdiff.media.audio import read_wav
from syncdiff.media.video import decode_crops
from syncdiff.shards.tar import Sample, decode_npy, expand_shards, member_named, metadata, read_shard

SHUFFLED_CLIPS = 100  # held in memory, of which the next one is drawn
NAMES = {"landmarks.npy": "landmarks", "transform.npy": "transforms", "pose.npy": "pose"}  # other arrays are the speech


class Clips(wds.DataPipeline):
    """An iterable data set of torch over the clips of joined shards, one dict a clip.

    WebDataset lists the shards and deals whole ones out to the processes of torch.distributed and to the workers of a
    `DataLoader`, so that each clip comes once. Its own reading of tars is not used: it takes an archive that is cut
    between two members for a whole one. Clips differ in length: give a DataLoader `batch_size=None`.

    Of T frames with crops of S pixels, each dict has

    - frames: (T, S, S, 3) uint8 RGB, the aligned face
    - audio: (T * 640,) int16, mono at 16 kHz
    - landmarks: (T, 68, 2) float32, iBUG points in pixels of the source
    - transforms: (T, 2, 3) float32, from the source's pixels to the crop's
    - pose: (T, r, r, 3) uint8, the crop reduced to the pose frame
    - speech: (T, D) float32, the features that the corpus was made with (D is 104 for fbank)
    - clip, split, text, n_frames, identity (number of the identity frame), video, ...: of the sample's JSON
    """

    def __init__(
        self, shards: str | PathLike[str] | Iterable[str | PathLike[str]], *, shuffle: bool = False, seed: int = 0
    ) -> None:
        """Name the shards.

        Args:
            shards: pattern(s) as in WebDataset: `train/shards/{00000..00799}.tar` stands for 800 files.
            shuffle: mix the shards, and the clips within a window of 100. Processes must agree on it.
            seed: of the order; give each epoch another.

        Raises:
            UserError: no shard is named, or the braces of a pattern do not match.
        """
        patterns = [shards] if isinstance(shards, (str, PathLike)) else shards
        paths = [str(path) for path in expand_shards(map(str, patterns))]
        if not paths:
            raise UserError("clips: no shard is named; give files or patterns such as train/shards/{00000..00099}.tar")
        super().__init__(
            wds.SimpleShardList(paths, seed=seed if shuffle else None),
            wds.split_by_node,
            wds.split_by_worker,
            _samples,
            wds.shuffle(SHUFFLED_CLIPS, initial=SHUFFLED_CLIPS, seed=seed) if shuffle else None,
            _decoded,
        )


def _samples(shards: Iterable[dict[str, str]]) -> Iterator[tuple[str, Sample]]:
    """Yield the samples of each shard, with its name; a damaged one is an error at the latest at its end."""
    for shard in shards:
        for sample in read_shard(shard["url"]):
            yield shard["url"], sample


def _decoded(samples: Iterable[tuple[str, Sample]]) -> Iterator[dict[str, Any]]:
    """Decode every member of each sample."""
    for shard, sample in samples:
        clip = metadata(sample)
        for name in sorted(sample.keys() - {"__key__", "json"}):
            with member_named(shard, sample, name):
                clip |= _member(name, sample[name])
        yield clip


def _member(name: str, data: bytes) -> dict[str, np.ndarray]:
    if name == "crop.mp4":
        return {"frames": decode_crops(data)}
    if name == "audio.wav":
        return {"audio": read_wav(data)}
    return {NAMES.get(name, "speech"): decode_npy(data)}
