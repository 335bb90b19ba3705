"""The tools that work alone: what people call."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from syncdiff.cli.options import ConfigOption, DeviceOption, WorkersOption
from syncdiff.config import load_config, read_config
from syncdiff.errors import UserError, escape
from syncdiff.pipeline.parallel import prepare_workers
from syncdiff.registry.corpora import CORPORA

PANEL = "Tools, which work alone"
app = typer.Typer()
tool = partial(app.command, rich_help_panel=PANEL)
weights_app = typer.Typer(help="The published weights that the project can use.", no_args_is_help=True)
app.add_typer(weights_app, name="weights", rich_help_panel=PANEL)


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


@tool()
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


@tool()
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


@tool("convert")
def convert_checkpoint(checkpoint: Path, out: Path) -> None:
    """Convert a fairseq AV-HuBERT checkpoint to a plain .safetensors file, without running code from it."""
    from syncdiff.speech.avhubert import convert

    convert(checkpoint, out)


@tool("curate")
def curate_videos(
    paths: list[Path],
    syncnet: Annotated[Path | None, typer.Option(help="weights; without, what needs none is measured")] = None,
    out: Annotated[Path | None, typer.Option(help="parquet; a page lies beside it")] = None,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
    workers: WorkersOption = 1,
) -> None:
    """Measure the faces of videos or folders of them, and say which are fit to train on, by the config's `curate`."""
    if out and (out.suffix != ".parquet" or out.is_dir()):
        raise UserError(f"--out {out}: name a file that ends in .parquet; the page beside it will end in .html")
    if workers > 1:
        prepare_workers("syncdiff.curation.videos")
    from rich.console import Console

    from syncdiff.curation import videos
    from syncdiff.device import choose_device
    from syncdiff.pipeline.files import write_parquet
    from syncdiff.report.curation import write_page

    run = load_config(config, need_root=False)
    judged = videos.curate_videos(paths, run, syncnet, str(choose_device(device or run.device)), workers)
    videos.print_clips(judged, Console() if sys.stdout.isatty() else Console(width=videos.LOG_COLUMNS))
    if out:
        write_parquet(out, judged)
        write_page(run.curate, "videos", judged, Path(), out.with_suffix(".html"))
    raise typer.Exit(0 if (judged["status"] == "ok").any() else 1)


@tool()
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
    real: Annotated[
        list[Path] | None,
        typer.Option(help="the real video of the same face, once for each of VIDEOS: how sharp the mouth is beside it"),
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="arithmetic of the network")] = Dtype.FP32,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout")] = False,
) -> None:
    """Score the lip sync of VIDEOS: offset, LSE-D and LSE-C, as syncnet_python does.

    Beside --real, also sharpness, and the share of frames in the midst of silence in which the mouth is open.

    Of the config only `device` and, for the landmarker, `faces` are read.
    """
    from syncdiff.device import choose_device
    from syncdiff.evaluation import against_real
    from syncdiff.evaluation.metrics.lse import in_words, score_videos
    from syncdiff.weights.registry import get

    run, weights = load_config(config, need_root=False), syncnet or get("syncnet")[0]
    card = choose_device(device or run.device)
    beside = against_real.compare_all(videos, real, run.faces) if real else []
    scores = score_videos(videos, weights, crop.value, jpeg, dtype.value, card, face.value, run.faces)
    found = scores | {"beside_real": beside} if real else scores
    lines = (*in_words(scores), *against_real.in_words(beside))
    print(json.dumps(found, indent=2) if as_json else "\n".join(lines))
    raise typer.Exit(0 if scores["videos"] else 1)


@tool()
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


