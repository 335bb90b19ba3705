# REQUIRED INPUTS: the corpus's own list files or folders (for the demo: nothing, it is rendered)
# OUTPUTS: plan/clips.parquet, every clip in or out with its reason, and the shard that it goes to


# Reads corpus, seed.
rule corpus:
    output:
        expand(f"{OUT}/corpus/mvlrs_v1/{{split}}.txt", split=["train", "val", "test"]),
    log:
        f"{OUT}/logs/corpus.log",
    benchmark:
        f"{OUT}/benchmarks/corpus.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    threads: 8
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        config=of_stage("corpus"),
        version=version("corpus"),
        root=lambda wildcards, output: folder_of(output[0], 2),
    shell:
        "python -m syncdiff corpus {params.root:q} --config {params.config:q} --workers {threads} 2>&1 | tee {log:q}"


# Reads corpus, plan.
rule plan:
    input:
        **corpus_lists(),
    output:
        update(f"{OUT}/plan/clips.parquet"),  # where the corpus is gone, the older plan stays
    log:
        f"{OUT}/logs/plan.log",
    benchmark:
        f"{OUT}/benchmarks/plan.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    threads: 8
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        config=of_stage("plan"),
        version=version_of("plan", "plan/clips"),
        listing=["--listing", LISTING] if LISTING else [],
        # Made of the output, as far as Snakemake knows, it is none of what makes a new plan when it changes.
        limit=lambda wildcards, output: CONFIG.max_failed_fraction,
    shell:
        "python -m syncdiff plan {output:q} {params.listing:q} --config {params.config:q}"
        " --max-failed-fraction {params.limit} --workers {threads} 2>&1 | tee {log:q}"
