# What all rules share: the validated config, the shards of each split, and the slices of the config.

import getpass
import hashlib
import os
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from syncdiff.config import merge, parse_config
from syncdiff.corpus.kind import kind_of
from syncdiff.corpus.listing import refresh, shard_counts
from syncdiff.errors import UserError
from syncdiff.evaluation.videos import videos_in
from syncdiff.pipeline.logs import log_to_stderr
from syncdiff.pipeline.retries import attempts
from syncdiff.pipeline.stages import STAGES, config_slice, portable
from syncdiff.registry.corpora import CORPORA
from syncdiff.registry.landmarkers import LANDMARKERS
from syncdiff.registry.speech_encoders import feature_pattern

log_to_stderr()

# Runs that are compared: `syncdiff` is config.yaml itself; the others change what config/ablation.yaml says.
with open(f"{workflow.basedir}/config/ablation.yaml") as file:
    EXPERIMENTS = yaml.safe_load(file)

try:
    CONFIG = parse_config(merge(EXPERIMENTS, config))
    RENDERED = CORPORA[CONFIG.corpus.kind].rendered
    OUT = str(Path(CONFIG.results, CONFIG.corpus_name))
    # The corpus is listed once, by the process that was called; its jobs are told where the list lies: hidden, for old
    # lists stay there, of which no provenance tells.
    LISTING = ""
    if not RENDERED:
        LISTING = os.environ.get("SYNCDIFF_LISTING", "")
        if workflow.is_main_process or not LISTING:
            LISTING = str(
                refresh(CONFIG, Path(OUT, ".listing"), Path(OUT, "plan/clips.parquet"))
            )
    SHARDS = {
        split: [f"{number:05d}" for number in range(count)]
        for split, count in shard_counts(
            CONFIG, Path(LISTING) if LISTING else None
        ).items()
        if count
    }
except UserError as error:
    raise WorkflowError(str(error))

# A small corpus may have nobody to spare for val: it is trained on all the same.
if CONFIG.validation.every and "val" not in SHARDS:
    if workflow.is_main_process:
        logger.warning(
            "config: validation.every: there is no val split (corpus.val_fraction, or a corpus's own list, leaves it"
            " empty): the last weights are kept, and nothing says when to stop"
        )
    CONFIG = CONFIG.model_copy(update={"validation": type(CONFIG.validation)()})
VALIDATED = CONFIG.validation.every is not None

# Snakemake asks for the user's name, which a container's user may not have.
try:
    getpass.getuser()
except (KeyError, OSError):
    os.environ.update(USER=str(os.getuid()))
# `python` of the commands is the one that runs Snakemake, also where its environment is not activated.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
)
os.environ["SYNCDIFF_DEVICE"] = (
    CONFIG.device
)  # not a parameter: another device reruns nothing
os.environ["SYNCDIFF_LISTING"] = LISTING
os.environ["SYNCDIFF_CORPUS_ROOT"] = str(
    CONFIG.corpus_root
)  # not a parameter either: a corpus that moved is the same
TRAIN_SPLITS = [split for split in ("pretrain", "train") if split in SHARDS]
HELD_OUT = ["val", "test"] if VALIDATED else ["test"]
PREPARED_SPLITS = [split for split in (*TRAIN_SPLITS, *HELD_OUT) if split in SHARDS]
# The table needs clips to learn from and clips to score on; `data` does with what there is.
ASKED = set(workflow.dag_settings and workflow.dag_settings.targets or ["eval"])
for split, there in {"train": TRAIN_SPLITS, "test": SHARDS.get("test")}.items():
    if not there and ASKED & {"eval", "ablation"}:
        raise WorkflowError(kind_of(CONFIG).why_empty(CONFIG, split))
