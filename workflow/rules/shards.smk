# REQUIRED INPUTS: faces, priors and speech of a shard
# OUTPUTS: <split>/shards/<shard>.tar (WebDataset, one sample a clip), its index, and stats.json, which is written last;
#   ledger.parquet, in which every clip of every stage so far is accounted for


# Reads faces, priors, speech.encoder, speech.checkpoint, speech.frozen_layers.
rule shards:
    input:
        faces=rules.faces.output.tar,
        priors=rules.priors.output.tar,
        speech=f"{OUT}/{{split}}/speech/{FEATURES}/{{shard}}.tar",
    output:
        tar=f"{OUT}/{{split}}/shards/{{shard}}.tar",
        index=f"{OUT}/{{split}}/shards/{{shard}}.parquet",
        stats=f"{OUT}/{{split}}/shards/{{shard}}.stats.json",
    log:
        f"{OUT}/logs/shards/{{split}}-{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/shards/{{split}}-{{shard}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        config=of_stage("shards"),
        version=version_of("shards", "{split}/shards/{shard}"),
    shell:
        "python -m syncdiff shards {input.faces:q} {input.priors:q} {input.speech:q} {output.tar:q} {output.index:q} {output.stats:q}"
        " --config {params.config:q} 2>&1 | tee {log:q}"


# Reads max_failed_fraction, speech.encoder, speech.checkpoint, speech.frozen_layers.
rule ledger:
    input:
        rules.plan.output,
        [
            file
            for split in PREPARED_SPLITS
            for stage in ("faces", "priors", f"speech/{FEATURES}", "shards")
            for file in files(split, stage, "parquet")
        ],
    output:
        f"{OUT}/ledger.parquet",
    log:
        f"{OUT}/logs/ledger.log",
    benchmark:
        f"{OUT}/benchmarks/ledger.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        config=of_stage("ledger"),
        version=version("ledger"),
        folder=lambda wildcards, output: folder_of(output[0]),
        splits=PREPARED_SPLITS,
        stage=[],
    shell:
        "python -m syncdiff ledger {params.folder:q} {output:q} {params.splits:q} {params.stage:q} --config {params.config:q}"
        " 2>&1 | tee {log:q}"
