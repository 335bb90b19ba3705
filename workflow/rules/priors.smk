# REQUIRED INPUTS: <split>/faces/<shard>.tar
# OUTPUTS: <split>/priors/<shard>.tar (identity frame, pose bottleneck frames) and its ledger


# Reads priors.
rule priors:
    input:
        faces=rules.faces.output.tar,
    output:
        tar=f"{OUT}/{{split}}/priors/{{shard}}.tar",
        ledger=f"{OUT}/{{split}}/priors/{{shard}}.parquet",
    log:
        f"{OUT}/logs/priors/{{split}}-{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/priors/{{split}}-{{shard}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        config=of_stage("priors"),
        version=version_of("priors", "{split}/priors/{shard}"),
    shell:
        "python -m syncdiff priors {input.faces:q} {output.tar:q} {output.ledger:q} --config {params.config:q} 2>&1 | tee {log:q}"
