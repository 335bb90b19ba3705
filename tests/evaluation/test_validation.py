"""Validation of a denoiser on drawn faces: what is scored, which weights are kept, and what is not a part of it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from syncdiff.config import Autoencoder, Config, parse_config
from syncdiff.errors import UserError
from syncdiff.evaluation.validation import PROTOCOLS, ValClips, mean_figures, val_of
from syncdiff.media.video import read_frames
from syncdiff.models.autoencoder import build_autoencoder
from syncdiff.models.denoiser import load_denoiser
from syncdiff.models.pretrained import DENOISER
from syncdiff.priors import reduce_pose
from syncdiff.shards.tar import encode_npy, metadata, read_shard, to_json, write_shard
from syncdiff.speech.extract import features
from syncdiff.training.denoiser import files_read, train_denoiser
from syncdiff.training.validation import CURVE
from tests.evaluation.drawn import CLIPS, SIZE, Faked
from tests.evaluation.drawn import sound as sound_of
from tests.members import crop_bytes

CPU = torch.device("cpu")
SMALL = {
    "mixed_precision": "no",
    "faces": {"size": SIZE},
    "autoencoder": {"latent_channels": 8},
    "latents": {"stored": False},
    "speech": {"dim": 32, "layers": 1},
    "denoiser": {"channels": [32, 32]},
    "pretraining": {"steps": 0},
    "train": {"steps": 6, "batch_size": 4, "warmup_steps": 1},
}


def shards_of(faked: Faked, config: Config) -> tuple[Path, Path]:
    """Write the drawn clips as a joined shard of val, and the shard of their speech."""
    joined, speech = faked.root / "val/shards/00000.tar", faked.root / "val/speech/fbank/00000.tar"
    samples, heard = [], []
    for index, sample in enumerate(read_shard(faked.shard)):
        facts = metadata(sample)
        crops = np.stack(list(read_frames(Path(facts["video"]))))
        more = {"crop.mp4": crop_bytes(crops), "pose.npy": encode_npy(reduce_pose(crops, 8))}
        samples.append(sample | {"json": to_json(facts | {"identity": 0})} | more)
        rows = features(sound_of(index), len(crops), "fbank", config.speech, "cpu")
        heard.append({"__key__": sample["__key__"], "json": sample["json"], "fbank.npy": encode_npy(rows)})
    write_shard(joined, samples)
    write_shard(speech, heard)
    index_of_test = faked.shard.with_suffix(".parquet")
    joined.with_suffix(".parquet").write_bytes(index_of_test.read_bytes())
    return joined, speech


def train(faked: Faked, out: Path, **validation: object) -> Config:
    """Train on the drawn clips and validate on them, too."""
    config = parse_config(SMALL | {"validation": {"every": 3} | validation})
    shards, autoencoder = shards_of(faked, config), faked.root / "autoencoder"
    torch.manual_seed(0)
    build_autoencoder(Autoencoder(latent_channels=8)).save_pretrained(autoencoder)
    val = val_of(config, shards[:1], shards[1:], faked.syncnet, autoencoder, out, CPU)
    train_denoiser(config, [shards], autoencoder, out, CPU, val=val)
    return config


def test_the_weights_that_are_kept_are_those_that_had_the_figures_of_their_row(faked: Faked) -> None:
    out = faked.root / "run"
    config = train(faked, out)
    rows = pd.read_csv(out / CURVE)
    assert list(rows.columns) == ["step", "loss_train", "loss_val", *PROTOCOLS, "kept"]
    assert rows["step"].tolist() == [3, 6]
    [kept] = rows[rows["kept"] == 1].to_dict("records")
    assert kept["mouth_corr"] == rows["mouth_corr"].max()
    clips = ValClips(config, [faked.root / "val/shards/00000.tar"], faked.root / "autoencoder", faked.syncnet, out, CPU)
    again = clips(load_denoiser(config, out / DENOISER, CPU))
    assert again == {name: kept[name] for name in PROTOCOLS}
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]  # videos and weights that were tried


def test_a_model_does_not_tell_of_its_validation_and_the_scorer_has_no_part_in_it(faked: Faked) -> None:
    """Else `evaluate` would refuse the scorer."""
    out = faked.root / "run"
    config = train(faked, out)
    assert "validation" not in json.loads((out / "config.json").read_text())
    shards = shards_of(faked, config)
    val = val_of(config, shards[:1], shards[1:], faked.syncnet, faked.root / "autoencoder", out, CPU)
    read = files_read(config, [shards], faked.root / "autoencoder", None, None, val)
    assert shards[0] in read
    assert faked.syncnet not in read


@pytest.mark.quick
def test_a_clip_without_a_face_counts_as_still_and_other_figures_are_of_those_that_have_one() -> None:
    rows = [
        {"protocol": protocol, "clip": clip, "metric": metric, "value": value}
        for metric, protocol in PROTOCOLS.items()
        for clip, value in zip(CLIPS, (0.9, 0.6, float("nan")), strict=True)
    ]
    other = {"protocol": "silent", "clip": "a/1", "metric": "lse_c", "value": 7.0}
    figures = mean_figures(pd.DataFrame([*rows, other]))
    assert figures == pytest.approx({"mouth_corr": 0.5, "lse_c": 0.75, "sharpness": 0.75, "mouth_std_ratio": 0.75})


@pytest.mark.quick
@pytest.mark.parametrize(("every", "given"), [(5, 0), (5, 2), (None, 1), (None, 3)])
def test_what_validation_needs_is_given_whole_or_not_at_all(every: int | None, given: int) -> None:
    config = parse_config({"validation": {"every": every}})
    parts = [[Path("a.tar")] if given > 0 else [], [Path("b.tar")] if given > 1 else []]
    with pytest.raises(UserError, match="set, it needs --val-shards, --val-speech and --scorer; null, none of them"):
        val_of(config, *parts, Path("net") if given > 2 else None, Path("ae"), Path("run"), CPU)
    off = parse_config({})
    assert val_of(off, [], [], None, Path("ae"), Path("run"), CPU) is None
