# SyncDiff: from raw video to a scored talking-head model.
#
#   corpus -> plan -> faces -> priors, speech -> shards -> autoencoder -> latents -> train -> sample -> evaluate -> table -> report
#                                                  `-> syncnet -------------------------------^
#
# With thresholds in the config's `curate`, measures and curation follow a SyncNet and choose the clips of train, sample and
# evaluate. Each is a rule here, a stage in syncdiff/pipeline/stages.py and a subcommand of `syncdiff`, by the same name. Targets:
# eval (all of it), data (the shards of every split), ablation (the experiments of config/ablation.yaml, compared with
# `syncdiff`; with `eval` they are in its table too).
# Everything lies under <results>/<corpus>/; docs/architecture.md draws it.
#
# From another folder: snakemake --snakefile /path/of/Snakefile --directory FOLDER. A config.yaml in the working folder is
# read if there is one; without it every key has its default. --configfile, as config/tiny.yaml, is a path that begins
# where the command is called; paths in a config begin at the working folder. profiles/default beside this file holds
# unless the folder of the call has one of its own.


import os

if os.path.exists("config.yaml"):

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/faces.smk"
include: "workflow/rules/priors.smk"
include: "workflow/rules/speech.smk"
include: "workflow/rules/shards.smk"
include: "workflow/rules/autoencoder.smk"
include: "workflow/rules/syncnet.smk"
include: "workflow/rules/curate.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/evaluate.smk"


report: "workflow/report/workflow.rst"


rule eval:
    default_target: True
    input:
        f"{OUT}/table.csv",
        f"{OUT}/report.html",


# The shards of every split, for those who only want the data.
rule data:
    input:
        [file for split in SHARDS for file in files(split, "shards", "stats.json")],
