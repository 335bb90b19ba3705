"""Devices, precisions and checkpoints: what is asked for is there or named, and what was trained is not lost."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from syncdiff.cli import app
from syncdiff.config import Config, Faces, parse_config
from syncdiff.device import autocast, choose_device, full_fp32, use_bf16
from syncdiff.errors import UserError
from syncdiff.evaluation.metrics.lse import embed_lips
from syncdiff.faces import fan
from syncdiff.models.autoencoder import weights_in
from syncdiff.models.denoiser import Denoiser, load_denoiser, save_denoiser
from syncdiff.models.pretrained import files_of
from syncdiff.models.syncnet import SyncNet, for_inference
from syncdiff.pipeline.files import atomic
from syncdiff.pipeline.provenance import provenance, verify
from syncdiff.pipeline.stages import STAGES, Stage
from syncdiff.speech.avhubert import AVHubertEncoder, convert
from syncdiff.speech.checkpoint import EncoderConfig
from syncdiff.speech.hidden_states import hidden_states
from syncdiff.training import checkpoints
from syncdiff.training.denoiser import train_denoiser
from syncdiff.training.loop import Run, Trainer, fit
from syncdiff.weights.files import read_safetensors, write_safetensors
from tests.standin import cuda_says, stand_in_card
from tests.training.noise import CONFIG, write_autoencoder, write_noise
from tests.training.tiny import tiny_batches, tiny_loss, tiny_model, tiny_run

CPU = torch.device("cpu")
SMALL = json.loads(CONFIG)

# ---- which device ---------------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize(
    ("wanted", "found"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_a_device_that_is_there_is_found(wanted: str, found: str) -> None:
    with stand_in_card(cards=2):
        assert str(choose_device(wanted)) == found


@pytest.mark.quick
@pytest.mark.parametrize("wanted", ["gpu", "mps", "cuda:", "cuda:-1", "CUDA", "cuda 0", "", "cpu:0"])
def test_a_word_that_is_no_device_is_one_line(wanted: str) -> None:
    with pytest.raises(UserError, match=r"^device: .* is none that is known here; say auto, cpu, cuda or cuda:N"):
        choose_device(wanted)


@pytest.mark.quick
def test_a_gpu_that_is_not_there_is_one_line() -> None:
    with cuda_says(0):
        assert choose_device("auto") == CPU
        for wanted in ("cuda", "cuda:9"):
            with pytest.raises(UserError, match=f"device: {wanted}: torch finds no CUDA GPU on this machine"):
                choose_device(wanted)
    with stand_in_card(cards=2), pytest.raises(UserError, match="cuda:9: this machine has cuda:0 to cuda:1"):
        choose_device("cuda:9")


@pytest.mark.quick
def test_a_card_that_does_not_compute_is_one_line() -> None:
    """Torch says that it is there; nothing runs on it."""
    with (
        cuda_says(1),
        pytest.raises(UserError, match=r"^device: cuda:0 cannot be used \(.*\); say another one, or cpu$"),
    ):
        choose_device("auto")


@pytest.mark.quick
def test_processes_have_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with stand_in_card(cards=2):
        assert str(choose_device("cuda")) == str(choose_device("auto")) == "cuda:1"
        with pytest.raises(UserError, match="cuda:0 is one GPU for 2 processes"):
            choose_device("cuda:0")
    with stand_in_card(cards=1), pytest.raises(UserError, match=r"2 processes and 1 CUDA GPUs .* train.processes to 1"):
        choose_device("auto")


# What each command hands the device to: the place of the name, and what the command line needs.
COMMANDS: dict[str, tuple[str, list[str]]] = {
    "faces": ("syncdiff.faces.shard.faces_shard", ["p", "test", "00000", "o", "l"]),
    "speech": ("syncdiff.speech.shard.speech_shard", ["fbank", "f", "o", "l"]),
    "autoencoder": ("syncdiff.training.autoencoder.train_autoencoder", ["f", "s.tar"]),
    "latents": ("syncdiff.training.latents.latents_shard", ["s", "a", "o", "l"]),
    "syncnet": ("syncdiff.training.syncnet.train_syncnet", ["f", "s.tar"]),
    "train": (
        "syncdiff.training.denoiser.train_denoiser",
        ["f", "--latents", "l.tar", "--speech", "s.tar", "--autoencoder", "a"],
    ),
    "sample": (
        "syncdiff.synthesis.sample.sample_experiment",
        ["s", "v", "l", "--denoiser", "d", "--autoencoder", "a"],
    ),
    "baseline": ("syncdiff.synthesis.sample.sample_baseline", ["frozen", "s", "v", "l", "--autoencoder", "a"]),
    "evaluate": ("syncdiff.evaluation.score.score_method", ["real", "n", "o", "--shards", "s.tar"]),
    "features": ("syncdiff.speech.extract.extract_features", ["a", "o"]),
    "score": ("syncdiff.evaluation.metrics.lse.score_videos", ["v", "--syncnet", "n"]),
    "fidelity": ("syncdiff.evaluation.metrics.fidelity.fidelity", ["a", "b"]),
    "dub": ("syncdiff.dubbing.lip_sync.load_networks", ["v", "s", "o.mp4", "--model", "m"]),
}
WITHOUT_CONFIG = ("features", "fidelity")


class Reached(Exception):
    """The command has called what it is for."""


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Run a command up to the stage's function and return the device that this was given."""
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "m"
    for file in files_of(model):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")

    def run(command: str, *options: str) -> str:
        target, arguments = COMMANDS[command]

        def stage(*given: object, **more: object) -> None:
            words = [str(value) for value in (*given, *more.values())]
            raise Reached([word for word in words if word in ("cpu", "auto") or word.startswith("cuda")][-1])

        monkeypatch.setattr(target, stage)
        with stand_in_card(cards=2):
            done = CliRunner().invoke(app, [command, *arguments, *options])
        if isinstance(done.exception, Reached):
            return str(done.exception)
        assert done.exception, done.output
        raise done.exception

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_computes_hands_its_device_over(command: str, handed_over: Callable[..., str]) -> None:
    assert handed_over(command, "--device", "cuda:1") == "cuda:1"
    assert handed_over(command, "--device", "cpu") == "cpu"
    with pytest.raises(UserError, match=r"^device: 'gpu' is none that is known here"):
        handed_over(command, "--device", "gpu")
    if command not in WITHOUT_CONFIG:
        assert handed_over(command, "--config", '{"device": "cpu"}') == "cpu"
        assert handed_over(command, "--config", '{"device": "cpu"}', "--device", "cuda:1") == "cuda:1"


