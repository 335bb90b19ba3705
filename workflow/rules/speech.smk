# REQUIRED INPUTS: <split>/faces/<shard>.tar (its audio), and speech.checkpoint for the hidden states of a network
# OUTPUTS: <split>/speech/<features>/<shard>.tar, exactly one row per video frame, and its ledger
#   <features>: of syncdiff/registry/speech_encoders.py, as fbank or avhubert<N>; with a dash and eight digits, of an
#   experiment's own checkpoint


# Reads speech.checkpoint.
rule speech:
    input:
        faces=rules.faces.output.tar,
    output:
        tar=f"{OUT}/{{split}}/speech/{{features}}/{{shard}}.tar",
        ledger=f"{OUT}/{{split}}/speech/{{features}}/{{shard}}.parquet",
    log:
        f"{OUT}/logs/speech/{{split}}-{{features}}-{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/speech/{{split}}-{{features}}-{{shard}}.tsv"
    wildcard_constraints:
        features=PLAIN_FEATURES,
    conda:
        "../../envs/syncdiff.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        config=speech_config,
        version=version_of("speech", "{split}/speech/{features}/{shard}"),
        feature_set=lambda wildcards: wildcards.features.partition("-")[0],
    shell:
        "python -m syncdiff speech {params.feature_set:q} {input.faces:q} {output.tar:q} {output.ledger:q}"
        " --config {params.config:q} 2>&1 | tee {log:q}"


# Hidden states are a network's: they want a GPU, and the checkpoint.
use rule speech as speech_network with:
    input:
        faces=rules.faces.output.tar,
        checkpoint=speech_checkpoint,
    wildcard_constraints:
        features=HIDDEN_STATES,
    resources:
        mem_mb=8000,
        runtime=120,
        gpu=GPU,
