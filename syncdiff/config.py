"""Every key of config.yaml: its type, range, default and meaning. An unknown key is an error that names the nearest.

config.yaml and workflow/schemas/config.schema.json are generated from these models (`syncdiff config`); a test fails
when they drift. Grades in the descriptions: [P] paper, [S] second-hand, [I] inferred or free choice.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from syncdiff.errors import UserError
from syncdiff.registry.corpora import CORPORA
from syncdiff.registry.landmarkers import LANDMARKERS
from syncdiff.registry.speech_encoders import SPEECH_ENCODERS, feature_set

FPS = 25  # at which everything is computed
ROOT_VARIABLE = "SYNCDIFF_CORPUS_ROOT"  # where the corpus lies, for the jobs of the workflow
ROOT_ELSEWHERE = f"${ROOT_VARIABLE}"  # stands for it in the slice of a stage: a corpus that moved reruns nothing
NULLS = ("", "~", "null", "Null", "NULL", "none", "None")  # Snakemake hands over as text what stands in its --config
FIXED_ROWS = ("real", "reconstruction", "frozen", "syncdiff")
OTHER_CURVES = ("autoencoder", "syncnet", "sync_expert")  # their losses are drawn beside those of the experiments
MAX_NAME_BYTES = 200  # of a row: a file name, which holds 255, has more before and behind it


def _place(path: str) -> str:
    """Return a path as every command can take it: with its home folder, and not like an option.

    A relative one stays relative, to the working folder; `$VARIABLES` are part of the name.
    """
    if not path.strip() or "\0" in path or path in NULLS[2:]:
        raise ValueError("names no file or folder")
    if set("{}") & set(path):
        raise ValueError("has braces, which stand for ranges of shards and for wildcards; choose another folder")
    if re.match(r"\w+://", path):
        raise ValueError("is an address; name a folder or file of this machine")
    whole = os.path.expanduser(path)  # noqa: PTH111 (Path.expanduser raises where there is no home)
    if whole.startswith("~"):
        raise ValueError("begins with a ~ for which there is no home folder here; write the whole path")
    plain = str(PurePosixPath(whole))
    ambiguous = plain[0] in "-~" or plain in NULLS
    return os.path.abspath(plain) if ambiguous else plain  # noqa: PTH100


Place = Annotated[str, AfterValidator(_place)]
"""A file or folder: `~` is the home folder, relative ones begin at the working folder."""
DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"


class Section(BaseModel):
    """A group of keys; unknown keys and wrong types are refused. `null` may come as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, ser_json_inf_nan="constants")

    @model_validator(mode="before")
    @classmethod
    def _nulls(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {
            key: _null(cls.model_fields[key].annotation, value) if key in cls.model_fields else value
            for key, value in values.items()
        }


def _key_of(table: Mapping[str, Any]) -> tuple[AfterValidator, WithJsonSchema]:
    """Return what makes a string the name of a part in a table of `registry`."""

    def known(name: str) -> str:
        if name not in table:
            raise ValueError(f"not known; say {' or '.join(table)}")
        return name

    return AfterValidator(known), WithJsonSchema({"enum": list(table), "type": "string"})


EncoderName = Annotated[str, *_key_of(SPEECH_ENCODERS)]
CorpusName = Annotated[str, *_key_of(CORPORA)]
LandmarkerName = Annotated[str, *_key_of(LANDMARKERS)]


def _yaml_no(value: Any) -> Any:
    """Return the word that YAML takes for false."""
    return "no" if value is False else value


def _null(annotation: Any, value: Any) -> Any:
    """Return what `null` stands for where the key allows it: None, or no rows at all; else the value itself."""
    if value is not None and value not in NULLS:
        return value
    if get_origin(annotation) is dict:
        return {}
    return None if type(None) in get_args(annotation) else value


class DemoCorpus(Section):
    """The rendered corpus."""

    identities: int = Field(270, ge=3, description="people who do not exist; the last twelfth is only in test")
    clips_per_identity: int = Field(1, ge=1, description="clips of each of them")
    seconds: float = Field(3.0, ge=1.0, le=600.0, description="length of a clip, about")
    size: int = Field(192, ge=96, le=1024, multiple_of=2, description="side of the square frame in pixels")
    faults: float = Field(
        0.0, ge=0, le=1, description="share of train's clips with a known fault, see truth/faults.csv; val, test: none"
    )


class Corpus(Section):
    """Where the clips come from."""

    kind: CorpusName = Field("demo", description=f"the layout on disk: {', '.join(CORPORA)}")
    name: str | None = Field(
        None, pattern=r"^[\w-][\w.-]*$", description="folder name under results; default: the kind"
    )
    root: Place | None = Field(
        None, description="folder that holds mvlrs_v1/, lrs3_v0.4/, s1/ to s34/ or the videos (not for demo)"
    )
    pretrain: bool = Field(True, description="lrs2, lrs3: train on the pretrain split too, where it is there")
    val_fraction: float = Field(
        0.05, ge=0, lt=1, description="lrs3, grid, folder: share of speakers (top folders) in val"
    )
    test_fraction: float = Field(
        0.1, ge=0, lt=1, description="folder: share of top folders in test; grid without test_speakers: of sentences"
    )
    test_speakers: list[int] = Field(
        [1, 2, 20, 22], description="grid: numbers of the speakers in test; []: sentences of each are held out instead"
    )
    demo: DemoCorpus = DemoCorpus()


class Plan(Section):
    """Which clips enter, and how they are grouped."""

    min_seconds: float = Field(1.0, ge=0, description="shorter clips are rejected")
    max_seconds: float | None = Field(None, gt=0, description="longer clips are rejected; null: no limit")
    min_fps: float = Field(20.0, gt=0, description="slower clips are rejected: repeated frames have no lip motion")
    max_fps: float = Field(120.0, gt=0, description="faster clips are rejected: such a rate is a broken header")
    frames_per_shard: int = Field(
        12_000, ge=1, description="aim for the size of a shard, in frames at 25 fps; real corpora: 25,000"
    )


class Faces(Section):
    """From video to aligned crops."""

    backend: LandmarkerName = Field("mediapipe", description=f"landmarker: {', '.join(LANDMARKERS)}")
    detector: Literal["sfd", "blazeface", "yunet"] = Field("sfd", description="face_alignment's face detector")
    weights: Place | None = Field(None, description="face_alignment: folder with its weights; null: its own download")
    size: int = Field(64, ge=32, le=512, multiple_of=16, description="side of the aligned crop in pixels")
    smoothing_frames: int = Field(5, ge=1, le=25, description="width of the landmark smoother; 1 switches it off")
    max_gap_frames: int = Field(5, ge=0, description="frames without a face that are interpolated over")
    min_track_frames: int = Field(25, ge=5, description="shorter face tracks are rejected")
    tracks: Literal["largest", "all"] | None = Field(
        None, description="which faces of a file become clips; null: all of a folder's, the largest of a corpus's"
    )
    max_track_seconds: float | None = Field(
        20.0, gt=0, description="longer tracks are cut into equal pieces, each a clip; null: they stay whole"
    )

    @model_validator(mode="after")
    def _pieces_are_long_enough(self) -> Faces:
        least = 2 * self.min_track_frames / FPS
        if self.max_track_seconds is not None and self.max_track_seconds < least:
            raise ValueError(
                "faces.max_track_seconds: a piece can be half so long, which must be faces.min_track_frames "
                f"{self.min_track_frames} or more: {least:g} s, or null"
            )
        return self


class Priors(Section):
    """The fixed part of the three visual priors."""

    pose_size: int = Field(8, ge=1, le=64, description="r: the pose frame is reduced to r x r pixels [I]")


class Speech(Section):
    """The speech features, and the encoder that the denoiser attends to."""

    encoder: EncoderName = Field(
        "avhubert", description=f"{', '.join(SPEECH_ENCODERS)}; avhubert is the paper's, mel Wav2Lip's, for ablation"
    )
    checkpoint: Place | None = Field(None, description="AV-HuBERT checkpoint, fairseq .pt or converted .safetensors")
    frozen_layers: int = Field(0, ge=0, le=24, description="N: layers below stay frozen; 9 of 12 is the best row [S]")
    layers: int = Field(2, ge=1, le=24, description="without checkpoint: encoder layers trained from scratch")
    dim: int = Field(128, ge=16, multiple_of=16, description="without checkpoint: width of the encoder")
    heads: int = Field(4, ge=1, description="without checkpoint: attention heads")
    window_frames: int = Field(13, ge=1, le=101, description="video frames of speech around the target frame [I]")

    @property
    def feature_set(self) -> str:
        """Name of the features that are stored: `fbank`, `mel`, or `avhubert<N>`, the hidden states after layer N."""
        return feature_set(self.encoder, self.frozen_layers)

    @model_validator(mode="after")
    def _has_features(self) -> Speech:
        feature_set(self.encoder, self.frozen_layers)
        return self


class Optimizer(Section):
    """One training run; every stage that trains has its own."""

    steps: int = Field(1000, ge=1, description="optimiser steps")
    batch_size: int = Field(32, ge=1, description="samples in a step, over all processes")
    learning_rate: float = Field(1e-3, gt=0, description="peak of AdamW's learning rate")
    warmup_steps: int = Field(50, ge=0, description="linear warm-up, then a cosine to zero")
    grad_clip: float = Field(1.0, gt=0, description="largest gradient norm")
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints that a rerun resumes from")


class Autoencoder(Optimizer):
    """diffusers' AutoencoderKL."""

    steps: int = Field(400, ge=0, description="optimiser steps; 0: principal components, untrained")
    batch_size: int = Field(8, ge=1, description="crops in a step")
    learning_rate: float = Field(2e-4, gt=0, description="peak of AdamW's learning rate")
    pretrained: Place | None = Field(None, description="folder of a diffusers AutoencoderKL; null: train on the corpus")
    patch_size: Literal[2, 4, 8, 16] = Field(8, description="side in pixels of what becomes one latent vector")
    latent_channels: int = Field(64, ge=1, le=256, description="channels of the latents")
    kl_weight: float = Field(1e-7, ge=0, description="weight of the KL term")
    mouth_weight: float = Field(2.0, ge=0, description="extra weight of the reconstruction loss under the mask")


class Latents(Section):
    """The crops that the denoiser is trained on, as latents."""

    stored: bool = Field(
        True,
        description="encoded once, into shards; false: whenever training reads crops, which wants a GPU, but no disk",
    )


ImageSize = Literal[64, 112, 224]  # the sizes at which SyncNet's last map has a side


class SyncNet(Optimizer):
    """The scorer of LSE-C and LSE-D, and the sync expert of the sync loss."""

    steps: int = Field(600, ge=1, description="optimiser steps")
    batch_size: int = Field(64, ge=16, multiple_of=16, description="windows in a step, 16 of a clip")
    learning_rate: float = Field(5e-4, gt=0, description="peak of AdamW's learning rate")
    weights: Place | None = Field(None, description="published syncnet_v2.model; null: train one on the corpus")
    width: float = Field(0.25, gt=0, le=1, description="channels relative to the published network, when trained here")
    image_size: ImageSize = Field(64, description="input side in pixels, when trained here")


class Curate(Section):
    """Which clips are fit to train on. Where all thresholds are null, every clip is, and none is measured."""

    test: bool = Field(True, description="test clips too; false: all of them are scored, as others score them")

    syncnet: Place = Field(
        "sync_expert",
        description="sync_expert: the corpus's own that never scores; syncnet: the scorer; or a file",
    )
    max_chance: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of other clips' sounds that fit as well as the clip's own; rejects sound of somebody else",
    )
    shift_chance: float | None = Field(
        None, ge=0, le=1, description="up to this chance an offset is sure: the sound is shifted by it; null: never"
    )
    max_offset: int | None = Field(None, ge=0, le=15, description="frames between sound and lips, either way")
    min_confidence: float | None = Field(
        None, description="SyncNet's confidence; 3 is usual with the published network [S]"
    )
    max_lse_d: float | None = Field(None, ge=0, description="SyncNet's distance at the best shift")
    min_in_sync: float | None = Field(
        None, ge=0, le=1, description="share of windows whose own best shift is the clip's"
    )
    min_face_px: float | None = Field(None, ge=0, description="side of what becomes the crop, in pixels of the source")
    min_sharpness: float | None = Field(None, ge=0, description="variance of the Laplacian at the mouth, in the crop")
    max_blockiness: float | None = Field(
        None, ge=0, description="steps at the borders of 8 x 8 blocks over the others; 1: none"
    )
    max_yaw: float | None = Field(
        None, ge=0, le=90, description="degrees to either side, in the middle of the clip's frames"
    )
    max_pitch: float | None = Field(None, ge=0, le=90, description="degrees up or down, the same")
    max_turning: float | None = Field(
        None, ge=0, le=180, description="degrees of yaw or pitch that the clip goes through"
    )
    max_jitter: float | None = Field(
        None, ge=0, description="noise of still landmarks, in hundredths of the eyes' distance"
    )
    min_loudness: float | None = Field(None, le=0, description="level of the sound, dBFS")
    min_speech: float | None = Field(None, ge=0, le=1, description="share of frames with speech, by their level")
    min_conf: float | None = Field(None, description="lrs2, lrs3: `Conf:` of the transcript")
    min_asd: float | None = Field(None, description="lrs2, lrs3: mean active-speaker score of the transcript's words")
    max_deviation: float | None = Field(
        None,
        gt=0,
        description="robust standard deviations from the corpus's median: of sharpness, blockiness, jitter, loudness",
    )

    @property
    def limits(self) -> dict[str, float]:
        """Each measure that has a threshold, with it."""
        named = {name.partition("_")[2]: value for name, value in self if name.startswith(("min_", "max_"))}
        return {measure: value for measure, value in named.items() if value is not None}

    @property
    def wanted(self) -> bool:
        """Whether clips are measured and judged at all."""
        return bool(self.limits) or self.shift_chance is not None


