"""`syncdiff estimate`: bytes are those of real shards, operations those counted by hand, a fault is one line."""

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from syncdiff.cli import main
from syncdiff.config import Config, load_config, parse_config
from syncdiff.diffusion.loss import DiffusionLoss
from syncdiff.diffusion.schedule import training_schedule
from syncdiff.errors import UserError
from syncdiff.estimate import Gpu, estimate, measurements
from syncdiff.estimate.corpus import CorpusSize, corpus_size, encoded_frames, sampled_frames, validated_frames
from syncdiff.estimate.disk import members_of, overhead_of
from syncdiff.estimate.rows import Row
from syncdiff.media.audio import SAMPLES_PER_FRAME
from syncdiff.models.autoencoder import build_autoencoder
from syncdiff.models.cost import NetworkCosts, gflop, parameters
from syncdiff.models.critic import WithCritic
from syncdiff.models.denoiser import Denoiser
from syncdiff.models.lpips import VGG16, Lpips
from syncdiff.priors import priors_shard
from syncdiff.shards.pack import pack_shard
from syncdiff.shards.tar import clip_key, encode_npy, read_shard, to_json, write_shard
from syncdiff.speech.avhubert import AVHubertEncoder
from syncdiff.speech.checkpoint import METADATA_KEY, EncoderConfig
from syncdiff.speech.shard import speech_shard
from syncdiff.training.latents import latents_shard
from syncdiff.training.second_stage import Judges, SecondStageLoss
from syncdiff.training.windows import RUN_FRAMES
from tests.members import crop_bytes, wav_bytes

ROOT = Path(__file__).resolve().parents[1]
T = 30  # frames of each clip of the packed shard
SMALL = {"denoiser": {"channels": [32, 32]}}


def face(clip: str, size: int) -> dict:
    """What the stage `faces` writes of a clip of noise."""
    random = np.random.default_rng(len(clip))
    return {
        "__key__": clip_key(clip),
        "json": to_json({"clip": clip, "n_frames": T}),
        "crop.mp4": crop_bytes(random.integers(0, 256, (T, size, size, 3), dtype=np.uint8)),
        "landmarks.npy": encode_npy(np.zeros((T, 68, 2), np.float32)),
        "transform.npy": encode_npy(np.zeros((T, 2, 3), np.float32)),
        "audio.wav": wav_bytes(random.integers(-999, 999, T * SAMPLES_PER_FRAME).astype(np.int16)),
    }


def packed(config: Config, folder: Path) -> dict[str, Path]:
    """Run the real stages after `faces` on three clips; returns the tar of each."""
    tars = {stage: folder / f"{stage}.tar" for stage in ("faces", "priors", "speech", "shards", "latents")}
    ledger = folder / "ledger.parquet"
    write_shard(tars["faces"], [face(clip, config.faces.size) for clip in ("a", "bb", "ccc")])
    priors_shard(config, tars["faces"], tars["priors"], ledger)
    speech_shard(config, [config.speech.feature_set], tars["faces"], tars["speech"], ledger)
    pack_shard(config, tars["faces"], tars["priors"], tars["speech"], tars["shards"], ledger, folder / "stats.json")
    build_autoencoder(config.autoencoder).save_pretrained(folder / "autoencoder")
    latents_shard(config, tars["shards"], folder / "autoencoder", tars["latents"], ledger, torch.device("cpu"))
    return tars


@pytest.mark.parametrize(
    "values",
    [
        SMALL,
        SMALL
        | {
            "faces": {"size": 96},
            "priors": {"pose_size": 5},
            "speech": {"encoder": "mel"},
            "autoencoder": {"patch_size": 16, "latent_channels": 24},
        },
    ],
    ids=["default sizes", "others"],
)
def test_bytes_a_frame_are_those_of_real_shards(values: dict, tmp_path: Path) -> None:
    config = parse_config(values)
    tars = packed(config, tmp_path)
    crop = np.mean([len(sample["crop.mp4"]) for sample in read_shard(tars["faces"])]) / T
    expected = members_of(config, NetworkCosts(config), crop)
    assert set(expected) == set(tars)
    for stage, members in expected.items():
        samples = list(read_shard(tars[stage]))
        written = {name: len(data) for name, data in samples[0].items() if name not in ("__key__", "json")}
        assert set(written) == set(members), stage
        exact = {name: n for name, n in members.items() if name != "crop.mp4"}
        headers = {name: written[name] - T * n for name, n in exact.items()}
        assert all(header == (44 if name == "audio.wav" else 128) for name, header in headers.items()), headers
        size = len(samples) * (T * sum(members.values()) + overhead_of(members))
        slack = 10_240 + len(samples) * (len(members) + 1) * 256  # tar fills its last record, and each member's block
        assert abs(size - tars[stage].stat().st_size) <= slack, stage


