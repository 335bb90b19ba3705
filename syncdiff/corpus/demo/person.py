"""A person who does not exist: looks, voice, clothes, light and background, all drawn from one random generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from syncdiff.corpus.demo.face import random_face
from syncdiff.corpus.demo.speech import Voice

Colour = np.ndarray  # (3,) float64 RGB in [0, 255]

SKINS = (
    (244, 208, 184),
    (232, 188, 160),
    (222, 172, 140),
    (200, 146, 112),
    (172, 118, 86),
    (138, 92, 66),
    (110, 74, 56),
)
HAIRS = ((28, 24, 24), (48, 34, 26), (78, 52, 34), (118, 78, 46), (168, 124, 72), (140, 62, 34), (150, 146, 142))
EYES = ((70, 46, 30), (92, 64, 38), (84, 98, 66), (76, 110, 140), (108, 126, 134))
CLOTHES = ((40, 52, 84), (112, 32, 40), (46, 86, 70), (208, 204, 196), (58, 58, 62), (150, 112, 60), (104, 72, 120))
WALLS = ((112, 128, 140), (150, 136, 118), (92, 112, 100), (128, 108, 120), (168, 168, 164), (70, 82, 104))
FEMALE_VOICES = ("f1", "f2", "f3", "f4", "f5", "linda", "belinda", "steph")
MALE_VOICES = ("m1", "m2", "m3", "m4", "m5", "m7", "Andy", "Michael")
ACCENTS = ("en-us", "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland")


@dataclass(frozen=True)
class Light:
    """A key light, a weaker one from the other side, and light from everywhere; 1 shows a colour as it is."""

    direction: np.ndarray  # (3,) unit vector towards the light
    key: float
    fill: float
    ambient: float


@dataclass(frozen=True)
class Person:
    """Everything about an identity that its clips share."""

    face: np.ndarray  # (468, 3)
    voice: Voice
    articulation: float  # how far the mouth moves, 1 on average
    skin: Colour
    lips: Colour
    hair: Colour
    eyes: Colour
    clothes: Colour
    wall: Colour
    beard: float  # 0 shaven to 1 full
    freckles: float  # 0 none to 1 many
    makeup: float  # 0 none to 1
    hair_length: float  # 0 cropped, 0.3 over the ears, 1 on the shoulders
    hairline: float  # angle from the crown to the forehead, radians
    neckline: float  # 0 closed collar to 1 open
    light: Light
    eye_pixels: float  # distance between the eyes, share of the picture's side
    lids: float  # how far they hang at rest, 0 wide open to 1 shut
    paint_seed: int


def random_person(rng: np.random.Generator) -> Person:
    """Draw a person."""
    female = bool(rng.random() < 0.5)
    skin = _vary(rng, SKINS, 5)
    pale = skin.mean() / 200
    makeup = float(rng.uniform(0.2, 1)) if female else 0.0
    lips = skin * [0.84, 0.60, 0.60] + makeup * np.array([12, -14, -6])
    return Person(
        face=random_face(rng),
        voice=_random_voice(rng, female),
        articulation=float(rng.uniform(0.92, 1.12)),
        skin=skin,
        lips=lips.clip(30, 235),
        hair=_vary(rng, HAIRS if pale > 0.75 else HAIRS[:3], 6),
        eyes=_vary(rng, EYES if pale > 0.75 else EYES[:2], 6),
        clothes=_vary(rng, CLOTHES, 14),
        wall=_vary(rng, WALLS, 14),
        beard=float(rng.choice([0, 0, 0.3, 0.6, 1])) if not female else 0.0,
        freckles=float(rng.choice([0, 0, 0, 1])) * pale,
        makeup=makeup,
        hair_length=float(rng.choice([0.45, 0.8, 1.0])) if female else float(rng.choice([0.0, 0.1, 0.25])),
        hairline=float(rng.uniform(0.84, 1.08)),
        neckline=float(rng.uniform(0, 1)),
        light=_random_light(rng),
        eye_pixels=float(rng.uniform(0.19, 0.225)),
        lids=float(rng.uniform(0.08, 0.3)),
        paint_seed=int(rng.integers(2**31)),
    )


def _vary(rng: np.random.Generator, palette: tuple[tuple[int, int, int], ...], spread: float) -> Colour:
    colour: Colour = (
        np.array(palette[rng.integers(len(palette))]) + rng.normal(0, spread, 3) * 0.5 + rng.normal(0, spread)
    )
    return colour.clip(12, 250)


def _random_voice(rng: np.random.Generator, female: bool) -> Voice:
    variant = str(rng.choice(FEMALE_VOICES if female else MALE_VOICES))
    return Voice(
        name=f"{rng.choice(ACCENTS)}+{variant}",
        words_per_minute=int(rng.integers(140, 175)),
        pitch=int(rng.integers(40, 70) if female else rng.integers(25, 55)),
        pitch_range=int(rng.integers(35, 75)),
    )


def _random_light(rng: np.random.Generator) -> Light:
    side, height = rng.uniform(-0.75, 0.75), rng.uniform(0.15, 0.6)
    direction = np.array([side, -height, -1.0])
    key = float(rng.uniform(0.46, 0.62))
    ambient = float(rng.uniform(0.34, 0.44))
    return Light(direction / np.linalg.norm(direction), key, float(rng.uniform(0.05, 0.2)), ambient)
