"""A folder to publish: a run's model and a card that says what it is, how good, under which licence, for what."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from syncdiff.config import Config
from syncdiff.errors import UserError
from syncdiff.models.pretrained import files_of, read_pretrained_config
from syncdiff.pipeline.files import read_parquet, scratch, sha256, write_text
from syncdiff.pipeline.provenance import SUFFIX, config_of
from syncdiff.registry.corpora import CORPORA
from syncdiff.training.validation import CURVE
from syncdiff.weights.registry import AVHUBERT_LICENCE

CARD, LICENCE = "README.md", "LICENSE"
DEMO = "the project's rendered demo corpus: people who do not exist, voices of a speech synthesiser"
REAL = "in the layout `{kind}`; write here whose it is, under which licence, and that the people in it have consented"
UNKNOWN = "not recorded beside the run; write here what it was trained on, and under which licence"


def export(run: Path, out: Path, licence: Path | None = None) -> None:
    """Write `out`, a model's folder (`models.pretrained`) with a model card, README.md; it appears whole or not at all.

    Args:
        run: a model's folder; what the card says of data and scores is read from the results folder that it lies in.
        out: a folder that is not there yet, or empty.
        licence: a text that goes along as LICENSE. AV-HuBERT's licence wants a copy of itself beside all weights that
            were made from its own.

    Raises:
        UserError: `run` is no whole model; `out` holds something; the weights need a licence's text that is not given.
    """
    config = read_pretrained_config(run)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: holds something already; name a new folder")
    if pretrained(config) and not licence:
        raise UserError(
            f"{run}: its weights were made from AV-HuBERT's, whose licence must travel with them and allows"
            " non-commercial research only; give its text with --licence FILE"
        )
    with scratch(out) as folder:
        for file in files_of(run):
            copy = folder / file.relative_to(run)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)
        if licence:
            shutil.copyfile(licence, folder / LICENCE)
        write_text(folder / CARD, card(run, config))
        if out.exists():
            out.rmdir()
        folder.rename(out)


def pretrained(config: Config) -> bool:
    """Say whether a model's weights were made from a published speech encoder's."""
    return config.speech.encoder == "avhubert" and config.speech.checkpoint is not None


def card(run: Path, config: Config) -> str:
    """Return the model card of a run: Markdown, with the metadata that model hubs read in front."""
    loader = PackageLoader("syncdiff.synthesis")
    templates = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return templates.get_template("card.md").render(
        name=run.resolve().name,
        version=version("syncdiff"),
        config=config,
        licence=AVHUBERT_LICENCE if pretrained(config) else None,
        data=list(_data(run)),
        kept=_kept_step(run),
        scores=_scores(run),
        weights={str(file.relative_to(run)): sha256(file) for file in files_of(run)},
    )


def _data(run: Path) -> Iterator[str]:
    """Say what is known of the clips that a run was trained on, a line each."""
    plan = run.resolve().parent.parent / "plan/clips.parquet"
    if not Path(f"{plan}{SUFFIX}").is_file():
        yield UNKNOWN
        return
    corpus: dict[str, Any] = config_of(plan).get("corpus") or {}
    kind = corpus.get("kind", "demo")
    yield DEMO if CORPORA[kind].rendered else f"the corpus `{corpus.get('name') or kind}`, {REAL.format(kind=kind)}"
    clips = read_parquet(plan, "status", "split")
    counts = clips[clips["status"] == "ok"].groupby("split").size()
    yield "clips planned: " + ", ".join(f"{n} {split}" for split, n in counts.items())


def _kept_step(run: Path) -> int | None:
    """Return the step whose weights validation has kept; None: the run's last, for it was not validated."""
    curve = run / CURVE
    if not curve.is_file():
        return None
    rows = pd.read_csv(curve)
    return int(rows.loc[rows["kept"] == 1, "step"].item())


def _scores(run: Path) -> list[dict[Any, Any]]:
    """Return the rows of the results folder's table that are of this run: metric, protocol, scorer, value, interval."""
    table = run.resolve().parent.parent / "table.parquet"
    if not table.is_file():
        return []
    rows = read_parquet(table, "method", "protocol", "metric", "scorer", "value", "ci_low", "ci_high", "n_scored")
    own = rows[(rows["method"] == run.resolve().name) & rows["value"].notna()]
    return [row | {"interval": _interval(row)} for row in own.to_dict("records")]


def _interval(row: Mapping[Any, Any]) -> str:
    return "" if pd.isna(row["ci_low"]) else f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