@pytest.mark.quick
def test_clips_come_from_the_lists_where_a_root_is_named(tmp_path: Path) -> None:
    for split, n_clips in {"train": 7, "val": 1, "test": 2}.items():
        (tmp_path / "mvlrs_v1/main/1").mkdir(parents=True, exist_ok=True)
        (tmp_path / "mvlrs_v1/main/1/0.mp4").touch()
        (tmp_path / f"mvlrs_v1/{split}.txt").write_text("".join(f"1/{i}\n" for i in range(n_clips)))
    lrs2 = {"corpus": {"kind": "lrs2", "root": str(tmp_path)}}
    corpus = corpus_size(parse_config(lrs2))
    assert corpus.clips == {"pretrain": 0, "train": 7, "val": 1, "test": 2}
    assert corpus.frames == {"pretrain": 0, "train": 7 * 55, "val": 50, "test": 2 * 36}
    assert (corpus.trained, corpus.prepared, corpus.prepared_clips) == (385, 457, 9)
    validated = parse_config(lrs2 | {"validation": {"every": 500, "clips": 12}, "train": {"steps": 1200}})
    with_val = corpus_size(validated)
    assert (with_val.trained, with_val.prepared, with_val.prepared_clips) == (385, 507, 10)
    assert validated_frames(validated, with_val) == 3 * 2 * 50  # looks at steps 500, 1,000 and 1,200
    assert corpus.basis == "its lists, published mean length"


@pytest.mark.quick
def test_a_folders_clips_are_counted_and_their_length_is_a_guess(tmp_path: Path) -> None:
    for person in range(4):
        (tmp_path / f"{person}").mkdir()
        (tmp_path / f"{person}/a.mp4").touch()
    corpus = corpus_size(parse_config({"corpus": {"kind": "folder", "root": str(tmp_path), "test_fraction": 0.25}}))
    assert (sum(corpus.clips.values()), corpus.clips["test"], corpus.frames["test"]) == (4, 1, 250)
    assert (corpus.grade, corpus.basis) == ("assumed", "its lists, 10 s a clip")


@pytest.mark.quick
@pytest.mark.parametrize(("kind", "millions", "hours"), [("lrs2", 20.2, 224.1), ("lrs3", 39.5, 438.9)])
def test_published_totals_without_a_root(kind: str, millions: float, hours: float) -> None:
    corpus = corpus_size(parse_config({"corpus": {"kind": kind}}, need_root=False))
    frames = sum(corpus.frames.values())
    assert frames / 1e6 == pytest.approx(millions, rel=0.005)
    assert frames / 25 / 3600 == pytest.approx(hours, rel=0.01)  # 195 + 28 + 0.6 + 0.5; 408 + 30 + 0.9
    assert corpus.grade == "published"
    without = corpus_size(parse_config({"corpus": {"kind": kind, "pretrain": False}}, need_root=False))
    assert "pretrain" not in without.clips
    assert without.clips["test"] == corpus.clips["test"]


@pytest.mark.quick
def test_lrs3_validates_on_part_of_trainval() -> None:
    clips = corpus_size(parse_config({"corpus": {"kind": "lrs3", "val_fraction": 0.25}}, need_root=False)).clips
    assert clips["train"] + clips["val"] == 31_982
    assert clips["val"] == round(31_982 / 4)


@pytest.mark.quick
@pytest.mark.parametrize(("max_clips", "frames"), [(None, 3000), (2, 1200), (99, 3000)])
def test_generated_frames_are_of_the_clips_that_are_sampled(max_clips: int | None, frames: int) -> None:
    settings = {"plan": {"frames_per_shard": 600}, "sample": {"max_clips": max_clips}}
    corpus = CorpusSize({"test": 10}, {"test": 1000}, "", "")  # two shards, of which two clips each are four
    assert sampled_frames(parse_config(settings), corpus) == frames  # under three protocols


