# REQUIRED INPUTS: plan/clips.parquet and the videos that it names
# OUTPUTS: <split>/faces/<shard>.tar (clips: aligned crops, landmarks, transforms, 16 kHz audio) and its ledger


# Reads faces, corpus.kind.
rule faces:
    input:
        plan=rules.plan.output,
    output:
        tar=f"{OUT}/{{split}}/faces/{{shard}}.tar",
        ledger=f"{OUT}/{{split}}/faces/{{shard}}.parquet",
    log:
        f"{OUT}/logs/faces/{{split}}-{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/faces/{{split}}-{{shard}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=FACES_GPU,
    params:
        config=of_stage("faces"),
        version=version_of("faces", "{split}/faces/{shard}"),
    shell:
        "python -m syncdiff faces {input.plan:q} {wildcards.split:q} {wildcards.shard:q} {output.tar:q} {output.ledger:q}"
        " --config {params.config:q} --workers {threads} 2>&1 | tee {log:q}"
