"""What is the world's fault and what is the clip's: failed, rejected, tried again; other people's videos."""

from __future__ import annotations

import errno
import io
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from syncdiff import cli
from syncdiff.config import Config, parse_config
from syncdiff.corpus import plan as planning
from syncdiff.corpus.demo import render_corpus
from syncdiff.corpus.listing import refresh
from syncdiff.corpus.plan import plan_corpus
from syncdiff.errors import UserError
from syncdiff.evaluation.score import score_method
from syncdiff.evaluation.table import write_table
from syncdiff.faces import shard as faces_stage
from syncdiff.media.video import read_frames, write_video
from syncdiff.models.autoencoder import build_autoencoder, encode
from syncdiff.models.syncnet import SyncNet, save_syncnet
from syncdiff.pipeline.check_ledgers import check_ledgers
from syncdiff.pipeline.files import read_parquet
from syncdiff.pipeline.ledger import Ledger
from syncdiff.pipeline.provenance import verify
from syncdiff.pipeline.retries import Note, after, attempts, read_note, retry_note
from syncdiff.shards.tar import encode_npy, read_shard, to_json, write_shard
from syncdiff.synthesis import sample as synthesis
from syncdiff.training.latents import latents_shard
from tests.evaluation.drawn import N_FRAMES, SIZE, DrawnLandmarker, drawing, sound
from tests.evaluation.drawn import sample as scored_sample
from tests.members import crop_bytes, wav_bytes
from tests.models.folder import write_model
from tests.workflow.conftest import run_snakemake

CPU = torch.device("cpu")
WORLD = {
    "gone": ("failed", "listed but the file is missing"),
    "locked": ("failed", "Permission denied"),
    "bad_disk": ("failed", "Input/output error"),
    "damaged": ("rejected", "cannot be decoded: Invalid data found when processing input"),
    "good": ("ok", ""),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of half a second with sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, [np.full((64, 64, 3), 7 * t, np.uint8) for t in range(13)], [sound(0)[: 13 * 640]])
    return path


