"""Recipes through the whole pipeline, from raw clips to the table: the paper's with weights of the published layouts.

The weights are random and the trainings none, so that the scores mean nothing; what is tried is that all fits together.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from diffusers import AutoencoderKL

from syncdiff.models.inception import FidInception
from syncdiff.models.syncnet import SyncNet
from syncdiff.speech.avhubert import AVHubertEncoder
from syncdiff.speech.checkpoint import FAIRSEQ_NAMES, EncoderConfig
from tests.workflow.conftest import ROOT, TINY, Snakemake

pytestmark = [pytest.mark.slow, pytest.mark.skip(reason="it has not been run to its end yet")]
LAYERS = EncoderConfig(layers=4, dim=32, heads=4, ffn_dim=64, conv_pos=16)
QUICK = {
    "sample": {"max_clips": 1, "steps": 2},
    "mixed_precision": "no",
    "evaluate": {"bootstrap": 10, "protocols": ["paired"]},
}
SMALL = {"denoiser": {"channels": [32, 32, 32, 32], "head_dim": 16, "layers_per_block": 1}}
VAE = {"autoencoder": {"pretrained": "vae", "patch_size": 8, "latent_channels": 4}}
SPEECH = {"speech": {"checkpoint": "avhubert.pt", "frozen_layers": 3}}
SCORERS = {"syncnet": {"weights": "syncnet_v2.model"}, "evaluate": {**QUICK["evaluate"], "inception": "inception.pth"}}
RECIPES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "paper": (["lrs2.yaml", "paper.yaml"], SMALL | VAE | SPEECH | SCORERS),
    "grid": (["grid.yaml"], {"corpus": {"test_speakers": [2], "val_fraction": 0}, "plan": {"min_seconds": 1}}),
}


def write_weights(folder: Path) -> None:
    """Write an AutoencoderKL laid out as sd-vae-ft-mse, an AV-HuBERT of four layers, SyncNet v2 and Inception."""
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    widths = {"block_out_channels": (32, 32, 64, 64), "latent_channels": 4, "scaling_factor": 0.18215}
    AutoencoderKL(**blocks, **widths, norm_num_groups=16).save_pretrained(folder / "vae")
    sizes = {key: getattr(LAYERS, field) for field, key in FAIRSEQ_NAMES.items()}
    model = {"_name": "av_hubert", "layer_norm_first": True, **sizes}
    entries = {"args": None, "cfg": {"model": model}, "model": AVHubertEncoder(LAYERS).state_dict()}
    torch.save(entries, folder / "avhubert.pt")
    torch.save(SyncNet().state_dict(), folder / "syncnet_v2.model")
    torch.save(FidInception().state_dict(), folder / "inception.pth")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the workflow runs in: weights, and corpora in LRS2's and in GRID's layout."""
    folder = tmp_path_factory.mktemp("recipes")
    write_weights(folder)
    return folder


@pytest.fixture(scope="module")
def corpora(weights: Path, shared: Path) -> Path:
    """Four real clips each, in LRS2's and in GRID's layout."""
    clips = sorted((shared / "clips/lrs2_mini/mvlrs_v1/main").glob("*/*.mp4"))[:4]
    for number, clip in enumerate(clips):
        split = ("train", "train", "val", "test")[number]
        main = weights / "lrs2/mvlrs_v1/main" / f"60000000000000{number:05d}"
        main.mkdir(parents=True)
        shutil.copy(clip, main / "00001.mp4")
        shutil.copy(clip.with_suffix(".txt"), main / "00001.txt")
        with (weights / f"lrs2/mvlrs_v1/{split}.txt").open("a") as file:
            file.write(f"{main.name}/00001\n")
        speaker = weights / "grid" / ("s2" if number == 3 else "s1")
        speaker.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, speaker / f"bbaf{number}n.mpg")
    return weights


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_goes_from_raw_clips_to_the_table(name: str, corpora: Path, snakemake: Snakemake) -> None:
    files, changes = RECIPES[name]
    corpus = {"root": "grid" if name == "grid" else "lrs2", "name": name, **changes.get("corpus", {})}
    (corpora / f"{name}.json").write_text(json.dumps({**QUICK, **changes, "corpus": corpus}))
    recipe = [str(ROOT / "config" / file) for file in files]
    done = snakemake("--configfile", *recipe, TINY, str(corpora / f"{name}.json"), "--", "eval", folder=corpora)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    table = pd.read_csv(corpora / f"results/{name}/table.csv")
    paired = table[(table["method"] == "syncdiff") & (table["protocol"] == "paired")].set_index("metric")
    assert {"lse_c", "lse_d", "fid", "ssim", "mouth_corr", "sharpness"} <= set(paired.index)
    assert (paired["n_scored"] == 1).all()
    if "syncnet" in changes:
        assert paired.loc["lse_c", "scorer"] == "syncnet_v2"
        assert "inception" in paired.loc["fid", "scorer"]
