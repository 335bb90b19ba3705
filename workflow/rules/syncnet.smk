# REQUIRED INPUTS: <split>/shards/<shard>.tar of the training splits
# OUTPUTS: syncnet/syncnet.safetensors, the scorer of LSE-C and LSE-D, without syncnet.weights;
#          sync_expert/syncnet.safetensors, of another seed, for experiments with second_stage.sync_weight: it never scores

SYNCNET = CONFIG.syncnet.weights or f"{OUT}/syncnet/syncnet.safetensors"
EXPERT = f"{OUT}/sync_expert/syncnet.safetensors"
EXPERT_CONFIG = CONFIG.model_copy(update={"seed": CONFIG.seed + 1})


# Reads syncnet, corpus, faces.size, mixed_precision, seed.
rule syncnet:
    input:
        train_files("shards"),
        ledger=ancient(f"{OUT}/ledger.parquet"),  # must have passed; made anew, it changes nothing here
    output:
        f"{OUT}/{{network}}/syncnet.safetensors",
        report(
            f"{OUT}/{{network}}/loss.csv",
            caption="../report/curve.rst",
            category="Training",
        ),
    log:
        f"{OUT}/logs/{{network}}.log",
    benchmark:
        f"{OUT}/benchmarks/{{network}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    threads: FEEDERS  # as the autoencoder
    resources:
        mem_mb=16000,
        runtime=1440,
        gpu=GPU,
    params:
        config=lambda wildcards: config_slice(
            CONFIG if wildcards.network == "syncnet" else EXPERT_CONFIG, "syncnet"
        ),
        version=version("syncnet"),
        folder=lambda wildcards, output: folder_of(output[0]),
        shards=train_patterns,
    shell:
        "python -m syncdiff syncnet {params.folder:q} {params.shards:q} --config {params.config:q} 2>&1 | tee {log:q}"
