"""The pictures of a video as they are stored, at their own times: a part of one as RGB, and RGB mixed into a part.

What is not mixed into keeps its bits. A picture goes by the pixels of its file, which may be turned, mirrored or not
square; `Form.to_shown` leads from there to what a viewer sees, where faces are looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from syncdiff.errors import ClipRejected
from syncdiff.media.container import continuous, frame_rate, frame_time, open_media, video_stream
from syncdiff.media.decode import NO_PICTURE, decoded_video
from syncdiff.media.extent import VARIABLE, extent
from syncdiff.media.rgb import (
    HDR,
    MATRICES,
    NOTE_ASPECT,
    NOTE_HDR,
    NOTE_TURNED,
    TAGS,
    UNSPECIFIED,
    ColorSpace,
    ToRgb,
    color_space_for,
    color_space_of,
    deinterlaced,
    display_matrix,
    notes,
    square_size,
    tilt,
    turned,
)

KEPT = {"yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"}  # forms that are written as read
FULL_RANGE_NAMES = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}
# Luma of red and of blue in each matrix (H.273, table 4).
LUMA = {
    "bt709": (0.2126, 0.0722),
    "bt601": (0.299, 0.114),
    "fcc": (0.3, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}
CARRIED = (NOTE_ASPECT, NOTE_TURNED, NOTE_HDR)  # what `Form` keeps as it is


class Picture(NamedTuple):
    """A frame in its video's form, and when it is due: ticks after the first."""

    ticks: int
    frame: VideoFrame


@dataclass(frozen=True)
class Form:
    """How the pictures of a video are stored, and how they are to be shown.

    aspect: width of a pixel over its height.
    matrix: the display matrix, nine numbers as libav has them; None: shown as stored.
    tick: seconds of a tick; rate: frames a second, on average; n_frames: expected.
    to_shown: (2, 3), from stored pixels to those of the upright picture with square pixels.
    """

    width: int
    height: int
    pixel_format: str
    color: ColorSpace
    aspect: Fraction
    matrix: tuple[int, ...] | None
    tick: Fraction
    rate: Fraction
    n_frames: int
    to_shown: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer is HLG's or PQ's."""
        return self.color.transfer in HDR

    @property
    def bits(self) -> int:
        """Of a sample."""
        return 10 if self.pixel_format.endswith("10le") else 8

    @property
    def chroma_steps(self) -> tuple[int, int]:
        """Pixels, across and down, that share a sample of chroma."""
        return 1 if "444" in self.pixel_format else 2, 2 if "420" in self.pixel_format else 1

    @property
    def bytes_a_picture(self) -> int:
        """That a decoded picture takes."""
        across, down = self.chroma_steps
        return round(self.width * self.height * (1 + 2 / (across * down)) * (2 if self.bits > 8 else 1))


@dataclass
class Video:
    """Reads the pictures of a file, from the first, as often as it is asked to.

    Raises:
        ClipRejected: here or while it is read: no video stream, or it cannot be decoded; or it is to be shown at an
            angle other than quarter turns, which is not written.
    """

    path: Path
    form: Form = field(init=False)

    def __post_init__(self) -> None:
        with open_media(self.path) as container:
            stream = video_stream(container)
            first, found = extent(container, stream)
            said = notes(container, stream, first) + found.notes
            kept = tuple(note for note in said if note not in (*CARRIED, VARIABLE))
            steady = VARIABLE not in said
            rate = found.fps
            tick = 1 / rate if steady else Fraction(stream.time_base or Fraction(1, 90_000))
            self.form = _form(stream, first, tick, rate, found.n_frames, kept)

    def pictures(self) -> Iterator[Picture]:
        """Yield every frame of the file, as it is stored."""
        for picture, _ in self._read(shown=False):
            yield picture

    def shown(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield of every frame its ticks, and what a viewer sees: (H, W, 3) uint8 RGB, of HDR the signal's own."""
        for picture, rgb in self._read(shown=True):
            yield picture.ticks, rgb

    def _read(self, shown: bool) -> Iterator[tuple[Picture, np.ndarray]]:
        with open_media(self.path) as container:
            stream = video_stream(container)
            to_rgb: ToRgb | None = None
            for ticks, frame in _timed(container, stream, self.form.tick):
                to_rgb = to_rgb or ToRgb(stream, frame, tone_mapped=False)
                usual = (frame.width, frame.height, _plain(frame)) == _size_and_format(self.form)
                rgb = to_rgb(frame) if shown or not usual else np.empty(0)
                yield Picture(ticks, frame if usual else _in_form(rgb, frame, self.form)), rgb


