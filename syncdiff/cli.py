"""The command line: one thin subcommand per stage, and the tools that work alone. The logic is elsewhere.

Heavy packages are imported by the subcommand that needs them, so that `syncdiff --help` is quick.
"""

from __future__ import annotations

import json
import sys
import tempfile
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from syncdiff.config import known_device, load_config, read_config
from syncdiff.errors import ClipRejected, UserError
from syncdiff.pipeline.files import disk_error
from syncdiff.pipeline.logs import log_to_stderr
from syncdiff.pipeline.parallel import prepare_workers
from syncdiff.pipeline.provenance import provenance, refuse_own_expert
from syncdiff.registry.corpora import CORPORA

app = typer.Typer(
    help="SyncDiff: speech-to-lip synthesis by latent diffusion, from raw video to a scored model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
weights_app = typer.Typer(help="The published weights that the project can use.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")

ConfigOption = Annotated[
    str, typer.Option("--config", help="YAML file, or a JSON object inline; keys left out keep their default")
]
WorkersOption = Annotated[int, typer.Option(min=1, help="processes over clips")]
Shards = Annotated[list[str], typer.Argument(help="shards; {00000..00099} stands for a range, as in WebDataset")]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        envvar="SYNCDIFF_DEVICE",
        callback=known_device,
        help="auto (a GPU where there is one), cpu, cuda or cuda:N; by default what the config says",
    ),
]


class Engine(StrEnum):
    """Whose encoder computes AV-HuBERT's hidden states."""

    NATIVE = "native"
    FAIRSEQ = "fairseq"


class Crop(StrEnum):
    """What of a frame the SyncNet sees."""

    NONE = "none"
    FACE = "face"


class Face(StrEnum):
    """Whose lips the SyncNet sees, where several faces are in the picture."""

    LARGEST = "largest"
    SPEAKING = "speaking"


class Length(StrEnum):
    """How long a dubbed video is."""

    SHORTEST = "shortest"
    SOUND = "sound"
    VIDEO = "video"


class Dtype(StrEnum):
    """Arithmetic of the SyncNet."""

    FP32 = "fp32"
    BF16 = "bf16"


def main() -> None:
    """Run a subcommand; a user's mistake is one line on stderr and exit code 1."""
    log_to_stderr()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text
    try:
        app()
    except (UserError, ClipRejected) as error:
        end_with(str(error))
    except OSError as error:
        if fault := disk_error(error):
            end_with(f"{error.filename or tempfile.gettempdir()}: {fault}; make room and run the command again")
        if not (error.filename and error.strerror):
            raise
        end_with(f"{error.filename}: {error.strerror}")


def end_with(message: str) -> NoReturn:
    """End with a message in one line."""
    print(f"syncdiff: {in_one_line(message)}", file=sys.stderr)
    sys.exit(1)


def in_one_line(message: str) -> str:
    """Return a message as it can be printed; names in it may hold line breaks and worse."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)


# ---- stages of the workflow, in the order of the data -----------------------------------------------------------


@app.command("corpus")
def render_demo(root: Path, config: ConfigOption = "{}", workers: WorkersOption = 1) -> None:
    """Render the demo corpus below ROOT, in LRS2's layout."""
    if workers > 1:
        prepare_workers("syncdiff.corpus.demo.clip")
    from syncdiff.corpus.demo import render_corpus

    with provenance("corpus", config, [], [root]):
        render_corpus(load_config(config), root, workers)


@app.command()
def check(
    path: Path,
    kind: Annotated[str | None, typer.Option(help=f"{', '.join(CORPORA)}; by default recognised")] = None,
    config: ConfigOption = "{}",
    workers: WorkersOption = 1,
) -> None:
    """Say what a corpus holds and what is wrong with it, as the plan will see it; exit code 1 if something is."""
    from syncdiff.corpus.check import check_corpus, print_report

    report = check_corpus(path, kind, workers, config)
    print_report(report)
    raise typer.Exit(1 if report.problems else 0)


