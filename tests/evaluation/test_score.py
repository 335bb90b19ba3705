"""Scoring: every clip has a row for every figure, and the figures say what was done to the video."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from syncdiff.config import parse_config
from syncdiff.errors import ClipRejected, UserError
from syncdiff.evaluation.metrics.fidelity import fid_of_set
from syncdiff.evaluation.metrics.mouth import match_faces
from syncdiff.evaluation.score import score_method
from syncdiff.evaluation.videos import video_folders, video_of
from syncdiff.pipeline.retries import read_note, retry_note
from syncdiff.priors import mouth_mask
from syncdiff.registry.metrics import DRIFT, clip_metrics
from tests.evaluation.drawn import CLIPS, N_FRAMES, SIZE, Faked, landmarks_of

Change = Callable[[np.ndarray], np.ndarray]  # of frames (T, S, S, 3)


def score(faked: Faked, method: str, videos: Path | None = None) -> pd.DataFrame:
    out = faked.root / f"{method}.parquet"
    score_method(faked.config, method, [faked.shard], videos, faked.syncnet, out, torch.device("cpu"))
    return pd.read_parquet(out)


def means(scores: pd.DataFrame, protocol: str = "paired") -> pd.Series:
    return scores[scores["protocol"] == protocol].groupby("metric")["value"].mean()


def series(scores: pd.DataFrame, metric: str) -> list[np.ndarray]:
    return scores[scores["metric"] == metric]["series"].dropna().tolist()


def blurred(frames: np.ndarray) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (9, 9), 2) for frame in frames])


def darker(frames: np.ndarray) -> np.ndarray:
    return (frames * 0.9).astype(np.uint8)


def flickering(frames: np.ndarray) -> np.ndarray:
    """Every other frame is darker under the mouth mask."""
    changed = frames.copy()
    changed[::2] = np.where(mouth_mask(SIZE)[..., None] > 0, darker(frames), frames)[::2]
    return changed


def frozen(frames: np.ndarray) -> np.ndarray:
    return np.stack([frames[3]] * len(frames))


def test_real_video_is_perfect_and_the_lost_clip_is_counted(faked: Faked) -> None:
    scores = score(faked, "real")
    paired = means(scores)
    assert paired[["ssim", "mouth_corr"]].tolist() == pytest.approx([1, 1])
    assert paired[["lmd", "fid"]].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert paired[["flicker_mouth", "flicker_rest", "aperture_error"]].tolist() == [0, 0, 0]
    assert paired["psnr"] == np.inf
    lost = scores[scores["clip"] == "c/<i>1"]
    assert lost["value"].isna().all()
    assert set(lost["reason"]) == {"missing in speech; see the ledger there"}
    assert set(lost["protocol"]) == {"paired", "cross", "silent"}
    whole = scores[scores["clip"] == ""]
    assert whole[["n_expected", "n_scored"]].to_numpy().tolist() == [[4, 3]] * 3
    assert (scores["scorer"] != "").all()


def test_figures_follow_what_was_done_to_the_video(faked: Faked) -> None:
    faked.generate("frozen", "paired", frozen)
    faked.generate("reconstruction", "paired", blurred)
    still, soft = (score(faked, name, faked.videos(name)) for name in ("frozen", "reconstruction"))
    assert abs(means(still)["mouth_corr"]) < 0.3
    assert means(soft)["mouth_corr"] > 0.9
    assert means(soft)["ssim"] < 0.95
    assert means(soft)["fid"] > means(still)["fid"] > 0
    assert means(still)["lmd"] > means(soft)["lmd"]
    assert means(still)["aperture_error"] > means(soft)["aperture_error"]


def test_series_have_a_value_for_each_frame(faked: Faked) -> None:
    faked.generate("frozen", "paired", frozen)
    still, real = score(faked, "frozen", faked.videos("frozen")), score(faked, "real")
    for metric, first in {"mouth_aperture": 0, **DRIFT}.items():
        values = still[still["metric"] == metric]["value"].dropna().tolist()
        assert [len(found) for found in series(still, metric)] == [N_FRAMES - first] * len(CLIPS)
        assert values == pytest.approx([found.mean() for found in series(still, metric)], rel=1e-5)
    errors = np.stack(series(still, "aperture_error"))
    apertures, true = (np.stack(series(scores, "mouth_aperture")) for scores in (still, real))
    np.testing.assert_allclose(errors, np.abs(apertures - true), atol=1e-6)


def test_a_flickering_video_is_worse_than_a_smooth_one(faked: Faked) -> None:
    faked.generate("frozen", "paired", darker)
    faked.generate("reconstruction", "paired", flickering)
    smooth, restless = (means(score(faked, name, faked.videos(name))) for name in ("frozen", "reconstruction"))
    assert restless["flicker_mouth"] > 3 * smooth["flicker_mouth"]
    assert restless["flicker_rest"] < 3  # untouched but by the codec


def test_pictures_that_no_sound_moves_are_scored_under_every_sound(faked: Faked) -> None:
    faked.generate("frozen", "paired", frozen)
    scores = score(faked, "frozen", faked.videos("frozen"))
    assert set(scores["protocol"]) == {"paired", "cross", "silent"}
    lse = scores[scores["metric"] == "lse_d"].pivot(index="clip", columns="protocol", values="value").loc[list(CLIPS)]
    assert (lse["paired"] == lse["silent"]).all()  # silence is scored against the clip's own sound
    assert (lse["paired"] != lse["cross"]).all()


def test_motion_in_silence(faked: Faked) -> None:
    for protocol, change in (("paired", blurred), ("cross", blurred), ("silent", frozen)):
        faked.generate("syncdiff", protocol, change)
    scores = score(faked, "syncdiff", faked.videos("syncdiff"))
    assert means(scores, "silent")["mouth_std_ratio"] < 0.2
    assert "mouth_std_ratio" not in means(scores, "cross")


def test_bad_videos_keep_their_rows_and_say_why(faked: Faked) -> None:
    faked.generate("wav2lip", "", blurred)
    folder = faked.videos("wav2lip")
    config = parse_config({"evaluate": {"external": {"wav2lip": str(folder)}, "bootstrap": 20}, "faces": {"size": 64}})
    (folder / "a/1.mp4").unlink()
    (folder / "a/2.mp4").write_bytes(b"no video")
    (folder / "a/2").mkdir()  # a folder of that name is no video
    external = Faked(faked.root, config)
    scores = score(external, "wav2lip", folder)
    assert set(scores["protocol"]) == {"paired"}
    reasons = scores[scores["metric"] == "lse_c"].set_index("clip")["reason"]
    assert reasons["a/1"] == "no video of this clip"
    assert "cannot be decoded" in reasons["a/2"]
    assert reasons["b/1"] == ""
    assert scores[scores["clip"] == ""][["n_expected", "n_scored"]].to_numpy().tolist() == [[4, 1]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frames: frames[:20], "20 frames, expected 30"),
        (lambda frames: frames[:, :32, :32], "frames of 32x32, the source has 64x64"),
        (lambda frames: frames[:28], "28 of 30 frames"),
    ],
)
def test_other_numbers_and_sizes_of_frames(
    faked: Faked, change: Callable[[np.ndarray], np.ndarray], reason: str
) -> None:
    faked.generate("frozen", "paired", change)
    rows = score(faked, "frozen", faked.videos("frozen")).query("metric == 'ssim' and clip == 'b/1'")
    assert rows["reason"].tolist() == [reason]
    assert rows["value"].notna().tolist() == [reason == "28 of 30 frames"]


def test_what_failed_is_noted_to_be_tried_again_and_said(faked: Faked, caplog: pytest.LogCaptureFixture) -> None:
    """The video of one clip and the source of another are not there."""
    caplog.set_level("INFO")
    faked.generate("frozen", "paired", lambda frames: frames)
    gone = [faked.videos("frozen") / "paired/a/1.mp4", faked.root / "source/b/1.mp4"]
    for file in gone:
        file.unlink()
    score(faked, "frozen", faked.videos("frozen"))
    assert set(read_note(retry_note(faked.root / "frozen.parquet")).files) == set(map(str, gone))
    assert "score frozen: 4 clips, 3 with a figure missing" in caplog.text
    assert "paired: 1 x No such file or directory" in caplog.text


@pytest.mark.quick
def test_why_no_clip_was_scored_is_said_before_the_run_stops(faked: Faked, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for file in faked.root.glob("source/*/*.mp4"):
        file.unlink()
    with pytest.raises(UserError, match="score real: none of 4 clips came out"):
        score(faked, "real")
    assert "paired: 3 x No such file or directory" in caplog.text


def test_two_workers_write_the_same_bytes_as_one(faked: Faked) -> None:
    files = []
    for workers in (1, 2):
        out = faked.root / f"{workers}.parquet"
        score_method(faked.config, "real", [faked.shard], None, faked.syncnet, out, torch.device("cpu"), workers)
        files.append(pd.read_parquet(out))
    pd.testing.assert_frame_equal(*files, rtol=1e-4)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("paired", "silent", "taken"),
    [(None, None, False), (Path("p.mp4"), Path("p.mp4"), False), (Path("p.mp4"), Path("s.mp4"), True)],
    ids=["real video", "one video for all protocols", "a video of its own"],
)
def test_motion_in_silence_is_of_methods_that_made_a_video_from_silence(
    paired: Path | None, silent: Path | None, taken: bool
) -> None:
    assert ("mouth_std_ratio" in clip_metrics("silent", {"paired": paired, "silent": silent})) == taken


@pytest.mark.quick
def test_match_faces_takes_the_nearest_face_and_fills_gaps() -> None:
    real = np.stack([landmarks_of(opening) for opening in range(20)])
    found = [[face + 200, face + 1] for face in real]
    found[7] = []
    followed = match_faces(found, real)
    assert np.allclose(followed, real + 1)
    with pytest.raises(ClipRejected, match="no face in 15 of 20 frames"):
        match_faces([*found[:5], *[[]] * 15], real)


@pytest.mark.quick
def test_fid_of_a_set_with_itself_is_zero_and_grows_with_distance() -> None:
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(40, 6)) for _ in range(5)]
    same, near, far = (fid_of_set([(clip, clip + shift) for clip in clips], 20, seed=0) for shift in (0, 0.5, 2))
    assert same[0] == pytest.approx(0, abs=1e-9)
    assert near[0] == pytest.approx(6 * 0.5**2)
    assert far[1] > near[2]


@pytest.mark.quick
def test_external_methods_have_the_protocols_of_their_folders(tmp_path: Path) -> None:
    config = parse_config({"evaluate": {"external": {"theirs": str(tmp_path / "theirs")}}})
    with pytest.raises(UserError, match=r"evaluate\.external\.theirs"):
        video_folders(config, "theirs", tmp_path / "theirs")
    (tmp_path / "theirs").mkdir()
    assert video_folders(config, "theirs", tmp_path / "theirs") == {"paired": tmp_path / "theirs"}
    (tmp_path / "theirs/cross").mkdir()
    assert video_folders(config, "theirs", tmp_path / "theirs") == {"cross": tmp_path / "theirs/cross"}


@pytest.mark.quick
def test_a_clip_id_with_a_suffix_may_be_the_name_of_its_video(tmp_path: Path) -> None:
    assert video_of(tmp_path, "x/talk.mov") == tmp_path / "x/talk.mov.mp4"
    (tmp_path / "x").mkdir()
    (tmp_path / "x/talk.mov").touch()
    assert video_of(tmp_path, "x/talk.mov") == tmp_path / "x/talk.mov"


@pytest.mark.quick
def test_another_methods_video_of_a_clip_with_the_longest_name_is_found(tmp_path: Path) -> None:
    clip = f"speaker/{'x' * 247}.mp4"  # .webm behind it, or the folder's name before it, is more than a name holds
    assert video_of(tmp_path, clip) == tmp_path / f"{clip}.mp4"
    (tmp_path / "speaker").mkdir()
    (tmp_path / clip).touch()
    assert video_of(tmp_path, clip) == tmp_path / clip