def _size_and_format(form: Form) -> tuple[int, int, str]:
    return form.width, form.height, form.pixel_format


def _plain(frame: VideoFrame) -> str:
    return FULL_RANGE_NAMES.get(frame.format.name, frame.format.name)


def _timed(container: InputContainer, stream: VideoStream, tick: Fraction) -> Iterator[tuple[int, VideoFrame]]:
    """Yield a file's frames with their ticks, each later than the one before."""
    zero: Fraction | None = None
    last, end = -1, Fraction(0)
    for frame in deinterlaced(continuous(decoded_video(container, stream))):
        zero = frame_time(frame) if zero is None else zero
        time = end if frame.pts is None else frame_time(frame) - zero
        last = max(round(time / tick), last + 1)
        own = frame.duration * frame.time_base if frame.duration and frame.time_base else 1 / frame_rate(stream)
        end = time + own
        yield last, frame
    if zero is None:
        raise ClipRejected(NO_PICTURE)


def _form(
    stream: VideoStream, first: VideoFrame, tick: Fraction, rate: Fraction, n_frames: int, said: tuple[str, ...]
) -> Form:
    matrix = display_matrix(first)
    if matrix is not None and tilt(matrix):
        raise ClipRejected(
            f"to be shown turned by {tilt(matrix):.0f} degrees, which is not written: turn it by quarters"
        )
    aspect = stream.sample_aspect_ratio or Fraction(1)
    odd = first.width % 2 or first.height % 2
    color = _stored_color(first)
    name = _plain(first)
    if name not in KEPT or color is None or (odd and "444" not in name):
        deep = first.format.components[0].bits > 8
        name = f"yuv{'444' if odd else '420'}p{'10le' if deep else ''}"
    found: Any = first.side_data  # a mapping by type, which PyAV's stub does not say
    raw = None if matrix is None else tuple(np.frombuffer(found[Type.DISPLAYMATRIX], np.int32).tolist())
    square = square_size(first, aspect)
    return Form(
        first.width,
        first.height,
        name,
        color or color_space_for(first.width, first.height),
        Fraction(1) if square == (first.width, first.height) else aspect,
        raw,
        tick,
        rate,
        n_frames,
        _to_shown(first.width, first.height, square, matrix),
        said,
    )


def _stored_color(frame: VideoFrame) -> ColorSpace | None:
    """Return the tags of a frame as they are; None where its colours are not YUV of a known matrix."""
    if frame.color_trc not in HDR:
        return color_space_of(frame)
    primaries = frame.color_primaries if frame.color_primaries in TAGS else UNSPECIFIED
    return ColorSpace(frame.colorspace if frame.colorspace in MATRICES else 9, primaries, frame.color_trc)


def _to_shown(width: int, height: int, square: tuple[int, int], matrix: np.ndarray | None) -> np.ndarray:
    """Return the transform (2, 3) from stored pixels to shown ones; pixel centres are whole numbers in both."""
    places = np.stack(np.meshgrid(np.arange(2.0), np.arange(2.0)), axis=-1)  # x, y of a picture of 2 by 2
    ends = turned(places, matrix)  # (2, 2, 2): which corner of the stored picture each one of the shown picture is
    (w, h), (x, y) = square, ends[0, 0]
    on_its_side = bool(ends[0, 1, 0] == x)  # along the shown rows, the stored x stays
    scale = np.array([[w / width, 0, (w / width - 1) / 2], [0, h / height, (h / height - 1) / 2]])
    across, down = (-1 if x else 1, w - 1 if x else 0), (-1 if y else 1, h - 1 if y else 0)
    flip = np.array([[across[0], 0, across[1]], [0, down[0], down[1]]], float)
    placed = compose(flip, scale)
    return placed[::-1].copy() if on_its_side else placed


