"""Transcripts, list files and configs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from numpy.random import Generator

from tests.fuzz.mutate import damage
from tests.fuzz.place import NAMES, Make, Place, Read, pick

SPLITS = ("train", "val", "test")
TRANSCRIPT = b"Text:  WHEN THE SUN COMES OUT\nConf:  5\n\nWORD START END ASDSCORE\nWHEN 0.1 0.3 5.2\n"


def transcript_reader(place: Place) -> tuple[Make, Read]:
    """The text beside a clip."""
    place.set_up()
    from syncdiff.corpus.lrs import read_transcript
    from syncdiff.errors import ClipRejected

    def make(rng: Generator) -> Path:
        path = place.inputs / "clip.txt"
        path.unlink(missing_ok=True)
        kind = rng.random()
        if kind < 0.02:
            os.mkfifo(path)
        elif kind < 0.04:
            path.symlink_to(pick(rng, (path, "/dev/zero", "/dev/full", place.root, "/nowhere")))
        elif kind < 0.06:
            return place.inputs / pick(rng, [name for name in NAMES if "\n" not in name])
        else:
            words = [name.encode() for name in NAMES] + [b"Text:", b"\r", b"\x85", b"\xff\xfe", b"\xed\xa0\x80"]
            path.write_bytes(damage(rng, TRANSCRIPT * int(pick(rng, (1, 1, 100))), words))
        return path

    def read(path: Path) -> None:
        text = read_transcript(path).text
        assert len(text.encode()) < 4 << 20  # the plan writes it as UTF-8
        if not text:
            raise ClipRejected("a transcript that says nothing, or cannot be read, is an empty one")

    return make, read


def list_reader(place: Place) -> tuple[Make, Read]:
    """LRS2's list files, and the names that follow from them."""
    place.set_up()
    from syncdiff.config import parse_config
    from syncdiff.corpus.listing import list_clips
    from syncdiff.corpus.plan import inspect
    from syncdiff.pipeline.files import safe_join
    from syncdiff.pipeline.parallel import attempt
    from syncdiff.shards.tar import clip_key

    base = place.inputs / "mvlrs_v1"
    entries = [f"{programme}/{clip:05d}" for programme in range(6000, 6004) for clip in range(3)]
    for entry in entries:
        (base / "main" / entry).parent.mkdir(parents=True, exist_ok=True)
        (base / "main" / f"{entry}.mp4").touch()
    lists = {split: "".join(f"{entry} NF\n" for entry in entries[i::3]).encode() for i, split in enumerate(SPLITS)}
    config = parse_config({"corpus": {"kind": "lrs2", "root": str(place.inputs)}})

    def make(rng: Generator) -> Path:
        for split, text in lists.items():
            (base / f"{split}.txt").write_bytes(text)
        path = base / f"{pick(rng, SPLITS)}.txt"
        tokens = [name.encode() + b"\n" for name in NAMES] + [b"\r", b"\xff", b"\xef\xbb\xbf"]
        path.write_bytes(damage(rng, lists[path.stem], tokens))
        return path

    def read(_: Path) -> None:
        for listed in list_clips(config):
            attempt(inspect, listed)
            attempt(lambda name: safe_join(place.out, name), f"{listed.clip}.mp4")
            clip_key(listed.clip).encode("ascii")
            f"{listed}".encode()

    return make, read


# What may stand behind a key.
VALUES = (
    *("null", "true", "-1", "0", "1e400", ".nan", ".inf", "-.inf", "9" * 5000, "0x7fffffffffffffffffff", "2001-99-99"),
    *('"\\ud800"', '"\\0"', "[]", "{}", "[[[]]]", "{a: {b: {c: 1}}}", "*a", "&a [*a]", "!!binary aGk=", "!!set {a}"),
    *("!!python/object/apply:os.system ['touch escaped']", "!!python/name:os.system", "!!int x", "? [a, b] : c"),
    *("2001-01-01", "12:30:45", "1_000", "0o17", "|\n  text\n", "''", "lrs2", "../../escaped", "$(touch escaped)"),
    *("[" * 3000 + "]" * 3000, "{a: " * 2000 + "1" + "}" * 2000, "<<: 1", "{<<: [1]}", "!!timestamp 1", "!!float x"),
)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + below] * 9)}]\n"
    for below, name in zip("abcdefgh", "bcdefghi", strict=True)  # 9^9 texts
)


def config_reader(place: Place) -> tuple[Make, Read]:
    """YAML files and JSON objects as configs."""
    place.set_up()
    from syncdiff.config import Config, default_yaml, load_config
    from syncdiff.pipeline.stages import STAGES, config_slice

    whole = default_yaml()
    keys = [line.split(":")[0] for line in whole.splitlines() if ":" in line and not line.startswith("#")]
    as_json = json.dumps(Config().model_dump(mode="json"))

    def make(rng: Generator) -> Path:
        kind = rng.random()
        if kind < 0.3:
            lines = whole.splitlines()
            for _ in range(rng.integers(1, 4)):
                place_of = rng.integers(len(lines))
                lines[place_of] = f"{lines[place_of].split(':')[0]}: {pick(rng, VALUES)}"
            data = "\n".join(lines).encode()
        elif kind < 0.6:
            data = "\n".join(f"{pick(rng, keys)}: {pick(rng, VALUES)}" for _ in range(rng.integers(1, 5))).encode()
        elif kind < 0.62:
            data = BOMB.encode()
        elif kind < 0.8:
            data = damage(rng, as_json.encode(), [value.encode() for value in VALUES])
        else:
            data = damage(rng, whole.encode(), [value.encode() for value in VALUES], head=400)
        path = place.inputs / "config.yaml"
        path.write_bytes(data)
        return path

    def read(path: Path) -> None:
        data = path.read_bytes()
        source = data.decode("utf-8", "surrogateescape") if data.startswith(b"{") else path
        config = load_config(source)
        for stage in STAGES:
            config_slice(config, stage)

    os.chdir(place.out)
    return make, read