@pytest.mark.quick
def test_operations_are_those_counted_by_hand() -> None:
    with torch.device("meta"):
        convolution = torch.nn.Conv2d(3, 8, 3, padding=1)
        pixels, queries = torch.zeros(1, 3, 16, 16), torch.zeros(1, 2, 20, 32)
    assert gflop(lambda: convolution(pixels)) == pytest.approx(2 * 3 * 8 * 9 * 16 * 16 / 1e9)
    grouped = torch.nn.Conv1d(16, 32, 5, padding=2, groups=4, device="meta")
    signal = torch.zeros(3, 16, 20, device="meta", requires_grad=True)
    assert gflop(lambda: grouped(signal).sum().backward()) == pytest.approx(3 * 2 * 3 * 20 * 32 * 4 * 5 / 1e9)
    assert gflop(lambda: grouped(signal.detach()).sum().backward()) == pytest.approx(2 * 2 * 3 * 20 * 32 * 4 * 5 / 1e9)
    attention = gflop(lambda: F.scaled_dot_product_attention(queries, queries, queries))
    assert attention == pytest.approx(2 * (2 * 20 * 20 * 64) / 1e9)


@pytest.mark.quick
def test_a_network_on_the_meta_device_is_the_one_that_is_trained() -> None:
    config = parse_config(SMALL)
    networks = NetworkCosts(config)
    assert parameters(networks.denoiser) == parameters(Denoiser(config))
    assert parameters(networks.autoencoder) == parameters(build_autoencoder(config.autoencoder))
    assert networks.latent_shape == (64, 8, 8)
    assert 2.5 < networks.train_gflop() / networks.denoise_gflop < 3.01  # a backward pass is about two forward ones


def test_an_output_frame_costs_a_pass_a_step_and_two_with_guidance() -> None:
    def cost(**sample: float) -> float:
        return NetworkCosts(parse_config(SMALL | {"sample": sample})).frame_gflop()

    one, two, four = (cost(steps=steps, guidance=1) for steps in (1, 2, 4))
    assert four - two == pytest.approx(2 * (two - one))
    assert cost(steps=2, guidance=2) == pytest.approx(four)
    assert one > NetworkCosts(parse_config(SMALL)).denoise_gflop  # and the autoencoder's two halves


@pytest.mark.parametrize(("pose_steps", "batches"), [(1, 1), (2, 2), (9, 3), (None, 3)])
def test_steps_after_those_that_the_next_frame_waits_for_share_its_batches(
    pose_steps: int | None, batches: int
) -> None:
    sample = {"steps": 3, "pose_steps": pose_steps}
    assert NetworkCosts(parse_config(SMALL | {"sample": sample})).batches_per_frame == batches


def test_frozen_layers_are_stored_at_the_checkpoint_s_width(tmp_path: Path) -> None:
    sizes = EncoderConfig(layers=3, dim=32, heads=4, ffn_dim=64, conv_pos=16)
    weights = tmp_path / "tiny.safetensors"
    save_file(AVHubertEncoder(sizes).state_dict(), weights, {METADATA_KEY: json.dumps(asdict(sizes))})
    for n_frozen, width in ((0, 104), (2, 32)):
        config = parse_config(SMALL | {"speech": {"checkpoint": str(weights), "frozen_layers": n_frozen}})
        assert NetworkCosts(config).speech_dim == width
    [row] = [row for row in estimate(config, Gpu()) if (row.section, row.name) == ("cores", "speech")]
    assert row.grade == "assumed"


@pytest.mark.quick
def test_another_crop_size_than_the_measured_ones_is_an_assumption() -> None:
    by_size = {size: measurements.crop_bytes(parse_config({"faces": {"size": size}})) for size in (64, 96, 112, 128)}
    assert {size: grade for size, (_, grade, _) in by_size.items()} == dict.fromkeys((64, 128), "measured") | (
        dict.fromkeys((96, 112), "assumed")
    )
    assert by_size[112][0] == pytest.approx(by_size[128][0] * (112 / 128) ** 2)


def row_of(rows: list[Row], section: str, name: str) -> Row:
    [row] = [row for row in rows if (row.section, row.name) == (section, name)]
    return row


def test_gpu_hours_follow_from_operations_and_the_assumption() -> None:
    values = SMALL | {"train": {"steps": 1000, "batch_size": 4096}}
    config = parse_config(values | {"mixed_precision": "bf16"})
    rows = estimate(config, Gpu(peak_tflops=10, utilisation=0.5, price=2))
    hours = 1000 * 4096 * row_of(rows, "networks", "denoiser, training sample").value / 5e3 / 3600
    assert row_of(rows, "gpu", "train").value == pytest.approx(hours)
    gpu = [row.value for row in rows if row.section == "gpu"]
    assert gpu[-2] == pytest.approx(sum(gpu[:-2]))
    assert gpu[-1] == pytest.approx(2 * gpu[-2])
    fp32 = parse_config(values | {"mixed_precision": "no"})
    assert row_of(estimate(fp32, Gpu(10, 0.5)), "gpu", "train").value == pytest.approx(2 * hours)
    given = row_of(estimate(config, Gpu(samples_per_s=512)), "gpu", "train")
    assert (given.value, given.grade) == (pytest.approx(8000 / 3600), "measured")