def compose(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the affine map (2, 3) that is one after another."""
    return np.hstack([after[:, :2] @ before[:, :2], after[:, :2] @ before[:, 2:] + after[:, 2:]])


def _in_form(rgb: np.ndarray, frame: VideoFrame, form: Form) -> VideoFrame:
    """Bring a shown picture (H, W, 3) back into the form of its video: one of another size or kind than the first."""
    shown = np.ascontiguousarray(rgb)
    stored: Any = cv2.warpAffine(
        shown, form.to_shown, (form.width, form.height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    picture = VideoFrame.from_ndarray(stored, format="rgb24").reformat(
        format=form.pixel_format,
        dst_colorspace=SWSCALE[MATRICES[form.color.matrix]],
        dst_color_range=2 if form.color.full_range else 1,
    )
    picture.pts, picture.time_base = frame.pts, frame.time_base
    return picture


SWSCALE = {"bt709": "ITU709", "bt601": "ITU601", "fcc": "FCC", "smpte240m": "SMPTE240M", "bt2020": "BT2020"}


class Box(NamedTuple):
    """A part of a stored picture, in whole pixels, on the grid of its chroma."""

    x0: int
    y0: int
    x1: int
    y1: int


class Part:
    """Reads and mixes parts of the pictures of one video."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._reformatter = VideoReformatter()

    @cached_property
    def _dtype(self) -> type[np.generic]:
        return np.uint16 if self._form.bits > 8 else np.uint8

    def box(self, corners: np.ndarray) -> Box:
        """Return the smallest part around points (N, 2), as far as it lies in the picture."""
        form, (across, down) = self._form, self._form.chroma_steps
        x0, y0 = np.floor(corners.min(axis=0)).astype(int)
        x1, y1 = np.ceil(corners.max(axis=0)).astype(int) + 1
        x0, x1 = (int(np.clip(x, 0, form.width)) for x in (x0 - x0 % across, x1 + -x1 % across))
        y0, y1 = (int(np.clip(y, 0, form.height)) for y in (y0 - y0 % down, y1 + -y1 % down))
        return Box(x0, y0, x1, y1)

    def rgb(self, frame: VideoFrame, box: Box) -> np.ndarray:
        """Return a part as (h, w, 3) uint8 RGB, stored pixels; of HDR the signal's own values."""
        small = VideoFrame(box.x1 - box.x0, box.y1 - box.y0, self._form.pixel_format)
        for target, source in zip(self._planes(small), self._cut(frame, box), strict=True):
            target[:] = source
        small.colorspace = self._form.color.matrix
        small.color_range = 2 if self._form.color.full_range else 1
        return self._reformatter.reformat(small, format="rgb24", threads=1).to_ndarray()

    def copy(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame that may be written into; a decoder still looks at its own."""
        fresh = VideoFrame(frame.width, frame.height, self._form.pixel_format)
        for target, source in zip(self._planes(fresh), self._planes(frame), strict=True):
            target[:] = source
        return fresh

    def mix(self, frame: VideoFrame, box: Box, rgb: np.ndarray, weight: np.ndarray) -> None:
        """Mix RGB (h, w, 3) into a part of a frame of `copy`; where the weight (h, w) is 0, nothing changes.

        Args:
            rgb: float32, 0 to 255.
            weight: float32, 0 to 1: the share of `rgb`.
        """
        luma, *chroma = self._yuv(rgb)
        across, down = self._form.chroma_steps
        size = (weight.shape[1] // across, weight.shape[0] // down)
        coarse = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
        sampled = [cv2.resize(plane * weight, size, interpolation=cv2.INTER_AREA) for plane in chroma]
        # Of a block that the weight touches in part, the chroma is the mean of the pixels that it touches.
        sampled = [np.divide(plane, coarse, out=np.zeros_like(plane), where=coarse > 0) for plane in sampled]
        for plane, new, share in zip(self._cut(frame, box), (luma, *sampled), (weight, coarse, coarse), strict=True):
            mixed = plane + (new - plane) * share
            plane[:] = np.where(share > 0, np.rint(mixed).clip(0, (1 << self._form.bits) - 1), plane)

    def _yuv(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        red, blue = LUMA[MATRICES[self._form.color.matrix]]
        scaled = rgb.astype(np.float32) / 255
        y = scaled @ np.array([red, 1 - red - blue, blue], np.float32)
        u, v = (scaled[..., 2] - y) / (2 - 2 * blue), (scaled[..., 0] - y) / (2 - 2 * red)
        unit = 1 << (self._form.bits - 8)
        if self._form.color.full_range:
            most = (256 * unit) - 1
            return y * most, u * most + 128 * unit, v * most + 128 * unit
        return (y * 219 + 16) * unit, (u * 224 + 128) * unit, (v * 224 + 128) * unit

    def _planes(self, frame: VideoFrame) -> Iterator[np.ndarray]:
        """Yield views of Y, U and V, in their own sizes."""
        for plane in frame.planes:
            rows = np.frombuffer(plane, self._dtype).reshape(plane.height, -1)  # type: ignore[call-overload]
            yield rows[:, : plane.width]

    def _cut(self, frame: VideoFrame, box: Box) -> Iterator[np.ndarray]:
        across, down = self._form.chroma_steps
        luma, *chroma = self._planes(frame)
        yield luma[box.y0 : box.y1, box.x0 : box.x1]
        for plane in chroma:
            yield plane[box.y0 // down : box.y1 // down, box.x0 // across : box.x1 // across]
