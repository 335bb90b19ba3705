"""The stages of the workflow, in the order of the data: a thin subcommand each, as its rule calls it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from syncdiff.cli.options import ConfigOption, DeviceOption, WorkersOption
from syncdiff.config import load_config
from syncdiff.errors import UserError
from syncdiff.pipeline.parallel import prepare_workers
from syncdiff.pipeline.provenance import provenance, refuse_own_expert

app = typer.Typer()
stage = partial(app.command, rich_help_panel="Stages, in the order of the data; the workflow calls them")

Shards = Annotated[list[str], typer.Argument(help="shards; {00000..00099} stands for a range, as in WebDataset")]
CurationOption = Annotated[Path | None, typer.Option(help="verdicts on the clips; without, all are used as they are")]


@stage("corpus")
def render_demo(root: Path, config: ConfigOption = "{}", workers: WorkersOption = 1) -> None:
    """Render the demo corpus below ROOT, in LRS2's layout."""
    if workers > 1:
        prepare_workers("syncdiff.corpus.demo.clip")
    from syncdiff.corpus.demo import render_corpus

    with provenance("corpus", config, [], [root]):
        render_corpus(load_config(config), root, workers)


@stage()
def plan(
    out: Path,
    listing: Annotated[Path | None, typer.Option(help="the workflow's list of the clips; by default made now")] = None,
    config: ConfigOption = "{}",
    workers: WorkersOption = 1,
    max_failed_fraction: Annotated[float | None, typer.Option(min=0, max=1, help="instead of the config's")] = None,
) -> None:
    """Probe every clip, apply the filters, and assign splits and shards."""
    from syncdiff.corpus.plan import plan_corpus

    with provenance("plan", config, [listing] if listing else [], [out]):
        run = load_config(config)
        limit = run.max_failed_fraction if max_failed_fraction is None else max_failed_fraction
        plan_corpus(run.model_copy(update={"max_failed_fraction": limit}), out, workers, listing)


@stage()
def faces(
    plan: Path,
    split: str,
    shard: str,
    out: Path,
    ledger: Path,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
    workers: WorkersOption = 1,
) -> None:
    """Find the faces of each file that become clips, and write their aligned crops, landmarks, transforms and audio."""
    if workers > 1:
        prepare_workers("syncdiff.faces.shard")
    from syncdiff.faces.shard import faces_shard

    run = load_config(config)
    with provenance("faces", config, [plan], [out, ledger]):
        faces_shard(run, plan, split, shard, out, ledger, workers, device or run.device)


@stage()
def priors(faces: Path, out: Path, ledger: Path, config: ConfigOption = "{}") -> None:
    """Choose identity frames and reduce pose frames."""
    from syncdiff.priors import priors_shard

    with provenance("priors", config, [faces], [out, ledger]):
        priors_shard(load_config(config), faces, out, ledger)


