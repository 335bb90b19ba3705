"""Shards as tars, and plans and ledgers as parquet."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
from numpy.random import Generator

from tests.fuzz.checkpoints import Attack
from tests.fuzz.mutate import damage, splice
from tests.fuzz.place import NAMES, Make, Place, Read, pick


def shard_samples() -> dict[str, list[dict]]:
    """Return small samples of the three tars that become a shard."""
    from syncdiff.shards.tar import clip_key, encode_npy, to_json
    from tests.members import wav_bytes

    stages: dict[str, list[dict]] = {"faces": [], "priors": [], "speech": []}
    for clip in ("main/6000/00001", "a b/é.mp4"):
        facts = {"clip": clip, "n_frames": 4, "first_frame": 0, "video": f"/data/{clip}", "text": "", "split": "train"}
        head = {"__key__": clip_key(clip)}
        faces = {
            "landmarks.npy": encode_npy(np.zeros((4, 68, 2), np.float32)),
            "audio.wav": wav_bytes(np.ones(2560, np.int16)),
        }
        stages["faces"].append(head | {"json": to_json(facts), "crop.mp4": b"mp4"} | faces)
        stages["priors"].append(
            head
            | {"json": to_json({"clip": clip, "identity": 1}), "pose.npy": encode_npy(np.zeros((4, 8, 8, 3), np.uint8))}
        )
        stages["speech"].append(
            head | {"json": to_json({"clip": clip}), "fbank.npy": encode_npy(np.zeros((4, 104), np.float32))}
        )
    return stages


KINDS = (
    *[tarfile.REGTYPE] * 6,
    *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.CONTTYPE),
    *(tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"Z"),
)


def hostile_tar(rng: Generator, forbidden: str) -> bytes:
    """Return a tar with members that no shard has."""
    names = (
        *NAMES,
        forbidden,
        f"../../{Path(forbidden).name}",
        "a.json",
        "a.pose.npy",
        "",
        ".",
        "__meta__/a.json",
        "x",
    )
    kinds = (
        *[tarfile.REGTYPE] * 6,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.DIRTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
    )
    kinds += (tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, tarfile.XHDTYPE, b"Z", tarfile.GNUTYPE_LONGNAME)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=pick(rng, (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))) as tar:
        for _ in range(rng.integers(1, 5)):
            member = tarfile.TarInfo(pick(rng, names).replace("\x00", ""))
            member.type, member.linkname = pick(rng, KINDS), pick(rng, (forbidden, "/etc/hostname", "../x", "a.json"))
            if rng.random() < 0.3:
                pax = {"size": "1" * 12, "path": forbidden, "GNU.sparse.realsize": "9" * 15, "hdrcharset": "x"}
                member.pax_headers = {key: pax[key] for key in list(pax)[: rng.integers(1, 5)]}
            content = pick(rng, hostile_members())
            member.size = len(content)
            if rng.random() < 0.1:
                member.size = pick(rng, (2**33, 2**40, 2**62))
                member.type = tarfile.REGTYPE
                buffer.write(member.tobuf(tarfile.GNU_FORMAT) + content.ljust(512, b"\0"))
            else:
                tar.addfile(member, io.BytesIO(content))
    data = buffer.getvalue()
    if rng.random() < 0.05:  # a chain of headers, each about the next
        data = data[:512].replace(data[156:157], b"x", 1) * 5000 + data
    return data


def hostile_members() -> list[bytes]:
    """Return contents that members of shards might have."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 104), }".ljust(118) + b"\n"
    arrays = [b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header, b"\x93NUMPY\x03\x00\xff\xff\xff\x7f"]
    texts = [
        b"[]",
        b"null",
        b'{"clip": 3}',
        b'{"clip": "../../escaped", "n_frames": 1e400}',
        b"[" * 9999,
        b"{",
        b"\xff",
    ]
    pickled = [b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(127) + b"\n"]
    return [*arrays, *texts, *pickled, b"PK\x03\x04zip", b"", b'{"clip": "a"}', pickle.dumps(Attack("touch escaped"))]


