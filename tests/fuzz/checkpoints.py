"""Checkpoints: torch pickles that run something, safetensors with another header, and damage."""

from __future__ import annotations

import builtins
import json
import os
import pickle
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.random import Generator

from tests.fuzz.mutate import damage, splice
from tests.fuzz.place import NAMES, Make, Place, Read, pick


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str, function: Callable[..., Any] = os.system) -> None:
        self.command, self.function = command, function

    def __reduce__(self) -> tuple:
        return self.function, (self.command,)


def hostile_pickle(rng: Generator, forbidden: Path, folder: Path) -> bytes:
    """Return a checkpoint, in one of torch's formats or as a bare pickle, that runs something when it is trusted."""
    import torch

    function = pick(rng, (os.system, builtins.eval, builtins.exec, subprocess.getoutput))
    python = function in (builtins.eval, builtins.exec)
    command = f"open({str(forbidden)!r}, 'w')" if python else f"touch '{forbidden}'"
    attack = Attack(command, function)
    place = pick(rng, ("model", "cfg", "weight", "key", "alone"))
    content: Any = {"cfg": {"model": {}}, "model": {"encoder.layers.0.fc1.weight": torch.zeros(2)}}
    if place == "weight":
        content["model"]["x"] = attack
    elif place == "alone":
        content = attack
    else:
        content[place] = attack
    protocol = int(rng.integers(0, 6))
    if rng.random() < 0.4:
        return pickle.dumps(content, protocol=protocol)
    path = folder / "attack.pt"
    torch.save(content, path, pickle_protocol=max(protocol, 2), _use_new_zipfile_serialization=bool(rng.integers(2)))
    return path.read_bytes()


# Pickles by hand: a memo of 2^31 places, four gigabytes of bytes, lists in lists that stand for 2^60 values.
PICKLE_BOMBS = (
    b"\x80\x04\x8c\x01ar\xff\xff\xff\x7f.",
    b"\x80\x04\x8e\x00\x00\x00\x00\x01\x00\x00\x00.",
    b"\x80\x02]q\x00" + b"".join(b"]q%c(h%ch%ce" % (i + 1, i, i) for i in range(60)) + b".",
    b"\x80\x02}q\x00U\x03cfgq\x01h\x00s.",
    b"(" * 100_000 + b"." + b"]" * 10,
    b"\x80\x02cos\nsystem\nX\x06\x00\x00\x00touch \x85R.",
    b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0ctouch escaped\x85R.",
)


def hostile_safetensors(rng: Generator, data: bytes) -> bytes:
    """Return a safetensors file with another header."""
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    names = [name for name in header if name != "__metadata__"]
    name = pick(rng, names)
    sizes = {"layers": 3, "dim": 32, "heads": 4, "ffn_dim": 64, "audio_dim": 104, "conv_pos": 16, "conv_pos_groups": 16}
    odd = pick(rng, (0, -1, 10**9, 2**62, "4", None, 1.5, [], True, 10**30))
    changes: list[Callable[[], object]] = [
        lambda: header[name].update(shape=pick(rng, ([2**40, 2**40], [-1], [], [0], "x", [2**62, 4]))),
        lambda: header[name].update(data_offsets=pick(rng, ([0, 2**60], [9, 3], [-1, 4], [0], None))),
        lambda: header[name].update(dtype=pick(rng, ("F4", "F64", "I8", "BOOL", "X", 3, "F8_E4M3"))),
        lambda: header.update({"__metadata__": pick(rng, (None, [], {"avhubert": "[" * 9999}, {"syncnet": "[]"}))}),
        lambda: header.update({"__metadata__": {"avhubert": json.dumps(sizes | {pick(rng, list(sizes)): odd})}}),
        lambda: header.update({"__metadata__": {"syncnet": json.dumps({pick(rng, ("width", "image_size")): odd})}}),
        lambda: header.pop(name),
        lambda: header.update({pick(rng, NAMES): header[name]}),
    ]
    for _ in range(rng.integers(1, 3)):
        change = pick(rng, changes)
        if name in header:
            change()
    text = json.dumps(header).encode()
    return struct.pack("<Q", pick(rng, (len(text), len(text), len(text), 2**63, max(len(text) - 3, 0)))) + text + body


def checkpoint_seeds(folder: Path) -> dict[str, bytes]:
    """Return small valid checkpoints by file name, each read by the loader that its name tells."""
    import torch
    from safetensors.torch import save

    from syncdiff.models.syncnet import SyncNet, save_syncnet
    from syncdiff.speech.avhubert import AVHubertEncoder, convert
    from syncdiff.speech.checkpoint import FAIRSEQ_NAMES, EncoderConfig

    sizes = EncoderConfig(layers=2, dim=32, heads=4, ffn_dim=64, conv_pos=16)
    encoder = AVHubertEncoder(sizes)
    model = {"_name": "av_hubert", **{key: getattr(sizes, field) for field, key in FAIRSEQ_NAMES.items()}}
    official = {"cfg": {"model": model}, "model": encoder.state_dict()}
    for name, zipped in (("avhubert.pt", True), ("avhubert-legacy.pt", False)):
        torch.save(official, folder / name, _use_new_zipfile_serialization=zipped)
    convert(folder / "avhubert.pt", folder / "avhubert.safetensors")
    net = SyncNet(width=1 / 64, image_size=64)
    save_syncnet(net, folder / "syncnet.safetensors", "demo")
    torch.save({"weight": torch.zeros(4, 4)}, folder / "syncnet.model")
    torch.save({"weight": torch.zeros(4, 4)}, folder / "inception.pth")
    (folder / "denoiser.safetensors").write_bytes(save({"weight": torch.zeros(4, 4)}))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def checkpoint_reader(place: Place) -> tuple[Make, Read]:
    """AV-HuBERT's, SyncNet's and Inception's weights in each of their file formats."""
    place.set_up()
    from syncdiff.models.inception import load_inception
    from syncdiff.models.syncnet import load_syncnet
    from syncdiff.speech.avhubert import load_encoder
    from syncdiff.weights.files import read_safetensors

    folder = place.inputs / "seeds"
    folder.mkdir()
    seeds = checkpoint_seeds(folder)
    shutil.rmtree(folder)
    loaders = {"avhubert": load_encoder, "syncnet": load_syncnet, "inception": load_inception}
    tokens = [b"cos\nsystem\n", b"cbuiltins\neval\n", b"\x93", b"R", b"q\xff", b"PK\x03\x04", b"data.pkl", b'{"":']

    def make(rng: Generator) -> Path:
        name = pick(rng, list(seeds))
        kind, data = rng.random(), seeds[name]
        if name.endswith(".safetensors") and kind < 0.5:
            data = hostile_safetensors(rng, data)
        elif kind < 0.25:
            data = hostile_pickle(rng, place.forbidden, place.inputs)
        elif kind < 0.3:
            data = pick(rng, PICKLE_BOMBS)
        elif kind < 0.35:
            data = splice(rng, data, seeds[pick(rng, list(seeds))])
        else:
            data = damage(rng, data, tokens, head=2048)
        path = place.inputs / name
        path.write_bytes(data)
        return path

    def read(path: Path) -> None:
        stem = path.stem.partition("-")[0]
        loaders.get(stem, read_safetensors)(path)

    os.chdir(place.out)
    return make, read