@pytest.mark.quick
def test_the_workflows_device_reaches_a_command(
    handed_over: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCDIFF_DEVICE", "cuda:1")
    assert handed_over("speech") == "cuda:1"


@pytest.mark.quick
def test_face_alignment_is_opened_on_the_device_and_mediapipe_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(fan, "FaceAlignment", lambda *_, device, **__: opened.append(device))
    with stand_in_card(cards=2):
        for wanted in ("auto", "cuda", "cuda:1", "cpu"):
            fan.FanLandmarker(Faces(), wanted)
    assert opened == ["cuda:0", "cuda:0", "cuda:1", "cpu"]
    with cuda_says(0), pytest.raises(UserError, match="device: cuda: torch finds no CUDA GPU"):
        fan.FanLandmarker(Faces(), "cuda")


# ---- in which precision ---------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_a_card_that_only_imitates_bf16_computes_in_fp32_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    card = torch.device("cuda", 0)
    with cuda_says(1, bf16=False):
        assert not use_bf16("auto", card)
        assert not use_bf16("auto", card)
        assert use_bf16("bf16", card)
    assert caplog.text.count("a stand-in has no units for bf16: mixed_precision auto is fp32 here") == 1
    with cuda_says(1):
        assert use_bf16("auto", card)


def _tf32() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.quick
def test_features_scores_and_fp32_are_not_rounded_to_tf32() -> None:
    """Whatever the process allows otherwise, and that again afterwards."""
    seen: list[tuple[bool, bool]] = []
    encoder = AVHubertEncoder(EncoderConfig(layers=1, dim=32, heads=4, ffn_dim=64, conv_pos=16)).eval()
    encoder.register_forward_hook(lambda *_: seen.append(_tf32()))
    net = for_inference(SyncNet(0.125, 64))
    net.netcnnlip.register_forward_hook(lambda *_: seen.append(_tf32()))
    allowed, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, True
    try:
        hidden_states(encoder, [np.zeros((3, 104), np.float32)], None)
        embed_lips([np.zeros((64, 64, 3), np.uint8)] * 6, net)
        with autocast("no", CPU):
            seen.append(_tf32())
        with full_fp32():
            seen.append(_tf32())
        assert seen == [(False, False)] * 4
        assert _tf32() == (True, True)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


# ---- checkpoints ----------------------------------------------------------------------------------------------------


def _same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def _stop(run: Run, at: int) -> None:
    """Train until SIGTERM comes in step `at`."""

    def ended(model: nn.Linear, batch: Tensor) -> dict[str, Tensor]:
        if next(steps) == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return tiny_loss(model, batch)

    steps = count(1)
    with suppress(SystemExit):
        fit(tiny_model(), ended, tiny_batches, run)


@pytest.mark.quick
def test_a_checkpoint_of_another_config_is_set_aside_and_going_back_resumes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    whole = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path / "whole"))
    one, other = (tiny_run(tmp_path / "run", name) for name in "ab")
    _stop(one, 14)
    _stop(other, 5)
    assert "is of another config or other data; starting afresh (another config" in caplog.text
    caplog.clear()
    resumed = fit(tiny_model(), tiny_loss, tiny_batches, one)
    log = caplog.text
    assert "resumed at step 14" in log
    assert "starting afresh" not in log
    assert _same(whole, resumed)
    assert Trainer(tiny_model(), other).done == 5


