# REQUIRED INPUTS: <split>/shards/<shard>.tar of the training splits; only without syncnet.weights
# OUTPUTS: syncnet/syncnet.safetensors, the scorer of LSE-C and LSE-D

SYNCNET = CONFIG.syncnet.weights or f"{OUT}/syncnet/syncnet.safetensors"


rule syncnet:
    input:
        train_files("shards"),
        ledger=ancient(f"{OUT}/ledger.parquet"),  # must have passed; made anew, it changes nothing here
    output:
        f"{OUT}/syncnet/syncnet.safetensors",
        report(
            f"{OUT}/syncnet/loss.csv",
            caption="../report/curve.rst",
            category="Training",
        ),
    log:
        f"{OUT}/logs/syncnet.log",
    benchmark:
        f"{OUT}/benchmarks/syncnet.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    threads: 8
    resources:
        mem_mb=16000,
        runtime=1440,
        gpu=GPU,
    params:
        config=of_stage("syncnet"),
        version=version("syncnet"),
        folder=lambda wildcards, output: folder_of(output[0]),
        shards=train_patterns,
    shell:
        "python -m syncdiff syncnet {params.folder} {params.shards:q} --config {params.config:q} 2>&1 | tee {log}"
