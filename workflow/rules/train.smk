# REQUIRED INPUTS: <split>/latents/<shard>.tar and <split>/speech/<features>/<shard>.tar of the training splits
# OUTPUTS: runs/<experiment>/denoiser.safetensors and its loss.csv


def features_of(experiment):
    """The speech features that an experiment reads, as the stage that holds them."""
    return f"speech/{CONFIG.experiment(experiment).speech.feature_set}"


def training_options(wildcards):
    """Latent and speech shards of each training split, side by side."""
    stages = {"latents": "latents", "speech": features_of(wildcards.experiment)}
    return " ".join(
        f"--{option} '{pattern(split, stage)}'" for split in TRAIN_SPLITS for option, stage in stages.items()
    )


rule train:
    input:
        latents=train_files("latents"),
        speech=lambda wildcards: train_files(features_of(wildcards.experiment)),
    output:
        f"{OUT}/runs/{{experiment}}/denoiser.safetensors",
        report(f"{OUT}/runs/{{experiment}}/loss.csv", caption="../report/curve.rst", category="Training"),
    params:
        config=of_experiment("train"),
        version=version("train"),
        folder=f"{OUT}/runs/{{experiment}}",
        shards=training_options,
    log:
        f"{OUT}/logs/train-{{experiment}}.log",
    benchmark:
        f"{OUT}/benchmarks/train-{{experiment}}.tsv"
    threads: 8
    resources:
        mem_mb=32000,
        runtime=4320,
        gpu=1,
    conda:
        "../../envs/syncdiff.yaml"
    shell:
        "python -m syncdiff train {params.folder} {params.shards}"
        " --config {params.config:q} --device {DEVICE} 2>&1 | tee {log}"
