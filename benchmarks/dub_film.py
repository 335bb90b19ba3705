"""What dubbing makes of a film whose truth is known, of other forms of video, and of silence.

PYTHONPATH=. python benchmarks/dub_film.py [--run results/demo] [--keep FOLDER]; writes
benchmarks/results/dub_film.json. The film is made here (`film.py`); its lips are to say what a third person says, so
that the opening of each mouth is known. The model and the SyncNet are a run's; `--model` names other weights.

Mouths are measured by the landmarker: their correlation is with the opening that the sound's own speaker has then.
Colours are compared outside the mask of the generated mouths, in grey levels of what a viewer sees.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import soundfile
from film import HEIGHT, RATE, SECONDS, SHOTS, SIDE, Player, Shot, Still, shoot, stereo
from machine import RESULTS, save

from syncdiff.dubbing.cues import cue_sheet
from syncdiff.dubbing.dub import dub
from syncdiff.dubbing.lip_sync import LipSync
from syncdiff.dubbing.mouths import Run
from syncdiff.dubbing.report import Report
from syncdiff.dubbing.voices import voices_of
from syncdiff.dubbing.wishes import Wishes
from syncdiff.evaluation.metrics.flicker import flicker
from syncdiff.evaluation.metrics.lse import score_videos
from syncdiff.evaluation.metrics.mouth import mouth_aperture, mouth_corr
from syncdiff.faces.align import alignment, paste, warp
from syncdiff.faces.ibug import LEFT_EYE, NOSE_BASE, RIGHT_EYE
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.media.encode import write_pictures
from syncdiff.media.pictures import Form, Video, compose
from syncdiff.priors import mouth_mask
from syncdiff.synthesis.generate import Networks
from tests.dubbing.film import even_times, facts, shown_times, write_film

SEEDS = {"A": 11, "B": 12, "voice": 13}  # people of no corpus
FILM_FPS = 30
FORM_S = 2.0  # of the films in other forms
SPEECH_S, SILENCE_S = 2.0, 1.5  # speech, silence, speech
CLEAR = 0.04  # of a picture's height: a face that is found nearer to the true one is that one
NARROW = HEIGHT * 9 // 16 // 2 * 2


class Recipe(NamedTuple):
    """A form of video: when its pictures are due, how they are laid out, and how `write_film` writes them."""

    times: list[float]
    options: Mapping[str, Any] = MappingProxyType({})
    layout: str = "wide"  # wide; tall, turned, wide pixels


def recipes() -> dict[str, Recipe]:
    """Return the forms, each by its name."""
    film, even = 24_000 / 1001, partial(even_times, round(FORM_S * FILM_FPS), FILM_FPS)
    bt709 = {"matrix": 1, "transfer": 1, "primaries": 1}
    hlg = {"pixel_format": "yuv420p10le", "matrix": 9, "transfer": 18, "primaries": 9}
    rng = np.random.default_rng(0)
    steps = rng.choice([1 / 60, 1 / 30, 1 / 24, 1 / 15], 200, p=[0.2, 0.5, 0.2, 0.1])
    variable = [float(time) for time in np.cumsum(steps).round(4) - steps[0].round(4) if time < FORM_S]
    return {
        "30 fps": Recipe(even()),
        "variable rate": Recipe(variable),
        "24/1.001 fps": Recipe(even_times(round(FORM_S * film), film), {"rate": Fraction(24_000, 1001)}),
        "50 fps": Recipe(even_times(round(FORM_S * 50), 50), {"rate": Fraction(50)}),
        "60 fps": Recipe(even_times(round(FORM_S * 60), 60), {"rate": Fraction(60)}),
        "portrait by its header": Recipe(even(), {"turned": 90}, "turned"),
        "pixels of 4:3": Recipe(even(), {"aspect": (4, 3)}, "wide pixels"),
        "BT.709": Recipe(even(), bt709),
        "HLG, 10 bits": Recipe(even(), hlg),
        "9:16, 1080 × 1920": Recipe(even(), bt709, "tall"),
    }


def laid_out(still: Still, layout: str) -> np.ndarray:
    """Return a picture as it is stored: A is in its middle."""
    if layout == "wide":
        return still.picture
    if layout == "wide pixels":
        return cv2.resize(still.picture, (SIDE * 3 // 4, HEIGHT), interpolation=cv2.INTER_AREA)
    narrow = still.picture[:, (SIDE - NARROW) // 2 : (SIDE + NARROW) // 2]
    tall = cv2.resize(narrow, (1080, 1920) if layout == "tall" else (360, 640), interpolation=cv2.INTER_CUBIC)
    return np.rot90(tall, -1) if layout == "turned" else tall


@dataclass(frozen=True)
class Studio:
    """What all films have in common: the networks, the scorer, the people, the sound that is to be said."""

    networks: Networks
    syncnet: Path
    players: dict[str, Player]
    folder: Path

    @property
    def voice(self) -> Player:
        """Who says what the lips are to say."""
        return self.players["voice"]

    def sound(self, seconds: float) -> Path:
        """Write what is to be said: 48 kHz stereo."""
        path = self.folder / f"said-{seconds:g}.wav"
        soundfile.write(path, stereo(self.voice.take.audio, seconds), RATE)
        return path

    def film(self, name: str, times: Sequence[float], stills: Iterable[np.ndarray], **options: Any) -> Path:
        """Write pictures with A's own sound."""
        path = self.folder / name
        own = stereo(self.players["A"].take.audio, times[-1] + times[1])
        write_film(path, list(stills), times, audio=own, **options)
        return path

    def say(self, video: Path, sound: Path, out: Path, **wishes: Any) -> tuple[Report, list[Run]]:
        """Dub a video; return the report, and where each mouth was put."""
        wanted = Wishes(**wishes)
        report = dub(self.networks, video, sound, out, wanted)
        voices = voices_of(sound, wanted.face, self.folder)
        sheet = cue_sheet(self.networks, Video(video), sound, voices, self.folder, wanted)
        return report, list(sheet.runs)

    def faces(self, video: Path) -> list[list[np.ndarray]]:
        """Return the landmarks (68, 2) of all faces of each frame of a video, as a viewer sees it."""
        landmarker = open_landmarker(self.networks.config.faces)
        return list(landmarker.track(picture for _, picture in Video(video).shown()))

    def score(self, videos: Sequence[Path]) -> dict[str, dict[str, Any]]:
        """Return offset, LSE-D and LSE-C of videos, by their paths."""
        scores = score_videos(videos, self.syncnet, face="largest")
        return {row["video"]: row for row in (*scores["videos"], *scores["failed"])}


