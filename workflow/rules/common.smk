# What all rules share: the validated config, the shards of each split, and the slices of the config.

import yaml
from snakemake.exceptions import WorkflowError
from syncdiff.config import merge, parse_config
from syncdiff.corpus.listing import corpus_root, shard_counts
from syncdiff.errors import UserError
from syncdiff.stages import STAGES, config_slice


# Runs that are compared: `syncdiff` is config.yaml itself; the others change what config/ablation.yaml says.
with open(f"{workflow.basedir}/config/ablation.yaml") as file:
    EXPERIMENTS = yaml.safe_load(file)

try:
    CONFIG = parse_config(merge(EXPERIMENTS, config))
    SHARDS = {
        split: [f"{number:05d}" for number in range(count)]
        for split, count in shard_counts(CONFIG).items()
        if count
    }
except UserError as error:
    raise WorkflowError(str(error))

OUT = f"{CONFIG.results}/{CONFIG.corpus_name}"
DEVICE = CONFIG.device
TRAIN_SPLITS = [split for split in ("pretrain", "train") if split in SHARDS]
FEATURES = CONFIG.speech.feature_set
BASELINES = ["reconstruction", "frozen"]
# Without an AV-HuBERT checkpoint there are no layers to freeze.
ABLATION = [
    name
    for name, experiment in CONFIG.experiments.items()
    if CONFIG.speech.checkpoint or "frozen_layers" not in experiment.speech
]


wildcard_constraints:
    split="pretrain|train|val|test",
    shard=r"\d{5}",
    features=r"fbank|mel|avhubert\d+",
    method="|".join(["real", *BASELINES, "syncdiff", *CONFIG.experiments, *CONFIG.evaluate.external]),
    baseline="|".join(BASELINES),
    experiment="|".join(["syncdiff", *CONFIG.experiments]),


def files(split, stage, suffix):
    """The files of a stage, one for each shard of a split."""
    return [f"{OUT}/{split}/{stage}/{shard}.{suffix}" for shard in SHARDS.get(split, [])]


def train_files(stage, suffix="tar"):
    """The files of a stage over all training splits."""
    return [file for split in TRAIN_SPLITS for file in files(split, stage, suffix)]


def pattern(split, stage):
    """The same files as one WebDataset pattern: a list of a thousand names would not fit on a command line."""
    return f"{OUT}/{split}/{stage}/{{{SHARDS[split][0]}..{SHARDS[split][-1]}}}.tar"


def train_patterns(wildcards):
    """The joined shards of the training splits, as patterns."""
    return [pattern(split, "shards") for split in TRAIN_SPLITS]


def of_stage(stage):
    """The slice of the config that a stage reads: a change in it reruns the stage."""
    return config_slice(CONFIG, stage)


def of_experiment(stage):
    """The same, of the experiment named by the wildcard."""
    return lambda wildcards: config_slice(CONFIG.experiment(wildcards.experiment), stage)


def version(stage):
    """The version of a stage's code: a change of it reruns the stage."""
    return STAGES[stage].version