def test_the_second_stage_costs_what_its_judges_and_its_sampling_do() -> None:
    """Counted where its loss is really computed: two runs of five frames, with critic and LPIPS."""
    second = {"steps": 100, "batch_size": 64, "adversarial_weight": 0.01, "perceptual_weight": 0.1, "vgg": "-"}
    config = parse_config(SMALL | {"second_stage": second, "validation": {"every": 40}, "train": {"steps": 100}})
    torch.manual_seed(0)
    model = WithCritic(Denoiser(config), True)
    autoencoder = build_autoencoder(config.autoencoder).requires_grad_(False)
    loss = SecondStageLoss(config, Judges(autoencoder, Lpips(VGG16).requires_grad_(False)))
    n, latents, width = 2 * RUN_FRAMES, (64, 8, 8), config.speech.window_frames
    batch = {name: torch.randn(n, *latents) for name in ("latents", "masked", "identity", "previous")}
    batch |= {"pose": torch.rand(n, 8, 8, 3), "valid": torch.ones(n, width, dtype=torch.bool)}
    batch["speech"] = torch.randn(n, width, NetworkCosts(config).speech_dim)

    def step() -> None:
        loss(model, batch)["loss"].backward()

    counted = gflop(step) / n
    assert NetworkCosts(config).second_stage_gflop() == pytest.approx(counted, rel=0.05)
    rows = estimate(config, Gpu(peak_tflops=10, utilisation=0.5))
    hours = 100 * 64 * RUN_FRAMES * NetworkCosts(config).second_stage_gflop() / 5e3 / 3600
    assert row_of(rows, "gpu", "train, second stage").value == pytest.approx(hours)
    assert not [row for row in estimate(parse_config(SMALL), Gpu()) if "second" in row.name]


@pytest.mark.quick
def test_a_second_stage_has_looks_and_reads_crops_of_its_own() -> None:
    one = {"validation": {"every": 40}, "train": {"steps": 100, "batch_size": 64}, "latents": {"stored": False}}
    first, both = (parse_config(one | more) for more in ({}, {"second_stage": {"steps": 100, "batch_size": 64}}))
    corpus = CorpusSize({"val": 10}, {"val": 1000}, "", "")
    assert validated_frames(both, corpus) == 2 * validated_frames(first, corpus) > 0
    for n_frames in (1000, 10_000_000):  # in memory at once, and in rounds
        trained = CorpusSize({"train": 10}, {"train": n_frames}, "", "")
        read = [encoded_frames(config, trained, NetworkCosts(first)) for config in (first, both)]
        assert read[1] == 2 * read[0] > 0


def test_an_autoencoder_without_steps_costs_no_gpu() -> None:
    rows = estimate(parse_config(SMALL | {"autoencoder": {"steps": 0}}), Gpu())
    assert not [row for row in rows if (row.section, row.name) == ("gpu", "autoencoder")]
    assert row_of(rows, "networks", "autoencoder").value > 0


def test_small_steps_take_the_time_of_their_launches() -> None:
    config = parse_config(SMALL | {"train": {"steps": 900, "batch_size": 1}})
    assert row_of(estimate(config, Gpu()), "gpu", "train").value == pytest.approx(900 * 0.04 / 3600)


def test_the_gpu_demo_has_50_m_parameters_and_trains_in_25_minutes() -> None:
    config = load_config(ROOT / "config/demo_gpu.yaml")
    networks = NetworkCosts(config)
    assert parameters(networks.denoiser) >= 50e6
    assert config.faces.size == 128
    assert networks.latent_shape == (64, 16, 16)
    assert config.mixed_precision == "auto"
    assert 60 * row_of(estimate(config, Gpu()), "gpu", "train").value <= 25


def test_the_gpu_demo_s_denoiser_takes_a_step() -> None:
    config = load_config(ROOT / "config/demo_gpu.yaml")
    latents = {name: torch.randn(1, 64, 16, 16) for name in ("latents", "masked", "identity", "previous")}
    width, r = config.speech.window_frames, config.priors.pose_size
    speech = {"speech": torch.randn(1, width, 104), "valid": torch.ones(1, width, dtype=torch.bool)}
    denoiser = Denoiser(config)
    losses = DiffusionLoss(config, training_schedule(config.diffusion))(
        denoiser, latents | speech | {"pose": torch.rand(1, r, r, 3)}
    )
    losses["loss"].backward()
    assert math.isfinite(losses["loss"].item())
    assert all(weights.grad is not None for weights in denoiser.parameters())


