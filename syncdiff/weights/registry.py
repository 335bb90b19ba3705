"""Published weights that the project can use: list them, download them, verify the copies here."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EACCES
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError

import pooch

from syncdiff.errors import UserError
from syncdiff.pipeline.files import disk_error
from syncdiff.pipeline.progress import progress

CHUNK = 1 << 20  # bytes
RANGE_NOT_SATISFIABLE = 416
ANOTHER_FOLDER = "set SYNCDIFF_WEIGHTS to a folder that can be"


@dataclass(frozen=True)
class File:
    """One file of a published model."""

    url: str
    path: str  # below the weights folder
    sha256: str | None  # None: not published
    size: int | None = None  # bytes

    @property
    def target(self) -> Path:
        """Where the file lies on this machine."""
        return weights_folder() / self.path


@dataclass(frozen=True)
class Weights:
    """A published model."""

    use: str
    licence: str
    files: tuple[File, ...]


AVHUBERT_URL = "https://dl.fbaipublicfiles.com/avhubert/model/lrs3_vox/clean-pretrain/"
AVHUBERT_LICENCE = "AV-HuBERT licence (Meta): non-commercial research"
FAN_URL = "https://www.adrianbulat.com/downloads/python-fan/"
FAN_LICENCE = "code BSD-3-Clause; none stated for the weights"
VAE_URL = "https://huggingface.co/stabilityai/sd-vae-ft-mse/resolve/31f26fdeee1355a5c34592e401dd41e45d25a493/"

# S3FD, 2DFAN4, Inception and AlexNet carry the first digits of their sha256 in the file name; those of VGG16, SyncNet,
# the autoencoder, FaceNet and I3D stand in public mirrors and in others' checks. AV-HuBERT's publisher names none.
REGISTRY = {
    "avhubert-base": Weights(
        "speech.checkpoint; pretrained on LRS3 + VoxCeleb2, 12 layers",
        AVHUBERT_LICENCE,
        (File(AVHUBERT_URL + "base_vox_iter5.pt", "avhubert/base_vox_iter5.pt", None),),
    ),
    "avhubert-large": Weights(
        "speech.checkpoint; pretrained on LRS3 + VoxCeleb2, 24 layers",
        AVHUBERT_LICENCE,
        (File(AVHUBERT_URL + "large_vox_iter5.pt", "avhubert/large_vox_iter5.pt", None),),
    ),
    "syncnet": Weights(
        "syncnet.weights: LSE-C and LSE-D",
        "code MIT; none stated for the weights",
        (
            File(
                "https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
                "syncnet_v2.model",
                "961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
                54_573_114,
            ),
        ),
    ),
    "s3fd": Weights(
        "faces.weights: face_alignment's detector",
        FAN_LICENCE,
        (
            File(
                FAN_URL + "s3fd-619a316812.pth",
                "face_alignment/s3fd-619a316812.pth",
                "619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
                89_843_225,
            ),
        ),
    ),
    "2dfan4": Weights(
        "faces.weights: face_alignment's landmarks",
        FAN_LICENCE,
        (
            File(
                FAN_URL + "2DFAN4-11f355bf06.pth.tar",
                "face_alignment/2DFAN4-11f355bf06.pth.tar",
                "11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
            ),
        ),
    ),
    "inception": Weights(
        "evaluate.inception: FID",
        "Apache-2.0",
        (
            File(
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                "pt_inception-2015-12-05-6726825d.pth",
                "pt_inception-2015-12-05-6726825d.pth",
                "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
                95_628_359,
            ),
        ),
    ),
    "alexnet": Weights(
        "evaluate.alexnet: LPIPS, whose heads torchmetrics carries",
        "BSD-3-Clause (torchvision); the heads BSD-2-Clause",
        (
            File(
                "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
                "alexnet-owt-7be5be79.pth",
                "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
                244_408_911,
            ),
        ),
    ),
    "vgg16": Weights(
        "second_stage.vgg: LPIPS as a loss, whose heads torchmetrics carries",
        "BSD-3-Clause (torchvision); the heads BSD-2-Clause",
        (
            File(
                "https://download.pytorch.org/models/vgg16-397923af.pth",
                "vgg16-397923af.pth",
                "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
                553_433_881,
            ),
        ),
    ),
    "facenet": Weights(
        "evaluate.facenet: CSIM; Inception-ResNet v1 on VGGFace2",
        "code MIT; none stated for the weights, whose faces were given out for research",
        (
            File(
                "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
                "20180402-114759-vggface2.pt",
                "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
                111_898_327,
            ),
        ),
    ),
    "i3d": Weights(
        "evaluate.i3d: FVD; trained on Kinetics-400, TorchScript",
        "Apache-2.0 (LatentSync's repository); none stated for the file",
        (
            File(
                "https://huggingface.co/ByteDance/LatentSync-1.5/resolve/main/auxiliary/i3d_torchscript.pt",
                "i3d_torchscript.pt",
                "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
                51_235_320,
            ),
        ),
    ),
    "sd-vae-ft-mse": Weights(
        "autoencoder.pretrained",
        "MIT",
        (
            File(
                VAE_URL + "config.json",
                "sd-vae-ft-mse/config.json",
                "92d3dfb746fca211a2c9e019e285f8597412211728dce3c5bcf4eda0f2d62e7e",
                547,
            ),
            File(
                VAE_URL + "diffusion_pytorch_model.safetensors",
                "sd-vae-ft-mse/diffusion_pytorch_model.safetensors",
                "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
                334_643_276,
            ),
        ),
    ),
}


def weights_folder() -> Path:
    """Return $SYNCDIFF_WEIGHTS, or `weights` in the user's cache folder for syncdiff.

    Raises:
        UserError: neither can be told, as for a user without a home folder.
    """
    try:
        if named := os.environ.get("SYNCDIFF_WEIGHTS"):
            return Path(named).expanduser()
        return Path(pooch.os_cache("syncdiff"), "weights")
    except RuntimeError:  # an unknown user, as in a container, and no HOME
        raise UserError("weights: there is no home folder here; set SYNCDIFF_WEIGHTS to the weights' folder") from None


def place_of(name: str) -> Path:
    """Return where a file of this name lies in the weights' folder; one that is not published, at its top."""
    files = (file for weights in REGISTRY.values() for file in weights.files)
    return next((file.target for file in files if Path(file.path).name == name), weights_folder() / name)


