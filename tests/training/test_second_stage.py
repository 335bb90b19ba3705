"""The second stage, in pixels: what it needs, what each judge reaches, and that it can be stopped and resumed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from syncdiff.cli import app
from syncdiff.config import parse_config
from syncdiff.device import CPU
from syncdiff.diffusion.schedule import scheduler
from syncdiff.errors import UserError
from syncdiff.models.autoencoder import load_autoencoder
from syncdiff.models.critic import Critic, WithCritic, mouth_window
from syncdiff.models.denoiser import Denoiser, load_denoiser
from syncdiff.models.lpips import VGG16, Lpips
from syncdiff.synthesis.export import card
from syncdiff.training.denoiser import train_denoiser
from syncdiff.training.loop import Trainer
from syncdiff.training.second_stage import Judges, SecondStageLoss
from syncdiff.training.source import Source
from syncdiff.training.validation import Val
from syncdiff.training.windows import RUN_FRAMES, Windows
from tests.training.noise import CONFIG, write_autoencoder, write_noise, write_sync

pytestmark = pytest.mark.quick
ALL = {
    "steps": 4,
    "batch_size": 2,
    "warmup_steps": 1,
    "checkpoint_every": 1,
    **dict.fromkeys(("adversarial_weight", "feature_weight", "temporal_weight", "sync_weight"), 0.1),
}


def with_stage(**keys: object) -> str:
    return json.dumps(json.loads(CONFIG) | {"second_stage": keys})


def train(folder: Path, config: str, options: Sequence[str] = ()) -> None:
    write_noise(folder / "latents.tar", folder / "speech.tar")
    shards = ["--latents", str(folder / "latents.tar"), "--speech", str(folder / "speech.tar")]
    networks = ["--autoencoder", str(write_autoencoder(folder / "autoencoder")), *options]
    command = ["train", str(folder / "run"), *shards, *networks, "--config", config, "--device", "cpu"]
    done = CliRunner().invoke(app, command)
    if done.exception:
        raise done.exception


def test_every_judge_is_in_its_curve_and_the_syncnet_may_not_score(tmp_path: Path) -> None:
    train(tmp_path, with_stage(**ALL), write_sync(tmp_path))
    judged = {"latents", "adversarial", "features", "critic", "temporal", "sync"}
    curve = pd.read_csv(tmp_path / "run/second_stage/loss.csv")
    assert {"loss"} | {f"loss_{name}" for name in judged} == set(curve.columns) - {"step", "learning_rate"}
    assert pd.read_csv(tmp_path / "run/loss.csv")["step"].tolist() == [10, 12]
    assert not [name for name in load_file(tmp_path / "run/denoiser.safetensors") if "critic" in name]
    renamed = tmp_path / "another-name.safetensors"
    renamed.write_bytes((tmp_path / "expert.safetensors").read_bytes())
    command = ["evaluate", "syncdiff", str(renamed), str(tmp_path / "scores.parquet")]
    done = CliRunner().invoke(app, [*command, "--shards", "none.tar", "--videos", str(tmp_path / "run/videos")])
    assert isinstance(done.exception, UserError)
    assert "was trained with this SyncNet; score it by another one" in str(done.exception)


def test_stopped_and_resumed_it_ends_in_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.step

    def interrupted(trainer: Trainer, *rest: object) -> None:
        if trainer.run.label == "second_stage" and trainer.done == 2:
            raise KeyboardInterrupt
        step(trainer, *rest)  # type: ignore[arg-type]

    config, options = with_stage(**ALL), write_sync(tmp_path)
    train(tmp_path, config, options)
    whole = load_file(tmp_path / "run/denoiser.safetensors")
    (tmp_path / "run").rename(tmp_path / "before")
    monkeypatch.setattr(Trainer, "step", interrupted)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(tmp_path, config, options)
    monkeypatch.setattr(Trainer, "step", step)
    train(tmp_path, config, options)
    resumed = load_file(tmp_path / "run/denoiser.safetensors")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_another_second_stage_goes_on_from_the_same_first_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path, with_stage(steps=2, batch_size=2))
    caplog.set_level("INFO")
    train(tmp_path, with_stage(steps=3, batch_size=2, temporal_weight=1.0))
    assert "train: resumed at step 12" in caplog.text
    assert pd.read_csv(tmp_path / "run/second_stage/loss.csv")["step"].tolist() == [3]
    train(tmp_path, CONFIG)
    assert not (tmp_path / "run/second_stage/loss.csv").exists()  # the report would show it


def test_what_only_the_second_stage_reads_does_not_train_the_first_one_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Sound, the sync expert, and VGG16 with its weights."""
    train(tmp_path, CONFIG)
    caplog.set_level("INFO")
    options = write_sync(tmp_path)
    weights = {f"features.{name}": value for name, value in Lpips(VGG16).features.state_dict().items()}
    torch.save(weights, tmp_path / "vgg.pth")
    train(tmp_path, with_stage(**ALL, perceptual_weight=0.1, vgg=str(tmp_path / "vgg.pth")), options)
    assert "train: resumed at step 12" in caplog.text
    assert "loss_perceptual" in pd.read_csv(tmp_path / "run/second_stage/loss.csv").columns


