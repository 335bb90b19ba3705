"""Train the denoiser, its bottleneck and the speech layers above N, from latent shards."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

import torch
from accelerate import PartialState
from torch import Tensor, nn

from syncdiff.config import Config, SecondStage
from syncdiff.device import CPU
from syncdiff.diffusion.loss import DiffusionLoss
from syncdiff.diffusion.schedule import training_schedule
from syncdiff.diffusion.ssim import SSIMLoss
from syncdiff.diffusion.sync_loss import SyncLoss
from syncdiff.errors import UserError
from syncdiff.models.autoencoder import linear_part, load_autoencoder, weights_in
from syncdiff.models.critic import WithCritic
from syncdiff.models.denoiser import Denoiser, load_denoiser
from syncdiff.models.lpips import VGG16, read_lpips
from syncdiff.models.pretrained import DENOISER, save_pretrained
from syncdiff.models.speech_encoder import SpeechEncoder
from syncdiff.pipeline.files import write_text
from syncdiff.shards.verdicts import Verdicts, read_verdicts
from syncdiff.training.checkpoints import fingerprint
from syncdiff.training.latents import CropEncoder
from syncdiff.training.lip_prediction import LipPredictionLoss, LipPredictor
from syncdiff.training.loop import ADAMW, Run, adamw, fit
from syncdiff.training.muon import Muon
from syncdiff.training.second_stage import Judges, SecondStageLoss
from syncdiff.training.source import Shard, Source
from syncdiff.training.validation import CURVE, Figures, Val, Validation, lip_losses
from syncdiff.training.windows import Windows

log = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)

SECOND_STAGE = "second_stage"  # folder of its checkpoints and curve, in that of the run

LOSS_BATCHES = 4  # of val, and of training clips, whose loss validation looks at
PATIENCE = timedelta(hours=2)  # of processes that wait while the main one scores clips; torch's own is ten minutes


def train_denoiser(
    config: Config,
    shards: Sequence[Shard],
    autoencoder: Path,
    out: Path,
    device: torch.device,
    expert: Path | None = None,
    curation: Path | None = None,
    val: Val | None = None,
) -> None:
    """Train on shards, each with its speech shard; make `out` a model's folder (`models.pretrained`).

    The weights are averaged ones: the last, or with `val` those of the step that validation has chosen.

    Args:
        config: with `second_stage.sync_weight` above 0, the shards have MFCC too, and `expert` is needed.
        shards: as for `Source`: of latents, or with `latents.stored` false joined ones.
        autoencoder: folder of the autoencoder whose latents these are.
        out: folder.
        device: of training.
        expert: the sync expert, a SyncNet that will not score what is trained with it.
        curation: verdicts on the clips of the training; None: all are used as they are.
        val: what it is validated on, as the config's `validation` says; None: it is not.

    Raises:
        UserError: shards or networks are missing, damaged, or do not fit the config.
    """
    if val:
        PartialState(cpu=device.type != "cuda", timeout=PATIENCE)
    torch.manual_seed(config.seed)
    denoiser = Denoiser(config)
    components, mean = _components(config, autoencoder)
    if denoiser.identity_warp:
        denoiser.identity_warp.start(components, mean)
    if config.train.init:
        denoiser.load_state_dict(load_denoiser(config, Path(config.train.init) / DENOISER, CPU).state_dict())
    judges = _judges(config, len(shards[0]) > 2, autoencoder, expert, device)
    one_stage = config.model_copy(update={"second_stage": SecondStage()})  # what the first stage knows of the config
    in_pairs = [shard[:2] for shard in shards]  # MFCC are for the second stage
    source = _source(config, in_pairs, autoencoder, device, read_verdicts(curation))
    if curation and PartialState().is_main_process:
        log.info(source.curated())
    scorer = [val.scorer] if val else []
    first = _run(one_stage, out, [*files_read(one_stage, in_pairs, autoencoder, None, curation, val), *scorer], device)
    if denoiser.speech.from_scratch and config.pretraining.steps and not config.train.init:
        _pretrain(denoiser.speech, config, source, first)
    look = partial(_validation, config, val, _lip_losses(config, source, val, autoencoder) if val else None)
    ssim = SSIMLoss(components, mean, config.faces.size) if config.diffusion.ssim_weight else None
    loss = DiffusionLoss(config, training_schedule(config.diffusion), ssim)
    trained = fit(denoiser, loss, partial(_batches, config, source, "train"), first, look(first))
    if judges:
        inputs = [*files_read(config, shards, autoencoder, expert, curation, val), *scorer]
        second = _second_run(config, first, inputs)
        trained = _second_stage(config, trained, replace(source, tars=shards), judges, second, look)
    else:
        (out / SECOND_STAGE / "loss.csv").unlink(missing_ok=True)  # of a run before this one: it would not tell of this
    state = PartialState()
    if state.is_main_process:
        save_pretrained(config, trained, autoencoder, out)
    state.wait_for_everyone()


def _run(config: Config, out: Path, inputs: Sequence[Path], device: torch.device) -> Run:
    return Run(
        folder=out,
        settings=config.train,
        seed=config.seed,
        fingerprint=fingerprint("train", config, inputs),
        device=device,
        mixed_precision=config.mixed_precision,
        ema_decay=config.train.ema_decay,
        label="train",
        optimizer=muon,
    )


def _pretrain(speech: SpeechEncoder, config: Config, source: Source, run: Run) -> None:
    """Let the denoiser's speech encoder predict the lips first (`training.lip_prediction`)."""
    folder, label = run.folder / "speech", "pretraining"
    before = replace(run, folder=folder, settings=config.pretraining, ema_decay=None, label=label, optimizer=adamw)
    predictor = LipPredictor(speech, source.latent_shape())
    fit(predictor, LipPredictionLoss(config.faces.size), partial(_batches, config, source, "pretraining"), before)


