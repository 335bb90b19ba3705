# REQUIRED INPUTS: the corpus's own list files or folders (for the demo: nothing, it is rendered)
# OUTPUTS: plan/clips.parquet, every clip in or out with its reason, and the shard that it goes to


rule demo_corpus:
    output:
        expand(f"{OUT}/corpus/mvlrs_v1/{{split}}.txt", split=["train", "val", "test"]),
    params:
        config=of_stage("corpus"),
        version=version("corpus"),
        root=f"{OUT}/corpus",
    log:
        f"{OUT}/logs/corpus.log",
    benchmark:
        f"{OUT}/benchmarks/corpus.tsv"
    threads: 8
    resources:
        mem_mb=4000,
        runtime=60,
    conda:
        "../../envs/syncdiff.yaml"
    shell:
        "python -m syncdiff corpus render {params.root} --config {params.config:q} --workers {threads} 2>&1 | tee {log}"


def corpus_lists():
    """The files that tell which clips there are: a change in them makes a new plan."""
    root = corpus_root(CONFIG)
    if CONFIG.corpus.kind in ("demo", "lrs2"):
        lists = [root / f"mvlrs_v1/{split}.txt" for split in CONFIG.splits]
        return [path for path in lists if path.exists() or CONFIG.corpus.kind == "demo"]
    return []


rule plan:
    input:
        corpus_lists(),
    output:
        f"{OUT}/plan/clips.parquet",
    params:
        config=of_stage("plan"),
        version=version("plan"),
    log:
        f"{OUT}/logs/plan.log",
    benchmark:
        f"{OUT}/benchmarks/plan.tsv"
    threads: 8
    resources:
        mem_mb=4000,
        runtime=240,
    conda:
        "../../envs/syncdiff.yaml"
    shell:
        "python -m syncdiff plan {output} --config {params.config:q} --workers {threads} 2>&1 | tee {log}"