class Denoiser(Section):
    """diffusers' UNet2DConditionModel and the pose bottleneck."""

    channels: list[int] = Field([64, 128], min_length=1, description="width per resolution of the latents [I]")
    layers_per_block: int = Field(1, ge=1, le=4, description="residual blocks per resolution [I]")
    head_dim: int = Field(32, ge=8, description="width of an attention head [I]")
    pose_frame: Literal["bottleneck", "full", "none"] = Field(
        "bottleneck", description="the third prior: through the bottleneck [P], whole, or left out (ablations)"
    )
    bottleneck_dim: int = Field(16, ge=1, description="numbers that the learned bottleneck keeps of a pose frame [I]")
    n_flows: int = Field(3, ge=0, description="K: predicted flows that warp the identity frame [I]; 0: none")
    pose_noise: float = Field(0.1, ge=0, description="noise on the pose frame in training, in pixel std of [-1, 1] [I]")
    pose_dropout: float = Field(0.1, ge=0, le=1, description="share of samples trained without the pose frame [I]")
    speech_dropout: float = Field(0.1, ge=0, le=1, description="share trained without speech, for guidance [I]")


class Diffusion(Section):
    """The noise schedule."""

    train_timesteps: int = Field(1000, ge=10, description="T [I: DiffTalk]")
    beta_start: float = Field(0.0015, gt=0, lt=1, description="linear schedule, as DiffTalk's [I]")
    beta_end: float = Field(0.0195, gt=0, lt=1, description="linear schedule, as DiffTalk's [I]")
    lip_weight: float = Field(8.0, ge=0, description="extra weight of the loss at the lips [I]")
    ssim_weight: float = Field(1.0, ge=0, description="weight of 1 - SSIM of what is predicted [I]; 0: none")


