"""Shards as WebDataset tars: the same samples give the same bytes, and a damaged file never passes for a whole one."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote

import numpy as np
from braceexpand import braceexpand

from syncdiff.errors import ClipRejected, UserError
from syncdiff.pipeline.files import atomic, short_message

END_OF_ARCHIVE = bytes(2 * tarfile.BLOCKSIZE)

Sample = dict[str, Any]
"""One clip: its `__key__` (str), and the bytes of each member by extension (`json`, `pose.npy`, ...).

To be written, a member may also be the path of a file that holds its bytes: those of a long clip need no memory then.
"""


def clip_key(clip: str) -> str:
    """Return the key of a clip id inside tars; `urllib.parse.unquote` takes it back.

    Percent-encoded except for `/`. WebDataset ends a key at its first dot and skips names like `__meta__/x`, so dots
    and double underscores are encoded too.
    """
    return quote(clip, safe="/").replace(".", "%2E").replace("__", "%5F%5F")


def encode_npy(array: np.ndarray) -> bytes:
    """Encode an array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def write_npy(path: Path | str, array: np.ndarray) -> None:
    """Write an array as a .npy file, atomically."""
    array = np.ascontiguousarray(array)
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)  # numpy's own writing does not say that the disk is full


def decode_npy(data: bytes) -> np.ndarray:
    """Decode the bytes of a .npy file.

    Raises:
        ClipRejected: damaged, or of pickled objects.
    """
    try:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # a damaged header can raise anything
        raise ClipRejected(f"damaged array: {short_message(error) or type(error).__name__}") from None


def metadata(sample: Sample) -> dict[str, Any]:
    """Return a sample's JSON object, which `read_shard` has looked at: it has the text `clip`."""
    return json.loads(sample["json"])


def to_json(values: Mapping[str, Any]) -> bytes:
    """Encode a mapping as JSON with sorted keys, in ASCII."""
    return json.dumps(values, sort_keys=True).encode("ascii")


def write_shard(path: Path | str, samples: Iterable[Sample]) -> None:
    """Write samples as a tar, atomically: if `samples` raises, nothing is left at `path`.

    Members lie in the order of the samples, sorted by extension inside each, with fixed time, owner and mode. PAX
    headers appear only where a name is longer than ustar's 100 bytes.

    Raises:
        ValueError: two samples have one key.
    """
    seen: set[str] = set()
    with atomic(path) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
        for sample in samples:
            key = sample["__key__"]
            if key in seen:
                raise ValueError(f"two samples have the key {key}")
            seen.add(key)
            for extension in sorted(sample.keys() - {"__key__"}):
                _add(tar, f"{key}.{extension}", sample[extension])


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    member = tarfile.TarInfo(name)
    member.mode = 0o444
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as file:
        member.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        tar.addfile(member, file)


def read_shard(path: Path | str) -> Iterator[Sample]:
    """Yield the samples of a tar in order, one in memory at a time.

    Raises:
        UserError: the file is missing, no tar, cut short, holds links or names that lead out of it, or a sample whose
            JSON names no clip.
    """
    from webdataset.tariterators import group_by_keys  # imports torch, which who only writes shards need not wait for

    with _faults_named(path):
        contents = ({"fname": name, "data": file.read(), "__url__": str(path)} for name, file in _members(Path(path)))
        for sample in group_by_keys(contents, lcase=False):
            del sample["__url__"]
            if not isinstance(metadata(sample)["clip"], str):
                raise TypeError("a clip that is no text")
            yield sample


def clip_lengths(path: Path | str, member: str) -> dict[str, int]:
    """Return key -> T of each clip of a shard that has a member of this name.

    Of an array, its header alone is read; of a video, the number of pictures that it says it has.

    Raises:
        UserError: as `read_shard`.
    """
    lengths: dict[str, int] = {}
    with _faults_named(path):
        for name, file in _members(Path(path)):
            key, _, found = name.partition(".")
            if found == member:
                lengths[key] = _rows(file) if member.endswith(".npy") else _pictures(file)
    return lengths


def clip_keys(path: Path | str) -> set[str]:
    """Return the keys of a shard's clips, by the names of its members alone."""
    with _faults_named(path):
        return {name.partition(".")[0] for name, _ in _members(Path(path))}


def frames_in(path: Path | str) -> dict[str, int]:
    """Return key -> T of each clip of a joined shard, by its poses' headers; without poses, by its crops'."""
    return clip_lengths(path, "pose.npy") or clip_lengths(path, "crop.mp4")


@contextmanager
def member_named(tar: Path | str, sample: Sample, name: str) -> Iterator[None]:
    """Let what is wrong with a member that was to be read be an error of one line.

    Raises:
        UserError: the sample has no such member, or it is damaged.
    """
    try:
        yield
    except KeyError:
        raise UserError(f"{tar}: {sample['__key__']} has no {name}; delete the shard and run again") from None
    except ClipRejected as error:
        fix = "delete the shard and run again"
        raise UserError(f"{tar}: {name} of {sample['__key__']}: {error}; {fix}") from None


def _rows(file: IO[bytes]) -> int:
    start = file.read(10)  # magic, version, and the length of the header
    return _rows_of_header(start + file.read(int.from_bytes(start[8:], "little")))


@lru_cache(maxsize=10_000)  # to parse one takes longer than to read it, and few differ
def _rows_of_header(header: bytes) -> int:
    file = io.BytesIO(header)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array of an unknown version")
    return np.lib.format.read_array_header_1_0(file)[0][0]


def _pictures(file: IO[bytes]) -> int:
    import av  # who only writes shards need not wait for it

    with av.open(file) as container:
        return container.streams.video[0].frames


@contextmanager
def _faults_named(path: Path | str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such shard; run the stage that writes it first") from None
    except Exception as error:  # a damaged header can raise anything
        reason = short_message(str(error.args[0]) if error.args else type(error).__name__)
        raise UserError(f"{path}: damaged shard ({reason}); delete it and run the same command again") from None


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name of each member, and the member to read from; every byte of the archive must be accounted for."""
    size = path.stat().st_size
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            if not member.isreg() or member.issparse() or name.is_absolute() or ".." in name.parts:
                raise tarfile.TarError(f"unsafe member {member.name!r}")
            if not 0 <= member.size <= size - member.offset_data:
                raise tarfile.TarError(f"{member.name!r} is longer than the file")
            content = tar.extractfile(member)
            assert content is not None  # a regular file
            yield member.name, content
        _check_end(path, tar.offset)


def _check_end(path: Path, offset: int) -> None:
    """Two zero blocks must stand at `offset`: tarfile takes a file cut between two members for a whole one."""
    with path.open("rb") as file:
        file.seek(offset)
        if file.read(len(END_OF_ARCHIVE)) != END_OF_ARCHIVE:
            raise tarfile.TarError("cut short or overwritten")


def expand_shards(patterns: Iterable[str]) -> list[Path]:
    """Return the shards of WebDataset patterns: `train/latents/{00000..00799}.tar` stands for 800 of them.

    The name of a file that is there stands for itself, whatever signs are in it. Else a backslash takes the next one's
    meaning away.

    Raises:
        UserError: the braces of a pattern do not match.
    """
    return [path for pattern in patterns for path in _expand(pattern)]


def _expand(pattern: str) -> list[Path]:
    if Path(pattern).is_file():
        return [Path(pattern)]
    try:
        return [Path(name) for name in braceexpand(pattern)]
    except ValueError:
        raise UserError(f"{pattern}: a brace is not closed; write {{00000..00099}}, or a backslash before it") from None
