"""The command line: one thin subcommand per stage, and the tools that work alone. The logic is elsewhere.

Heavy packages are imported by the subcommand that needs them, so that `syncdiff --help` is quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from syncdiff.config import load_config
from syncdiff.errors import ClipRejected, UserError

app = typer.Typer(
    help="SyncDiff: speech-to-lip synthesis by latent diffusion, from raw video to a scored model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
corpus_app = typer.Typer(help="Read a corpus, or render the demo.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")

ConfigOption = Annotated[
    str, typer.Option("--config", help="YAML file, or a JSON object inline; keys left out keep their default")
]
WorkersOption = Annotated[int, typer.Option(min=1, help="processes over clips")]
Shards = Annotated[list[str], typer.Argument(help="shards; {00000..00099} stands for a range, as in WebDataset")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; auto: the config's choice")]


def main() -> None:
    """Run a subcommand; a user's mistake is one line on stderr and exit code 1."""
    try:
        app()
    except (UserError, ClipRejected) as error:
        print(f"syncdiff: {error}", file=sys.stderr)
        sys.exit(1)


# ---- stages of the workflow, in the order of the data -----------------------------------------------------------


@corpus_app.command()
def render(root: Path, config: ConfigOption = "{}", workers: WorkersOption = 1) -> None:
    """Render the demo corpus below ROOT, in LRS2's layout."""
    from syncdiff.corpus.demo import render_corpus

    render_corpus(load_config(config), root, workers)


@corpus_app.command()
def check(
    path: Path,
    kind: Annotated[str | None, typer.Option(help="lrs2, lrs3 or folder; by default recognised")] = None,
    workers: WorkersOption = 1,
) -> None:
    """Say what a corpus holds and what is wrong with it; exit code 1 if something is."""
    from syncdiff.corpus.check import check_corpus, print_report

    report = check_corpus(path, kind, workers)
    print_report(report)
    raise typer.Exit(1 if report.problems else 0)


@app.command()
def plan(out: Path, config: ConfigOption = "{}", workers: WorkersOption = 1) -> None:
    """Probe every clip, apply the filters, and assign splits and shards."""
    from syncdiff.corpus.plan import plan_corpus

    plan_corpus(load_config(config), out, workers)


@app.command()
def faces(
    plan: Path,
    split: str,
    shard: str,
    out: Path,
    ledger: Path,
    config: ConfigOption = "{}",
    workers: WorkersOption = 1,
) -> None:
    """Track the speaker of each clip and write aligned crops, landmarks, transforms and audio."""
    from syncdiff.faces.extract import extract_shard

    extract_shard(load_config(config), plan, split, shard, out, ledger, workers)


@app.command()
def priors(faces: Path, out: Path, ledger: Path, config: ConfigOption = "{}") -> None:
    """Choose identity frames and reduce pose frames."""
    from syncdiff.priors import priors_shard

    priors_shard(load_config(config), faces, out, ledger)


@app.command()
def speech(feature_set: str, faces: Path, out: Path, ledger: Path, config: ConfigOption = "{}") -> None:
    """Extract the speech features FEATURE_SET (fbank, mel or avhubert<N>), one row per video frame."""
    from syncdiff.speech.extract import speech_shard

    speech_shard(load_config(config), [feature_set], faces, out, ledger)


@app.command()
def shards(
    faces: Path, priors: Path, speech: Path, out: Path, index: Path, stats: Path, config: ConfigOption = "{}"
) -> None:
    """Join faces, priors and speech into one WebDataset shard."""
    from syncdiff.shards.pack import pack_shard

    pack_shard(load_config(config), faces, priors, speech, out, index, stats)


@app.command()
def autoencoder(folder: Path, shards: Shards, config: ConfigOption = "{}", device: DeviceOption = "auto") -> None:
    """Train the autoencoder on the crops of SHARDS."""
    from syncdiff.device import choose_device
    from syncdiff.shards.tar import expand_shards
    from syncdiff.training.autoencoder import train_autoencoder

    train_autoencoder(load_config(config), expand_shards(shards), folder, choose_device(device))