def main() -> None:
    """Make the films, dub them, and look at them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("results/demo"))
    parser.add_argument("--model", type=Path, help="a model's folder; by default runs/syncdiff of the run")
    parser.add_argument("--syncnet", type=Path, help="weights; by default the run's")
    parser.add_argument("--keep", type=Path, help="folder for the videos")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), help="the other figures stay")
    arguments = parser.parse_args()
    model = arguments.model or arguments.run / "runs/syncdiff"
    syncnet = arguments.syncnet or arguments.run / "syncnet/syncnet.safetensors"
    if not (model.is_dir() and syncnet.is_file()):
        parser.error(f"{model}, {syncnet}: not there; `make eval` makes both, or name others")
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        players = {who: Player(seed, SECONDS) for who, seed in SEEDS.items()}
        studio = Studio(LipSync.from_pretrained(model).networks, syncnet, players, folder)
        new = {part: PARTS[part](studio) for part in arguments.only}
    known = RESULTS / "dub_film.json"
    before = json.loads(known.read_text()) if known.exists() else {}
    figures = {part: new.get(part, before.get(part)) for part in PARTS}
    save("dub_film", {"weights": "the demo's" if arguments.model is None else str(arguments.model), **figures})


# ---- the film -------------------------------------------------------------------------------------------------------


def film_figures(studio: Studio) -> dict[str, Any]:
    """Dub A through the film; return what became of each shot, of what lies outside the mask, and of the file."""
    times = even_times(round(SECONDS * FILM_FPS), FILM_FPS)
    stills = list(shoot(studio.players, times))
    out = studio.folder / "film-dubbed.mp4"
    pictures = (still.picture for still in stills)
    video = studio.film("film.mp4", times, pictures, matrix=1, transfer=1, primaries=1)
    report, runs = studio.say(video, studio.sound(SECONDS), out, face="1")
    before, after = dict(sides(video)), dict(sides(out))
    return {
        "shots": list(shots(studio, times, stills, report, (video, out))),
        "passed": report.passed,
        "people": report.people,
        **outside(studio, video, out, runs),
        "sides": {key: [before[key], after[key]] for key in before},
    }


def shots(
    studio: Studio, times: Sequence[float], stills: Sequence[Still], report: Report, videos: tuple[Path, Path]
) -> Iterator[dict[str, Any]]:
    """Yield of each shot the frames, and the mouth's correlation with what is said, before and after."""
    why = np.full(len(stills), "", object)
    for row in report.left:
        why[row["frames"][0] : row["frames"][1] + 1] = row["why"]
    truth = studio.voice.openings(times)
    before, after = (openings(studio, video, [still.landmarks for still in stills]) for video in videos)
    own = studio.players["A"].openings(times)
    for number, shot in enumerate(SHOTS):
        here = np.array([still.shot == number for still in stills])
        seen = np.array([still.landmarks is not None for still in stills])
        said = here & (why == "")
        reasons, counts = np.unique(why[here & (why != "")].astype(str), return_counts=True)
        yield {
            "who": shot.who,
            "event": shot.event,
            "frames": int(here.sum()),
            "a_shown": int((here & seen).sum()),
            "dubbed": int(said.sum()),
            "a_not_dubbed": int((here & seen & (why != "")).sum()),
            "passed": dict(zip(reasons.tolist(), counts.tolist(), strict=True)),
            "mouth_corr": _corr(after, truth, said),
            "mouth_corr_before": _corr(before, truth, said),
            "own_mouth_corr": _corr(before, own, said),  # what the landmarker can tell: the source with its own truth
        }


