# REQUIRED INPUTS: <split>/latents/<shard>.tar and <split>/speech/<features>/<shard>.tar of the training splits
# OUTPUTS: runs/<experiment>/denoiser.safetensors and its loss.csv

PROCESSES = CONFIG.train.processes
TRAIN_GPUS = GPU * PROCESSES
LAUNCHER = (
    "python -m"
    if PROCESSES == 1
    else f"python -m torch.distributed.run --standalone --nproc-per-node={PROCESSES} -m"
)


rule train:
    input:
        latents=train_files("latents"),
        speech=lambda wildcards: train_files(features_of(wildcards.experiment)),
    output:
        f"{OUT}/runs/{{experiment}}/denoiser.safetensors",
        report(
            f"{OUT}/runs/{{experiment}}/loss.csv",
            caption="../report/curve.rst",
            category="Training",
        ),
    log:
        f"{OUT}/logs/train-{{experiment}}.log",
    benchmark:
        f"{OUT}/benchmarks/train-{{experiment}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    threads: 8
    resources:
        mem_mb=32000,
        runtime=4320,
        gpu=TRAIN_GPUS,
    params:
        config=of_experiment("train"),
        version=version("train"),
        folder=lambda wildcards, output: folder_of(output[0]),
        shards=training_options,
        launcher=LAUNCHER,
    shell:
        "{params.launcher} syncdiff train {params.folder} {params.shards}"
        " --config {params.config:q} 2>&1 | tee {log}"