def shard_reader(place: Place) -> tuple[Make, Read]:
    """Tars of faces, priors and speech, as the stages that follow read them."""
    place.set_up()
    from syncdiff.config import Config
    from syncdiff.pipeline.files import safe_join
    from syncdiff.pipeline.parallel import attempt
    from syncdiff.shards.pack import pack_shard
    from syncdiff.shards.tar import read_shard, write_shard
    from syncdiff.speech.shard import speech_shard

    stages = shard_samples()
    tars = {stage: place.inputs / f"{stage}.tar" for stage in stages}
    for stage, samples in stages.items():
        write_shard(tars[stage], samples)
    whole = {stage: path.read_bytes() for stage, path in tars.items()}

    def make(rng: Generator) -> Path:
        for stage, path in tars.items():
            path.write_bytes(whole[stage])
        stage = pick(rng, list(tars))
        kind, data = rng.random(), whole[stage]
        if kind < 0.35:
            data = hostile_tar(rng, str(place.forbidden))
        elif kind < 0.5:
            samples = [dict(sample) for sample in stages[stage]]
            member = pick(rng, [name for name in samples[0] if name != "__key__"])
            changed = pick(rng, [*hostile_members(), damage(rng, samples[0][member], head=128), None])
            samples[0] = {name: data for name, data in samples[0].items() if name != member}
            samples[0] |= {} if changed is None else {member: changed}
            write_shard(tars[stage], samples)
            return tars[stage]
        elif kind < 0.55:
            data = splice(rng, data, whole[pick(rng, list(tars))])
        else:
            data = damage(rng, data, [b"ustar", b"../", b"\0" * 512, b"PaxHeader"], head=1536)
        tars[stage].write_bytes(data)
        return tars[stage]

    def read(path: Path) -> None:
        for sample in read_shard(path):
            attempt(
                lambda name: safe_join(place.out, name).touch(), json.loads(sample["json"])["clip"].replace("/", "_")
            )
            attempt(lambda name: safe_join(place.out, name).parent.mkdir(parents=True, exist_ok=True), "a/b")
        out = [place.out / name for name in ("shard.tar", "index.parquet", "stats.json")]
        if path.stem == "faces":
            speech_shard(Config(), ["fbank"], path, place.out / "speech.tar", place.out / "speech.parquet")
        pack_shard(Config(), *tars.values(), *out)

    return make, read


def parquet_reader(place: Place) -> tuple[Make, Read]:
    """The plan and the ledgers."""
    place.set_up()
    import pandas as pd

    from syncdiff.faces.shard import KEPT
    from syncdiff.pipeline.files import read_parquet, write_parquet
    from syncdiff.pipeline.ledger import LEDGER_COLUMNS

    columns = {column: ["a", "b", "c"] for column in [*LEDGER_COLUMNS, "shard", *KEPT]}
    plan = pd.DataFrame(columns | {"status": "ok", "width": 64, "height": 64, "shard": "00000"})
    path = place.inputs / "clips.parquet"
    write_parquet(path, plan)
    whole = path.read_bytes()

    def make(rng: Generator) -> Path:
        if rng.random() < 0.2:
            changed = plan.drop(columns=[pick(rng, plan.columns) for _ in range(rng.integers(3))], errors="ignore")
            if rng.random() < 0.7:
                changed[pick(rng, plan.columns)] = [pick(rng, (None, 1, [1], {"a": 1}, b"\xff", "\x00"))] * 3
            changed.iloc[: rng.integers(4)].to_parquet(path)
        else:
            data, tokens = whole, [b"PAR1", b"PARE", b"\xff" * 9, b"pandas"]
            half = len(data) // 2  # the footer, with all structure, comes last
            path.write_bytes(
                data[:half] + damage(rng, data[half:], tokens) if rng.random() < 0.7 else damage(rng, data)
            )
        return path

    def read(file: Path) -> None:
        table = read_parquet(file, *LEDGER_COLUMNS, "shard", *KEPT)
        rows = table[(table["status"] == "ok") & (table["split"] == "a") & (table["shard"] == "00000")]
        rows.to_dict("records")

    return make, read
