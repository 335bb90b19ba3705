# REQUIRED INPUTS: <split>/shards/<shard>.tar of the training splits, or autoencoder.pretrained
# OUTPUTS: autoencoder/ in diffusers' layout, and <split>/latents/<shard>.tar with its ledger; latents.parquet, in which
#   every clip that was to be encoded is accounted for

AUTOENCODER = CONFIG.autoencoder.pretrained or f"{OUT}/autoencoder"


# Reads autoencoder, faces.size, mixed_precision, seed.
rule autoencoder:
    input:
        train_files("shards"),
        ledger=ancient(f"{OUT}/ledger.parquet"),  # must have passed; made anew, it changes nothing here
    output:
        f"{OUT}/autoencoder/config.json",
        f"{OUT}/autoencoder/diffusion_pytorch_model.safetensors",
        report(
            f"{OUT}/autoencoder/loss.csv",
            caption="../report/curve.rst",
            category="Training",
        ),
    log:
        f"{OUT}/logs/autoencoder.log",
    benchmark:
        f"{OUT}/benchmarks/autoencoder.tsv"
    priority: 1  # the longest way to the denoiser leads through here
    conda:
        "../../envs/syncdiff.yaml"
    threads: FEEDERS  # the same bytes on any number of cores; two small trainings side by side use one each better
    resources:
        mem_mb=16000,
        runtime=1440,
        gpu=GPU,
    params:
        config=of_stage("autoencoder"),
        version=version("autoencoder"),
        folder=lambda wildcards, output: folder_of(output[0]),
        shards=train_patterns,
    shell:
        "python -m syncdiff autoencoder {params.folder:q} {params.shards:q} --config {params.config:q} 2>&1 | tee {log:q}"


# Reads faces.size, mixed_precision.
rule latents:
    input:
        shard=rules.shards.output.tar,
        autoencoder=f"{AUTOENCODER}/config.json",
    output:
        tar=f"{OUT}/{{split}}/latents/{{shard}}.tar",
        ledger=f"{OUT}/{{split}}/latents/{{shard}}.parquet",
    log:
        f"{OUT}/logs/latents/{{split}}-{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/latents/{{split}}-{{shard}}.tsv"
    priority: 1  # the longest way to the denoiser leads through here
    conda:
        "../../envs/syncdiff.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=GPU,
    params:
        config=of_stage("latents"),
        version=version_of("latents", "{split}/latents/{shard}"),
        autoencoder=lambda wildcards, input: folder_of(input.autoencoder),
    shell:
        "python -m syncdiff latents {input.shard:q} {params.autoencoder:q} {output.tar:q} {output.ledger:q}"
        " --config {params.config:q} 2>&1 | tee {log:q}"


use rule ledger as latents_ledger with:
    input:
        rules.plan.output,
        train_files("shards", "parquet"),
        train_files("latents", "parquet"),
    output:
        f"{OUT}/latents.parquet",
    log:
        f"{OUT}/logs/latents.log",
    benchmark:
        f"{OUT}/benchmarks/latents.tsv"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        config=of_stage("ledger"),
        version=version("ledger"),
        folder=lambda wildcards, output: folder_of(output[0]),
        splits=TRAIN_SPLITS,
        stage=["--stage", "latents"],
