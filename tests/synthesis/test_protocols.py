"""The protocols: whose audio drives a clip, and which clips are scored."""

from pathlib import Path

import numpy as np
import pytest

from syncdiff.errors import UserError
from syncdiff.shards.tar import Sample, to_json, write_shard
from syncdiff.synthesis.protocols import cross_clip, driving_audio, scored_clips
from tests.members import wav_bytes

pytestmark = pytest.mark.quick


def _sample(key: str, n_frames: int, level: int) -> Sample:
    return {
        "__key__": key,
        "json": to_json({"clip": key, "video": key.partition("@")[0]}),
        "audio.wav": wav_bytes(np.full(640 * n_frames, level, np.int16)),
    }


def test_each_protocol_hears_what_its_name_says() -> None:
    own, other = _sample("a", 10, 5), _sample("b", 7, 9)
    heard = {name: driving_audio(name, own, other) for name in ("paired", "cross", "silent")}
    assert {name: (driving.n_frames, set(driving.audio)) for name, driving in heard.items() if driving} == {
        "paired": (10, {5}),
        "cross": (7, {9}),
        "silent": (10, {0}),
    }
    assert driving_audio("cross", own, None) is None


def test_no_clip_drives_itself_and_a_lone_clip_has_no_partner() -> None:
    for n in range(2, 9):
        samples = [_sample(str(i), 1, i) for i in range(n)]
        assert all(cross_clip(i, samples) is not samples[i] for i in range(n))
    assert cross_clip(0, [_sample("a", 1, 0)]) is None


def test_a_clip_of_another_file_is_preferred() -> None:

    def partner(index: int, samples: list[Sample]) -> str:
        other = cross_clip(index, samples)
        assert other is not None
        return str(other["__key__"])

    samples = [_sample(key, 1, 0) for key in ("a@000000", "a@000500", "a@001000", "a@001500", "b", "c")]
    assert [partner(i, samples) for i in range(6)] == ["b", "b", "b", "b", "a@000500", "a@001000"]
    assert [partner(i, samples[:3]) for i in range(3)] == ["a@000500", "a@001000", "a@000000"]


def test_scored_clips_are_spread_over_the_shard(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", (_sample(f"{i:02d}", 1, i) for i in range(10)))
    keys = {n: [sample["__key__"] for sample in scored_clips(tmp_path / "0.tar", n)] for n in (None, 3, 20)}
    assert keys[3] == ["00", "03", "06"]
    assert len(keys[None]) == len(keys[20]) == 10


def test_an_unknown_baseline_is_refused(tmp_path: Path) -> None:
    import torch

    from syncdiff.config import Config
    from syncdiff.synthesis.sample import sample_baseline

    with pytest.raises(UserError, match="frosen: no such row"):
        sample_baseline(Config(), "frosen", tmp_path, tmp_path, tmp_path, tmp_path, torch.device("cpu"))