def _corr(measured: np.ndarray, truth: np.ndarray, frames: np.ndarray) -> float | None:
    return round(mouth_corr(measured[frames], truth[frames]), 3) if frames.any() else None


def openings(studio: Studio, video: Path, landmarks: Sequence[np.ndarray | None]) -> np.ndarray:
    """Return how far the mouth at these places is open in each frame, (N,); NaN where no face is found there."""
    found = np.full(len(landmarks), np.nan)
    for index, (faces, real) in enumerate(zip(studio.faces(video), landmarks, strict=True)):
        face = nearest(faces, real)
        if face is not None:
            found[index] = mouth_aperture(face[None])[0]
    return found


def nearest(faces: Iterable[np.ndarray], real: np.ndarray | None) -> np.ndarray | None:
    """Return the face nearest to the true one; None where there is none near it."""
    if real is None:
        return None
    apart = [(float(np.abs(face - real).mean()), face) for face in faces]
    distance, face = min(apart, key=lambda pair: pair[0], default=(np.inf, real))
    return face if distance < CLEAR * HEIGHT else None


def sides(path: Path) -> Iterator[tuple[str, str]]:
    """Yield what the headers of a file say, as a prober shows it."""
    found = facts(path)
    with av.open(str(path)) as container:
        codec, duration = container.streams.video[0].codec_context.name, float(container.duration or 0) / av.time_base
    colours = ("matrix", "primaries", "transfer", "range")
    yield "codec", codec
    yield "size", "{} × {}".format(*found["size"])
    yield "shape of a pixel (SAR)", str(found["aspect"] or "1")
    yield "turned by", f"{found['turned']}°"
    yield "pixel format", found["pixels"]
    yield "colour tags", ", ".join(f"{name} {int(tag)}" for name, tag in zip(colours, found["colours"], strict=True))
    yield "frames a second", str(found["rate"])
    yield "frames", str(len(list(shown_times(path))))
    yield "seconds", f"{duration:.2f}"
    yield "sound", "{}, {} Hz, {} channels".format(*found["sound"])


# ---- what is not under the mask -------------------------------------------------------------------------------------


def outside(studio: Studio, video: Path, out: Path, runs: Sequence[Run]) -> dict[str, Any]:
    """Compare what is outside the mask, and do the same with the pictures encoded alone, with nothing put in."""
    form, plain = Video(video).form, studio.folder / "encoded.mp4"
    write_pictures(plain, form, Video(video).pictures(), None, "")
    masks = Masks(form, runs, studio.networks.config.faces.size)
    return {"outside_mask": compare(video, out, masks), "encoded_alone": compare(video, plain, masks)}


