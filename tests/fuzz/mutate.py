"""Damage to bytes: what any format may meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from numpy.random import Generator

Mutation = Callable[[Generator, bytes], bytes]

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1)


def flip_bits(rng: Generator, data: bytes) -> bytes:
    """Flip one to sixteen bits."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 17)):
        changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def set_bytes(rng: Generator, data: bytes) -> bytes:
    """Give one to eight bytes random values."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        changed[rng.integers(len(data))] = rng.integers(256)
    return bytes(changed)


def truncate(rng: Generator, data: bytes) -> bytes:
    """Cut the end off."""
    return data[: rng.integers(len(data))]


def behead(rng: Generator, data: bytes) -> bytes:
    """Cut the beginning off."""
    return data[rng.integers(len(data)) :]


def remove(rng: Generator, data: bytes) -> bytes:
    """Leave out a stretch."""
    start, length = rng.integers(len(data)), rng.integers(1, 65)
    return data[:start] + data[start + length :]


def repeat(rng: Generator, data: bytes) -> bytes:
    """Put a stretch in once more, somewhere."""
    start, length, place = rng.integers(len(data)), rng.integers(1, 257), rng.integers(len(data))
    return data[:place] + data[start : start + length] + data[place:]


def overwrite(rng: Generator, data: bytes) -> bytes:
    """Copy a stretch over another."""
    start, length, place = rng.integers(len(data)), rng.integers(1, 257), rng.integers(len(data))
    piece = data[start : start + length]
    return data[:place] + piece + data[place + len(piece) :]


def run_of_bytes(rng: Generator, data: bytes) -> bytes:
    """Overwrite a stretch with one value."""
    place, length = rng.integers(len(data)), rng.integers(1, 513)
    return data[:place] + bytes([rng.choice([0, 0xFF, 0x41, 0x20])]) * length + data[place + length :]


def extreme_number(rng: Generator, data: bytes) -> bytes:
    """Overwrite two, four or eight bytes with a number at a limit, in either byte order."""
    width, order = int(rng.choice([2, 4, 8])), ("big", "little")[rng.integers(2)]
    value = EXTREMES[rng.integers(len(EXTREMES))] % 2 ** (8 * width)
    place = rng.integers(len(data))
    return data[:place] + value.to_bytes(width, order) + data[place + width :]


ANYWHERE: tuple[Mutation, ...] = (
    *(flip_bits, set_bytes, truncate, behead, remove, repeat, overwrite, run_of_bytes, extreme_number),
)


def damage(rng: Generator, data: bytes, tokens: Sequence[bytes] = (), head: int | None = None) -> bytes:
    """Apply one to three mutations, in one case of two only to the first `head` bytes, where formats keep headers.

    Args:
        rng: decides everything.
        data: a valid file.
        tokens: words of the format that are put in at random places.
        head: length of the part that is rich in structure.
    """
    tail = b""
    if head is not None and rng.random() < 0.5:
        data, tail = data[:head], data[head:]
    for _ in range(rng.integers(1, 4)):
        if not data:
            break
        if tokens and rng.random() < 0.3:
            place = rng.integers(len(data))
            data = data[:place] + tokens[rng.integers(len(tokens))] + data[place:]
        else:
            data = ANYWHERE[rng.integers(len(ANYWHERE))](rng, data)
    return data + tail


def splice(rng: Generator, one: bytes, other: bytes) -> bytes:
    """Join the beginning of one file to the end of another."""
    return one[: rng.integers(len(one))] + other[rng.integers(len(other)) :]
