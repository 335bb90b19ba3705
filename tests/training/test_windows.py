"""Training windows: each prior is the frame it should be, and step k is a function of (seed, k)."""

import os
import threading
import time
import weakref
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from syncdiff.diffusion.sync_loss import SYNC_SHIFTS
from syncdiff.errors import UserError
from syncdiff.media.video import decode_crops
from syncdiff.shards.tar import decode_npy, encode_npy, read_shard, to_json, write_shard
from syncdiff.shards.verdicts import Verdicts
from syncdiff.training import windows as module
from syncdiff.training.source import Shard, Source
from syncdiff.training.windows import RUN_FRAMES, RUN_NEEDS, Pool, Windows, as_floats
from tests.members import crop_bytes

pytestmark = pytest.mark.quick

LENGTHS = [[5, 1, 30], [12, 8]]  # frames of each clip in two shards
N_FRAMES = torch.tensor([n_frames for lengths in LENGTHS for n_frames in lengths])
W = 5


@pytest.fixture
def tars(tmp_path: Path) -> list[Shard]:
    """Shards whose every number says its clip and frame: 100 x clip + frame; masked latents are negative."""
    clip = 0
    pairs = []
    for shard, lengths in enumerate(LENGTHS):
        latent_samples, speech_samples = [], []
        for n_frames in lengths:
            code = 100.0 * clip + np.arange(n_frames)
            latents = np.broadcast_to(code[:, None, None, None], (n_frames, 2, 3, 3)).astype(np.float16)
            pose = np.broadcast_to(np.arange(n_frames)[:, None, None, None], (n_frames, 4, 4, 3)).astype(np.uint8)
            fbank = np.broadcast_to(code[:, None] + 1, (n_frames, 7)).astype(np.float32)
            arrays = {"latents": latents, "masked": -latents, "pose": pose}
            about = {"__key__": f"c{clip}", "json": to_json({"clip": f"c{clip}"})}
            latent_samples.append(about | {f"{name}.npy": encode_npy(array) for name, array in arrays.items()})
            speech_samples.append(about | {"fbank.npy": encode_npy(fbank)})
            clip += 1
        pairs.append((tmp_path / f"{shard}.latents.tar", tmp_path / f"{shard}.speech.tar"))
        for tar, samples in zip(pairs[-1], (latent_samples, speech_samples), strict=True):
            write_shard(tar, samples)
    return pairs


@pytest.fixture
def with_mfcc(tars: list[Shard], tmp_path: Path) -> list[Shard]:
    """The same with MFCC: of frame t, four times 1000 x clip + t."""
    clips = iter(range(len(N_FRAMES)))
    for shard, lengths in enumerate(LENGTHS):
        numbered = [(next(clips), n_frames) for n_frames in lengths]
        samples = [
            {
                "__key__": f"c{clip}",
                "json": to_json({"clip": f"c{clip}"}),
                "mfcc.npy": encode_npy(np.repeat(1000.0 * clip + np.arange(n)[:, None], 52, axis=1).astype(np.float32)),
            }
            for clip, n in numbered
        ]
        write_shard(tmp_path / f"{shard}.mfcc.tar", samples)
    return [(*files, tmp_path / f"{shard}.mfcc.tar") for shard, files in enumerate(tars)]


def batches(tars: list[Shard], n: int, start: int = 0, seed: int = 3, **more: int) -> list[dict[str, torch.Tensor]]:
    return list(islice(Windows(Source(tars, "fbank"), W, 64, seed, **more).batches(start), n))


