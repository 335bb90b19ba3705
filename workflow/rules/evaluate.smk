# REQUIRED INPUTS: test/shards/<shard>.tar, the SyncNet, and the videos of each method
# OUTPUTS: runs/<method>/scores.parquet, table.csv and table.parquet, groups.csv, ablation.csv, report.html, study.html


# Reads evaluate.protocols, evaluate.inception, evaluate.alexnet, evaluate.facenet, evaluate.i3d, evaluate.external,
# evaluate.bootstrap, faces, sample.max_clips, seed.
rule evaluate:
    input:
        shards=files("test", "shards", "tar"),
        syncnet=SYNCNET,
        videos=videos_of,
        curation=TEST_CURATION,
    output:
        f"{OUT}/runs/{{method}}/scores.parquet",
    log:
        f"{OUT}/logs/evaluate-{{method}}.log",
    benchmark:
        f"{OUT}/benchmarks/evaluate-{{method}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    # Baselines are scored beside other jobs; what is sampled, when little else is left to do.
    threads: lambda wildcards: 1 if wildcards.method in ("real", *BASELINES) else 2
    resources:
        mem_mb=16000,
        runtime=480,
        gpu=GPU,
    params:
        config=of_method,
        version=version_of("evaluate", "runs/{method}/scores"),
        shards=lambda wildcards: pattern("test", "shards"),
        videos=videos_option,
        curation=curation_option(TEST_CURATION),
    shell:
        "python -m syncdiff evaluate {wildcards.method:q} {input.syncnet:q} {output:q} --shards {params.shards:q} {params.videos:q}"
        " {params.curation:q} --config {params.config:q} --workers {threads} 2>&1 | tee {log:q}"


# What curation measured may be a group's column.
GROUPED = CURATION if CONFIG.evaluate.groups else []


# Reads evaluate.bootstrap, evaluate.external, evaluate.groups, max_failed_fraction, seed.
rule table:
    input:
        scores=lambda wildcards: [
            f"{OUT}/runs/{method}/scores.parquet" for method in scored_methods()
        ],
        plan=rules.plan.output,
        curation=GROUPED,
    output:
        csv=report(f"{OUT}/table.csv", caption="../report/table.rst", category="Scores"),
        parquet=f"{OUT}/table.parquet",
        groups=f"{OUT}/groups.csv",
    log:
        f"{OUT}/logs/table.log",
    benchmark:
        f"{OUT}/benchmarks/table.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        config=of_stage("table"),
        version=version("table"),
        curation=curation_option(GROUPED),
    shell:
        "python -m syncdiff table {output.csv:q} {output.parquet:q} {input.scores:q} --groups {output.groups:q}"
        " --plan {input.plan:q} {params.curation:q} --config {params.config:q} 2>&1 | tee {log:q}"


# The experiments of config/ablation.yaml beside the run that they change.
# Reads experiments, evaluate.bootstrap, seed.
rule ablation:
    input:
        [f"{OUT}/runs/{name}/scores.parquet" for name in ["syncdiff", *ABLATION]],
    output:
        csv=report(
            f"{OUT}/ablation.csv", caption="../report/ablation.rst", category="Scores"
        ),
        svg=report(
            f"{OUT}/figures/ablation.svg",
            caption="../report/ablation.rst",
            category="Scores",
        ),
    log:
        f"{OUT}/logs/ablation.log",
    benchmark:
        f"{OUT}/benchmarks/ablation.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        config=of_stage("ablation"),
        version=version("ablation"),
    shell:
        "python -m syncdiff ablation {output.csv:q} {output.svg:q} {input:q} --config {params.config:q} 2>&1 | tee {log:q}"


VALIDATION_FIGURE = {}
if VALIDATED:
    VALIDATION_FIGURE["validation"] = report(
        f"{OUT}/figures/validation.svg",
        caption="../report/validation.rst",
        category="Training",
    )


# Reads everything.
rule report:
    input:
        table=rules.table.output.parquet,
        groups=rules.table.output.groups,
        plan=rules.plan.output,
        ledger=rules.ledger.output,
    output:
        **VALIDATION_FIGURE,
        html=f"{OUT}/report.html",
        study=f"{OUT}/study.html",
        key=f"{OUT}/study_key.csv",
        loss=report(
            f"{OUT}/figures/loss.svg",
            caption="../report/loss.rst",
            category="Training",
        ),
        sync=report(
            f"{OUT}/figures/sync.svg", caption="../report/sync.rst", category="Scores"
        ),
        mouth=report(
            f"{OUT}/figures/mouth.svg",
            caption="../report/mouth.rst",
            category="Scores",
        ),
        drift=report(
            f"{OUT}/figures/drift.svg",
            caption="../report/drift.rst",
            category="Scores",
        ),
        ledger=report(
            f"{OUT}/figures/ledger.svg",
            caption="../report/ledger.rst",
            category="Corpus",
        ),
        gallery=report(
            f"{OUT}/figures/gallery.png",
            caption="../report/gallery.rst",
            category="Gallery",
        ),
    log:
        f"{OUT}/logs/report.log",
    benchmark:
        f"{OUT}/benchmarks/report.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        config=portable(CONFIG).model_dump_json(),
        version=version("report"),
        folder=lambda wildcards, output: folder_of(output.html),
    shell:
        "python -m syncdiff report {params.folder:q} {output.html:q} --config {params.config:q} 2>&1 | tee {log:q}"