class Pretraining(Optimizer):
    """Of a speech encoder without checkpoint, before the denoiser's training: it learns to predict the lips."""

    steps: int = Field(400, ge=0, description="optimiser steps; 0: none [I]")
    batch_size: int = Field(64, ge=1, description="frames in a step, over all processes")


class Train(Optimizer):
    """The denoiser's training."""

    steps: int = Field(1200, ge=0, description="optimiser steps; 0, with init: none")
    batch_size: int = Field(64, ge=1, description="frames in a step, over all processes")
    learning_rate: float = Field(2e-3, gt=0, description="peak of Muon's and AdamW's learning rate [I]")
    nodes: int = Field(1, ge=1, description="machines that share a step; more than one need SLURM")
    processes: int = Field(1, ge=1, description="processes on each of them, one for each of its GPUs")
    init: Place | None = Field(
        None, description="a trained run's folder, or an export, whose weights training begins with; null: from scratch"
    )
    identity_gap: int = Field(
        1, ge=1, description="frames between target and identity frame, at least; 1: any other frame of the clip [P]"
    )
    ema_decay: float = Field(0.99, ge=0, lt=1, description="exponential moving average of the weights")

    @model_validator(mode="after")
    def _trains_something(self) -> Train:
        if not (self.steps or self.init):
            raise ValueError("train.steps: 0 needs train.init, the run whose weights are to be taken")
        return self


