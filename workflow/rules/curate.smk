# REQUIRED INPUTS: <split>/shards/<shard>.tar, the corpus's videos, and the SyncNet that curates
# OUTPUTS: <split>/measures/<shard>.parquet, what was measured of each clip, and curation.parquet, in which every clip of the
#   shards has a verdict, with curation.html to look at. Without thresholds in the config's `curate` nobody asks for them

CURATOR = {"sync_expert": EXPERT, "syncnet": SYNCNET}.get(
    CONFIG.curate.syncnet, CONFIG.curate.syncnet
)


CURATED_SPLITS = [
    *TRAIN_SPLITS,
    *(["test"] if CONFIG.curate.test and "test" in SHARDS else []),
]


# Measuring decodes every clip and is expensive; thresholds are cheap: they are only in the rule after this one.
# Reads faces.size.
rule measures:
    input:
        shard=rules.shards.output.tar,
        syncnet=CURATOR,
    output:
        f"{OUT}/{{split}}/measures/{{shard}}.parquet",
    log:
        f"{OUT}/logs/measures/{{split}}-{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/measures/{{split}}-{{shard}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=480,
        gpu=GPU,
    params:
        config=of_stage("measures"),
        version=version_of("measures", "{split}/measures/{shard}"),
    shell:
        "python -m syncdiff measures {input.shard:q} {output:q} --syncnet {input.syncnet:q} --config {params.config:q}"
        " --workers {threads} 2>&1 | tee {log:q}"


# Reads curate, max_failed_fraction.
rule curation:
    input:
        plan=rules.plan.output,
        measures=[
            file
            for split in CURATED_SPLITS
            for file in files(split, "measures", "parquet")
        ],
    output:
        verdicts=f"{OUT}/curation.parquet",
        page=report(
            f"{OUT}/curation.html",
            caption="../report/curation.rst",
            category="Corpus",
        ),
    log:
        f"{OUT}/logs/curation.log",
    benchmark:
        f"{OUT}/benchmarks/curation.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        config=of_stage("curation"),
        version=version("curation"),
        folder=lambda wildcards, output: folder_of(output.verdicts),
        splits=CURATED_SPLITS,
    shell:
        "python -m syncdiff curation {params.folder:q} {output.verdicts:q} {params.splits:q} --config {params.config:q}"
        " 2>&1 | tee {log:q}"


# What training reads of it, and what sampling and scoring do.
CURATION = [rules.curation.output.verdicts] if CONFIG.curate.wanted else []
TEST_CURATION = CURATION if CONFIG.curate.test else []