FEATURES = CONFIG.speech.feature_set
BASELINES = ["reconstruction", "frozen"]
# GPUs of a job that runs a network: a cluster without any has `device: cpu`.
GPU = 0 if CONFIG.device == "cpu" else 1
FACES_GPU = GPU if LANDMARKERS[CONFIG.faces.backend].on_gpu else 0
# Speech features that a CPU computes, and those that are a network's: of an experiment's own checkpoint, with its digest.
PLAIN_FEATURES = feature_pattern(on_gpu=False)
HIDDEN_STATES = f"({feature_pattern(on_gpu=True)})(-[0-9a-f]{{8}})?"
TRAIN_GPUS = GPU * CONFIG.train.processes * CONFIG.train.nodes
# Cores that decode crops for a training beside a GPU.
FEEDERS = 1 if RENDERED else 4
# Each process of a training holds its own shards, beside what it computes with.
TRAIN_MB = 24000 + 8000 * CONFIG.train.processes
# What makes the executor hand all nodes to a training: it starts the command on the first, and srun reaches the others.
# `tasks_per_gpu: 0` keeps it from multiplying `tasks` by the GPUs, which without the last line may be shared out unevenly.
ON_NODES = {}
if CONFIG.train.nodes > 1:
    ON_NODES = {
        "mpi": "srun",
        "nodes": CONFIG.train.nodes,
        "tasks": CONFIG.train.nodes,
        "tasks_per_gpu": 0,
    }
    if GPU:
        ON_NODES["slurm_extra"] = f"--gpus-per-node={CONFIG.train.processes}"
# Without an AV-HuBERT checkpoint there are no layers to freeze.
ABLATION = [
    name
    for name, experiment in CONFIG.experiments.items()
    if CONFIG.experiment(name).speech.checkpoint
    or "frozen_layers" not in experiment.speech
]


def cards_here():
    """The names of the GPUs that jobs on this machine may use."""
    if not GPU or not shutil.which("nvidia-smi"):
        return []
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [card for card in visible.split(",") if card not in ("", "-1")]
    asked = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.split()


# Where this machine runs the jobs, no more of them at a time than it has cards, each on its own. SLURM sees to that
# itself; with it, --jobs gives a number of nodes (which executor there is, is not known when this is read).
here = workflow.is_main_process and workflow.resource_settings.nodes is None
if here and (CARDS := cards_here()):
    if "gpu" not in workflow.global_resources:
        workflow.global_resources["gpu"] = len(CARDS)
    os.environ.update(SYNCDIFF_CARDS=",".join(CARDS))  # for jobs on this machine alone


def any_of(*names):
    """A pattern that matches these names and nothing else, whatever signs are in them."""
    return "|".join(map(re.escape, names))


envvars:
    "SYNCDIFF_DEVICE",
    "SYNCDIFF_LISTING",
    "SYNCDIFF_CORPUS_ROOT",


wildcard_constraints:
    split="pretrain|train|val|test",
    shard=r"\d{5}",
    features=f"{PLAIN_FEATURES}|{HIDDEN_STATES}",
    network="syncnet|sync_expert",
    method=any_of(
        "real",
        *BASELINES,
        "syncdiff",
        *CONFIG.experiments,
        *CONFIG.evaluate.external,
    ),
    baseline=any_of(*BASELINES),
    experiment=any_of("syncdiff", *CONFIG.experiments),


def files(split, stage, suffix):
    """The files of a stage, one for each shard of a split."""
    return [
        f"{OUT}/{split}/{stage}/{shard}.{suffix}" for shard in SHARDS.get(split, [])
    ]


def shards_of(split):
    """The shards of a split that a target cannot do without."""
    if split not in SHARDS:
        raise WorkflowError(
            kind_of(CONFIG).why_empty(CONFIG, split) + "; `data` works without"
        )
    return SHARDS[split]


def train_files(stage, suffix="tar"):
    """The files of a stage over all training splits."""
    return [file for split in TRAIN_SPLITS for file in files(split, stage, suffix)]