class SecondStage(Optimizer):
    """The denoiser's second training, in pixels: it samples runs of frames, which are decoded and looked at."""

    steps: int = Field(0, ge=0, description="optimiser steps; 0: none [I]")
    batch_size: int = Field(8, ge=1, description="runs of 5 frames in a step, over all processes")
    learning_rate: float = Field(5e-4, gt=0, description="peak of Muon's and AdamW's learning rate [I]")
    sample_steps: int = Field(2, ge=1, le=50, description="denoising steps of a frame, by DDIM: best as `sample.steps`")
    adversarial_weight: float = Field(
        0.0, ge=0, description="weight of a critic that tells sampled mouths from decoded real ones [I]; 0: none"
    )
    feature_weight: float = Field(
        0.0, ge=0, description="weight of the difference between what that critic sees in both [I]; 0: none"
    )
    perceptual_weight: float = Field(0.0, ge=0, description="weight of LPIPS, by the weights `vgg` [I]; 0: none")
    vgg: Place | None = Field(None, description="torchvision's VGG16 weights for LPIPS as a loss")
    temporal_weight: float = Field(
        0.0, ge=0, description="weight of the error of what changes from frame to frame [I]; 0: none"
    )
    sync_weight: float = Field(
        0.0, ge=0, description="weight of the sync loss, by a sync expert that never scores [I]; 0: none"
    )

    @property
    def with_critic(self) -> bool:
        """Whether a critic is trained beside the denoiser."""
        return self.adversarial_weight > 0 or self.feature_weight > 0

    @property
    def with_lpips(self) -> bool:
        """Whether LPIPS looks at sampled frames."""
        return self.steps > 0 and self.perceptual_weight > 0

    @property
    def with_sync(self) -> bool:
        """Whether a sync expert looks at sampled frames."""
        return self.steps > 0 and self.sync_weight > 0

    @model_validator(mode="after")
    def _has_weights(self) -> SecondStage:
        if self.perceptual_weight and not self.vgg:
            raise ValueError(
                "second_stage.perceptual_weight: needs second_stage.vgg (syncdiff weights get vgg16); feature_weight, "
                "by the critic, needs no weights"
            )
        return self