class Masks:
    """Where a picture, as a viewer sees it, may have changed."""

    def __init__(self, form: Form, runs: Sequence[Run], size: int) -> None:
        self._runs, self._mask = runs, (mouth_mask(size) > 0).astype(np.float32)
        self._from_shown = cv2.invertAffineTransform(form.to_shown)

    def __call__(self, index: int, shape: tuple[int, ...]) -> np.ndarray:
        """Return the mask of a frame: (H, W) bool, a pixel wider than what was put in, as chroma is shared."""
        mask = np.zeros(shape[:2], np.uint8)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        for run in self._runs:
            if index in run.frames:
                to_crop = compose(run.transforms[index - run.frames.start], self._from_shown)
                mask |= (cv2.warpAffine(self._mask, to_crop, shape[1::-1], flags=flags) > 0).astype(np.uint8)
        return cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0


def compare(video: Path, out: Path, masks: Masks) -> dict[str, float]:
    """Return the mean difference of all frames, their PSNR, and the largest shift of a frame's mean colour."""
    differences, squares, shifts, n = 0.0, 0.0, [], 0
    pairs = zip(Video(video).shown(), Video(out).shown(), strict=True)
    for index, ((_, before), (_, after)) in enumerate(pairs):
        change = (after.astype(np.float32) - before)[~masks(index, before.shape)]  # (K, 3)
        differences += float(np.abs(change).sum())
        squares += float(np.square(change).sum())
        shifts.append(float(np.abs(change.mean(axis=0)).max()))
        n += change.size
    psnr = 10 * np.log10(255**2 / (squares / n))
    return {"mean": round(differences / n, 3), "psnr": round(float(psnr), 2), "largest_shift": round(max(shifts), 3)}


# ---- other forms ----------------------------------------------------------------------------------------------------


def form_figures(studio: Studio) -> list[dict[str, Any]]:
    """Dub one shot of A in each form; return what became of it."""
    drawn: dict[tuple[float, ...], list[Still]] = {}
    rows = []
    for name, recipe in recipes().items():
        times = tuple(recipe.times)
        if times not in drawn:
            drawn[times] = list(shoot(studio.players, times, [Shot("A", FORM_S)]))
        rows.append(form_row(studio, name, recipe, drawn[times]))
        print(rows[-1], flush=True)
    return rows