@app.command()
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


@app.command()
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
    """Track the speaker of each clip and write aligned crops, landmarks, transforms and audio."""
    if workers > 1:
        prepare_workers("syncdiff.faces.shard")
    from syncdiff.faces.shard import faces_shard

    run = load_config(config)
    with provenance("faces", config, [plan], [out, ledger]):
        faces_shard(run, plan, split, shard, out, ledger, workers, device or run.device)


@app.command()
def priors(faces: Path, out: Path, ledger: Path, config: ConfigOption = "{}") -> None:
    """Choose identity frames and reduce pose frames."""
    from syncdiff.priors import priors_shard

    with provenance("priors", config, [faces], [out, ledger]):
        priors_shard(load_config(config), faces, out, ledger)


@app.command()
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


@app.command()
def shards(
    faces: Path, priors: Path, speech: Path, out: Path, index: Path, stats: Path, config: ConfigOption = "{}"
) -> None:
    """Join faces, priors and speech into one WebDataset shard."""
    from syncdiff.shards.pack import pack_shard

    with provenance("shards", config, [faces, priors, speech], [out, index, stats]):
        pack_shard(load_config(config), faces, priors, speech, out, index, stats)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def syncnet(folder: Path, shards: Shards, config: ConfigOption = "{}", device: DeviceOption = None) -> None:
    """Train a SyncNet on the crops and the audio of SHARDS."""
    from syncdiff.device import choose_device
    from syncdiff.shards.tar import expand_shards
    from syncdiff.training.syncnet import train_syncnet

    tars, run = expand_shards(shards), load_config(config)
    with provenance("syncnet", config, tars, [folder / "syncnet.safetensors"]):
        train_syncnet(run, tars, folder, choose_device(device or run.device))