class Validation(Section):
    """Looks at the denoiser in training: at clips of val, from which it does not learn."""

    every: int | None = Field(
        None, ge=1, description="steps from one look to the next; null: none, nor is val prepared"
    )
    clips: int = Field(12, ge=1, description="so many clips of a val shard, evenly spaced, are sampled and scored")
    by: Literal["mouth_corr", "loss_val"] = Field(
        "mouth_corr", description="the figure by which the step is chosen whose weights are kept [I]"
    )
    stop_after: int | None = Field(
        None, ge=1, description="looks without a better one, after which training ends early; null: it does not"
    )


class Sample(Section):
    """Sampling, autoregressive over frames."""

    sampler: Literal["ddim", "dpm_solver++"] = Field("dpm_solver++", description="solver")
    steps: int = Field(2, ge=1, le=1000, description="denoising steps a frame")
    pose_steps: int | None = Field(
        1, ge=1, description="a frame begins once the one before it has had so many steps; null: all [I]"
    )
    guidance: float = Field(
        2.0, ge=0, description="classifier-free guidance over speech, at the lips; 1 switches it off"
    )
    batch_clips: int = Field(18, ge=1, description="clips denoised side by side")
    max_clips: int | None = Field(12, ge=1, description="so many clips of a test shard, evenly spaced; null: all")