@pytest.mark.parametrize("lacking", ["--mfcc", "--expert"])
def test_what_the_sync_loss_needs_must_be_there(tmp_path: Path, lacking: str) -> None:
    options = write_sync(tmp_path)
    place = options.index(lacking)
    with pytest.raises(UserError, match="above 0 it needs --mfcc and --expert"):
        train(tmp_path, with_stage(**ALL), options[:place] + options[place + 2 :])
    assert not (tmp_path / "run/loss.csv").exists()  # it is said before hours of training


def test_what_is_not_needed_must_not_be_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at 0, none of them"):
        train(tmp_path, CONFIG, write_sync(tmp_path))


def test_lpips_without_weights_is_refused_with_what_needs_none() -> None:
    with pytest.raises(UserError, match=r"needs second_stage.vgg .*feature_weight, by the critic, needs no weights"):
        parse_config({"second_stage": {"steps": 1, "perceptual_weight": 0.1}})


def test_training_begins_with_a_given_model(tmp_path: Path) -> None:
    train(tmp_path, CONFIG)
    begun = load_file(tmp_path / "run/denoiser.safetensors")
    (tmp_path / "run").rename(tmp_path / "first")
    values = json.loads(CONFIG)
    values["train"] |= {"init": str(tmp_path / "first"), "steps": 0}
    train(tmp_path, json.dumps(values))
    ended = load_file(tmp_path / "run/denoiser.safetensors")
    assert all(torch.equal(value, ended[name]) for name, value in begun.items())
    assert not (tmp_path / "run/speech").exists()  # its speech encoder is no beginner
    values["denoiser"] = {"channels": [32, 64]}
    with pytest.raises(UserError, match="not a denoiser of this config"):
        train(tmp_path, json.dumps(values))


@pytest.mark.parametrize("stages", [1, 2])
def test_validation_tells_of_the_stage_that_the_weights_come_out_of(tmp_path: Path, stages: int) -> None:
    write_noise(tmp_path / "latents.tar", tmp_path / "speech.tar")
    values = json.loads(with_stage(steps=4, batch_size=2) if stages == 2 else CONFIG)
    config = parse_config(values | {"validation": {"every": 2}})
    seen: list[float] = []

    def scores(denoiser: Denoiser) -> dict[str, float]:
        seen.append(float(next(denoiser.unet.parameters()).sum()))
        return {"mouth_corr": len(seen) % 3}  # the second look of each stage is the best

    pair = (tmp_path / "latents.tar", tmp_path / "speech.tar")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("syncdiff.training.denoiser._lip_losses", lambda *_: lambda denoiser: {"loss_val": 0.0})
        autoencoder = write_autoencoder(tmp_path / "autoencoder")
        val = Val([pair], scores, tmp_path / "latents.tar")
        train_denoiser(config, [pair], autoencoder, tmp_path / "run", CPU, val=val)
    rows = pd.read_csv(tmp_path / "run/validation.csv")
    assert rows["step"].tolist() == ([2, 4] if stages == 2 else [2, 4, 6, 8, 10, 12])
    kept = rows.index[rows["kept"] == 1].item() + (6 if stages == 2 else 0)
    denoiser = load_denoiser(config, tmp_path / "run/denoiser.safetensors", CPU)
    assert float(next(denoiser.unet.parameters()).sum()) == pytest.approx(seen[kept])
    said = " ".join(card(tmp_path / "run", config).split())
    batches = "batches of 8, then 4 in pixels with batches of 2 runs of frames" if stages == 2 else "batches of 8"
    assert f"12 steps of training with {batches}, of which the weights after step {rows['step'][kept % 6]}" in said


