# REQUIRED INPUTS: test/shards/<shard>.tar, the SyncNet, and the videos of each method
# OUTPUTS: runs/<method>/scores.parquet, table.csv and table.parquet, report.html


def videos_of(wildcards):
    """The ledgers of a method's videos; real and external ones are not made here."""
    if wildcards.method == "real" or wildcards.method in CONFIG.evaluate.external:
        return []
    return [f"{OUT}/runs/{wildcards.method}/sampled/{shard}.parquet" for shard in SHARDS["test"]]


def videos_option(wildcards):
    """Where a method's videos lie."""
    if wildcards.method == "real":
        return ""
    folder = CONFIG.evaluate.external.get(wildcards.method, f"{OUT}/runs/{wildcards.method}/videos")
    return f"--videos '{folder}'"


rule score:
    input:
        shards=files("test", "shards", "tar"),
        syncnet=SYNCNET,
        videos=videos_of,
    output:
        f"{OUT}/runs/{{method}}/scores.parquet",
    params:
        config=of_stage("evaluate"),
        version=version("evaluate"),
        shards=lambda wildcards: pattern("test", "shards"),
        videos=videos_option,
    log:
        f"{OUT}/logs/score-{{method}}.log",
    benchmark:
        f"{OUT}/benchmarks/score-{{method}}.tsv"
    threads: 8
    resources:
        mem_mb=16000,
        runtime=480,
        gpu=1,
    conda:
        "../../envs/syncdiff.yaml"
    shell:
        "python -m syncdiff evaluate {wildcards.method} {input.syncnet} {output} --shards {params.shards:q} {params.videos}"
        " --config {params.config:q} --device {DEVICE} --workers {threads} 2>&1 | tee {log}"


def scored_methods():
    """The rows of the table: the fixed ones, and those experiments that were asked for now or are scored already."""
    asked = ABLATION if "ablation" in (workflow.dag_settings.targets or []) else []
    there = [name for name in ABLATION if os.path.exists(f"{OUT}/runs/{name}/scores.parquet")]
    experiments = [name for name in ABLATION if name in {*asked, *there}]
    return ["real", *BASELINES, "syncdiff", *experiments, *CONFIG.evaluate.external]


rule table:
    input:
        lambda wildcards: [f"{OUT}/runs/{method}/scores.parquet" for method in scored_methods()],
    output:
        csv=report(f"{OUT}/table.csv", caption="../report/table.rst", category="Scores"),
        parquet=f"{OUT}/table.parquet",
    params:
        config=of_stage("evaluate"),
        version=version("evaluate"),
    log:
        f"{OUT}/logs/table.log",
    benchmark:
        f"{OUT}/benchmarks/table.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    conda:
        "../../envs/syncdiff.yaml"
    shell:
        "python -m syncdiff table {output.csv} {output.parquet} {input} --config {params.config:q} 2>&1 | tee {log}"


rule report:
    input:
        table=rules.table.output.parquet,
        plan=rules.plan.output,
    output:
        html=f"{OUT}/report.html",
        loss=report(f"{OUT}/figures/loss.svg", caption="../report/loss.rst", category="Training"),
        sync=report(f"{OUT}/figures/sync.svg", caption="../report/sync.rst", category="Scores"),
        mouth=report(f"{OUT}/figures/mouth.svg", caption="../report/mouth.rst", category="Scores"),
        ledger=report(f"{OUT}/figures/ledger.svg", caption="../report/ledger.rst", category="Corpus"),
        gallery=report(f"{OUT}/figures/gallery.png", caption="../report/gallery.rst", category="Gallery"),
    params:
        config=CONFIG.model_dump_json(),
        version=version("report"),
        folder=OUT,
    log:
        f"{OUT}/logs/report.log",
    benchmark:
        f"{OUT}/benchmarks/report.tsv"
    resources:
        mem_mb=4000,
        runtime=30,
    conda:
        "../../envs/syncdiff.yaml"
    shell:
        "python -m syncdiff report {params.folder} {output.html} --config {params.config:q} 2>&1 | tee {log}"