def pattern(split, stage):
    """The same files as one WebDataset pattern: a list of a thousand names would not fit on a command line."""
    folder = f"{OUT}/{split}/{stage}".replace("\\", "\\\\")
    return f"{folder}/{{{SHARDS[split][0]}..{SHARDS[split][-1]}}}.tar"


def train_patterns(wildcards):
    """The joined shards of the training splits, as patterns."""
    return [pattern(split, "shards") for split in TRAIN_SPLITS]


def folder_of(file, levels=1):
    """The folder that a file lies in, or one further up."""
    return str(Path(file).parents[levels - 1])


def of_stage(stage):
    """The slice of the config that a stage reads: a change in it reruns the stage."""
    return config_slice(CONFIG, stage)


def of_experiment(stage):
    """The same, of the experiment named by the wildcard."""
    return lambda wildcards: config_slice(
        CONFIG.experiment(wildcards.experiment), stage
    )


def of_method(wildcards):
    """What scoring a method reads: of the external ones only itself, so that another one does not score all again."""
    own = {
        name: folder
        for name, folder in CONFIG.evaluate.external.items()
        if name == wildcards.method
    }
    evaluate = CONFIG.evaluate.model_copy(update={"external": own})
    return config_slice(CONFIG.model_copy(update={"evaluate": evaluate}), "evaluate")


def version(stage):
    """The version of a stage's code: a change of it reruns the stage."""
    return STAGES[stage].version


@lru_cache
def attempts_in(folder):
    """How often each job of a stage is to be tried again: one look into a folder that only failures make."""
    return attempts(Path(folder))


def version_of(stage, ledger):
    """The same, of a job with a ledger of clips; what failed in it, and can be tried again, reruns it too."""

    def of_job(wildcards):
        path = Path(OUT, ledger.format(**dict(wildcards.items())))
        number = attempts_in(path.parent).get(path.name, 0)
        return f"{version(stage)}, try {number + 1}" if number else version(stage)

    return of_job


def corpus_lists():
    """The files that tell which clips there are: a change in them makes a new plan."""
    lists = [f"{OUT}/corpus/mvlrs_v1/{split}.txt" for split in CONFIG.splits]
    return {"listing": LISTING} if LISTING else {"lists": lists}


def features_folder(speech):
    """The folder of speech features: hidden states of another checkpoint than the base run's have their own."""
    name, path = speech.feature_set, speech.checkpoint
    if not re.fullmatch(HIDDEN_STATES, name) or path == CONFIG.speech.checkpoint:
        return name
    return f"{name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


# By these folders, the checkpoint of each.
CHECKPOINTS = {
    features_folder(speech): speech.checkpoint
    for speech in [CONFIG.experiment(name).speech for name in CONFIG.experiments]
}


def speech_config(wildcards):
    """What the stage `speech` reads, with the checkpoint of the features' folder."""
    path = CHECKPOINTS.get(wildcards.features, CONFIG.speech.checkpoint)
    speech = CONFIG.speech.model_copy(update={"checkpoint": path})
    return config_slice(CONFIG.model_copy(update={"speech": speech}), "speech")


def speech_checkpoint(wildcards):
    """The checkpoint that hidden states come out of."""
    path = CHECKPOINTS.get(wildcards.features, CONFIG.speech.checkpoint)
    return [path] if path else []


def features_of(experiment):
    """The speech features that an experiment reads, as the stage that holds them."""
    return f"speech/{features_folder(CONFIG.experiment(experiment).speech)}"


def crops_of(experiment):
    """The stage whose shards an experiment's training reads its pictures from."""
    return "latents" if CONFIG.experiment(experiment).latents.stored else "shards"


def ledger_before_training(wildcards):
    """The ledger of the shards that an experiment's training reads, which is only written when not too many failed."""
    stored = crops_of(wildcards.experiment) == "latents"
    return ancient(f"{OUT}/{'latents' if stored else 'ledger'}.parquet")


def with_sync_loss(experiment):
    """Whether an experiment trains with a sync loss."""
    return CONFIG.experiment(experiment).second_stage.with_sync


