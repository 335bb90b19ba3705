"""Verdicts: thresholds, who of several speaks, and how far sound is shifted; each clip keeps its row."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from syncdiff.config import Curate
from syncdiff.curation.corpus import summary
from syncdiff.curation.measures import KEPT, MEASURES
from syncdiff.curation.verdicts import SPEAKER, UNJUDGED, chances, doubt, judge

pytestmark = pytest.mark.quick

GOOD = {
    **dict.fromkeys(KEPT, 1.0),
    "confidence": 4.0,
    "offset": 0.0,
    "in_sync": 0.6,
    "face_px": 140.0,
    "sharpness": 500.0,
    "loudness": -20.0,
    "yaw": -5.0,
    "pitch": 3.0,
    "speech": 0.9,
    "conf": 4.0,
    "asd": 5.0,
}


def clips(*changes: dict[str, Any]) -> pd.DataFrame:
    """Measured clips, good but for what is changed: each of its own video, compared with ten wrong sounds."""
    rng = np.random.default_rng(0)
    rows = []
    for index, change in enumerate(changes):
        wrong = {"wrong_confidence": rng.uniform(0, 2, 10).tolist(), "wrong_offset": rng.integers(-15, 16, 10).tolist()}
        place = {"clip": f"c{index}", "video": f"v{index}", "first_frame": 0, "n_frames": 50}
        ledger = {"stage": "measures", "status": "ok", "reason": "", "split": "train", "curator": "x"}
        rows.append(ledger | place | GOOD | wrong | change)
    return pd.DataFrame(rows)


def test_without_thresholds_every_clip_is_fit() -> None:
    judged = judge(clips({}, {"confidence": 0.0, "sharpness": 0.0}), Curate())
    assert judged["status"].tolist() == ["ok", "ok"]
    assert judged["rule"].tolist() == ["", ""]
    assert judged["shift"].tolist() == [0, 0]


@pytest.mark.parametrize("name", [name for name in MEASURES if name not in ("chance", "deviation")])
def test_a_threshold_rejects_what_is_beyond_it_and_says_which(name: str) -> None:
    side, value = MEASURES[name].limit, abs(GOOD[name])
    bad = {"min": -100.0, "max": 100.0}[side]
    limit = {"loudness": -30}.get(name, value - 0.5 if side == "min" else value + 0.5)
    limit = round(limit) if name == "offset" else limit
    judged = judge(clips({}, {name: bad}, {name: np.nan}), Curate.model_validate({f"{side}_{name}": limit}))
    assert judged["status"].tolist() == ["ok", "rejected", "ok"]  # what has no value is not beyond anything
    assert judged["rule"].tolist() == ["", name, ""]
    assert f"curate.{side}_{name} {limit:g}" in judged["reason"][1]


def test_offsets_and_angles_are_bad_on_both_sides() -> None:
    for name, limit in {"offset": 3, "yaw": 20, "pitch": 20}.items():
        judged = judge(clips({name: -60.0}, {name: 60.0}, {}), Curate.model_validate({f"max_{name}": limit}))
        assert judged["status"].tolist() == ["rejected", "rejected", "ok"]


def test_every_threshold_of_the_config_has_its_measure() -> None:
    named = {name.partition("_")[2] for name in Curate.model_fields if name.startswith(("min_", "max_"))}
    assert named == set(MEASURES)
    assert all(f"{measure.limit}_{name}" in Curate.model_fields for name, measure in MEASURES.items())


def test_clips_that_could_not_be_measured_keep_their_row() -> None:
    lost = {**dict.fromkeys(KEPT, np.nan), "wrong_confidence": [], "wrong_offset": []}
    failed = {"status": "failed", "reason": "No such file"} | lost
    refused = {"status": "rejected", "reason": "too short for SyncNet"} | lost
    judged = judge(clips({}, failed, refused), Curate(max_chance=0.05))
    assert judged["clip"].tolist() == ["c0", "c1", "c2"]
    assert judged["status"].tolist() == ["ok", "failed", "rejected"]
    assert judged["reason"].tolist() == ["", "No such file", "too short for SyncNet"]
    assert set(judged["stage"]) == {"curation"}


def test_of_wrong_sounds_as_many_pass_as_the_threshold_says() -> None:
    rng = np.random.default_rng(1)
    drawn = [{"confidence": rng.uniform(0, 2), "offset": float(rng.integers(-15, 16))} for _ in range(300)]
    found = chances(clips(*({"confidence": 5.0} for _ in range(400)), *drawn))
    assert found[:400].max() == 0.0
    assert [(found[400:] <= limit).mean() for limit in (0.05, 0.2, 0.5)] == pytest.approx([0.05, 0.2, 0.5], abs=0.05)


def test_a_small_offset_speaks_for_a_sound() -> None:
    judged = judge(clips({"confidence": 1.7}, {"confidence": 1.7, "offset": 13.0}, *[{}] * 60), Curate(max_chance=0.05))
    assert judged["chance"][0] < 0.05 < judged["chance"][1]
    assert judged["status"][:2].tolist() == ["ok", "rejected"]


def test_a_constant_offset_of_a_corpus_is_its_usual_one() -> None:
    late = judge(clips({"confidence": 1.7, "offset": -2.0}, *[{"offset": -2.0}] * 60), Curate(max_chance=0.05))
    assert late["chance"][0] < 0.05


def test_without_another_clip_chance_is_not_known() -> None:
    alone = clips({"wrong_confidence": [], "wrong_offset": []})
    judged = judge(alone, Curate(max_chance=0.05))
    assert judged["chance"].isna().all()
    assert judged["status"].tolist() == ["ok"]


def scene(*faces: dict[str, Any]) -> pd.DataFrame:
    """Faces of one video, beside thirty clips of others."""
    return clips(*({"video": "talk"} | face for face in faces), *[{}] * 30)


def test_of_faces_at_the_same_time_the_one_in_sync_speaks() -> None:
    judged = judge(scene({"confidence": 0.4}, {"confidence": 3.0}), Curate(max_chance=0.05))
    assert judged["status"][:2].tolist() == ["rejected", "ok"]
    assert judged["reason"][0] == "another face speaks (c1)"
    assert judged["rule"][0] == SPEAKER


def test_faces_of_one_video_one_after_the_other_both_speak() -> None:
    judged = judge(scene({"confidence": 2.5}, {"confidence": 3.0, "first_frame": 50}), Curate(max_chance=0.05))
    assert judged["status"][:2].tolist() == ["ok", "ok"]


def test_a_face_that_only_meets_one_that_is_silent_may_speak() -> None:
    """The first overlaps with the second, the second with the third: only the one in the middle is silent."""
    faces = ({"confidence": 5.0}, {"confidence": 3.0, "first_frame": 40}, {"confidence": 2.5, "first_frame": 80})
    judged = judge(scene(*faces), Curate(max_chance=0.05))
    assert judged["status"][:3].tolist() == ["ok", "rejected", "ok"]


def test_where_it_is_not_clear_who_speaks_nobody_is_taken() -> None:
    faces = ({"confidence": 0.5, "offset": 9.0}, {"confidence": 0.4, "offset": -7.0})
    judged = judge(scene(*faces), Curate(max_chance=0.05))
    assert judged["rule"][:2].tolist() == [SPEAKER, SPEAKER]
    assert all("of none it is clear" in reason for reason in judged["reason"][:2])
    assert judge(scene(*faces), Curate())["status"][:2].tolist() == ["ok", "rejected"]  # no threshold asks how clear


def test_a_speaker_that_is_rejected_for_something_else_makes_no_other_face_speak() -> None:
    faces = ({"confidence": 4.0, "sharpness": 1.0}, {"confidence": 0.4})
    judged = judge(scene(*faces), Curate(max_chance=0.05, min_sharpness=100))
    assert judged["rule"][:2].tolist() == ["sharpness", SPEAKER]


def test_sound_is_shifted_where_its_offset_is_sure() -> None:
    """A sound that is three frames early belongs to pictures three frames later: picture t goes with row t - 3."""
    surely, late, perhaps = {"offset": 3.0}, {"offset": -4.0}, {"offset": 5.0, "confidence": 1.2}
    judged = judge(clips(surely, late, perhaps, *[{}] * 30), Curate(shift_chance=0.01))
    assert judged["shift"][:4].tolist() == [-3, 4, 0, 0]
    assert judged["reason"][0] == "sound shifted by -3 frames"
    assert judged["reason"][2] == "offset +5 is not sure: not corrected"
    assert judge(clips(surely, {}), Curate(max_chance=0.5))["shift"].tolist() == [0, 0]


def test_a_clip_shorter_than_its_offset_is_rejected() -> None:
    judged = judge(clips({"offset": 12.0, "n_frames": 12}, *[{}] * 30), Curate(shift_chance=0.01))
    assert judged["status"][0] == "rejected"


def test_deviations_are_of_the_corpus_and_on_the_bad_side() -> None:
    rng = np.random.default_rng(0)
    usual = [{"sharpness": float(np.exp(rng.normal(6, 0.3)))} for _ in range(60)]
    judged = judge(clips({"sharpness": 20.0}, {"sharpness": 40_000.0}, *usual), Curate(max_deviation=4))
    assert judged["status"].tolist() == ["rejected"] + ["ok"] * 61
    assert judged["reason"][0].startswith("sharpness unlike the corpus's: deviation ")


def test_a_limit_of_the_config_is_named_by_its_measure() -> None:
    assert Curate(max_offset=6, min_conf=3).limits == {"offset": 6, "conf": 3}
    assert not Curate().wanted
    assert Curate(shift_chance=0.01).wanted


DEAF = [{"confidence": 0.1 * n, "offset": float(3 * n - 12)} for n in range(9)]  # no better than wrong sounds


def test_a_syncnet_that_tells_no_sounds_apart_rejects_and_shifts_none_and_is_named() -> None:
    judged = judge(clips(*DEAF), Curate(max_chance=0.03, max_offset=2, shift_chance=1.0, min_face_px=64))
    assert set(judged["status"]) == {"ok"}
    assert judged["shift"].tolist() == [0] * 9
    assert set(judged["reason"]) == {UNJUDGED}
    assert doubt(judged).startswith(
        "the SyncNet tells the own sound from others' in 0 of 9 clips (half are needed): max"
    )
    assert "shift_chance are not applied; train it longer" in summary(judged)


def test_thresholds_that_need_no_comparison_hold_whatever_the_syncnet_knows() -> None:
    judged = judge(clips({"face_px": 10.0}, *DEAF), Curate(max_chance=0.03, min_face_px=64, min_confidence=0.35))
    assert judged["rule"].tolist() == ["face_px", *["confidence"] * 4, *[""] * 5]
    without = judge(clips(*DEAF), Curate(min_face_px=64))
    assert set(without["reason"]) == {""}  # nothing was asked of the SyncNet


def test_a_syncnet_that_tells_half_of_the_sounds_apart_is_a_judge_and_no_less() -> None:
    half = judge(clips(*DEAF, *[{}] * 9), Curate(max_chance=0.03))
    assert half["rule"].tolist() == ["chance"] * 9 + [""] * 9
    assert doubt(half) == ""
    fewer = judge(clips(*DEAF, *[{}] * 8), Curate(max_chance=0.03))
    assert set(fewer["status"]) == {"ok"}
    assert "in 8 of 17 clips" in doubt(fewer)


def test_those_who_listen_do_not_count_against_the_syncnet() -> None:
    deaf = {"confidence": 0.1, "offset": 12.0}
    scenes = [{"video": f"talk{n}"} | face for n in range(10) for face in ({}, deaf, deaf)]
    judged = judge(clips(*scenes), Curate(max_chance=0.03))
    assert judged["status"].tolist() == ["ok", "rejected", "rejected"] * 10
    assert doubt(judged) == ""


def test_of_faces_that_nothing_tells_apart_none_is_taken() -> None:
    judged = judge(clips(*({"video": "talk"} | face for face in DEAF[:2]), *DEAF), Curate(max_chance=0.03))
    assert judged["rule"].tolist() == [SPEAKER] * 2 + [""] * 9