def codes(latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip and frame index of each sample (B,) of latents (B, C, h, w)."""
    code = latents[:, 0, 0, 0].round().long()
    return code // 100, code % 100


def test_shapes_and_types(tars: list[Shard]) -> None:
    batch = batches(tars, 1)[0]
    shapes = {"latents": (2, 3, 3), "pose": (4, 4, 3), "speech": (W, 7), "valid": (W,)}
    shapes |= dict.fromkeys(("masked", "identity", "previous", "mean"), (2, 3, 3))
    assert {name: tensor.shape[1:] for name, tensor in batch.items()} == shapes
    assert batch["valid"].dtype == torch.bool
    assert all(tensor.dtype == torch.float32 for name, tensor in batch.items() if name != "valid")


def test_priors_are_of_the_right_frames(tars: list[Shard]) -> None:
    for batch in batches(tars, 20):
        clip, t = codes(batch["latents"])
        assert torch.equal(batch["masked"], -batch["latents"])
        identity_clip, identity = codes(batch["identity"])
        assert torch.equal(identity_clip, clip)
        assert ((identity != t) | (N_FRAMES[clip] == 1)).all()
        previous_clip, previous = codes(batch["previous"])
        assert torch.equal(previous_clip, clip)
        assert torch.equal(previous, torch.where(t > 0, t - 1, identity))
        assert torch.allclose(batch["pose"][:, 0, 0, 0], previous / 127.5 - 1)


def test_the_mean_is_that_of_the_clip(tars: list[Shard]) -> None:
    batch = batches(tars, 1)[0]
    clip, _ = codes(batch["latents"])
    assert len(clip.unique()) > 1
    assert torch.allclose(batch["mean"][:, 0, 0, 0], 100 * clip + (N_FRAMES[clip] - 1) / 2)


def test_identity_frames_are_spread_over_the_clip(tars: list[Shard]) -> None:
    seen = set()
    for batch in batches(tars, 60):
        clip, t = codes(batch["latents"])
        chosen = (clip == 0) & (t == 2)
        seen |= set(codes(batch["identity"])[1][chosen].tolist())
    assert seen == {0, 1, 3, 4}


def test_speech_is_centred_and_zero_outside_the_clip(tars: list[Shard]) -> None:
    batch = batches(tars, 1)[0]
    clip, t = codes(batch["latents"])
    rows = t[:, None] + torch.arange(W) - W // 2
    inside = (rows >= 0) & (rows < N_FRAMES[clip][:, None])
    assert torch.equal(batch["valid"], inside)
    assert torch.equal(batch["speech"][..., 0], torch.where(inside, 100 * clip[:, None] + rows + 1, 0).float())


def test_identity_frames_keep_away_from_their_target_as_far_as_the_clip_allows(tars: list[Shard]) -> None:
    seen = {}
    for batch in batches(tars, 60, identity_gap=10):
        clip, t = codes(batch["latents"])
        far = (codes(batch["identity"])[1] - t).abs()
        assert torch.equal(codes(batch["identity"])[0], clip)
        for number, distance in zip(clip.tolist(), far.tolist(), strict=True):
            seen.setdefault(number, set()).add(distance)
    assert {clip: min(distances) for clip, distances in seen.items()} == {0: 2, 1: 0, 2: 10, 3: 6, 4: 4}
    assert max(seen[2]) == 20  # nothing lies further than both ends of the ring


def test_runs_are_frames_of_one_clip_in_a_row_with_their_mfcc(with_mfcc: list[Shard]) -> None:
    starts = set()
    for batch in batches(with_mfcc, 60, in_runs=True):
        clip, t = (code.view(64, RUN_FRAMES) for code in codes(batch["latents"]))
        assert (clip == clip[:, :1]).all()
        assert torch.equal(t, t[:, :1] + torch.arange(RUN_FRAMES))
        assert torch.equal(codes(batch["masked"].neg())[1].view(64, RUN_FRAMES), t)
        first = t[:, :1] + torch.tensor(SYNC_SHIFTS)
        whole = (first >= 0) & (first + RUN_NEEDS <= N_FRAMES[clip[:, :1]])
        assert torch.equal(batch["mfcc_valid"], whole)
        assert whole[:, SYNC_SHIFTS.index(0)].all()
        frame = first[..., None] + torch.arange(20) // 4  # of each of 20 columns of MFCC
        expected = (1000 * clip[:, :1, None] + frame)[:, :, None].expand(-1, -1, 13, -1)
        assert batch["mfcc"].shape == (64, len(SYNC_SHIFTS), 13, 20)
        assert torch.equal(batch["mfcc"][whole], expected[whole].float())
        starts |= set(zip(clip[:, 0].tolist(), t[:, 0].tolist(), strict=True))
    possible = {(clip, t) for clip, length in enumerate(N_FRAMES.tolist()) for t in range(length - RUN_NEEDS + 1)}
    assert starts == possible


def test_frames_of_a_run_share_an_identity_frame_that_none_of_them_is(tars: list[Shard]) -> None:
    for batch in batches(tars, 20, in_runs=True):
        clip, t = (code.view(64, RUN_FRAMES) for code in codes(batch["latents"]))
        identity = codes(batch["identity"])[1].view(64, RUN_FRAMES)
        assert (identity == identity[:, :1]).all()
        long_enough = N_FRAMES[clip[:, 0]] > 2 * RUN_FRAMES
        assert long_enough.any()
        assert ((identity - t).abs()[long_enough] >= 1).all()


def test_processes_share_the_runs_of_a_step(with_mfcc: list[Shard]) -> None:
    whole = batches(with_mfcc, 1, in_runs=True)[0]
    parts = [batches(with_mfcc, 1, rank=rank, world=2, in_runs=True)[0] for rank in range(2)]
    assert torch.equal(torch.stack([part["mfcc"] for part in parts], 1).flatten(0, 1), whole["mfcc"])
    frames = [part["latents"].unflatten(0, (-1, RUN_FRAMES)) for part in parts]
    assert torch.equal(torch.stack(frames, 1).flatten(0, 2), whole["latents"])


def test_clips_too_short_for_a_run_are_an_error(tmp_path: Path, with_mfcc: list[Shard]) -> None:
    for tar in with_mfcc[0]:
        write_shard(tar, [sample for sample in read_shard(tar) if sample["__key__"] in ("c0", "c1")])
    with pytest.raises(UserError, match="no clip of 6 frames or more"):
        next(Windows(Source(with_mfcc[:1], "fbank"), W, 16, 0, in_runs=True).batches())


@pytest.mark.parametrize("in_memory", [True, False])
def test_any_step_without_the_ones_before(tars: list[Shard], in_memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUND_STEPS", 4)
    if not in_memory:
        monkeypatch.setattr(module, "ROUND_BYTES", 1)
    whole = batches(tars, 13)
    for start in (3, 4, 9):
        for resumed, expected in zip(batches(tars, 4, start), whole[start:], strict=False):
            assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    assert not torch.equal(whole[0]["latents"], whole[1]["latents"])
    assert not torch.equal(whole[0]["latents"], batches(tars, 1, seed=4)[0]["latents"])


def test_processes_share_the_samples_of_a_step(tars: list[Shard]) -> None:
    whole = batches(tars, 1)[0]["latents"]
    parts = [batches(tars, 1, rank=rank, world=2)[0]["latents"] for rank in range(2)]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), whole)


@pytest.mark.parametrize("world", [1, 2])
def test_every_frame_comes_once_in_an_epoch(tars: list[Shard], world: int) -> None:
    n_frames = int(N_FRAMES.sum())  # 56, of which a step takes 64: epochs end inside of steps
    streams = [batches(tars, 7, rank=rank, world=world) for rank in range(world)]
    drawn = torch.cat([torch.stack(list(step), 1).flatten() for step in zip(*map(_first_values, streams), strict=True)])
    for epoch in drawn.split(n_frames):
        assert len(epoch) == n_frames
        assert len(epoch.unique()) == n_frames


def _first_values(stream: list[dict[str, torch.Tensor]]) -> list[torch.Tensor]:
    return [batch["latents"][:, 0, 0, 0] for batch in stream]


def test_clips_without_speech_are_left_out(tars: list[Shard]) -> None:
    write_shard(tars[0][1], [sample for sample in read_shard(tars[0][1]) if sample["__key__"] != "c2"])
    drawn = {int(clip) for batch in batches(tars, 20) for clip in codes(batch["latents"])[0]}
    assert drawn == {0, 1, 3, 4}


def test_speech_of_another_length_is_an_error(tars: list[Shard]) -> None:
    cut = [
        sample | {"fbank.npy": encode_npy(decode_npy(sample["fbank.npy"])[:-1])} for sample in read_shard(tars[0][1])
    ]
    write_shard(tars[0][1], cut)
    with pytest.raises(UserError, match=r"0\.speech\.tar: c0 has other frames than in"):
        next(Windows(Source(tars, "fbank"), W, 4, 0).batches())


def test_a_missing_feature_set_names_the_shard(tars: list[Shard]) -> None:
    with pytest.raises(UserError, match=r"0\.speech\.tar: c0 has no mel\.npy"):
        next(Windows(Source(tars, "mel"), W, 4, 0).batches())


def test_shards_without_clips_are_an_error(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", [])
    with pytest.raises(UserError, match="no clip to train on"):
        next(Windows(Source([(tmp_path / "0.tar", tmp_path / "0.tar")], "fbank"), W, 4, 0).batches())


def test_memory_is_flat_over_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shards of 12 MB, one in memory at a time: after 40 changes of them, as much is held as after 4."""
    pairs = []
    for shard in range(2):
        arrays = {name: np.zeros((300, 64, 12, 12), np.float16) for name in ("latents", "masked")}
        arrays["pose"] = np.zeros((300, 4, 4, 3), np.uint8)
        about = {"__key__": "c", "json": to_json({"clip": "c"})}
        pairs.append((tmp_path / f"{shard}.latents.tar", tmp_path / f"{shard}.speech.tar"))
        write_shard(pairs[-1][0], [about | {f"{name}.npy": encode_npy(array) for name, array in arrays.items()}])
        write_shard(pairs[-1][1], [about | {"fbank.npy": encode_npy(np.zeros((300, 7), np.float32))}])
    monkeypatch.setattr(module, "ROUND_BYTES", 1)
    monkeypatch.setattr(module, "ROUND_STEPS", 2)
    stream = Windows(Source(pairs, "fbank"), W, 4, 0).batches()

    def resident_mb_after(steps: int) -> float:
        for _ in range(steps):
            next(stream)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    early = resident_mb_after(8)
    assert resident_mb_after(72) - early < 40  # a shard kept from each round would be 400


def test_each_frame_comes_as_often_as_the_others_where_not_all_shards_fit(
    tars: list[Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """47 frames are in one shard and 20 in the other, only one of which is in memory at a time."""
    monkeypatch.setattr(module, "ROUND_BYTES", 1)
    monkeypatch.setattr(module, "ROUND_STEPS", 20)
    n_frames, draws = int(N_FRAMES.sum()), round(20 * 8 * 2 / int(N_FRAMES.sum()))
    steps = round(draws * n_frames / 8)
    stream = Windows(Source(tars, "fbank"), W, 8, 3).batches()
    epochs = [torch.cat([next(stream)["latents"][:, 0, 0, 0] for _ in range(steps)]) for _ in range(6)]
    for epoch in epochs:
        counts = epoch.unique(return_counts=True)[1]
        assert len(counts) == n_frames
        assert int(counts.min()) >= draws - 1
        assert int(counts.max()) <= draws + 1


def test_any_number_of_processes_that_resumes_anywhere_draws_the_same(
    tars: list[Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROUND_BYTES", 1)
    monkeypatch.setattr(module, "ROUND_STEPS", 3)
    whole = batches(tars, 16)
    for start, world in ((0, 4), (5, 1), (7, 2), (12, 64)):
        parts = [batches(tars, 3, start, rank=rank, world=world) for rank in range(world)]
        for step in range(3):
            for name, value in whole[start + step].items():
                assert torch.equal(torch.stack([part[step][name] for part in parts], 1).flatten(0, 1), value)


def test_frames_stay_small_until_they_are_on_the_device(tars: list[Shard]) -> None:
    source = Source(tars, "fbank")
    stored, floats = next(Windows(source, W, 8, 3).stored()), next(Windows(source, W, 8, 3).batches())
    assert {stored[name].dtype for name in ("latents", "masked", "identity", "previous")} == {torch.float16}
    assert stored["pose"].dtype == torch.uint8
    assert torch.equal(as_floats(stored)["previous"], floats["previous"])
    assert torch.equal(as_floats(stored)["pose"], floats["pose"])
    assert "mean" not in next(Windows(source, W, 8, 3, with_mean=False).batches())


def test_a_device_without_room_gets_the_same_batches_from_a_thread(
    tars: list[Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta device stands in for a GPU: what is sent there is seen before it has no values any more."""
    sent: list[dict[str, torch.Tensor]] = []
    threads = set()

    def noting(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
        threads.add(threading.current_thread())
        sent.append(batch)
        return {name: value.to(device) for name, value in batch.items()}

    monkeypatch.setattr(module, "moved", noting)
    monkeypatch.setattr(module, "has_room", lambda device: device.type == "cpu")
    monkeypatch.setattr(Pool, "pinned", property(lambda _: False, lambda *_: None), raising=False)
    received = list(islice(Windows(Source(tars, "fbank", torch.device("meta")), W, 64, 3).batches(), 5))
    assert {value.device.type for batch in received for value in batch.values()} == {"meta"}
    assert threading.current_thread() not in threads
    for batch, expected in zip(sent, batches(tars, 5), strict=False):
        assert all(torch.equal(value, expected[name]) for name, value in as_floats(batch).items())


def test_the_next_round_is_read_while_one_is_used(tars: list[Shard], monkeypatch: pytest.MonkeyPatch) -> None:
    """And no third one: the shards are read when the round before the last has been let go."""
    monkeypatch.setattr(module, "ROUND_BYTES", 1)
    monkeypatch.setattr(module, "ROUND_STEPS", 3)
    made: list[weakref.ref[Pool]] = []
    alive: list[int] = []
    init = Pool.__init__

    def noting(self: Pool, *arguments: object) -> None:
        alive.append(1 + sum(pool() is not None for pool in made))
        made.append(weakref.ref(self))
        init(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Pool, "__init__", noting)
    stream = Windows(Source(tars, "fbank"), W, 64, 3).batches()
    next(stream)
    deadline = time.monotonic() + 5
    while len(made) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(made) == 2
    for _ in range(60):
        next(stream)
    assert len(made) > 10
    assert max(alive) <= 2


def test_shards_without_clips_and_short_ones_are_passed_over(
    tars: list[Shard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One shard has no clip, one has none with speech, one has a single frame."""
    write_shard(tmp_path / "empty.tar", [])
    one = [sample for sample in read_shard(tars[0][0]) if sample["__key__"] == "c1"]
    write_shard(tmp_path / "one.tar", one)
    more = [(tmp_path / "empty.tar",) * 2, (tars[1][0], tmp_path / "empty.tar"), (tmp_path / "one.tar", tars[0][1])]
    monkeypatch.setattr(module, "ROUND_STEPS", 4)
    for room in (1, 4 * 1024**3):
        monkeypatch.setattr(module, "ROUND_BYTES", room)
        drawn = torch.cat([codes(batch["latents"])[0] for batch in batches([more[0], *tars, *more[1:]], 40)])
        assert set(drawn.tolist()) == {0, 1, 2, 3, 4}


def test_a_shard_larger_than_its_share_of_memory_is_named(
    tars: list[Shard], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "ROUND_BYTES", 3000)
    batches(tars, 1)
    [line] = caplog.messages
    assert "0.latents.tar: takes" in line
    assert line.endswith("for less, lower plan.frames_per_shard")


def quarters(crops: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Stand in for an encoder: every eighth pixel, and its negative."""
    means = torch.from_numpy(crops[:, ::8, ::8].copy()).permute(0, 3, 1, 2).half()
    return means, -means


def joined_from(tars: list[Shard], folder: Path) -> tuple[list[Shard], list[Shard]]:
    """Joined shards of random crops with the speech of `tars`, and the latent shards of the same."""
    random = np.random.default_rng(0)
    joined, latents = [], []
    for number, (tar, speech) in enumerate(tars):
        crops, encoded = [], []
        for sample in read_shard(tar):
            about = {name: sample[name] for name in ("__key__", "json", "pose.npy")}
            video = crop_bytes(random.integers(0, 256, (len(decode_npy(sample["pose.npy"])), 32, 32, 3), np.uint8))
            crops.append(about | {"crop.mp4": video})
            arrays = zip(("latents.npy", "masked.npy"), quarters(decode_crops(video)), strict=True)
            encoded.append(about | {name: encode_npy(array.numpy()) for name, array in arrays})
        for kind, samples, shards in (("joined", crops, joined), ("encoded", encoded, latents)):
            write_shard(folder / f"{number}.{kind}.tar", samples)
            shards.append((folder / f"{number}.{kind}.tar", speech))
    return joined, latents


@pytest.mark.parametrize("room", [1, 4 * 1024**3])
def test_crops_encoded_when_they_are_read_give_the_batches_of_stored_latents(
    tars: list[Shard], tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROUND_BYTES", room)
    monkeypatch.setattr(module, "ROUND_STEPS", 3)
    joined, latents = joined_from(tars, tmp_path)
    streams = [
        Windows(Source(joined, "fbank", encoder=quarters), W, 64, 3).batches(),
        Windows(Source(latents, "fbank"), W, 64, 3).batches(),
    ]
    for made, stored in islice(zip(*streams, strict=True), 20):
        assert all(torch.equal(made[name], value) for name, value in stored.items())


def test_shards_of_the_other_kind_are_named(tars: list[Shard], tmp_path: Path) -> None:
    joined, _ = joined_from(tars, tmp_path)
    with pytest.raises(UserError, match=r"0\.latents\.tar: c0 has no crop\.mp4"):
        next(Windows(Source(tars, "fbank", encoder=quarters), W, 4, 0).batches())
    with pytest.raises(UserError, match=r"0\.joined\.tar: c0 has no latents\.npy"):
        next(Windows(Source(joined, "fbank"), W, 4, 0).batches())


def curated(tars: list[Shard], shifts: dict[str, int | None]) -> Source:
    """The clips with verdicts: c2 is the one of 30 frames, c0 and c1 are short."""
    return Source(tars, "fbank", verdicts=Verdicts({f"c{clip}": 0 for clip in range(5)} | shifts, Path("curation")))


def test_clips_that_curation_left_out_are_never_drawn(tars: list[Shard]) -> None:
    source = curated(tars, {"c0": None, "c2": None})
    drawn = [batch["latents"] for batch in islice(Windows(source, W, 64, 3).batches(), 10)]
    assert {int(clip) for latents in drawn for clip in codes(latents)[0]} == {1, 3, 4}
    assert source.frames == [1, 20]
    assert source.curated() == "curation: of 5 clips 2 left out, the sound of 0 shifted (curation)"


@pytest.mark.parametrize("shift", [-4, 3])
def test_shifted_speech_goes_with_other_pictures_and_the_ends_are_left_out(tars: list[Shard], shift: int) -> None:
    source = curated(tars, {"c2": shift, "c0": None})
    assert source.frames == [1 + 30 - abs(shift), 20]
    seen = set()
    for batch in islice(Windows(source, W, 64, 3).batches(), 20):
        clip, frame = codes(batch["latents"])
        heard = batch["speech"][:, W // 2, 0] - 1 - 100 * clip
        assert torch.equal(heard.long() - frame, torch.where(clip == 2, shift, 0))
        rows = batch["speech"][..., 0] - 1 - 100 * clip[:, None]
        assert (rows[batch["valid"]] < 30).all()
        seen |= set(frame[clip == 2].tolist())
    assert seen == set(range(max(-shift, 0), min(30, 30 - shift)))


def test_shifted_clips_have_their_mfcc_shifted_too(with_mfcc: list[Shard]) -> None:
    [clip] = list(curated(with_mfcc, dict.fromkeys(("c0", "c1", "c3", "c4")) | {"c2": 3}).clips(range(2)))
    latents, _, pose, speech, mfcc = clip
    assert latents[:, 0, 0, 0].tolist() == [200.0 + t for t in range(27)]
    assert pose[:, 0, 0, 0].tolist() == list(range(27))
    assert speech[:, 0].tolist() == [201.0 + t for t in range(3, 30)]
    assert mfcc[:, 0].tolist() == [2000.0 + t for t in range(3, 30)]


def test_a_clip_that_curation_has_not_seen_is_an_error(tars: list[Shard]) -> None:
    source = Source(tars, "fbank", verdicts=Verdicts({"c0": 0}, Path("curation.parquet")))
    with pytest.raises(UserError, match=r"curation.parquet: has no row for c1; run the stage curation again"):
        list(source.clips(range(2)))


def test_nothing_left_to_train_on_is_an_error(tars: list[Shard]) -> None:
    source = curated(tars, dict.fromkeys(f"c{clip}" for clip in range(5)))
    with pytest.raises(UserError, match="no clip to train on"):
        next(Windows(source, W, 64, 3).batches())