def test_validation_of_a_training_without_steps_is_refused() -> None:
    with pytest.raises(UserError, match=r"validation\.every: train\.steps and second_stage\.steps are 0"):
        parse_config({"train": {"steps": 0, "init": "somewhere"}, "validation": {"every": 5}})


@pytest.fixture
def stage(tmp_path: Path) -> tuple[SecondStageLoss, WithCritic[Denoiser], dict[str, torch.Tensor]]:
    """The loss with a critic and LPIPS by random weights, the model, and a batch of two runs."""
    write_noise(tmp_path / "latents.tar", tmp_path / "speech.tar")
    torch.save(Lpips(VGG16).state_dict(), tmp_path / "vgg.pth")
    keys = {"steps": 1, "adversarial_weight": 1.0, "perceptual_weight": 1.0, "vgg": str(tmp_path / "vgg.pth")}
    config = parse_config(json.loads(with_stage(**keys)))
    torch.manual_seed(0)
    judges = Judges(load_autoencoder(write_autoencoder(tmp_path / "autoencoder"), CPU), Lpips(VGG16).eval())
    source = Source([(tmp_path / "latents.tar", tmp_path / "speech.tar")], "fbank")
    batch = next(Windows(source, config.speech.window_frames, 2, 0, in_runs=True).batches())
    return SecondStageLoss(config, judges), WithCritic(Denoiser(config), wanted=True), batch


def test_each_loss_reaches_the_network_that_it_is_for(stage) -> None:  # type: ignore[no-untyped-def]
    loss, model, batch = stage
    for name, own, other in (("adversarial", model.network, model.critic), ("critic", model.critic, model.network)):
        model.zero_grad()
        loss(model, batch)[f"loss_{name}"].backward()
        assert any(bool(weights.grad.any()) for weights in own.parameters() if weights.grad is not None)
        assert not any(bool(weights.grad.any()) for weights in other.parameters() if weights.grad is not None)