@app.command()
def train(
    folder: Path,
    latents: Annotated[
        list[str],
        typer.Option(help="latent shards, or joined ones with latents.stored false; {00000..00099} stands for a range"),
    ],
    speech: Annotated[list[str], typer.Option(help="speech shards, one beside each of these")],
    autoencoder: Annotated[Path, typer.Option(help="folder of the autoencoder whose latents these are")],
    mfcc: Annotated[list[str] | None, typer.Option(help="for train.sync_weight: shards of the features mfcc")] = None,
    expert: Annotated[
        Path | None, typer.Option(help="for train.sync_weight: a SyncNet of `syncdiff syncnet` that never scores")
    ] = None,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Train the denoiser; run again, it resumes."""
    from syncdiff.device import choose_device
    from syncdiff.models.pretrained import files_of
    from syncdiff.shards.tar import expand_shards
    from syncdiff.training.denoiser import files_read, train_denoiser

    run = load_config(config)
    shards = list(zip(*(expand_shards(patterns) for patterns in (latents, speech, mfcc) if patterns), strict=True))
    inputs = files_read(run, shards, autoencoder, expert)
    with provenance("train", config, inputs, files_of(folder)):
        train_denoiser(run, shards, autoencoder, folder, choose_device(device or run.device), expert)


@app.command()
def sample(
    shard: Path,
    videos: Path,
    ledger: Path,
    denoiser: Annotated[Path, typer.Option(help="denoiser.safetensors of a run")],
    autoencoder: Annotated[Path, typer.Option(help="its autoencoder's folder")],
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Generate every clip of a shard under every protocol, and write the videos."""
    from syncdiff.device import choose_device
    from syncdiff.models.autoencoder import weights_in
    from syncdiff.synthesis.sample import sample_experiment

    inputs, run = [shard, denoiser, *weights_in(autoencoder)], load_config(config)
    with provenance("sample", config, inputs, [ledger]) as outputs:
        job = run, shard, denoiser, autoencoder, videos, ledger, choose_device(device or run.device)
        outputs.extend(sample_experiment(*job))


@app.command()
def baseline(
    method: str,
    shard: Path,
    videos: Path,
    ledger: Path,
    autoencoder: Annotated[Path, typer.Option(help="the autoencoder's folder")],
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Write the videos of a row to compare with: reconstruction or frozen."""
    from syncdiff.device import choose_device
    from syncdiff.models.autoencoder import weights_in
    from syncdiff.synthesis.sample import sample_baseline

    run = load_config(config)
    with provenance("baseline", config, [shard, *weights_in(autoencoder)], [ledger]) as outputs:
        job = run, method, shard, autoencoder, videos, ledger, choose_device(device or run.device)
        outputs.extend(sample_baseline(*job))


@app.command()
def evaluate(
    method: str,
    syncnet: Path,
    out: Path,
    shards: Annotated[list[str], typer.Option(help="the test split's shards")],
    videos: Annotated[Path | None, typer.Option(help="folder of the method's videos; none for real")] = None,
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
    with provenance("evaluate", config, [*tars, syncnet], [out]):
        score_method(run, method, tars, videos, syncnet, out, choose_device(device or run.device), workers)


@app.command()
def table(csv: Path, parquet: Path, scores: list[Path], config: ConfigOption = "{}") -> None:
    """Gather the scores of all methods into one table with intervals."""
    from syncdiff.evaluation.table import write_table

    with provenance("table", config, scores, [csv, parquet]):
        write_table(load_config(config), scores, csv, parquet)


@app.command()
def ablation(csv: Path, svg: Path, scores: list[Path], config: ConfigOption = "{}") -> None:
    """Compare the scores of experiments with those of `syncdiff`, averaged over seeds, clip by clip."""
    from syncdiff.report.ablation import write_ablation

    with provenance("ablation", config, scores, [csv, svg]):
        write_ablation(load_config(config), scores, csv, svg)


@app.command()
def report(folder: Path, out: Path, config: ConfigOption = "{}") -> None:
    """Write the report page of a corpus from what lies in its results FOLDER."""
    from syncdiff.report.page import report_corpus

    with provenance("report", config, [], [out]):
        report_corpus(load_config(config), folder, out)


@app.command("verify")
def verify_artifacts(folder: Path) -> None:
    """Hash again what a results FOLDER holds, against its provenance; exit code 1 if something differs."""
    from syncdiff.pipeline.provenance import verify

    verification = verify(folder)
    print(
        "\n".join(map(in_one_line, verification.faults))
        or f"{verification.checked} artifacts are what their provenance says"
    )
    raise typer.Exit(1 if verification.faults else 0)


# ---- tools that work alone --------------------------------------------------------------------------------------


@app.command()
def features(
    audio: Path,
    out: Path,
    checkpoint: Annotated[Path | None, typer.Option(help="AV-HuBERT, fairseq .pt or converted .safetensors")] = None,
    layer: Annotated[str | None, typer.Option(help="a number, last, or none: the stacked filterbank")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="rows; by default those of the video")] = None,
    engine: Annotated[Engine, typer.Option(help="whose encoder computes them")] = Engine.NATIVE,
    device: DeviceOption = None,
) -> None:
    """Extract speech features of a sound or video file: (T, D) float32 .npy at 25 Hz."""
    from syncdiff.shards.tar import write_npy
    from syncdiff.speech.extract import extract_features

    rows = extract_features(audio, checkpoint, layer, frames, engine.value, device or "auto")
    write_npy(out, rows)
    print(f"{out}: {rows.shape[0]} rows of {rows.shape[1]}")


@app.command("convert")
def convert_checkpoint(checkpoint: Path, out: Path) -> None:
    """Convert a fairseq AV-HuBERT checkpoint to a plain .safetensors file, without running code from it."""
    from syncdiff.speech.avhubert import convert

    convert(checkpoint, out)


@app.command()
def score(  # noqa: PLR0913, PLR0917 - an option each
    videos: list[Path],
    syncnet: Annotated[Path | None, typer.Option(help="weights; by default the published syncnet_v2.model")] = None,
    crop: Annotated[
        Crop, typer.Option(help="none: Wav2Lip's LRS protocol; face: its real-videos protocol (for published weights)")
    ] = Crop.NONE,
    face: Annotated[
        Face, typer.Option(help="of several faces at once: the largest, or speaking, the one with the highest LSE-C")
    ] = Face.SPEAKING,
    jpeg: Annotated[bool, typer.Option(help="pass frames through the reference's JPEG")] = False,
    dtype: Annotated[Dtype, typer.Option(help="arithmetic of the network")] = Dtype.FP32,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout")] = False,
) -> None:
    """Score the lip sync of VIDEOS: offset, LSE-D and LSE-C, as syncnet_python does.

    Of the config only `device` and, for the landmarker, `faces` are read.
    """
    from syncdiff.device import choose_device
    from syncdiff.evaluation.metrics.lse import print_scores, score_videos
    from syncdiff.weights.registry import get

    run, weights = load_config(config, need_root=False), syncnet or get("syncnet")[0]
    card = choose_device(device or run.device)
    scores = score_videos(videos, weights, crop.value, jpeg, dtype.value, card, face.value, run.faces)
    print(json.dumps(scores, indent=2)) if as_json else print_scores(scores)
    raise typer.Exit(0 if scores["videos"] else 1)


@app.command()
def fidelity(
    real: Path,
    fake: Path,
    inception: Annotated[Path | None, typer.Option(help="pt_inception-2015-12-05 weights; else a stand-in")] = None,
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout")] = False,
) -> None:
    """Compare two folders of images or videos: FID, SSIM and PSNR."""
    from syncdiff.device import choose_device
    from syncdiff.evaluation.metrics import fidelity as measures

    values = measures.fidelity(real, fake, str(inception) if inception else None, choose_device(device or "auto"))
    print(json.dumps(values, indent=2) if as_json else "\n".join(f"{name}: {value}" for name, value in values.items()))


@app.command("dub")
def dub_video(  # noqa: PLR0913, PLR0917 - an option each
    model: Annotated[Path, typer.Option(help="folder of a run, such as results/demo/runs/syncdiff, or of an export")],
    video: Annotated[Path | None, typer.Argument(help="with a face; not with --jobs")] = None,
    sound: Annotated[Path | None, typer.Argument(help="what the lips are to say; not with --jobs")] = None,
    out: Annotated[Path | None, typer.Argument(help=".mp4, .m4v, .mov, .mkv or .webm; not with --jobs")] = None,
    face: Annotated[
        str,
        typer.Option(
            help="largest of each frame; speaking, whose lips fit the video's own sound; or a number, or several: 1,3"
        ),
    ] = "largest",
    list_faces: Annotated[
        Path | None, typer.Option(help="write a picture of the people in VIDEO, with their numbers, and nothing else")
    ] = None,
    length: Annotated[
        Length, typer.Option(help="shortest of both; sound: the video goes on there and back; video: silence follows")
    ] = Length.SHORTEST,
    silence: Annotated[
        float, typer.Option(max=0, help="dB of full scale: below it the sound is silent, and the mouth closes")
    ] = -50.0,
    close: Annotated[bool, typer.Option("--close/--no-close", help="close the mouth in silence")] = True,
    crf: Annotated[int, typer.Option(min=0, max=51, help="quality of the pictures; lower is better")] = 17,
    syncnet: Annotated[
        Path | None, typer.Option(help="weights: LSE before and after, and what --face speaking needs")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="write what was dubbed, what was not and why, as JSON")] = None,
    jobs: Annotated[
        Path | None, typer.Option(help="a CSV of videos: columns video, sound, out, and any of face, length, crf")
    ] = None,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Write VIDEO with lips that say SOUND to OUT, at VIDEO's own frame rate, size and colours, with SOUND as it is.

    VIDEO and SOUND are never written. Every stretch of VIDEO that shows the chosen face is dubbed, all else passes.

    The config is the model's own, with the keys of --config (of `sample`, say) laid over it.
    """
    from syncdiff.dubbing.dub import Wishes
    from syncdiff.dubbing.jobs import read_jobs, run_jobs
    from syncdiff.dubbing.lip_sync import LipSync
    from syncdiff.dubbing.output import check_out

    wishes = Wishes(face, length.value, silence if close else None, crf, syncnet)
    if not jobs and not (video and (list_faces or (sound and out))):
        raise UserError("dub: give VIDEO SOUND OUT, or VIDEO --list-faces SHEET.png, or --jobs TABLE.csv")
    if jobs and (video or list_faces):
        raise UserError("--jobs: its table names the videos; leave VIDEO and --list-faces out")
    table = read_jobs(jobs, wishes) if jobs else []
    if video and sound and out:
        check_out(out, video, sound)
    lips = LipSync.from_pretrained(model, device=device, config=read_config(config))
    if jobs:
        raise typer.Exit(0 if run_jobs(lips.dub, table, report) else 1)
    if video and list_faces:
        print("\n".join(lips.list_faces(video, list_faces, syncnet)))
    elif video and sound and out:
        made = lips.dub(video, sound, out, **vars(wishes))
        if report:
            made.write(report)
        print(made.line())


@app.command("export")
def export_run(
    run: Path,
    out: Path,
    licence: Annotated[
        Path | None, typer.Option(help="text that must travel with the weights, such as AV-HuBERT's licence")
    ] = None,
) -> None:
    """Make OUT, a folder to publish, of a trained RUN: weights, configs and a model card."""
    from syncdiff.synthesis.export import export

    export(run, out, licence)
    print(f"{out}: read its README.md, and complete it before you publish")


@app.command("estimate")
def estimate_run(
    config: Annotated[
        list[str] | None,
        typer.Option("--config", help="YAML file or inline JSON; given several times, each is laid over those before"),
    ] = None,
    peak_tflops: Annotated[float, typer.Option(help="the GPU's dense bf16 peak, TFLOP/s; 312: an A100")] = 312.0,
    utilisation: Annotated[float, typer.Option(help="assumed share of the peak that a run gets, 0 to 1")] = 0.1,
    gpu_samples_per_s: Annotated[
        float | None, typer.Option(help="measured rate of `train`, instead of that assumption")
    ] = None,
    price: Annotated[float | None, typer.Option(help="price of a GPU hour, in any currency")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout")] = False,
) -> None:
    """Say what a full run needs: clips, disk, core hours, GPU hours; each figure computed, measured or assumed."""
    from rich.console import Console

    from syncdiff.estimate import Gpu, estimate
    from syncdiff.estimate.rows import as_dicts, print_rows

    rows = estimate(
        load_config(*(config or []), need_root=False), Gpu(peak_tflops, utilisation, gpu_samples_per_s, price)
    )
    print(json.dumps(as_dicts(rows), indent=2)) if as_json else print_rows(rows, Console())


@weights_app.command("list")
def list_weights() -> None:
    """List every published weight: source, licence, size, and where it goes."""
    from syncdiff.weights.registry import print_weights

    print_weights()


@weights_app.command("get")
def get_weights(name: str) -> None:
    """Download one; offline, say which file to put where."""
    from syncdiff.weights.registry import get

    for path in get(name):
        print(path)


@weights_app.command("verify")
def verify_weights() -> None:
    """Check the files that are there; exit code 1 if one is damaged."""
    from syncdiff.weights.registry import verify

    raise typer.Exit(0 if verify() else 1)


@app.command("config")
def show_config(schema: Annotated[bool, typer.Option(help="the JSON schema instead")] = False) -> None:
    """Print config.yaml with every key, its default and its meaning."""
    from syncdiff.config import default_yaml, json_schema

    print(json_schema() if schema else default_yaml(), end="")