@stage()
def speech(
    feature_set: str,
    faces: Path,
    out: Path,
    ledger: Path,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Extract the speech features FEATURE_SET (fbank, mel, mfcc, avhubert<N>, ...), one row per video frame."""
    from syncdiff.speech.shard import speech_shard

    run = load_config(config)
    with provenance("speech", config, [faces], [out, ledger]):
        speech_shard(run, [feature_set], faces, out, ledger, device or run.device)


@stage()
def shards(
    faces: Path, priors: Path, speech: Path, out: Path, index: Path, stats: Path, config: ConfigOption = "{}"
) -> None:
    """Join faces, priors and speech into one WebDataset shard."""
    from syncdiff.shards.pack import pack_shard

    with provenance("shards", config, [faces, priors, speech], [out, index, stats]):
        pack_shard(load_config(config), faces, priors, speech, out, index, stats)


@stage()
def ledger(
    folder: Path,
    out: Path,
    splits: list[str],
    stage: Annotated[str | None, typer.Option(help="one that follows the shards: latents")] = None,
    config: ConfigOption = "{}",
) -> None:
    """Check that every clip of a corpus FOLDER is accounted for up to its shards, and gather the ledgers into one."""
    from syncdiff.pipeline.check_ledgers import check_ledgers

    with provenance("ledger", config, [folder / "plan/clips.parquet"], [out]):
        check_ledgers(load_config(config), folder, splits, out, stage)


@stage()
def autoencoder(folder: Path, shards: Shards, config: ConfigOption = "{}", device: DeviceOption = None) -> None:
    """Train the autoencoder on the crops of SHARDS."""
    from syncdiff.device import choose_device
    from syncdiff.models.autoencoder import WEIGHTS
    from syncdiff.shards.tar import expand_shards
    from syncdiff.training.autoencoder import train_autoencoder

    tars = expand_shards(shards)
    run = load_config(config)
    with provenance("autoencoder", config, tars, [folder / WEIGHTS, folder / "config.json"]):
        train_autoencoder(run, tars, folder, choose_device(device or run.device))


@stage()
def latents(
    shard: Path,
    autoencoder: Path,
    out: Path,
    ledger: Path,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Encode the frames and masked frames of a shard."""
    from syncdiff.device import choose_device
    from syncdiff.models.autoencoder import weights_in
    from syncdiff.training.latents import latents_shard

    run = load_config(config)
    with provenance("latents", config, [shard, *weights_in(autoencoder)], [out, ledger]):
        latents_shard(run, shard, autoencoder, out, ledger, choose_device(device or run.device))


@stage()
def syncnet(folder: Path, shards: Shards, config: ConfigOption = "{}", device: DeviceOption = None) -> None:
    """Train a SyncNet on the crops and the audio of SHARDS."""
    from syncdiff.device import choose_device
    from syncdiff.shards.tar import expand_shards
    from syncdiff.training.syncnet import train_syncnet

    tars, run = expand_shards(shards), load_config(config)
    with provenance("syncnet", config, tars, [folder / "syncnet.safetensors"]):
        train_syncnet(run, tars, folder, choose_device(device or run.device))


@stage()
def measures(
    shard: Path,
    out: Path,
    syncnet: Annotated[Path, typer.Option(help="by which sync is measured")],
    config: ConfigOption = "{}",
    device: DeviceOption = None,
    workers: WorkersOption = 1,
) -> None:
    """Measure every clip of a shard: sync, face, sharpness, pose, sound."""
    if workers > 1:
        prepare_workers("syncdiff.curation.shard")
    from syncdiff.curation.shard import measure_shard
    from syncdiff.device import choose_device

    run = load_config(config)
    with provenance("measures", config, [shard, syncnet], [out]):
        measure_shard(run, shard, syncnet, out, str(choose_device(device or run.device)), workers)


@stage()
def curation(folder: Path, out: Path, splits: list[str], config: ConfigOption = "{}") -> None:
    """Judge the measured clips of a corpus FOLDER: which are fit to train on; with a page beside OUT."""
    from syncdiff.curation.corpus import curate_corpus
    from syncdiff.report.curation import write_page

    run, page = load_config(config), out.with_suffix(".html")
    with provenance("curation", config, [folder / "plan/clips.parquet"], [out, page]):
        judged = curate_corpus(run, folder, splits, out)
        write_page(run.curate, run.corpus_name, judged, run.corpus_root, page)


@stage()
def train(  # noqa: PLR0913, PLR0917 - an option each
    folder: Path,
    latents: Annotated[
        list[str],
        typer.Option(help="latent shards, or joined ones with latents.stored false; {00000..00099} stands for a range"),
    ],
    speech: Annotated[list[str], typer.Option(help="speech shards, one beside each of these")],
    autoencoder: Annotated[Path, typer.Option(help="folder of the autoencoder whose latents these are")],
    mfcc: Annotated[
        list[str] | None, typer.Option(help="for second_stage.sync_weight: shards of the features mfcc")
    ] = None,
    expert: Annotated[
        Path | None,
        typer.Option(help="for second_stage.sync_weight: a SyncNet of `syncdiff syncnet` that never scores"),
    ] = None,
    curation: CurationOption = None,
    val_shards: Annotated[list[str] | None, typer.Option(help="for validation.every: joined shards of val")] = None,
    val_speech: Annotated[list[str] | None, typer.Option(help="speech shards, one beside each of these")] = None,
    scorer: Annotated[Path | None, typer.Option(help="for validation.every: the SyncNet of its LSE-C")] = None,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Train the denoiser; run again, it resumes."""
    from syncdiff.device import choose_device
    from syncdiff.evaluation.validation import val_of
    from syncdiff.models.pretrained import files_of
    from syncdiff.shards.tar import expand_shards
    from syncdiff.training.denoiser import files_read, train_denoiser

    run = load_config(config)
    on = choose_device(device or run.device)
    shards = list(zip(*(expand_shards(patterns) for patterns in (latents, speech, mfcc) if patterns), strict=True))
    unseen, heard = (expand_shards(patterns or []) for patterns in (val_shards, val_speech))
    val = val_of(run, unseen, heard, scorer, autoencoder, folder, on)
    inputs = files_read(run, shards, autoencoder, expert, curation, val)
    with provenance("train", config, inputs, files_of(folder)):
        train_denoiser(run, shards, autoencoder, folder, on, expert, curation, val)


@stage()
def sample(
    shard: Path,
    videos: Path,
    ledger: Path,
    denoiser: Annotated[Path, typer.Option(help="denoiser.safetensors of a run")],
    autoencoder: Annotated[Path, typer.Option(help="its autoencoder's folder")],
    curation: CurationOption = None,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Generate every clip of a shard under every protocol, and write the videos."""
    from syncdiff.device import choose_device
    from syncdiff.models.autoencoder import weights_in
    from syncdiff.synthesis.sample import sample_experiment

    inputs, run = [shard, denoiser, *weights_in(autoencoder), *filter(None, [curation])], load_config(config)
    with provenance("sample", config, inputs, [ledger]) as outputs:
        job = run, shard, denoiser, autoencoder, videos, ledger, choose_device(device or run.device)
        outputs.extend(sample_experiment(*job, curation=curation))


@stage()
def baseline(
    method: str,
    shard: Path,
    videos: Path,
    ledger: Path,
    autoencoder: Annotated[Path, typer.Option(help="the autoencoder's folder")],
    curation: CurationOption = None,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Write the videos of a row to compare with: reconstruction or frozen."""
    from syncdiff.device import choose_device
    from syncdiff.models.autoencoder import weights_in
    from syncdiff.synthesis.sample import sample_baseline

    inputs, run = [shard, *weights_in(autoencoder), *filter(None, [curation])], load_config(config)
    with provenance("baseline", config, inputs, [ledger]) as outputs:
        job = run, method, shard, autoencoder, videos, ledger, choose_device(device or run.device)
        outputs.extend(sample_baseline(*job, curation=curation))


@stage()
def evaluate(  # noqa: PLR0913, PLR0917 - an option each
    method: str,
    syncnet: Path,
    out: Path,
    shards: Annotated[list[str], typer.Option(help="the test split's shards")],
    videos: Annotated[Path | None, typer.Option(help="folder of the method's videos; none for real")] = None,
    curation: CurationOption = None,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
    workers: WorkersOption = 1,
) -> None:
    """Score the videos of one method, clip by clip."""
    from syncdiff.device import choose_device
    from syncdiff.evaluation.score import score_method
    from syncdiff.shards.tar import expand_shards

    if videos:
        refuse_own_expert(syncnet, videos.parent / "denoiser.safetensors")
    tars, run = expand_shards(shards), load_config(config)
    with provenance("evaluate", config, [*tars, syncnet, *filter(None, [curation])], [out]):
        score_method(run, method, tars, videos, syncnet, out, choose_device(device or run.device), workers, curation)


@stage()
def table(
    csv: Path,
    parquet: Path,
    scores: list[Path],
    groups: Annotated[Path | None, typer.Option(help="the table of each group of evaluate.groups, as CSV")] = None,
    plan: Annotated[Path | None, typer.Option(help="for --groups: plan/clips.parquet")] = None,
    curation: Annotated[Path | None, typer.Option(help="for --groups: what curation measured of each clip")] = None,
    config: ConfigOption = "{}",
) -> None:
    """Gather the scores of all methods into one table with intervals."""
    from syncdiff.evaluation.groups import write_groups
    from syncdiff.evaluation.table import write_table

    if (groups is None) != (plan is None):
        raise UserError("table: --groups and --plan go together")
    inputs = [*scores, *filter(None, (plan, curation))]
    with provenance("table", config, inputs, [csv, parquet, *filter(None, [groups])]):
        run = load_config(config)
        write_table(run, scores, csv, parquet)
        if groups and plan:
            write_groups(run, scores, plan, curation, groups)


@stage()
def ablation(csv: Path, svg: Path, scores: list[Path], config: ConfigOption = "{}") -> None:
    """Compare the scores of experiments with those of `syncdiff`, averaged over seeds, clip by clip."""
    from syncdiff.report.ablation import write_ablation

    with provenance("ablation", config, scores, [csv, svg]):
        write_ablation(load_config(config), scores, csv, svg)


@stage()
def report(folder: Path, out: Path, config: ConfigOption = "{}") -> None:
    """Write the report page of a corpus from what lies in its results FOLDER."""
    from syncdiff.report.page import report_corpus

    with provenance("report", config, [], [out]):
        report_corpus(load_config(config), folder, out)