def test_frames_without_speech_need_not_be_in_sync(stage) -> None:  # type: ignore[no-untyped-def]
    loss, model, batch = stage
    seen = []

    class Sync:
        def __call__(self, pixels: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            seen.append(pixels)
            return torch.tensor([3.0, 5.0])

    for dropout, expected in ((0.0, 4.0), (1.0, 0.0)):
        values = loss.config.model_dump(mode="json")
        config = parse_config(values | {"denoiser": values["denoiser"] | {"speech_dropout": dropout}})
        judges = replace(loss.judges, sync=Sync())
        losses = SecondStageLoss(config, judges)(model, batch | {"mfcc": torch.zeros(2), "mfcc_valid": torch.zeros(2)})
        assert float(losses["loss_sync"].detach()) == expected
    assert seen[0].shape == (2 * RUN_FRAMES, 3, 64, 64)
    assert seen[0].requires_grad  # it can teach


def test_a_steady_error_does_not_flicker_and_a_changing_one_does(stage) -> None:  # type: ignore[no-untyped-def]
    loss, model, batch = stage
    values = loss.config.model_dump(mode="json")
    config = parse_config(values | {"second_stage": values["second_stage"] | {"temporal_weight": 1.0}})
    judge = SecondStageLoss(config, loss.judges)
    real = torch.zeros(2 * RUN_FRAMES, 3, 64, 64)
    step = torch.arange(2 * RUN_FRAMES).view(-1, 1, 1, 1) % RUN_FRAMES * judge.mask
    for error, expected in ((judge.mask.expand_as(real), 0.0), (step.expand_as(real), 1.0)):
        losses = judge._judged(model, batch, real + error, real, torch.ones(2 * RUN_FRAMES))
        assert float(losses["temporal"].detach()) == pytest.approx(expected, abs=1e-5)


def test_what_is_seen_outside_of_the_mask_is_the_real_picture(stage) -> None:  # type: ignore[no-untyped-def]
    loss, model, batch = stage
    seen = []
    loss.judges = replace(loss.judges, lpips=lambda *pictures: seen.append(pictures) or torch.zeros(1))
    loss(model, batch)
    made, real = seen[0]
    outside = (loss.mask[loss.window[1:]] == 0).expand_as(made)
    assert outside.any() and torch.equal(made[outside], real[outside])
    assert not torch.allclose(made, real)


def test_it_samples_as_synthesis_does(stage) -> None:  # type: ignore[no-untyped-def]
    """Noise shared by a run goes through the sampler's steps; the estimate after the last one is the frame."""
    loss, _, batch = stage
    seen = []

    class Perfect(Denoiser):
        def denoise(self, noisy, timesteps, condition, context):  # type: ignore[no-untyped-def]
            seen.append((noisy, timesteps))
            return batch["latents"] if len(seen) > 1 else batch["latents"] + 1

    model = WithCritic(Perfect(loss.config), wanted=True)
    losses = loss(model, batch)
    expected = scheduler(loss.config.diffusion, loss.config.sample).timesteps.tolist()
    assert [int(times[0]) for _, times in seen] == expected
    first = seen[0][0].unflatten(0, (-1, RUN_FRAMES))
    assert torch.equal(first, first[:, :1].expand_as(first))
    assert float(losses["loss_latents"]) == pytest.approx(0.5)  # 1 after the first step, 0 after the second
    assert float(losses["loss_perceptual"]) == pytest.approx(0, abs=1e-5)


def test_a_critic_learns_what_blur_is() -> None:
    torch.manual_seed(0)
    model = WithCritic(torch.nn.Identity(), wanted=True)
    optimizer = torch.optim.Adam(model.critic.parameters(), 2e-3)
    random = torch.Generator().manual_seed(0)
    for _ in range(60):
        sharp = torch.rand(8, 3, 32, 56, generator=random) * 2 - 1
        blurred = torch.nn.functional.avg_pool2d(sharp, 3, 1, 1)
        losses = model.criticise(blurred, sharp)
        losses["critic"].backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        scores = [float(model.critic(pictures)[-1].mean()) for pictures in (sharp, blurred)]
    assert scores[0] > scores[1] + 1
    assert float(losses["critic"]) < 1  # 2 where it cannot tell
    assert float(model.criticise(sharp, sharp)["features"]) == 0


def test_a_critic_scores_patches() -> None:
    torch.manual_seed(0)
    critic = Critic().eval()
    pictures = torch.zeros(1, 3, 64, 64)
    moved = pictures.clone()
    moved[..., :8, :8] = 1
    changed = (critic(pictures)[-1] != critic(moved)[-1])[0, 0]
    assert changed.shape == (8, 8)
    assert changed[0, 0] and not changed[3:].any() and not changed[:, 3:].any()


@pytest.mark.parametrize("size", [64, 128])
def test_the_mouth_window_holds_the_whole_mask_and_no_eyes(size: int) -> None:
    rows, columns = mouth_window(size)
    assert rows.start > size * 0.5 and rows.stop <= size
    assert 0 < columns.start < size * 0.15 and size * 0.85 < columns.stop < size
