"""Answers of a blind study: shares and their intervals, strengths of several methods, and files that do not fit."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from syncdiff.errors import UserError
from syncdiff.report.answers import PRIOR_WINS, bradley_terry, evaluate_answers, print_answers

pytestmark = pytest.mark.quick
HEADING = "study,rater,pair,question,answer\n"


def write_key(folder: Path, rows: list[tuple[str, str]]) -> Path:
    lines = [f"x1,{pair},clip{pair},{a},{b}" for pair, (a, b) in enumerate(rows, start=1)]
    (folder / "key.csv").write_text("\n".join(["study,pair,clip,a,b", *lines, ""]))
    return folder / "key.csv"


def write_answers(folder: Path, rater: str, said: dict[int, str], question: str = "real", study: str = "x1") -> Path:
    lines = [f'"{study}","{rater}","{pair}","{question}","{answer}"' for pair, answer in said.items()]
    (folder / f"{rater}.csv").write_text(HEADING + "\n".join([*lines, ""]))
    return folder / f"{rater}.csv"


def wilson(k: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson 1927."""
    middle, half = (k + z**2 / 2) / (n + z**2), z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    return middle - half, middle + half


def test_the_key_decides_which_method_a_side_was(tmp_path: Path) -> None:
    key = write_key(tmp_path, [("real", "syncdiff"), ("syncdiff", "real"), ("real", "syncdiff")])
    files = [write_answers(tmp_path, "an", {1: "a", 2: "b", 3: "b"}), write_answers(tmp_path, "bo", {1: "a", 2: "b"})]
    found = evaluate_answers(files, key)
    (share,) = found["shares"]
    assert (share["question"], share["method"], share["over"]) == ("real", "syncdiff", "real")
    assert (share["n_chosen"], share["n_answers"], share["share"]) == (1, 5, 0.2)
    assert (share["low"], share["high"]) == pytest.approx(wilson(1, 5), abs=1e-6)
    assert (found["n_raters"], found["n_pairs"], found["n_answers"], found["strengths"]) == (2, 3, 5, [])


def test_questions_are_not_mixed(tmp_path: Path) -> None:
    key = write_key(tmp_path, [("real", "syncdiff")])
    files = [write_answers(tmp_path, "an", {1: "a"}), write_answers(tmp_path, "bo", {1: "b"}, "sync")]
    shares = {row["question"]: row["share"] for row in evaluate_answers(files, key)["shares"]}
    assert shares == {"real": 0, "sync": 1}


def test_strengths_are_those_of_greatest_likelihood() -> None:
    wins = np.array([[0, 8, 9], [2, 0, 6], [1, 4, 0]], float)
    counted = wins + PRIOR_WINS * (1 - np.eye(3))

    def loss(free: np.ndarray) -> float:
        strengths = np.append(free, -free.sum())
        return float((counted * np.log1p(np.exp(strengths[None, :] - strengths[:, None]))).sum())

    best = minimize(loss, np.zeros(2), tol=1e-10).x
    np.testing.assert_allclose(bradley_terry(wins), np.append(best, -best.sum()), atol=1e-4)


def test_a_method_that_always_wins_has_a_finite_strength_and_an_interval(tmp_path: Path) -> None:
    rows = [("real", "syncdiff"), ("real", "wav2lip"), ("wav2lip", "syncdiff")] * 4
    key = write_key(tmp_path, rows)
    file = write_answers(tmp_path, "an", {pair: "a" if pair % 3 else "b" for pair in range(1, 13)})
    strengths = evaluate_answers([file], key)["strengths"]
    order = [row["method"] for row in sorted(strengths, key=lambda row: -row["strength"])]
    assert order == ["real", "syncdiff", "wav2lip"]
    assert sum(row["strength"] for row in strengths) == pytest.approx(0, abs=1e-9)
    assert all(row["low"] <= row["strength"] <= row["high"] and np.isfinite(row["high"]) for row in strengths)


def test_what_is_printed_has_words_for_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = write_key(tmp_path, [("real", "syncdiff")])
    print_answers(evaluate_answers([write_answers(tmp_path, "an", {1: "b"})], key))
    printed = capsys.readouterr().out
    assert "real video" in printed and "SyncDiff" in printed and "1 of 1" in printed
    assert "1 answers of 1 raters about 1 pairs" in printed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x2,an,1,real,a", "of another study than"),
        ("x1,an,7,real,a", "pair 7 is not in"),
        ("x1,an,1,real,left", "real left is no answer of the page"),
        ("x1,an,1,taste,a", "taste a is no answer of the page"),
        ("x1,an,1,real,a\nx1,an,1,real,b", "an answers pair 1 again"),
        ("", "no answers"),
        ("x1,an,1,real,a\nx1,an", "row 2 is cut off"),
    ],
)
def test_files_that_do_not_fit_are_one_line(tmp_path: Path, text: str, reason: str) -> None:
    key = write_key(tmp_path, [("real", "syncdiff")])
    (tmp_path / "answers.csv").write_text(HEADING + text + "\n")
    with pytest.raises(UserError, match=reason) as error:
        evaluate_answers([tmp_path / "answers.csv"], key)
    assert str(error.value).startswith(str(tmp_path / "answers.csv")) and "\n" not in str(error.value)


def test_files_that_are_not_there_or_no_text_are_named(tmp_path: Path) -> None:
    key = write_key(tmp_path, [("real", "syncdiff")])
    (tmp_path / "picture.csv").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "semicolons.csv").write_text(HEADING.replace(",", ";") + "x1;an;1;real;a\n")
    reasons = {
        "none": "no such file",
        "picture": "not UTF-8",
        "folder": "cannot be read",
        "semicolons": "not a file with",
    }
    for name, reason in reasons.items():
        with pytest.raises(UserError, match=rf"{name}\.csv: {reason}"):
            evaluate_answers([tmp_path / f"{name}.csv"], key)


def test_a_key_with_a_pair_twice_is_refused(tmp_path: Path) -> None:
    key = write_key(tmp_path, [("real", "syncdiff")])
    key.write_text(key.read_text() + "x1,1,clip9,frozen,real\n")
    with pytest.raises(UserError, match=r"key\.csv: has a pair twice"):
        evaluate_answers([write_answers(tmp_path, "an", {1: "a"})], key)
