# REQUIRED INPUTS: <split>/faces/<shard>.tar (its audio), and speech.checkpoint for AV-HuBERT's hidden states
# OUTPUTS: <split>/speech/<features>/<shard>.tar, exactly one row per video frame, and its ledger


rule speech:
    input:
        faces=rules.faces.output.tar,
        checkpoint=speech_checkpoint,
    output:
        tar=f"{OUT}/{{split}}/speech/{{features}}/{{shard}}.tar",
        ledger=f"{OUT}/{{split}}/speech/{{features}}/{{shard}}.parquet",
    log:
        f"{OUT}/logs/speech/{{split}}-{{features}}-{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/speech/{{split}}-{{features}}-{{shard}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        config=of_stage("speech"),
        version=version_of("speech", "{split}/speech/{features}/{shard}"),
    shell:
        "python -m syncdiff speech {wildcards.features:q} {input.faces:q} {output.tar:q} {output.ledger:q}"
        " --config {params.config:q} 2>&1 | tee {log:q}"