class Evaluate(Section):
    """Scores."""

    protocols: list[Literal["paired", "cross", "silent"]] = Field(
        ["paired", "cross", "silent"], min_length=1, description="which audio drives the face"
    )
    inception: Place | None = Field(None, description="pt_inception-2015-12-05 weights for FID; null: a named stand-in")
    alexnet: Place | None = Field(None, description="torchvision's AlexNet weights for LPIPS; null: not taken")
    facenet: Place | None = Field(None, description="FaceNet's VGGFace2 weights for CSIM; null: not taken")
    i3d: Place | None = Field(None, description="i3d_torchscript.pt for FVD; null: not taken")
    external: dict[str, Place] = Field({}, description="method name: folder of its videos, laid out as <clip>.mp4")
    bootstrap: int = Field(200, ge=10, description="resamples of clips behind each interval")
    groups: dict[str, list[FiniteFloat]] = Field(
        {},
        description="the table once more for each group of clips, by columns of the plan, of curation.parquet, or "
        "speaker_seen: where its numbers are cut, or []: its categories, or thirds of its numbers",
    )
    study: list[str] = Field(
        ["real", "syncdiff"], description="the rows that raters compare on the page of a blind study; []: no page"
    )


class Experiment(Section):
    """What an experiment changes; keys left out keep their value."""

    speech: dict[str, Any] = {}
    denoiser: dict[str, Any] = {}
    diffusion: dict[str, Any] = {}
    pretraining: dict[str, Any] = {}
    train: dict[str, Any] = {}
    second_stage: dict[str, Any] = {}
    sample: dict[str, Any] = {}
    seed: int | None = None


class Config(Section):
    """All of config.yaml."""

    results: Place = Field(
        "results",
        description="output folder; in every path ~ is the home folder, and relative ones begin at the working folder",
    )
    device: str = Field("auto", pattern=DEVICE, description="auto: a CUDA GPU where there is one")
    mixed_precision: Annotated[Literal["auto", "no", "bf16"], BeforeValidator(_yaml_no)] = Field(
        "auto", description="of training and sampling; auto: bf16 where the GPU or the CPU has units for it, else fp32"
    )
    seed: int = Field(0, ge=0, description="of everything random")
    max_failed_fraction: float = Field(
        0.1, ge=0, le=1, description="a stage in which more clips than this fail by an error stops the run"
    )
    corpus: Corpus = Corpus()
    plan: Plan = Plan()
    faces: Faces = Faces()
    priors: Priors = Priors()
    speech: Speech = Speech()
    autoencoder: Autoencoder = Autoencoder()
    latents: Latents = Latents()
    syncnet: SyncNet = SyncNet()
    curate: Curate = Curate()
    denoiser: Denoiser = Denoiser()
    diffusion: Diffusion = Diffusion()
    pretraining: Pretraining = Pretraining()
    train: Train = Train()
    second_stage: SecondStage = SecondStage()
    validation: Validation = Validation()
    sample: Sample = Sample()
    evaluate: Evaluate = Evaluate()
    experiments: dict[str, Experiment] = Field({}, description="ablations: name: the sections that it changes")

    @property
    def corpus_name(self) -> str:
        """Folder name of the corpus under `results`."""
        return self.corpus.name or self.corpus.kind

    @property
    def corpus_root(self) -> Path:
        """The folder that holds the corpus, below which the plan's videos lie; the demo's is rendered under `results`.

        A whole path joined to it stays what it is.
        """
        return Path(self.corpus.root or f"{self.results}/{self.corpus_name}/corpus")

    @property
    def tracks(self) -> str:
        """Which faces of a file become clips: `largest` or `all`."""
        return self.faces.tracks or CORPORA[self.corpus.kind].tracks

    @property
    def last_stage(self) -> Optimizer:
        """The training that the denoiser's weights come out of."""
        return self.second_stage if self.second_stage.steps else self.train

    @property
    def splits(self) -> list[str]:
        """Split names in the order in which they are planned."""
        pretrain = ["pretrain"] if CORPORA[self.corpus.kind].pretrain and self.corpus.pretrain else []
        return [*pretrain, "train", "val", "test"]

    def experiment(self, name: str) -> Config:
        """Return the config of one experiment: `syncdiff` is the config itself, others change what they name."""
        if name == "syncdiff":
            return self
        changes = self.experiments[name].model_dump(exclude_defaults=True)
        values = merge(self.model_dump(mode="json", exclude={"experiments"}), changes)
        return parse_config(values, need_root=False)  # whoever needed a root was told so when `self` was read


