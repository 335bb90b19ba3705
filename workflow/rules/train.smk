# REQUIRED INPUTS: <split>/latents/<shard>.tar (with latents.stored false <split>/shards/<shard>.tar) and
#                  <split>/speech/<features>/<shard>.tar of the training splits, the autoencoder; with second_stage.sync_weight
#                  also <split>/speech/mfcc/<shard>.tar, sync_expert/; with thresholds in `curate` curation.parquet;
#                  with validation.every val/shards/<shard>.tar, val/speech/<features>/<shard>.tar and the SyncNet
# OUTPUTS: runs/<experiment>/: the model (denoiser.safetensors, config.json, autoencoder/), and its loss.csv;
#          with validation.every validation.csv


onstart:
    if CONFIG.train.nodes > 1 and workflow.executor_plugin.name == "local":
        if any(job.rule.name == "train" for job in workflow.dag.needrun_jobs()):
            raise WorkflowError(
                f"config: train.nodes: {CONFIG.train.nodes} nodes need SLURM;"
                " add --profile workflow/profiles/slurm, or set it to 1"
            )


VALIDATION_CURVE = []
if VALIDATED:
    VALIDATION_CURVE = report(
        f"{OUT}/runs/{{experiment}}/validation.csv",
        caption="../report/validation.rst",
        category="Training",
    )


# Reads speech, denoiser, diffusion, priors.pose_size, autoencoder.latent_channels, autoencoder.patch_size,
# faces.size, mixed_precision, seed, latents, pretraining, train, second_stage. With validation.every it reads validation
# and faces too.
rule train:
    input:
        latents=lambda wildcards: train_files(crops_of(wildcards.experiment)),
        speech=lambda wildcards: train_files(features_of(wildcards.experiment)),
        autoencoder=f"{AUTOENCODER}/config.json",
        sync=sync_files,
        networks=networks_begun_with,
        curation=CURATION,
        val=validation_files,
        scorer=ancient(SYNCNET) if VALIDATED else [],  # looks on: made anew, it changes no weights
        ledger=ledger_before_training,  # made anew, it changes nothing here
    output:
        f"{OUT}/runs/{{experiment}}/denoiser.safetensors",
        f"{OUT}/runs/{{experiment}}/config.json",
        f"{OUT}/runs/{{experiment}}/autoencoder/config.json",
        f"{OUT}/runs/{{experiment}}/autoencoder/diffusion_pytorch_model.safetensors",
        report(
            f"{OUT}/runs/{{experiment}}/loss.csv",
            caption="../report/curve.rst",
            category="Training",
        ),
        VALIDATION_CURVE,
    log:
        f"{OUT}/logs/train-{{experiment}}.log",
    benchmark:
        f"{OUT}/benchmarks/train-{{experiment}}.tsv"
    conda:
        "../../envs/syncdiff.yaml"
    threads: 8
    resources:
        **ON_NODES,
        mem_mb=lambda wildcards, attempt: TRAIN_MB * attempt,
        runtime=4320,
        gpu=TRAIN_GPUS,
    params:
        config=of_experiment("train"),
        version=version("train"),
        folder=lambda wildcards, output: folder_of(output[0]),
        options=lambda wildcards: training_options(wildcards)
        + curation_option(CURATION)
        + validation_options(wildcards),
        launcher=launcher,
    shell:
        "{params.launcher} syncdiff train {params.folder:q} {params.options:q}"
        " --config {params.config:q} 2>&1 | tee {log:q}"
