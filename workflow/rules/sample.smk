# REQUIRED INPUTS: test/shards/<shard>.tar, the autoencoder, and an experiment's denoiser
# OUTPUTS: runs/<method>/sampled/<shard>.parquet, the ledger of the videos in runs/<method>/videos/<protocol>/


# Reads speech, denoiser, diffusion, priors.pose_size, autoencoder.latent_channels, autoencoder.patch_size,
# faces.size, mixed_precision, seed, sample, evaluate.protocols.
rule sample:
    input:
        shard=f"{OUT}/test/shards/{{shard}}.tar",
        denoiser=f"{OUT}/runs/{{experiment}}/denoiser.safetensors",
        autoencoder=f"{AUTOENCODER}/config.json",
        curation=TEST_CURATION,
    output:
        f"{OUT}/runs/{{experiment}}/sampled/{{shard}}.parquet",
    log:
        f"{OUT}/logs/sample-{{experiment}}/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/sample-{{experiment}}/{{shard}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    threads: 8
    resources:
        mem_mb=16000,
        runtime=1440,
        gpu=GPU,
    params:
        config=of_experiment("sample"),
        version=version_of("sample", "runs/{experiment}/sampled/{shard}"),
        autoencoder=lambda wildcards, input: folder_of(input.autoencoder),
        videos=lambda wildcards, output: f"{folder_of(output[0], 2)}/videos",
        curation=curation_option(TEST_CURATION),
    shell:
        "python -m syncdiff sample {input.shard:q} {params.videos:q} {output:q} --denoiser {input.denoiser:q}"
        " --autoencoder {params.autoencoder:q} {params.curation:q} --config {params.config:q} 2>&1 | tee {log:q}"


# The rows to compare with: the autoencoder's round trip, and a mouth that does not move.
# Reads faces.size, sample.max_clips, mixed_precision.
rule baseline:
    input:
        shard=f"{OUT}/test/shards/{{shard}}.tar",
        autoencoder=f"{AUTOENCODER}/config.json",
        curation=TEST_CURATION,
    output:
        f"{OUT}/runs/{{baseline}}/sampled/{{shard}}.parquet",
    log:
        f"{OUT}/logs/baseline-{{baseline}}/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/baseline-{{baseline}}/{{shard}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=GPU,
    params:
        config=of_stage("baseline"),
        version=version_of("baseline", "runs/{baseline}/sampled/{shard}"),
        autoencoder=lambda wildcards, input: folder_of(input.autoencoder),
        videos=lambda wildcards, output: f"{folder_of(output[0], 2)}/videos",
        curation=curation_option(TEST_CURATION),
    shell:
        "python -m syncdiff baseline {wildcards.baseline:q} {input.shard:q} {params.videos:q} {output:q}"
        " --autoencoder {params.autoencoder:q} {params.curation:q} --config {params.config:q} 2>&1 | tee {log:q}"