def sync_files(wildcards):
    """What the sync loss needs beside latents and speech: its SyncNet and the sound."""
    if not with_sync_loss(wildcards.experiment):
        return []
    return [EXPERT, *train_files("speech/mfcc")]


def validation_files(wildcards):
    """What validation looks at: clips of val, and their speech."""
    if not VALIDATED:
        return []
    return [
        file
        for stage in ("shards", features_of(wildcards.experiment))
        for file in files("val", stage, "tar")
    ]


def validation_options(wildcards):
    """The same, and the SyncNet of its LSE-C, as words."""
    if not VALIDATED:
        return []
    shards = ["--val-shards", pattern("val", "shards")]
    speech = ["--val-speech", pattern("val", features_of(wildcards.experiment))]
    return [*shards, *speech, "--scorer", SYNCNET]


def networks_begun_with(wildcards):
    """Networks from elsewhere that an experiment's training reads, where the config names some."""
    config = CONFIG.experiment(wildcards.experiment)
    begun = [f"{config.train.init}/denoiser.safetensors"] if config.train.init else []
    return begun + ([config.second_stage.vgg] if config.second_stage.with_lpips else [])


def training_options(wildcards):
    """Latent (or joined) and speech shards of each training split, side by side, and the networks, as words."""
    stages = {
        "latents": crops_of(wildcards.experiment),
        "speech": features_of(wildcards.experiment),
    }
    networks = ["--autoencoder", AUTOENCODER]
    if with_sync_loss(wildcards.experiment):
        stages["mfcc"] = "speech/mfcc"
        networks += ["--expert", EXPERT]
    shards = [
        word
        for split in TRAIN_SPLITS
        for option, stage in stages.items()
        for word in (f"--{option}", pattern(split, stage))
    ]
    return shards + networks


def curation_option(verdicts):
    """The verdicts on clips, where there are some, as words of a command."""
    return ["--curation", *verdicts] if verdicts else []


def launcher(wildcards, resources):
    """What starts the processes of a training: on this machine or, through srun, on every node of the job."""
    nodes, processes = CONFIG.train.nodes, CONFIG.train.processes
    if nodes == processes == 1:
        return "python -m"
    run = f"python -m torch.distributed.run --nproc-per-node={processes}"
    if nodes == 1:
        return f"{run} --standalone -m"
    return (
        f"{resources.mpi} --nodes={resources.nodes} --ntasks={nodes} --cpu-bind=none --kill-on-bad-exit=1"
        f" {run} --nnodes={nodes} --rdzv-backend=c10d --rdzv-id=$SLURM_JOB_ID"
        " --rdzv-endpoint=$(hostname):$((20000 + SLURM_JOB_ID % 10000)) -m"
    )


def videos_of(wildcards):
    """The ledgers of a method's videos; of an external one the videos themselves, as far as they are there."""
    shards = shards_of("test")
    if wildcards.method == "real":
        return []
    if wildcards.method in CONFIG.evaluate.external:
        return videos_in(CONFIG.evaluate.external[wildcards.method])
    return [
        f"{OUT}/runs/{wildcards.method}/sampled/{shard}.parquet" for shard in shards
    ]


def videos_option(wildcards):
    """Where a method's videos lie, as words of the command."""
    if wildcards.method == "real":
        return []
    folder = CONFIG.evaluate.external.get(
        wildcards.method, f"{OUT}/runs/{wildcards.method}/videos"
    )
    return ["--videos", folder]


def scored_methods():
    """The rows of the table: the fixed ones, and those experiments that were asked for now or are scored already."""
    asked = ABLATION if "ablation" in (workflow.dag_settings.targets or []) else []
    there = [
        name for name in ABLATION if os.path.exists(f"{OUT}/runs/{name}/scores.parquet")
    ]
    experiments = [name for name in ABLATION if name in {*asked, *there}]
    return ["real", *BASELINES, "syncdiff", *experiments, *CONFIG.evaluate.external]
