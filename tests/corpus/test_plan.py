"""The plan: filters with true reasons, balanced shards, a row for every clip."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncdiff.config import Config, Plan, parse_config
from syncdiff.corpus import plan as module
from syncdiff.corpus.plan import balance, plan_corpus, rejection_reason
from syncdiff.errors import ClipRejected, UserError
from syncdiff.media.video import Probe
from syncdiff.pipeline.files import read_parquet

GOOD = {"width": 160, "height": 160, "fps": 25.0, "n_frames": 75, "duration_s": 3.0, "audio_rate": 16_000}


def found(**facts) -> Probe:
    return Probe(**(GOOD | {"audio_start_s": 0.0, "codec": "h264"} | facts))


def config(root: Path, max_failed_fraction: float = 0.01, **limits) -> Config:
    corpus = {"kind": "lrs2", "root": str(root)}
    return parse_config({"corpus": corpus, "plan": limits, "max_failed_fraction": max_failed_fraction})


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    """What `probe` says of a clip, by its name; all others are good."""
    unusual: dict[str, dict] = {}

    def fake(path: str) -> Probe:
        facts = unusual.get(Path(path).stem, {})
        if "error" in facts:
            raise facts["error"]
        return found(**facts)

    monkeypatch.setattr(module, "probe", fake)
    return unusual


@pytest.mark.quick
@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, ""),
        ({"audio_rate": None}, "no audio stream"),
        ({"fps": 15.0}, "15 fps is below plan.min_fps 20"),
        ({"fps": 1000.0}, "1000 fps is above plan.max_fps 120"),
        ({"duration_s": 0.96}, "0.96 s is below plan.min_seconds 1"),
        ({"duration_s": 61.0}, "61.00 s is above plan.max_seconds 60"),
    ],
)
def test_filters_say_which_key_refused(facts: dict, reason: str) -> None:
    assert rejection_reason(found(**facts), Plan(max_seconds=60)) == reason


@pytest.mark.quick
@given(st.lists(st.integers(1, 500), min_size=1, max_size=200), st.integers(1, 9))
def test_shards_are_balanced(n_frames: list[int], n_shards: int) -> None:
    loads = [0] * n_shards
    for frames, shard in zip(n_frames, balance(n_frames, n_shards), strict=True):
        loads[shard] += frames
    # Graham 1969: within 4/3 of the best, which is at least the mean and at least the longest clip
    best = max(sum(n_frames) / n_shards, *n_frames)
    pairs = sorted(n_frames, reverse=True)[n_shards - 1 : n_shards + 1]
    best = max(best, sum(pairs)) if len(pairs) == 2 else best
    assert max(loads) <= best * 4 / 3 + 1e-9


@pytest.mark.quick
def test_every_clip_has_a_row(lrs2, probes: dict, tmp_path: Path) -> None:
    root = lrs2(train=["1/a", "1/b", "1/c", "1/d"], val=["2/e"], test=["3/f"])
    (root / "mvlrs_v1/main/1/d.mp4").unlink()
    (root / "mvlrs_v1/main/1/a.txt").write_text("Text:  GOOD MORNING\n")
    probes |= {"b": {"audio_rate": None}, "c": {"error": ClipRejected("no video stream")}, "e": {"error": OSError("x")}}
    plan_corpus(config(root, max_failed_fraction=0.5), tmp_path / "clips.parquet")
    rows = read_parquet(tmp_path / "clips.parquet").set_index("clip")
    assert rows["reason"].to_dict() == {
        "main/1/a": "",
        "main/1/b": "no audio stream",
        "main/1/c": "no video stream",
        "main/1/d": "listed but the file is missing",
        "main/2/e": "OSError: x",
        "main/3/f": "",
    }
    assert rows["status"].tolist() == ["ok", "rejected", "rejected", "failed", "failed", "ok"]
    assert rows["shard"].tolist() == ["00000", "", "", "", "", "00000"]
    assert rows.loc["main/1/a", ["text", "n_frames", "fps"]].tolist() == ["GOOD MORNING", 75, 25.0]
    assert rows.loc["main/1/b", "width"] == 160


@pytest.mark.quick
def test_planning_twice_gives_the_same_bytes(lrs2, probes: dict, tmp_path: Path) -> None:
    root = lrs2(train=[f"1/{i}" for i in range(20)], test=["2/1"])
    probes |= {str(i): {"duration_s": 1.0 + i} for i in range(20)}
    for name in ("a", "b"):
        plan_corpus(config(root, frames_per_shard=300), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    rows = read_parquet(tmp_path / "a")
    loads = rows[rows["split"] == "train"].groupby("shard")["n_frames"].sum()
    assert list(loads.index) == ["00000", "00001", "00002", "00003"]  # 20 clips of 55 frames, as far as one knows
    assert loads.max() - loads.min() <= 75
    assert rows["clip"].is_monotonic_increasing


@pytest.mark.quick
def test_a_train_split_without_a_good_clip_is_an_error(lrs2, probes: dict, tmp_path: Path) -> None:
    probes |= {name: {"audio_rate": None} for name in "ab"}
    with pytest.raises(UserError, match=r"all 2 clips of train are rejected \(2 x no audio stream\)"):
        plan_corpus(config(lrs2(train=["1/a", "1/b"], test=["2/c"])), tmp_path / "clips.parquet")
    with pytest.raises(UserError, match="train lists no clip"):
        plan_corpus(config(lrs2(test=["2/c"])), tmp_path / "clips.parquet")
    assert not (tmp_path / "clips.parquet").exists()


def test_the_raw_folder_is_accounted_for(shared: Path, tmp_path: Path) -> None:
    raw = parse_config({"corpus": {"kind": "folder", "root": str(shared / "clips/raw")}})
    plan_corpus(raw, tmp_path / "clips.parquet", workers=2)
    rows = read_parquet(tmp_path / "clips.parquet").set_index("clip")
    assert len(rows) == 9
    assert rows.loc["audio_only_container.avi", "reason"] == "no video stream"
    assert rows.loc["face_noaudio_stream_256.mp4", "reason"] == "no audio stream"
    assert rows.loc["retalk_face4_30fps.mp4", ["status", "n_frames"]].tolist() == ["ok", 166]
    assert (rows["status"] == "ok").sum() == 6