@app.command()
def latents(
    shard: Path,
    autoencoder: Path,
    out: Path,
    ledger: Path,
    config: ConfigOption = "{}",
    device: DeviceOption = "auto",
) -> None:
    """Encode the frames and masked frames of a shard."""
    from syncdiff.device import choose_device
    from syncdiff.latents import latents_shard

    latents_shard(load_config(config), shard, autoencoder, out, ledger, choose_device(device))


@app.command()
def syncnet(folder: Path, shards: Shards, config: ConfigOption = "{}", device: DeviceOption = "auto") -> None:
    """Train a SyncNet on the crops and the audio of SHARDS."""
    from syncdiff.device import choose_device
    from syncdiff.shards.tar import expand_shards
    from syncdiff.training.syncnet import train_syncnet

    train_syncnet(load_config(config), expand_shards(shards), folder, choose_device(device))


@app.command()
def train(
    folder: Path,
    latents: Annotated[list[str], typer.Option(help="latent shards; {00000..00099} stands for a range")],
    speech: Annotated[list[str], typer.Option(help="speech shards, one beside each latent shard")],
    config: ConfigOption = "{}",
    device: DeviceOption = "auto",
) -> None:
    """Train the denoiser; run again, it resumes."""
    from syncdiff.device import choose_device
    from syncdiff.shards.tar import expand_shards
    from syncdiff.training.denoiser import train_denoiser

    pairs = list(zip(expand_shards(latents), expand_shards(speech), strict=True))
    train_denoiser(load_config(config), pairs, folder, choose_device(device))


@app.command()
def sample(
    shard: Path,
    videos: Path,
    ledger: Path,
    denoiser: Annotated[Path, typer.Option(help="denoiser.safetensors of a run")],
    autoencoder: Annotated[Path, typer.Option(help="its autoencoder's folder")],
    config: ConfigOption = "{}",
    device: DeviceOption = "auto",
) -> None:
    """Generate every clip of a shard under every protocol, and write the videos."""
    from syncdiff.device import choose_device
    from syncdiff.synthesis.split import sample_experiment

    sample_experiment(load_config(config), shard, denoiser, autoencoder, videos, ledger, choose_device(device))


@app.command()
def baseline(
    method: str,
    shard: Path,
    videos: Path,
    ledger: Path,
    autoencoder: Annotated[Path, typer.Option(help="the autoencoder's folder")],
    config: ConfigOption = "{}",
    device: DeviceOption = "auto",
) -> None:
    """Write the videos of a row to compare with: reconstruction or frozen."""
    from syncdiff.device import choose_device
    from syncdiff.synthesis.split import sample_baseline

    sample_baseline(load_config(config), method, shard, autoencoder, videos, ledger, choose_device(device))


@app.command()
def evaluate(
    method: str,
    syncnet: Path,
    out: Path,
    shards: Annotated[list[str], typer.Option(help="the test split's shards")],
    videos: Annotated[Path | None, typer.Option(help="folder of the method's videos; none for real")] = None,
    config: ConfigOption = "{}",
    device: DeviceOption = "auto",
    workers: WorkersOption = 1,
) -> None:
    """Score the videos of one method, clip by clip."""
    from syncdiff.device import choose_device
    from syncdiff.evaluation.score import score_method
    from syncdiff.shards.tar import expand_shards

    score_method(
        load_config(config), method, expand_shards(shards), videos, syncnet, out, choose_device(device), workers
    )


@app.command()
def table(csv: Path, parquet: Path, scores: list[Path], config: ConfigOption = "{}") -> None:
    """Gather the scores of all methods into one table with intervals."""
    from syncdiff.evaluation.table import write_table

    write_table(load_config(config), scores, csv, parquet)


@app.command("config")
def show_config(schema: Annotated[bool, typer.Option(help="the JSON schema instead")] = False) -> None:
    """Print config.yaml with every key, its default and its meaning."""
    from syncdiff.config import default_yaml, json_schema

    print(json_schema() if schema else default_yaml(), end="")
