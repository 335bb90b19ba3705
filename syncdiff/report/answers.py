"""What raters of a blind study answered: shares with Wilson intervals, and Bradley-Terry strengths of three or more."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from scipy.stats import binomtest

from syncdiff.errors import UserError
from syncdiff.evaluation.metrics.bootstrap import interval, resample
from syncdiff.evaluation.names import method_label
from syncdiff.report.study import KEY_COLUMNS, QUESTIONS, SIDES

ANSWER_COLUMNS = ["study", "rater", "pair", "question", "answer"]
RESAMPLES = 1000  # of pairs, behind the interval of a strength
PRIOR_WINS = 0.5  # of each method over each other: a method that always wins has a finite strength
STEPS = 500  # of the fit, which settles in some tens


class Choice(NamedTuple):
    """One answer: which of two methods a rater chose."""

    question: str
    pair: str
    rater: str
    winner: str
    loser: str


def evaluate_answers(answers: Sequence[Path], key: Path) -> dict[str, Any]:
    """Return how often each method was chosen over each other, and for three methods or more their strengths.

    Answers are taken as independent of each other in the shares' intervals, though those of one rater, or about one
    clip, are not quite; the strengths' are a bootstrap over pairs of videos.

    Args:
        answers: CSV files that the page saved.
        key: study_key.csv of the same report.

    Returns:
        {"shares": [{"question", "method", "over" (real video as the last), "share", "low", "high", "n_chosen",
        "n_answers"}], "strengths":
        [{"question", "method", "strength", "low", "high"}], "n_raters", "n_pairs", "n_answers"}; strengths are natural
        logarithms of odds, their mean 0.

    Raises:
        UserError: a file is missing, not of this kind or of another study, or has an answer twice.
    """
    rows = _read(key, KEY_COLUMNS)
    pairs = {row["pair"]: row for row in rows}
    if len(pairs) < len(rows):
        raise UserError(f"{key}: has a pair twice; give the key as the report wrote it, of one study")
    choices = list(_choices(answers, pairs, key))
    if not choices:
        raise UserError(f"{answers[0]}: no answers; give files that the study's page saved")
    methods = sorted(dict.fromkeys(row[side] for row in rows for side in SIDES), key=lambda name: name == "real")
    asked = [(question.name, [c for c in choices if c.question == question.name]) for question in QUESTIONS]
    return {
        "shares": [share for name, own in asked for share in _shares(name, own, methods)],
        "strengths": [row for name, own in asked if own and len(methods) > 2 for row in _strengths(name, own, methods)],
        "n_raters": len({choice.rater for choice in choices}),
        "n_pairs": len({choice.pair for choice in choices}),
        "n_answers": len(choices),
    }


def _choices(answers: Sequence[Path], pairs: dict[str, dict[str, str]], key: Path) -> Iterator[Choice]:
    seen, studies = set(), {row["study"] for row in pairs.values()}
    for path in answers:
        for row in _read(path, ANSWER_COLUMNS):
            pair, said = row["pair"], (row["rater"], row["pair"], row["question"])
            if row["study"] not in studies:
                raise UserError(f"{path}: of another study than {key}; give the key of the report whose page it was")
            if pair not in pairs:
                raise UserError(f"{path}: pair {pair} is not in {key}; give both files as they were saved")
            if row["answer"] not in SIDES or row["question"] not in {question.name for question in QUESTIONS}:
                raise UserError(f"{path}: pair {pair}: {row['question']} {row['answer']} is no answer of the page")
            if said in seen:
                raise UserError(
                    f"{path}: {row['rater']} answers pair {pair} again; give a file once, and each rater a name"
                )
            seen.add(said)
            other = SIDES[row["answer"] == SIDES[0]]
            yield Choice(row["question"], pair, row["rater"], pairs[pair][row["answer"]], pairs[pair][other])


def _read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        table = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
        rows = list(table)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; give it as the page saved it") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error.strerror if isinstance(error, OSError) else error})") from None
    if not set(columns) <= set(table.fieldnames or ()):
        raise UserError(f"{path}: not a file with the columns {', '.join(columns)}, between commas; give it as saved")
    for number, row in enumerate(rows, start=1):
        if any(row[column] is None for column in columns):
            raise UserError(f"{path}: row {number} is cut off; give it as saved")
    return rows


def _shares(question: str, choices: Sequence[Choice], methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    for method, over in combinations(methods, 2):
        winners = [choice.winner for choice in choices if {choice.winner, choice.loser} == {method, over}]
        if winners:
            chosen = winners.count(method)
            bounds = binomtest(chosen, len(winners)).proportion_ci(method="wilson")
            share = {"share": chosen / len(winners), "low": float(bounds.low), "high": float(bounds.high)}
            of = {"question": question, "method": method, "over": over}
            yield of | share | {"n_chosen": chosen, "n_answers": len(winners)}


def _strengths(question: str, choices: Sequence[Choice], methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    pairs = list(dict.fromkeys(choice.pair for choice in choices))
    wins = np.zeros((len(pairs), len(methods), len(methods)))
    for choice in choices:
        wins[pairs.index(choice.pair), methods.index(choice.winner), methods.index(choice.loser)] += 1
    draws = resample(len(pairs), RESAMPLES, seed=0)
    resampled = np.stack([bradley_terry(wins[draw].sum(axis=0)) for draw in draws])  # (RESAMPLES, M)
    for place, (method, strength) in enumerate(zip(methods, bradley_terry(wins.sum(axis=0)), strict=True)):
        low, high = interval(resampled[:, place])
        yield {"question": question, "method": method, "strength": float(strength), "low": low, "high": high}


def bradley_terry(wins: np.ndarray) -> np.ndarray:
    """Fit strengths s (M,), mean 0, so that i is chosen over j with the odds exp(s_i - s_j) (Bradley and Terry 1952).

    By the iteration of Hunter (2004, equation 3), with PRIOR_WINS more of each over each.

    Args:
        wins: (M, M), how often the row's method was chosen over the column's.
    """
    counted = wins + PRIOR_WINS * (1 - np.eye(len(wins)))
    games, odds = counted + counted.T, np.ones(len(wins))
    for _ in range(STEPS):
        before, odds = odds, counted.sum(axis=1) / (games / (odds[:, None] + odds)).sum(axis=1)
        odds /= np.exp(np.log(odds).mean())
        if np.abs(odds - before).max() < 1e-9 * odds.max():
            break
    return np.log(odds)


def print_answers(found: dict[str, Any]) -> None:
    """Print what `evaluate_answers` returns."""
    console, words = Console(), {question.name: question.result for question in QUESTIONS}
    shares = Table("chosen as", "method", "over", "share", "95 % interval", "answers")
    for row in found["shares"]:
        labels = (escape(method_label(row[name])) for name in ("method", "over"))
        bounds, counts = f"{row['low']:.0%} – {row['high']:.0%}", f"{row['n_chosen']} of {row['n_answers']}"
        shares.add_row(words[row["question"]], *labels, f"{row['share']:.0%}", bounds, counts)
    console.print(shares)
    strengths = Table("chosen as", "method", "strength (Bradley-Terry)", "95 % interval")
    for row in found["strengths"]:
        strength, low, high = (f"{row[name]:z.2f}".replace("-", "−") for name in ("strength", "low", "high"))
        strengths.add_row(words[row["question"]], escape(method_label(row["method"])), strength, f"{low} – {high}")
    if found["strengths"]:
        console.print(strengths)
    console.print(f"{found['n_answers']} answers of {found['n_raters']} raters about {found['n_pairs']} pairs")