class BadDisk(io.RawIOBase):
    """A file that opens and cannot be read, as the system says it: without a name."""

    def readinto(self, _buffer: object) -> int:
        raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def world(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus with a video of each kind of WORLD; what the disk does to two of them is acted, also for root."""
    root, really_open = tmp_path / "corpus", Path.open
    for name in WORLD:
        (root / name).mkdir(parents=True)
        (root / name / "1.mp4").write_bytes(b"no video at all" * 99)
    shutil.copy(clip, root / "good/1.mp4")
    (root / "gone/1.mp4").unlink()
    (root / "gone/1.mp4").symlink_to(tmp_path / "not mounted")

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.parent.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return BadDisk() if path.parent.name == "bad_disk" else really_open(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    return root


def config(root: Path, limit: float = 1.0, **sections: Any) -> Config:
    corpus = {"kind": "folder", "root": str(root), "test_fraction": 0}
    whole = {"corpus": corpus, "plan": {"min_seconds": 0.2}, "max_failed_fraction": limit}
    return parse_config(whole | sections)


# ---- failed is what the world did, rejected what the clip is -----------------------------------------------------


def test_the_plan_says_failed_of_the_world_and_rejected_of_the_clip(world: Path, tmp_path: Path) -> None:
    plan_corpus(config(world), tmp_path / "clips.parquet")
    rows = read_parquet(tmp_path / "clips.parquet")
    said = {row["clip"].split("/")[0]: (row["status"], row["reason"]) for row in rows.to_dict("records")}
    assert said == WORLD
    note = read_note(retry_note(tmp_path / "clips.parquet"))
    assert sorted(Path(file).parent.name for file in note.files) == ["bad_disk", "gone", "locked"]
    assert not note.again


def test_faces_say_failed_of_the_world_and_rejected_of_the_clip(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces_stage, "open_landmarker", lambda faces, device: DrawnLandmarker())
    plan = Ledger("plan")
    for name in set(WORLD) - {"good"}:
        facts = {"video": f"{name}/1.mp4", "width": 64, "height": 64, "text": ""}
        plan.add(name, split="train", shard="00000", **facts)
    plan.write(tmp_path / "plan.parquet")
    out = tmp_path / "faces/00000.parquet"
    faces_stage.faces_shard(config(world), tmp_path / "plan.parquet", "train", "00000", out.with_suffix(".tar"), out)
    rows = read_parquet(out).set_index("clip")
    assert rows["status"].to_dict() == {name: WORLD[name][0] for name in rows.index}
    assert rows.loc["gone", "reason"] == "No such file or directory"
    assert len(rows) == len(WORLD) - 1
    assert len(read_note(retry_note(out)).files) == 3


@pytest.mark.quick
def test_a_video_that_takes_too_long_has_failed(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "PROBE_LIMIT_S", 0.1)
    monkeypatch.setattr(planning, "probe", lambda _: time.sleep(5))
    with pytest.raises(UserError, match="all 5 clips of train are failed"):
        plan_corpus(config(world), tmp_path / "clips.parquet")
    [(_, look)] = planning.looks([planning.ListedClip("good", "train", str(world / "good/1.mp4"))], 1, "plan")
    assert (look.outcome.status, look.outcome.reason) == ("failed", "TimeoutError: took longer than 0.1 s")


# ---- too much failed, nothing left -------------------------------------------------------------------------------


def test_a_corpus_that_is_gone_stops_before_any_job_and_leaves_the_older_plan(clip: Path, tmp_path: Path) -> None:
    root, results = tmp_path / "corpus", tmp_path / "results"
    for name in "abcd":
        (root / name).mkdir(parents=True)
        shutil.copy(clip, root / name / "1.mp4")
        (root / name / "link.mp4").symlink_to(tmp_path / "disk" / f"{name}.mp4")
    shutil.copytree(root, tmp_path / "disk", symlinks=True)
    for name in "abcd":
        shutil.copy(clip, tmp_path / "disk" / f"{name}.mp4")
    (root / "e").symlink_to(tmp_path / "disk/a")
    plan, strict = results / "plan.parquet", config(root, 0.1)
    listing = refresh(strict, results / "listing", plan)
    plan_corpus(strict, plan, listing=listing)
    before = plan.read_bytes()
    (tmp_path / "disk").rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"corpus: \d+ of \d+ videos are not there .* max_failed_fraction 0\.1"):
        refresh(strict, results / "listing", plan)
    with pytest.raises(UserError, match=r"plan: 6 of 10 clips failed.*listed but the file is missing"):
        plan_corpus(strict, plan, listing=listing)
    assert plan.read_bytes() == before
    (tmp_path / "away").rename(tmp_path / "disk")
    assert refresh(strict, results / "listing", plan) == listing


@pytest.mark.quick
def test_a_folder_that_cannot_be_read_counts_for_the_videos_that_it_had(tmp_path: Path) -> None:
    root, disk = tmp_path / "corpus", tmp_path / "disk"
    disk.mkdir()
    for index in range(6):
        (disk / f"{index}.mp4").touch()
    root.mkdir()
    for index in range(20):
        (root / f"{index}.mp4").touch()
    (root / "disk").symlink_to(disk)
    listing = refresh(config(root, 0.2), tmp_path / "listing", tmp_path / "plan.parquet")
    disk.rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"corpus: 6 of 26 videos .* \(first: .*/corpus/disk/0.mp4\)"):
        refresh(config(root, 0.2), tmp_path / "listing", tmp_path / "plan.parquet")
    assert refresh(config(root, 0.3), tmp_path / "listing", tmp_path / "plan.parquet") != listing


def ledgers(folder: Path, faces: Sequence[tuple[str, str]]) -> Path:
    """Write the ledgers of a test split with clips of these statuses and reasons in `faces`; return the folder."""
    books = {name: Ledger(name) for name in ("plan", "faces", "priors", "speech", "shards")}
    for index, (status, reason) in enumerate(faces):
        books["plan"].add(f"c/{index}", split="test", shard="00000")
        books["faces"].add(f"c/{index}", status, reason, file=f"c/{index}")
        for name in ("priors", "speech", "shards") if status == "ok" else ():
            books[name].add(f"c/{index}")
    places = {"plan": "plan/clips", "speech": f"test/speech/{parse_config({}).speech.feature_set}/00000"}
    for name, book in books.items():
        book.write(folder / f"{places.get(name, f'test/{name}/00000')}.parquet")
    return folder


@pytest.mark.quick
@pytest.mark.parametrize(
    ("faces", "said"),
    [
        ([("rejected", "no face")] * 2, r"^test: none of 2 clips is left \(2 x no face\); mend the cause"),
        ([("rejected", "no face"), ("rejected", "a cut")], r"none of 2 clips is left \(1 x no face, 1 x a cut\)"),
        ([("ok", ""), ("failed", "No such file")], r"faces: 1 of 2 clips failed.*\(first: c/1: No such file\)"),
        ([("ok", "")] * 9 + [("failed", "No such file")], ""),
    ],
)
def test_the_ledger_stops_where_nothing_is_left_or_too_much_has_failed(
    tmp_path: Path, faces: list[tuple[str, str]], said: str
) -> None:
    job = partial(check_ledgers, parse_config({}), ledgers(tmp_path, faces), ["test"], tmp_path / "ledger.parquet")
    if not said:
        job()
        return
    with pytest.raises(UserError, match=said):
        job()
    assert not (tmp_path / "ledger.parquet").exists()


# ---- one clip's error costs this clip alone ----------------------------------------------------------------------


def joined(clips: Sequence[str], root: Path) -> Path:
    """Write a joined shard of drawn clips, whose sources lie in `root`; return its path."""
    samples = []
    for index, name in enumerate(clips):
        frames = [drawing(4 + (t + index) % 8, seed=index) for t in range(6)]
        write_video(root / f"{name}.mp4", frames, [sound(index)[: 6 * 640]])
        facts = {"clip": name, "video": f"{name}.mp4", "first_frame": 0, "identity": 0, "width": SIZE, "height": SIZE}
        member = {"crop.mp4": crop_bytes(frames), "audio.wav": wav_bytes(sound(index)[: 6 * 640])}
        member["transform.npy"] = encode_npy(np.tile(np.eye(2, 3, dtype=np.float32), (6, 1, 1)))
        member["pose.npy"] = encode_npy(np.zeros((6, 4, 4, 3), np.uint8))
        samples.append({"__key__": name, "json": to_json(facts), **member})
    write_shard(root / "shard.tar", samples)
    return root / "shard.tar"


def small(root: Path, **sections: Any) -> Config:
    denoiser = {"faces": {"size": SIZE}, "autoencoder": {"latent_channels": 6}}
    return config(root, **denoiser, evaluate={"protocols": ["paired"]}, **sections)


def test_an_error_of_the_autoencoder_costs_one_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = joined("abc", tmp_path)
    build_autoencoder(small(tmp_path).autoencoder).save_pretrained(tmp_path / "autoencoder")
    calls: list[int] = []

    def encode_all_but_the_second(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:  # two calls a clip
            raise RuntimeError("CUDA error: an illegal memory access\nlong explanation")
        return encode(*arguments)

    monkeypatch.setattr("syncdiff.training.latents.encode", encode_all_but_the_second)
    out = tmp_path / "latents/00000.tar"
    latents_shard(small(tmp_path), shard, tmp_path / "autoencoder", out, out.with_suffix(".parquet"), CPU)
    rows = read_parquet(out.with_suffix(".parquet"))
    assert rows["status"].tolist() == ["ok", "failed", "ok"]
    assert rows["reason"].tolist() == ["", "RuntimeError: CUDA error: an illegal memory access", ""]
    assert [sample["__key__"] for sample in read_shard(out)] == ["a", "c"]
    assert attempts(out.parent) == {"00000": 1}


@pytest.fixture
def generates(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let `generate` give each target its own crops, and fail where the identity of a target is among `bad`."""

    def fail_for(*bad: np.ndarray) -> None:
        def generate(_networks: object, targets: Sequence[Any], _callback: object) -> Iterator[list[np.ndarray]]:
            if any(np.array_equal(target.identity, one) for target in targets for one in bad):
                raise RuntimeError("CUDA error: device-side assert triggered")
            yield from zip(*(target.crops for target in targets), strict=True)

        monkeypatch.setattr(synthesis, "generate", generate)

    monkeypatch.setattr(synthesis, "features", lambda *_: np.zeros((6, 104), np.float32))
    return fail_for


def sample(root: Path, shard: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Run the stage `sample`; return its ledger."""
    run = small(root, sample={"batch_clips": 3})
    monkeypatch.setattr(synthesis, "load_networks", lambda *_: SimpleNamespace(config=run, device=CPU))
    synthesis.sample_experiment(run, shard, root, root, root / "videos", root / "sampled/00000.parquet", CPU)
    return read_parquet(root / "sampled/00000.parquet").set_index("clip")


def test_an_error_while_generating_costs_one_clip_of_its_batch(
    tmp_path: Path, generates: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = joined("abcd", tmp_path)
    second = list(read_shard(shard))[1]
    generates(next(read_frames(second["crop.mp4"])))
    rows = sample(tmp_path, shard, monkeypatch)
    assert rows["status"].to_dict() == {"a": "ok", "b": "failed", "c": "ok", "d": "ok"}
    assert rows.loc["b", "reason"] == "RuntimeError: CUDA error: device-side assert triggered"
    assert sorted(path.name for path in tmp_path.glob("videos/paired/*")) == ["a.mp4", "c.mp4", "d.mp4"]


@pytest.mark.parametrize("sources", ["gone", "there"])
def test_a_sampling_that_makes_no_video_at_all_is_an_error(
    tmp_path: Path, generates: Callable[..., None], monkeypatch: pytest.MonkeyPatch, sources: str
) -> None:
    shard = joined("ab", tmp_path)
    generates(*(next(read_frames(each["crop.mp4"])) for each in read_shard(shard)) if sources == "there" else ())
    reason = "RuntimeError: CUDA error: device-side assert triggered"
    if sources == "gone":
        reason = "No such file or directory"
        for name in "ab":
            (tmp_path / f"{name}.mp4").unlink()
        with pytest.raises(UserError, match=r"^sample frozen: none of 2 videos came out \(2 x No such file"):
            places = tmp_path / "videos", tmp_path / "sampled/frozen.parquet"
            synthesis.sample_baseline(small(tmp_path), "frozen", shard, tmp_path, *places, CPU)
    with pytest.raises(UserError, match=rf"^sample 00000: none of 2 videos came out \(2 x {reason}\)"):
        sample(tmp_path, shard, monkeypatch)
    assert not list(tmp_path.rglob("videos/*/*.mp4"))


# ---- other people's videos ---------------------------------------------------------------------------------------

LATE = {"a/1": 3, "b/1": 12}  # clips: black frames before the face appears


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of drawn faces that appear late: <clip>.mp4 below `corpus`, its shard, and a SyncNet."""
    monkeypatch.setattr("syncdiff.evaluation.clip_scorer.open_landmarker", lambda faces, device: DrawnLandmarker())
    ledger, samples = Ledger("shards"), []
    for index, (name, n_black) in enumerate(LATE.items()):
        video = tmp_path / f"corpus/{name}.mp4"
        openings = 4 + np.rint(6 + 6 * np.sin(np.arange(N_FRAMES) / (2 + index))).astype(int)
        black = [np.zeros((SIZE, SIZE, 3), np.uint8)] * n_black
        silence = np.zeros(640 * n_black, np.int16)
        write_video(video, [*black, *(drawing(o, seed=index) for o in openings)], [silence, sound(index)])
        made = scored_sample(name, video, openings, index)
        facts = {"clip": name, "video": f"{name}.mp4", "n_frames": N_FRAMES, "first_frame": n_black}
        samples.append(made | {"json": to_json(facts | {"width": SIZE, "height": SIZE})})
        ledger.add(name, first_frame=n_black, n_frames=N_FRAMES)
    write_shard(tmp_path / "shards/00000.tar", samples)
    ledger.write(tmp_path / "shards/00000.parquet")
    torch.manual_seed(0)
    save_syncnet(SyncNet(width=0.125, image_size=64), tmp_path / "syncnet.safetensors", "drawings")
    return tmp_path


def scores_of(root: Path, method: str, videos: Path | None, protocols: Sequence[str] = ("paired",)) -> pd.DataFrame:
    evaluate = {"bootstrap": 20, "protocols": list(protocols), "external": {"echo": str(root / "echo")}}
    run, out = config(root / "corpus", evaluate=evaluate, faces={"size": SIZE}), root / f"runs/{method}/scores.parquet"
    score_method(run, method, [root / "shards/00000.tar"], videos, root / "syncnet.safetensors", out, CPU)
    return read_parquet(out)


def means(scores: pd.DataFrame) -> pd.Series:
    return scores[scores["clip"] != ""].groupby("metric")["value"].mean()


def lossless(path: Path, frames: Sequence[np.ndarray]) -> None:
    """Write frames (H, W, 3) as they are, without sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 25, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def twice_as_large(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, (2 * SIZE, 2 * SIZE), interpolation=cv2.INTER_CUBIC)


# Names and forms that the videos of a method have which returns its input.
FORMS: dict[str, Callable[[str, int, list[np.ndarray]], tuple[str, list[np.ndarray]]]] = {
    "whole": lambda clip, first, frames: (f"{clip}.avi", frames),
    "segment": lambda clip, first, frames: (f"{clip}.avi", frames[first:]),
    "one frame fewer": lambda clip, first, frames: (f"{clip}.avi", frames[:-1]),
    "segment, one frame fewer": lambda clip, first, frames: (f"{clip}.MKV", frames[first:-1]),
    "flat names, another suffix": lambda clip, first, frames: (f"{clip.replace('/', '_')}.mkv", frames),
    "another size": lambda clip, first, frames: (f"{clip}.avi", [twice_as_large(frame) for frame in frames]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_method_that_returns_its_input_scores_as_the_real_video(late: Path, form: str) -> None:
    for name, first in LATE.items():
        frames = list(read_frames(late / f"corpus/{name}.mp4"))
        video, shown = FORMS[form](name, first, frames)
        lossless(late / "echo" / video, shown)
    echo, real = scores_of(late, "echo", late / "echo"), scores_of(late, "real", None)
    assert set(echo["status"]) == {"ok"}
    assert means(echo)["ssim"] == pytest.approx(1, abs=0.01)
    assert means(echo)["mouth_corr"] == pytest.approx(1, abs=1e-3)
    assert means(echo)["sync_offset"] == means(real)["sync_offset"]
    assert means(echo)["lse_c"] == pytest.approx(means(real)["lse_c"], abs=0.05)
    note = {"another size": "made 64x64", "one frame fewer": "29 of 30 frames"}.get(form.removeprefix("segment, "), "")
    assert echo["reason"].str.contains(note).any()


def test_a_crop_or_another_length_is_rejected_and_no_video_failed(late: Path) -> None:
    frames = list(read_frames(late / "corpus/a/1.mp4"))
    lossless(late / "echo/a/1.avi", [frame[8:56, 8:56] for frame in frames])
    lossless(late / "echo/b/1.avi", frames[:20])
    rows = scores_of(late, "echo", late / "echo").query("metric == 'ssim'").set_index("clip")
    assert rows["status"].tolist() == ["rejected", "rejected"]
    assert rows.loc["a/1", "reason"] == "frames of 48x48, the source has 64x64: give its whole frames, not a crop"
    assert rows.loc["b/1", "reason"] == "20 frames, expected 30 (the clip's segment) or 42 (its whole file)"
    lossless(late / "echo/a/1.avi", frames)
    (late / "echo/b/1.avi").unlink()
    rows = scores_of(late, "echo", late / "echo").query("metric == 'ssim'").set_index("clip")
    assert rows["status"].tolist() == ["ok", "failed"]
    assert rows.loc["b/1", "reason"] == "no video of this clip"
    (late / "echo/a/1.avi").unlink()
    with pytest.raises(UserError, match=r"^score echo: none of 2 clips came out \(2 x no video of this clip\)"):
        scores_of(late, "echo", late / "echo")


def test_a_protocol_without_a_video_does_not_stop_the_others(late: Path) -> None:
    (late / "echo/paired").mkdir(parents=True)
    for name in LATE:
        lossless(late / f"echo/cross/{name}.avi", list(read_frames(late / f"corpus/{name}.mp4")))
    rows = scores_of(late, "echo", late / "echo", ["paired", "cross"]).query("clip != ''")
    assert set(rows[rows["protocol"] == "paired"]["status"]) == {"failed"}
    assert set(rows[rows["protocol"] == "cross"]["status"]) == {"ok"}


def test_a_score_of_sources_that_are_gone_is_an_error(late: Path) -> None:
    for name in LATE:
        (late / f"corpus/{name}.mp4").unlink()
    with pytest.raises(UserError, match=r"^score real: none of 2 clips came out \(2 x No such file or directory\)"):
        scores_of(late, "real", None)


def test_the_table_stops_where_too_many_clips_of_an_own_method_have_failed(late: Path) -> None:
    scores_of(late, "real", None)
    (late / "corpus/a/1.mp4").unlink()
    scores_of(late, "real", None)
    job = (late / "runs/real/scores.parquet",), late / "table.csv", late / "table.parquet"
    with pytest.raises(UserError, match=r"^score real: 1 of 2 clips failed, more than max_failed_fraction 0.1"):
        write_table(config(late, 0.1), *job)
    write_table(config(late, 0.5), *job)


# ---- what is tried again, and when -------------------------------------------------------------------------------


@pytest.mark.quick
def test_a_file_that_was_not_there_is_tried_again_when_it_is(tmp_path: Path) -> None:
    ledger, video = tmp_path / "faces/00000.parquet", tmp_path / "1.mp4"
    book = Ledger("faces")
    book.add("b")
    book.write(ledger)
    assert attempts(ledger.parent) == {}  # nothing has failed: no note at all
    write_failures(ledger, [str(video)])
    assert attempts(ledger.parent) == {"00000": 0}
    video.touch()
    assert attempts(ledger.parent) == {"00000": 1}
    write_failures(ledger, [])
    assert attempts(ledger.parent) == {"00000": 1}  # the number with which it ran
    video.unlink()
    assert attempts(ledger.parent) == {"00000": 1}


def write_failures(ledger: Path, files: Sequence[str]) -> None:
    book = Ledger("faces")
    for index, file in enumerate(files):
        book.add(f"c{index}", "failed", "?")
        book.failures.append(file)
    book.write(ledger)


@pytest.mark.quick
def test_what_is_no_file_s_fault_is_tried_three_times_in_a_row() -> None:
    note, numbers = Note(), []
    for _ in range(5):
        note = after(note, [""])
        numbers.append(note.number)
    assert numbers == [1, 2, 2, 2, 2]
    note = after(note, [])
    assert after(note, [""]).number == 3  # after a success, anew


@pytest.mark.quick
def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    (tmp_path / "retry").mkdir()
    (tmp_path / "retry/00000.json").write_text("{}")
    with pytest.raises(UserError, match=r"retry/00000\.json: damaged; delete it"):
        attempts(tmp_path)


@pytest.fixture
def talkers(tmp_path: Path) -> Path:
    """A folder with three rendered people in `corpus`, whose videos are links into `disk`, and its config."""
    demo = {"corpus": {"demo": {"identities": 3, "clips_per_identity": 1, "seconds": 1.2}}}
    render_corpus(parse_config(demo), tmp_path / "rendered", workers=1)
    (tmp_path / "disk").mkdir()
    for name, video in zip("abc", sorted((tmp_path / "rendered").rglob("*.mp4")), strict=True):
        video.rename(tmp_path / f"disk/{name}.mp4")
        (tmp_path / "corpus" / name).mkdir(parents=True)
        (tmp_path / f"corpus/{name}/1.mp4").symlink_to(tmp_path / f"disk/{name}.mp4")
    given = {"corpus": {"kind": "folder", "root": str(tmp_path / "corpus")}, "plan": {"frames_per_shard": 250}}
    (tmp_path / "config.yaml").write_text(json.dumps(given))
    return tmp_path


def shard_of(plan: Path, clip: str) -> str:
    row = read_parquet(plan).set_index("clip").loc[clip]
    return f"{row['split']}/faces/{row['shard']}"


@pytest.mark.slow
def test_a_video_that_is_away_for_a_while_makes_its_shard_again_and_no_other(talkers: Path) -> None:
    results, video = talkers / "results/folder", talkers / "disk/b.mp4"
    shards = "test/faces/00000", "train/faces/00000", "train/faces/00001"
    wanted = [f"results/folder/{shard}.parquet" for shard in shards]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_snakemake, "--", *wanted, folder=talkers)
        while not (results / "plan/clips.parquet").exists() and not running.done():
            time.sleep(0.01)
        video.rename(talkers / "away.mp4")  # the faces take seconds to begin
        run = running.result()
    assert run.returncode == 0, run.stderr[-3000:]
    assert "1 failed (first: b/1.mp4: No such file or directory)" in run.stdout + run.stderr
    shard = shard_of(results / "plan/clips.parquet", "b/1.mp4")
    before = {path: path.read_bytes() for path in results.rglob("*.parquet") if shard not in str(path)}
    away = run_snakemake("--", *wanted, folder=talkers)
    assert away.returncode == 1
    assert "corpus: 1 of 3 videos are not there" in away.stdout + away.stderr
    (talkers / "away.mp4").rename(video)
    again = run_snakemake("--", *wanted, folder=talkers)
    assert re.findall(r"^(?:local)?rule (\w+):$", again.stdout + again.stderr, re.MULTILINE) == ["faces"]
    assert read_parquet(results / f"{shard}.parquet")["status"].tolist() == ["ok"]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert "Nothing to be done" in (still := run_snakemake("--", *wanted, folder=talkers)).stdout + still.stderr
    assert verify(results).faults == []  # the lists of the corpus, old ones too, are no artifacts


# ---- the tools on files that cannot be read ----------------------------------------------------------------------


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run `syncdiff ARGUMENTS`; return its exit code and what it printed."""
    monkeypatch.setattr(sys, "argv", ["syncdiff", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out + printed.err


@pytest.mark.parametrize("kind", ["gone/1.mp4", "gone", "locked/1.mp4", "bad_disk/1.mp4", "damaged/1.mp4"])
@pytest.mark.parametrize("tool", ["score", "features", "dub", "dub sound", "fidelity"])
def test_a_tool_says_in_a_line_what_it_cannot_read(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tool: str, kind: str,
) -> None:  # fmt: skip
    file, good = world / kind, world / "good/1.mp4"
    save_syncnet(SyncNet(width=0.125, image_size=64), tmp_path / "syncnet.safetensors", "drawings")
    model = ["--model", write_model(small(tmp_path, denoiser={"channels": [32, 32]}), tmp_path / "model")]
    arguments = {
        "score": ["score", file, "--syncnet", tmp_path / "syncnet.safetensors"],
        "features": ["features", file, tmp_path / "out.npy"],
        "dub": ["dub", file, good, tmp_path / "out.mp4", *model],
        "dub sound": ["dub", good, file, tmp_path / "out.mp4", *model],
        "fidelity": ["fidelity", good, file],
    }[tool]
    code, printed = said(monkeypatch, capsys, *arguments)
    assert code == 1
    assert "Traceback" not in printed
    [line] = [line for line in printed.splitlines() if str(file) in line]
    assert line.partition(str(file))[2].strip(": ")  # and what is wrong with it
    assert not list(tmp_path.glob("out.*"))