def _second_run(config: Config, first: Run, inputs: Sequence[Path]) -> Run:
    """Return the run of the second stage, with its own checkpoints and curve: the first one's stay as they are."""
    return replace(
        first,
        folder=first.folder / SECOND_STAGE,
        settings=config.second_stage,
        fingerprint=fingerprint("train", config, inputs),
        label="second_stage",
        optimizer=lambda model, learning_rate: muon(model.network, learning_rate, model),
    )


def _second_stage(
    config: Config,
    denoiser: Denoiser,
    source: Source,
    judges: Judges,
    run: Run,
    look: Callable[..., Validation[WithCritic[Denoiser]] | None],
) -> Denoiser:
    """Go on training in pixels (`training.second_stage`); the run's validation.csv is then of this stage."""
    torch.manual_seed(config.seed)
    model = WithCritic(denoiser.train(), config.second_stage.with_critic)
    batches, validation = partial(_batches, config, source, "second_stage"), look(run, lambda model: model.network)
    trained = fit(model, SecondStageLoss(config, judges), batches, run, validation).network
    if validation and PartialState().is_main_process:
        write_text(run.folder.parent / CURVE, (run.folder / CURVE).read_text())
    return trained


def muon(denoiser: Denoiser, learning_rate: float, whole: nn.Module | None = None) -> Muon:
    """Return the optimiser: Muon for the weights between the first and last layers, AdamW for these.

    Args:
        denoiser: whose weights these are.
        learning_rate: of both.
        whole: the network that it is a part of, whose other weights are AdamW's too.
    """
    inner = denoiser.inner_weights()
    known = set(map(id, inner))
    others = [parameter for parameter in (whole or denoiser).parameters() if id(parameter) not in known]
    return Muon(inner, others, learning_rate, **ADAMW)


def files_read(
    config: Config,
    shards: Sequence[Shard],
    autoencoder: Path,
    expert: Path | None,
    curation: Path | None,
    val: Val | None = None,
) -> list[Path]:
    """Return every file that the weights depend on; the scorer of `val` looks at them alone."""
    begun_with = config.train.init and f"{config.train.init}/{DENOISER}"
    vgg = config.second_stage.vgg if config.second_stage.with_lpips else None
    networks = [Path(path) for path in (config.speech.checkpoint, begun_with, vgg) if path]
    given = [path for path in (expert, curation) if path]
    seen = [*shards, *(val.shards if val else [])]
    return [*(tar for shard in seen for tar in shard), *weights_in(autoencoder), *networks, *given]