def get(name: str) -> list[Path]:
    """Download the files of one entry that are not here yet; resumes a broken download, verifies what came.

    Raises:
        UserError: unknown name; the folder cannot be written; no connection (says which file to put where); the sha256
            does not match.
    """
    if name not in REGISTRY:
        raise UserError(f"{name}: no such weights; known are {', '.join(REGISTRY)}")
    return [_fetch(file) for file in REGISTRY[name].files]


def _fetch(file: File) -> Path:
    target = file.target
    if not target.is_file():
        _make_folder(target.parent)
    part = target.with_name(target.name + ".part")
    try:
        pooch.retrieve(
            file.url,
            known_hash=file.sha256 and f"sha256:{file.sha256}",
            fname=target.name,
            path=target.parent,
            downloader=partial(_download, part=part),
        )
    except ValueError:
        raise UserError(
            f"{file.url}: what came has another sha256 than the published {file.sha256}, and was thrown away; "
            "try again, or another network"
        ) from None
    except OSError as error:
        if fault := disk_error(error):
            raise UserError(f"{target}: cannot be written ({fault}); {ANOTHER_FOLDER}") from None
        raise UserError(
            f"{file.url}: cannot be downloaded ({error}); fetch it elsewhere and put it at {target}"
        ) from None
    return target


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); {ANOTHER_FOLDER}") from None


def _download(url: str, output: str, _: Any, part: Path) -> None:
    """Download to `part`, from where an earlier try broke off, and move it to `output` once it is whole."""
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            resumed = response.status == 206  # partial content; otherwise the server sends all of it again
            expected = int(response.headers.get("Content-Length") or 0)
            with part.open("ab" if resumed else "wb") as file:
                for chunk in progress(_chunks(response), part.stem, total=-(-expected // CHUNK)):
                    file.write(chunk)
            if expected and part.stat().st_size != expected + done * resumed:
                raise OSError("the connection broke off; run the same command again to go on from there")
    except HTTPError as error:
        if not (error.code == RANGE_NOT_SATISFIABLE and done):  # it was whole already
            raise
    part.replace(output)


def _chunks(response: IO[bytes]) -> Iterator[bytes]:
    while chunk := response.read(CHUNK):
        yield chunk


def state(file: File) -> str:
    """Say how a file is here: missing, unreadable, ok, mismatch, or unverified and its sha256, as none is published."""
    try:
        if not file.target.is_file():
            return "missing"
        found = pooch.file_hash(str(file.target), alg="sha256")
    except OSError:
        return "unreadable"
    if file.sha256 is None:
        return f"unverified, sha256 {found}"
    return "ok" if found == file.sha256 else "mismatch"


def print_weights() -> None:
    """Print the registry: name, use, licence, and of every file the address, path, size and sha256."""
    weights_folder()  # where there is none, that is all to say
    for name, weights in REGISTRY.items():
        print(f"{name}: {weights.use}; licence: {weights.licence}")
        for file in weights.files:
            size = f"{file.size:,} bytes" if file.size else "not published"
            print(f"  from   {file.url}\n  to     {file.target}")
            print(f"  size   {size}\n  sha256 {file.sha256 or 'not published'}")


def verify() -> bool:
    """Hash every file that is here and print its state; return whether each can be read and none is damaged."""
    files = [(name, file) for name, weights in REGISTRY.items() for file in weights.files]
    states = [state(file) for _, file in files]
    for (name, file), found in zip(files, states, strict=True):
        print(f"{name:15} {found:9} {file.target}")
    return not {"mismatch", "unreadable"} & set(states)