def load_config(*sources: str | Path, need_root: bool = True) -> Config:
    """Read YAML files, or JSON objects given inline (`{"corpus": {"kind": "demo"}}`), laid over each other in turn.

    A corpus without a root, as in the slices of `stages`, lies where the environment says.
    """
    values: dict[str, Any] = {}
    for source in sources:
        values = merge(values, read_config(source))
    corpus = values.get("corpus") or {}
    root = os.environ.get(ROOT_VARIABLE)
    if root and isinstance(corpus, dict) and corpus.get("root") in (None, ROOT_ELSEWHERE):
        values = merge(values, {"corpus": {**corpus, "root": root}})
    return parse_config(values, need_root)


def read_config(source: str | Path) -> dict[str, Any]:
    """Read the values of a YAML file, or of a JSON object given inline, as they are."""
    text = str(source)
    inline = text.lstrip().startswith("{")
    name = "config" if inline else text
    try:
        values = json.loads(text) if inline else yaml.load(Path(os.path.expanduser(source)).read_text("utf-8"), _Loader)  # noqa: PTH111
    except FileNotFoundError:
        raise UserError(f"{name}: no such config file") from None
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror}") from None
    except Exception as error:  # a YAML tag that does not fit its value can raise anything
        raise UserError(f"{name}: not valid {'JSON' if inline else 'YAML'}: {' '.join(str(error).split())}") from None
    if not isinstance(values or {}, dict):
        raise UserError(f"{name}: expected `key: value` lines at the top level")
    return values or {}


class _Loader(yaml.SafeLoader):
    """YAML without aliases: no config needs one, and a few lines of them stand for more values than memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not used here; write the value out")
        return super().compose_node(parent, index)


def parse_config(values: Mapping[str, Any], need_root: bool = True) -> Config:
    """Validate a plain dict; the first fault becomes a one-line `UserError` that names the key and the fix.

    `need_root` false: a corpus other than the demo may lack its root, for those who open none of its files.
    """
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise UserError("config: " + "; ".join(_explain(dict(fault)) for fault in error.errors()[:3])) from None
    _check_rows(config)
    _check_validation(config)
    _check_study(config)
    for name in config.experiments:
        config.experiment(name)
    if need_root and not (CORPORA[config.corpus.kind].rendered or config.corpus.root):
        raise UserError(f"config: corpus.root: missing; name the folder that holds the {config.corpus.kind} corpus")
    return config


def _check_rows(config: Config) -> None:
    """Refuse names of rows that cannot be a folder's name on every disk, or that two rows would share."""
    taken = {_folded(name) for name in (*FIXED_ROWS, *OTHER_CURVES)}
    rows = {"experiments": [*config.experiments], "evaluate.external": [*config.evaluate.external]}
    for key, names in rows.items():
        for name in names:
            shown = name if name.isprintable() and name else repr(name)
            if fault := _name_fault(name):
                raise UserError(f"config: {key}.{shown[:60]}: the name of a row {fault}; rename it")
            if _folded(name) in taken:
                raise UserError(f"config: {key}.{shown}: this name is taken by another row of the table; rename it")
            taken.add(_folded(name))