def _components(config: Config, autoencoder: Path) -> tuple[Tensor, Tensor]:
    """Return what the latents stand for, as `linear_part`, when they are those that the config describes."""
    components, mean = linear_part(load_autoencoder(autoencoder, torch.device("cpu")))
    p = math.isqrt(len(mean) // 3)
    if (p, components.shape[1]) != (config.autoencoder.patch_size, config.autoencoder.latent_channels):
        raise UserError(
            f"config: autoencoder: that of {autoencoder} has {components.shape[1]} latent_channels and a patch_size"
            f" of {p}; set these"
        )
    return components, mean


def _judges(
    config: Config, with_mfcc: bool, autoencoder: Path, expert: Path | None, device: torch.device
) -> Judges | None:
    """Return the networks that look at sampled frames in the second stage; None: there is none."""
    settings = config.second_stage
    if not (settings.with_sync == with_mfcc == (expert is not None)):
        raise UserError("config: second_stage.sync_weight: above 0 it needs --mfcc and --expert; at 0, none of them")
    if not settings.steps:
        return None
    sync = SyncLoss(expert, device) if expert else None
    lpips = read_lpips(settings.vgg, VGG16).to(device) if settings.vgg and settings.with_lpips else None
    return Judges(load_autoencoder(autoencoder, device), lpips, sync)


def _source(
    config: Config, shards: Sequence[Shard], autoencoder: Path, device: torch.device, verdicts: Verdicts
) -> Source:
    """Return what batches are drawn from."""
    encoder = None if config.latents.stored else CropEncoder(config, load_autoencoder(autoencoder, device))
    return Source(shards, config.speech.feature_set, device, encoder, verdicts)


def _lip_losses(config: Config, source: Source, val: Val, autoencoder: Path) -> Callable[[Denoiser], Figures]:
    """Return what takes a denoiser's loss on windows of val, and of as many shards of the training's clips."""
    encoder = CropEncoder(config, load_autoencoder(autoencoder, source.device))
    filled = [shard for shard, n_frames in zip(source.tars, source.frames, strict=True) if n_frames]
    n = min(len(val.shards), len(filled))
    sources = {
        "loss_train": replace(source, tars=[filled[i * len(filled) // n] for i in range(n)]),
        "loss_val": Source(val.shards, source.feature_set, source.device, encoder),
    }
    windows = {name: list(islice(_batches(config, of, "train", 0), LOSS_BATCHES)) for name, of in sources.items()}
    loss = DiffusionLoss(config, training_schedule(config.diffusion))
    return partial(lip_losses, loss, windows, config.mixed_precision)


def _validation(
    config: Config,
    val: Val | None,
    losses: Callable[[Denoiser], Figures] | None,
    run: Run,
    denoiser_of: Callable[[M], Denoiser] = lambda model: model,  # type: ignore[assignment, return-value]
) -> Validation[M] | None:
    """Return the looks at a training run.

    Args:
        config: reads `validation`.
        val: what is looked at; None: there are no looks.
        losses: of `_lip_losses`.
        run: which; of one without steps there are no looks.
        denoiser_of: finds the denoiser in what is trained.
    """
    if val is None or losses is None or not run.settings.steps:
        return None
    return Validation(
        config.validation,
        run.settings.steps,
        lambda model: losses(denoiser_of(model)),
        lambda model: val.scores(denoiser_of(model)),
    )


def _batches(
    config: Config, source: Source, section: Literal["pretraining", "train", "second_stage"], done: int
) -> Iterator[dict[str, Tensor]]:
    """Yield this process's share of each step's batch, on the training device; `section` of the config has its size."""
    state = PartialState()
    batch_size = getattr(config, section).batch_size
    if batch_size % state.num_processes:
        raise UserError(
            f"config: {section}.batch_size: {batch_size} cannot be shared by {state.num_processes} processes;"
            f" set a multiple of {state.num_processes}"
        )
    return Windows(
        source,
        config.speech.window_frames,
        batch_size,
        config.seed,
        rank=state.process_index,
        world=state.num_processes,
        with_mean=section == "pretraining",  # what the lips are predicted against
        identity_gap=config.train.identity_gap,
        in_runs=section == "second_stage",
    ).batches(done)