@tool("study")
def evaluate_study(
    answers: list[Path],
    key: Annotated[Path, typer.Argument(help="study_key.csv of the report")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout")] = False,
) -> None:
    """Evaluate the ANSWERS of the raters of a blind study, the files that its page saved, by its KEY."""
    from syncdiff.report.answers import evaluate_answers, print_answers

    found = evaluate_answers(answers, key)
    print(json.dumps(found, indent=2)) if as_json else print_answers(found)


Model = Annotated[Path, typer.Option(help="folder of a run, such as results/demo/runs/syncdiff, or of an export")]
Video = Annotated[Path | None, typer.Argument(help="with a face; not with --jobs")]
Sound = Annotated[Path | None, typer.Argument(help="what the lips are to say; not with --jobs")]
Dubbed = Annotated[Path | None, typer.Argument(help=".mp4, .m4v, .mov, .mkv or .webm; not with --jobs")]
WhoseMouth = Annotated[
    str,
    typer.Option(
        help="largest of each frame; speaking, whose lips fit the video's own sound; or a number, or several: 1,3"
    ),
]
FaceSheet = Annotated[
    Path | None, typer.Option(help="write a picture of the people in VIDEO, with their numbers, and nothing else")
]
HowLong = Annotated[
    Length, typer.Option(help="shortest of both; sound: the video goes on there and back; video: silence follows")
]
Decibels = Annotated[
    float, typer.Option(max=0, help="dB of full scale: below it the sound is silent, and the mouth closes")
]
Close = Annotated[bool, typer.Option("--close/--no-close", help="close the mouth in silence")]
Crf = Annotated[int, typer.Option(min=0, max=51, help="quality of the pictures; lower is better")]
LseWeights = Annotated[Path | None, typer.Option(help="weights: LSE before and after, and what --face speaking needs")]
ReportFile = Annotated[Path | None, typer.Option(help="write what was dubbed, what was not and why, as JSON")]
JobTable = Annotated[
    Path | None, typer.Option(help="a CSV of videos: columns video, sound, out, and any of face, length, crf")
]


@tool("dub")
def dub_video(  # noqa: PLR0913, PLR0917 - an option each
    model: Model,
    video: Video = None,
    sound: Sound = None,
    out: Dubbed = None,
    face: WhoseMouth = "largest",
    list_faces: FaceSheet = None,
    length: HowLong = Length.SHORTEST,
    silence: Decibels = -50.0,
    close: Close = True,
    crf: Crf = 17,
    syncnet: LseWeights = None,
    report: ReportFile = None,
    jobs: JobTable = None,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Write VIDEO with lips that say SOUND to OUT, at VIDEO's own frame rate, size and colours, with SOUND as it is.

    VIDEO and SOUND are never written. Every stretch of VIDEO that shows the chosen face is dubbed, all else passes.

    The config is the model's own, with the keys of --config (of `sample`, say) laid over it.
    """
    from syncdiff.dubbing.dub import dub
    from syncdiff.dubbing.jobs import read_jobs, run_jobs
    from syncdiff.dubbing.lip_sync import LipSync
    from syncdiff.dubbing.output import check_out
    from syncdiff.dubbing.wishes import Wishes

    wishes = Wishes(face, length.value, silence if close else None, crf, syncnet)
    load = partial(LipSync.from_pretrained, model, device=device, config=read_config(config))
    if jobs and (video or list_faces):
        raise UserError("--jobs: its table names the videos; leave VIDEO and --list-faces out")
    if jobs:
        table = read_jobs(jobs, wishes)
        raise typer.Exit(0 if run_jobs(partial(dub, load().networks), table, report) else 1)
    if video and list_faces:
        print("\n".join(load().list_faces(video, list_faces, syncnet)))
        return
    if not (video and sound and out):
        raise UserError("dub: give VIDEO SOUND OUT, or VIDEO --list-faces SHEET.png, or --jobs TABLE.csv")
    check_out(out, video, sound)
    made = dub(load().networks, video, sound, out, wishes)
    if report:
        made.write(report)
    print(made.line())


@tool("app")
def serve_page(
    model: Model,
    results: Annotated[Path | None, typer.Option(help="results folder to look through, such as results/demo")] = None,
    syncnet: LseWeights = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="of 127.0.0.1; 0: any that is free")] = 7860,
    max_mb: Annotated[int, typer.Option(min=1, help="MB that an uploaded file may have")] = 1000,
    config: ConfigOption = "{}",
    device: DeviceOption = None,
) -> None:
    """Serve a page on this machine, and on no other: dub a video, score videos, look through a results folder.

    It needs Gradio, the extra `app`.
    """
    from syncdiff.app.page import served
    from syncdiff.dubbing.lip_sync import LipSync

    load = partial(LipSync.from_pretrained, model, device=device, config=read_config(config))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it, its files are removed
    with suppress(KeyboardInterrupt), served(load, results, syncnet, port, max_mb) as address:
        print(f"{address} (Ctrl-C ends it)", flush=True)
        Event().wait()


@tool("export")
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


@tool("estimate")
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


@tool("verify")
def verify_artifacts(folder: Path) -> None:
    """Hash again what a results FOLDER holds, against its provenance; exit code 1 if something differs."""
    from syncdiff.pipeline.provenance import verify

    verification = verify(folder)
    print(
        "\n".join(map(escape, verification.faults))
        or f"{verification.checked} artifacts are what their provenance says"
    )
    raise typer.Exit(1 if verification.faults else 0)


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


@tool("config")
def show_config(schema: Annotated[bool, typer.Option(help="the JSON schema instead")] = False) -> None:
    """Print config.yaml with every key, its default and its meaning."""
    from syncdiff.config import default_yaml, json_schema

    print(json_schema() if schema else default_yaml(), end="")