def form_row(studio: Studio, name: str, recipe: Recipe, stills: Sequence[Still]) -> dict[str, Any]:
    """Dub one shot in one form."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in name)
    out = studio.folder / f"{stem}-dubbed.mp4"
    pictures = (laid_out(still, recipe.layout) for still in stills)
    video = studio.film(f"{stem}.mp4", recipe.times, pictures, **recipe.options)
    report, runs = studio.say(video, studio.sound(2 * FORM_S), out)
    changed, rows = outside(studio, video, out, runs)["outside_mask"], studio.score([video, out])
    before, after = dict(sides(video)), dict(sides(out))
    kept = {key for key in before if key not in {"codec", "sound", "seconds"}}
    return {
        "form": name,
        "frames": report.frames,
        "dubbed": report.generated,
        "changed_headers": sorted(key for key in kept if before[key] != after[key]),
        "offset_before": rows[str(video)].get("offset"),
        "offset": rows[str(out)].get("offset"),
        "lse_c": round(rows[str(out)].get("lse_c", np.nan), 2),
        "late_ms": round(1000 * late(video, out), 2),
        "squeezed": round(squeezed(studio, video, out), 4),
        **changed,
    }


def late(video: Path, out: Path) -> float:
    """Return by how much the time of a frame differs at most, in seconds."""
    return max(abs(a - b) for a, b in zip(shown_times(video), shown_times(out), strict=True))


def squeezed(studio: Studio, video: Path, out: Path) -> float:
    """Return by what part the face is wider for its height than it was, on average: 0, nothing is squeezed."""
    before, after = (np.median([_shape(faces) for faces in studio.faces(path) if faces]) for path in (video, out))
    return float(after / before - 1)


def _shape(faces: Sequence[np.ndarray]) -> float:
    """Return the distance of the eyes over that from them to the base of the nose."""
    [face] = faces
    left, right = face[LEFT_EYE].mean(axis=0), face[RIGHT_EYE].mean(axis=0)
    return float(np.linalg.norm(left - right) / np.linalg.norm((left + right) / 2 - face[NOSE_BASE]))


# ---- silence --------------------------------------------------------------------------------------------------------


def silence_figures(studio: Studio) -> dict[str, Any]:
    """Dub one shot with a sound that is silent in its middle, as the model has it and with the mouth closed."""
    seconds = 2 * SPEECH_S + SILENCE_S
    times = even_times(round(seconds * FILM_FPS), FILM_FPS)
    stills = list(shoot(studio.players, times, [Shot("A", seconds)]))
    video = studio.film("silence.mp4", times, (still.picture for still in stills))
    landmarks = np.stack([still.landmarks for still in stills if still.landmarks is not None])
    outs = {name: studio.folder / f"silence-{name}.mp4" for name in ("generated", "closed")}
    sound = _with_silence(studio)
    studio.say(video, sound, outs["generated"], silence_db=None)
    _, runs = studio.say(video, sound, outs["closed"])
    share = np.concatenate([run.closing for run in runs])
    figures = {name: quietness(studio, out, landmarks, share) for name, out in outs.items()}
    moves = openings(studio, _shut(studio, times, landmarks), list(landmarks))
    floor = float(np.nanstd(moves[share == 1])) / figures["closed"]["std_with_sound"]
    return {"silent_s": SILENCE_S, **figures, "shut_movement": round(floor, 3)}


def _shut(studio: Studio, times: Sequence[float], landmarks: np.ndarray) -> Path:
    """Film the same head with its mouth truly shut, as sharp as a crop is: what the landmarker takes for movement."""
    faces = studio.networks.config.faces
    mask, transforms = mouth_mask(faces.size), alignment(landmarks, faces)
    stills = shoot({"A": studio.players["A"].silent()}, times, [Shot("A", len(times) / FILM_FPS)])
    pictures = (
        paste(still.picture, warp(still.picture, transform, faces.size), transform, mask)
        for still, transform in zip(stills, transforms, strict=True)
    )
    return studio.film("shut.mp4", times, pictures)


def _with_silence(studio: Studio) -> Path:
    """Write what is to be said, with silence in its middle."""
    path, said = studio.folder / "silent-middle.wav", stereo(studio.voice.take.audio, 2 * SPEECH_S)
    half = len(said) // 2
    soundfile.write(path, np.concatenate([said[:half], np.zeros((round(SILENCE_S * RATE), 2)), said[half:]]), RATE)
    return path


def quietness(studio: Studio, out: Path, landmarks: np.ndarray, share: np.ndarray) -> dict[str, float]:
    """Return how much a mouth moves in silence and with sound, and how much it changes from frame to frame.

    Args:
        landmarks: (T, 68, 2), the true ones.
        share: (T,) how far the mouth is closed, where it is.
    """
    moves = openings(studio, out, list(landmarks))
    silent, spoken = (float(np.nanstd(moves[share == value])) for value in (1, 0))
    faces = studio.networks.config.faces
    shown = (picture for _, picture in Video(out).shown())
    crops = [warp(*pair, faces.size) for pair in zip(shown, alignment(landmarks, faces), strict=True)]
    changes, _ = flicker(((crops[0], crop) for crop in crops), mouth_mask(faces.size) > 0)
    edge, inside = np.diff(share) != 0, (share[1:] == 1) & (share[:-1] == 1)
    return {
        "std_in_silence": round(silent, 4),
        "std_with_sound": round(spoken, 4),
        "movement": round(silent / spoken, 3),
        **{
            f"{what}_{when}": round(float(of(changes[frames])), 2)
            for when, frames in (("at_edges", edge), ("in_silence", inside), ("with_sound", ~edge & ~inside))
            for what, of in (("mean_change", np.mean), ("largest_change", np.max))
        },
    }


PARTS = {"film": film_figures, "forms": form_figures, "silence": silence_figures}

if __name__ == "__main__":
    main()