def _check_validation(config: Config) -> None:
    if config.validation.every and not config.last_stage.steps:
        raise UserError(
            "config: validation.every: train.steps and second_stage.steps are 0, so that there is no step to look at;"
            " set it to null"
        )


def _check_study(config: Config) -> None:
    known = [*FIXED_ROWS, *config.experiments, *config.evaluate.external]
    for name in config.evaluate.study:
        if name not in known:
            raise UserError(f"config: evaluate.study: {name} is no row of the table; there are {', '.join(known)}")
    if len(config.evaluate.study) == 1 or len(set(config.evaluate.study)) < len(config.evaluate.study):
        raise UserError("config: evaluate.study: raters compare two rows or more, each named once; [] for no page")


def _name_fault(name: str) -> str | None:
    if not name:
        return "is empty"
    if not name.isprintable() or name != name.strip():
        return "has a line break or another sign that cannot be seen, or begins or ends with a space"
    if name[0] in "-._":
        return f"begins with {name[0]}, as options, hidden files and hidden curves do"
    if found := [sign for sign in "/\\{}$`," if sign in name]:
        return f"has a {found[0]}, which file names or commands cannot hold"
    return "is longer than a file name" if len(name.encode()) > MAX_NAME_BYTES else None


def _folded(name: str) -> str:
    """Return what is the same for names that some disks take for one."""
    return unicodedata.normalize("NFC", name).casefold()


def known_device(wanted: str | None) -> str | None:
    """Return the name of a device as it is, if it is one; whether the device is there, `device.choose_device` tells."""
    if wanted is not None and not re.search(DEVICE, wanted):
        raise UserError(f"device: {wanted[:40]!r} is none that is known here; say auto, cpu, cuda or cuda:N (N from 0)")
    return wanted


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` laid over it, section by section."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def _explain(fault: dict[str, Any]) -> str:
    if not fault["loc"]:
        return f"{fault['msg'].lower()} (got {repr(fault['input'])[:100]})"
    *parents, key = fault["loc"]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "value_error":
        return f"{where}: {fault['ctx']['error']} (got {repr(fault['input'])[:100]})"
    if fault["type"] != "extra_forbidden":
        hint = {"string_type": "; put it in quotes"}.get(fault["type"], "")
        if fault["input"] is None:
            hint = "; leave the key out for its default"
        return f"{where}: {fault['msg'].lower()} (got {repr(fault['input'])[:100]}){hint}"
    known = list(_section_at(parents).model_fields)
    nearest = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    anywhere = [path for path in _all_keys(Config) if path.endswith(f".{key}")]
    hint = f"did you mean {'.'.join([*map(str, parents), *nearest])}?" if nearest else f"known here: {', '.join(known)}"
    return f"{where}: unknown key; " + (f"did you mean {anywhere[0]}?" if anywhere and not nearest else hint)


def _section_at(parents: list[Any]) -> type[Section]:
    section: type[Section] = Config
    for part in parents:
        if part not in section.model_fields:
            return Experiment
        annotation = section.model_fields[part].annotation
        section = annotation if isinstance(annotation, type) and issubclass(annotation, Section) else Experiment
    return section


def _all_keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _all_keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


# Editors that know YAML complete keys by it, show what they mean, and mark mistakes.
SCHEMA_LINE = "# yaml-language-server: $schema=workflow/schemas/config.schema.json"


def default_yaml() -> str:
    """Return config.yaml: every key with its default, and its meaning as a comment."""
    head = "# The default configuration: the demo corpus. Written by `syncdiff config` from syncdiff/config.py.\n"
    return f"{SCHEMA_LINE}\n{head}" + "\n".join(_yaml_lines(Config(), indent=0)) + "\n"


def json_schema() -> str:
    """Return the JSON schema of config.yaml."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def _yaml_lines(section: Section, indent: int) -> Iterator[str]:
    margin = " " * indent
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield f"{'' if indent else chr(10)}{margin}{name}:  # {(type(value).__doc__ or '').splitlines()[0]}"
            yield from _yaml_lines(value, indent + 2)
        else:
            yield f"{margin}{name}: {json.dumps(value)}  # {field.description}"