@pytest.mark.quick
def test_the_last_two_are_kept_and_a_damaged_one_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    whole = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path))
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["resume.previous.pt", "resume.pt"]
    newest = tmp_path / "resume.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    resumed = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path))
    log = caplog.text
    assert "resume.pt is damaged" in log
    assert "resumed at step 20" in log
    assert _same(whole, resumed)
    assert (tmp_path / "resume.damaged.pt").exists()


@pytest.mark.quick
def test_a_run_killed_between_its_two_renames_goes_on(tmp_path: Path) -> None:
    fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path))
    (tmp_path / "resume.pt").unlink()
    assert Trainer(tiny_model(), tiny_run(tmp_path)).done == 20


@pytest.mark.quick
def test_no_more_than_three_are_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for name in "abcdef":
        _stop(tiny_run(tmp_path, name), 2)
    assert len(list(tmp_path.glob(checkpoints.ASIDE))) == checkpoints.KEPT_ASIDE == 3
    assert "is deleted: 3 newer ones are set aside there" in caplog.text


@pytest.mark.quick
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(tmp_path: Path, bad: float) -> None:
    whole = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path / "whole"))
    steps = count(1)

    def diverging(model: nn.Linear, batch: Tensor) -> dict[str, Tensor]:
        losses = tiny_loss(model, batch)
        return {"loss": losses["loss"] * bad, "loss_x": losses["loss"]} if next(steps) == 17 else losses

    with pytest.raises(UserError) as ended:
        fit(tiny_model(), diverging, tiny_batches, tiny_run(tmp_path / "run"))
    told = str(ended.value)
    assert told.startswith("train: in step 17, loss and the gradient's norm was not a finite number")
    assert "resume.pt is of step 10" in told
    assert "lower train.learning_rate or set mixed_precision: no" in told
    assert "\n" not in told
    resumed = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path / "run"))
    assert _same(whole, resumed)