@pytest.mark.quick
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--utilisation", "0"], "--utilisation 0: must be a number above 0 and at most 1"),
        (["--utilisation", "1.5"], "--utilisation 1.5: must be a number above 0 and at most 1"),
        (["--gpu-samples-per-s", "nan"], "--gpu-samples-per-s nan: must be a number above 0"),
        (["--price", "-1"], "--price -1: must be a number above 0"),
        (["--config", "none.yaml"], "none.yaml: no such config file"),
        (
            ["--config", '{"corpus": {"kind": "folder"}}'],
            "corpus.root: missing; a corpus of kind folder has no",
        ),
        (["--config", '{"corpus": {"kind": "lrs2", "root": "/nowhere"}}'], "corpus.root: /nowhere: no such folder"),
        (["--config", '{"denoiser": {"channels": [60]}}'], "config: the networks cannot be built"),
        (["--config", '{"speech": {"frozen_layers": 9}}'], "frozen layers need speech.checkpoint"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["syncdiff", "estimate", *arguments])
    with pytest.raises(SystemExit, match="1"):
        main()
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.quick
def test_without_measurements_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "MEASUREMENTS", tmp_path)
    with pytest.raises(UserError, match=r"stages\.json: no measurements there"):
        measurements.crop_bytes(Config())


def test_configs_are_laid_over_each_other_and_every_figure_is_graded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = ROOT / "config/lrs2.yaml"
    configs = ["--config", str(recipe), "--config", json.dumps(SMALL)]
    printed = {}
    for option in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["syncdiff", "estimate", *configs, *option])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        printed[len(option)] = capsys.readouterr().out
    rows = json.loads(printed[1])
    assert {row["section"] for row in rows} == {"corpus", "disk", "cores", "networks", "gpu"}
    assert {row["grade"] for row in rows} == {"computed", "measured", "published", "assumed"}
    assert all(row["basis"] and row["value"] >= 0 for row in rows)
    assert rows[0]["value"] == 96_318
    size = next(row["value"] for row in rows if row["name"] == "denoiser")
    assert size == pytest.approx(parameters(Denoiser(load_config(recipe, json.dumps(SMALL), need_root=False))) / 1e6)
    lines = printed[0].splitlines()
    assert len(lines) == len(rows) + 1  # a row a line, and what is not counted
    assert all(row["grade"] in line for row, line in zip(rows, lines, strict=False))


@pytest.mark.quick
def test_where_latents_are_not_stored_training_encodes_each_frame_once_or_once_a_round() -> None:
    """All frames fit in memory at 64 pixels; of LRS2 at 128 they come in rounds."""
    small = parse_config({"latents": {"stored": False}})
    corpus = corpus_size(small)
    assert encoded_frames(small, corpus, NetworkCosts(small)) == corpus.trained
    large = load_config(ROOT / "config/lrs2.yaml", need_root=False)
    in_rounds = encoded_frames(large, corpus_size(large), NetworkCosts(large))
    assert in_rounds != corpus_size(large).trained
    draws = large.train.steps * large.train.batch_size / in_rounds  # of a frame, while it is in memory
    assert draws == pytest.approx(round(draws), rel=1e-6)
    assert draws > 1


def test_curation_costs_what_was_measured_where_there_are_thresholds() -> None:
    """A SyncNet more is trained for it; one that was not measured is scaled from another."""

    def rows(**changes: object) -> dict[str, Row]:
        config = parse_config({"corpus": {"kind": "lrs2"}, "syncnet": {"width": 1.0}} | changes, need_root=False)
        return {f"{row.section} {row.name}": row for row in estimate(config, Gpu())}

    assert not {"cores measures", "gpu sync_expert"} & rows().keys()
    own = rows(curate={"max_chance": 0.03})
    known = measurements.measured("curate")["cpu_ms_per_frame"]
    frames = sum(own[f"corpus {split}: frames"].value for split in ("pretrain", "train", "test"))
    assert own["cores measures"].value == pytest.approx(known["1 at 64 px"] * frames / 3.6e6)
    assert own["gpu sync_expert"].value == own["gpu syncnet"].value
    published = rows(curate={"max_chance": 0.03, "syncnet": "syncnet_v2.model"})
    assert "gpu sync_expert" not in published
    times = (published["cores measures"].value * 3.6e6 / frames - known["none"]) / (known["1 at 64 px"] - known["none"])
    assert times == pytest.approx((224 / 64) ** 2)
    assert published["cores measures"].grade == "assumed"