@pytest.mark.quick
def test_a_gradient_that_is_no_number_ends_the_run_too_and_sigterm_does_not_save_it(tmp_path: Path) -> None:
    def steep(model: nn.Linear, batch: Tensor) -> dict[str, Tensor]:
        os.kill(os.getpid(), signal.SIGTERM)
        return {"loss": (0 * model(batch)).sum().sqrt()}  # finite, with a slope of infinity times nothing

    with pytest.raises(UserError, match=r"in step 1, the gradient's norm was .* there is none"):
        fit(tiny_model(), steep, tiny_batches, tiny_run(tmp_path))
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.quick
def test_too_little_memory_names_the_key(tmp_path: Path) -> None:
    def hungry(*_: object) -> dict[str, Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(UserError, match=r"too little memory for a step of train.batch_size 4 .* lower it"):
        fit(tiny_model(), hungry, tiny_batches, tiny_run(tmp_path))


@pytest.mark.quick
def test_stopped_at_ten_random_steps_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = fit(tiny_model(), tiny_loss, tiny_batches, tiny_run(tmp_path / "whole", steps=60))
    run = tiny_run(tmp_path / "run", steps=60)
    for seed in range(10):
        _stop(run, random.Random(seed).randint(1, 5))
    assert 10 <= Trainer(tiny_model(), run).done < 60
    assert _same(whole, fit(tiny_model(), tiny_loss, tiny_batches, run))
    assert (tmp_path / "whole/loss.csv").read_text() == (tmp_path / "run/loss.csv").read_text()


TWO = """
import sys, torch
from pathlib import Path
from accelerate import PartialState
from syncdiff.pipeline.logs import log_to_stderr
from tests.training import tiny
from tests.world import test_devices as t

log_to_stderr()

def batches(done):
    state = PartialState(cpu=True)
    return (batch[state.process_index :: 2] for batch in tiny.tiny_batches(done))

trainer = t.Trainer(tiny.tiny_model(), tiny.tiny_run(Path(sys.argv[1]), steps=40))
for batch, _ in zip(batches(trainer.done), range(14)):
    trainer.step(t._mean_loss, batch)
trainer.save()
trainer.accelerator.end_training()
"""


def _mean_loss(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    """Without noise of its own, whose share would depend on the process."""
    return {"loss": (model(batch).squeeze(1) - batch.sum(dim=1)).square().mean()}


@pytest.mark.slow
def test_one_process_and_two_take_turns(tmp_path: Path) -> None:
    """Gradients are added up in another order: to rounding, it is the run of one process."""
    whole = fit(tiny_model(), _mean_loss, tiny_batches, tiny_run(tmp_path / "whole", steps=40))
    run = tiny_run(tmp_path / "run", steps=40)
    trainer = Trainer(tiny_model(), run)
    for batch, _ in zip(tiny_batches(0), range(13), strict=False):
        trainer.step(_mean_loss, batch)
    trainer.save()
    (tmp_path / "two.py").write_text(TWO)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, str(tmp_path / "two.py"), str(run.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr[-3000:]
    assert "resumed at step 13" in done.stderr
    again = fit(tiny_model(), _mean_loss, tiny_batches, run)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


# ---- what a run is --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of noise, an autoencoder, and a run trained on them."""
    folder = tmp_path_factory.mktemp("noise")
    write_noise(folder / "latents.tar", folder / "speech.tar")
    write_autoencoder(folder / "autoencoder")
    _train(folder, folder / "run")
    return folder


def _train(folder: Path, out: Path, **changes: object) -> None:
    values = SMALL | {"pretraining": {"steps": 0}, "train": SMALL["train"] | {"steps": 4} | changes}
    train_denoiser(
        parse_config(values), [(folder / "latents.tar", folder / "speech.tar")], folder / "autoencoder", out, CPU
    )


@pytest.fixture
def run(noise: Path, tmp_path: Path) -> Path:
    """A copy of the run that may be spoiled."""
    return Path(shutil.copytree(noise / "run", tmp_path / "run"))


def test_a_raised_version_trains_anew_and_loses_nothing(
    noise: Path, run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    weights = (run / "denoiser.safetensors").read_bytes()
    (run / "denoiser.safetensors").unlink()  # as Snakemake does before it runs a rule again
    stage = STAGES["train"]
    monkeypatch.setitem(STAGES, "train", Stage(stage.version + 1, stage.keys))
    _train(noise, run)
    log = caplog.text
    assert f"starting afresh (version {stage.version} of the stage, this is {stage.version + 1}; it is kept as" in log
    assert "resumed" not in log
    assert (run / "denoiser.safetensors").read_bytes() == weights
    assert len(list(run.glob(checkpoints.ASIDE))) == 1


@pytest.mark.parametrize(
    "changes", [{}, {"checkpoint_every": 3}, {"processes": 2}, {"nodes": 2}], ids=lambda changes: str(list(changes))
)
def test_what_changes_no_weights_resumes(
    noise: Path, run: Path, changes: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """The first of them is `--forcerun`: the weights are written again, the same."""
    caplog.set_level("INFO")
    weights = (run / "denoiser.safetensors").read_bytes()
    (run / "denoiser.safetensors").unlink()
    _train(noise, run, **changes)
    assert "resumed at step 4" in caplog.text
    assert (run / "denoiser.safetensors").read_bytes() == weights


def test_more_steps_are_another_run_and_it_says_why(noise: Path, run: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    _train(noise, run, steps=5)
    log = caplog.text
    assert "train.steps was 4 and is 5: the learning rate falls over all of its steps" in log
    assert "starting afresh" in log


@pytest.mark.quick
def test_an_autoencoder_made_again_with_the_same_bytes_is_the_same_input(tmp_path: Path) -> None:
    """Its provenance, which stands beside the weights and says when, is not read; its scale is."""
    folder = write_autoencoder(tmp_path / "autoencoder")
    (tmp_path / "latents.tar").write_bytes(b"")
    prints = []
    for seconds in range(2):
        outputs = [folder / "diffusion_pytorch_model.safetensors", folder / "config.json"]
        with provenance("autoencoder", "{}", [], outputs):
            pass
        record = Path(f"{outputs[0]}.provenance.json")
        record.write_text(record.read_text().replace('"started": "', f'"started": "{seconds}'))
        prints.append(checkpoints.fingerprint("train", Config(), weights_in(folder)))
        if not seconds:
            with provenance("latents", "{}", weights_in(folder), [tmp_path / "latents.tar"]):
                pass
    assert prints[0] == prints[1]
    assert verify(tmp_path).faults == []
    assert [path.name for path in weights_in(folder)] == ["diffusion_pytorch_model.safetensors", "config.json"]
    (folder / "config.json").write_text((folder / "config.json").read_text().replace("1.0", "2.0"))
    assert checkpoints.fingerprint("train", Config(), weights_in(folder)) != prints[0]


@pytest.mark.quick
@pytest.mark.parametrize("stage", ["autoencoder", "syncnet", "train"])
def test_each_trained_stage_knows_its_version_config_and_files(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tar").write_bytes(b"a")
    (tmp_path / "b.tar").write_bytes(b"a")
    section = {"learning_rate": 0.5}

    def of(config: dict[str, object] | None = None, file: str = "a.tar") -> str:
        return checkpoints.fingerprint(stage, parse_config(config or {}), [tmp_path / file])

    first = of()
    assert of(file="b.tar") == first  # another name
    assert of({stage: {"checkpoint_every": 7}, "device": "cpu", "results": "elsewhere"}) == first
    assert of({stage: section}) != first
    assert of({"seed": 1}) != first
    assert of({"mixed_precision": "no"}) != first
    (tmp_path / "a.tar").write_bytes(b"other")
    assert of() != first
    monkeypatch.setitem(STAGES, stage, replace(STAGES[stage], version=99))
    assert of(file="b.tar") != first


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_two_writers_of_one_safetensors_file_are_kept_apart(tmp_path: Path) -> None:
    """What writes into the locked file must not put another one in its place."""
    path = tmp_path / "a.safetensors"
    replaced = Path.replace

    def in_between(self: Path, target: Path) -> Path:
        with pytest.raises(UserError, match="another process is writing it"), atomic(path):
            pass
        return replaced(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", in_between)
        write_safetensors(path, {"x": torch.ones(3, 2).T}, {"a": "b"})
    tensors, metadata = read_safetensors(path)
    assert torch.equal(tensors["x"], torch.ones(2, 3))
    assert metadata == {"a": "b"}


@pytest.mark.quick
@pytest.mark.parametrize("frozen_layers", [0, 1])
def test_a_denoiser_is_read_without_the_checkpoint_that_it_began_with(tmp_path: Path, frozen_layers: int) -> None:
    torch.manual_seed(0)
    whole = AVHubertEncoder(EncoderConfig(layers=2, dim=32, heads=4, ffn_dim=64, conv_pos=16))
    write_safetensors(tmp_path / "raw.safetensors", whole.state_dict(), {"avhubert": json.dumps(vars(whole.config))})
    convert(tmp_path / "raw.safetensors", tmp_path / "speech.safetensors")
    speech = {"checkpoint": str(tmp_path / "speech.safetensors"), "frozen_layers": frozen_layers}
    config = parse_config(SMALL | {"speech": speech})
    denoiser = Denoiser(config)
    save_denoiser(denoiser, tmp_path / "denoiser.safetensors")
    (tmp_path / "speech.safetensors").unlink()
    loaded = load_denoiser(config, tmp_path / "denoiser.safetensors", CPU)
    states = denoiser.state_dict()
    assert all(torch.equal(states[name], value) for name, value in loaded.state_dict().items())
