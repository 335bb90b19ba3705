"""From decoded frames to upright RGB with square pixels, all of one size; and the colour space a file is tagged with.

What swscale makes of a frame follows its tags: matrix, range, bits. A file without tags is read as BT.601, limited
range, at every size, as ffmpeg and OpenCV do and with them the scorers that others use.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import groupby
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from syncdiff.media.container import MAX_PIXELS, video_tracks

log = logging.getLogger(__name__)

MAX_PIXEL_ASPECT = 4  # width to height of a pixel, or the other way round; broken headers say 1:1000
NEARLY_SQUARE = Fraction(1, 200)  # what rounding in a header makes of square pixels
SMALLEST = 4  # pixels a side that can be deinterlaced
HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
RGB, UNSPECIFIED = 0, 2  # matrix, primaries or transfer, in H.273
FULL = 2  # range, in libav
MATRICES = {
    1: "bt709",
    2: "bt601",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    9: "bt2020",
}  # as swscale has them
TAGS = {*range(1, 19)} - {3}  # primaries and transfers that are not reserved
HD = (1280, 577)  # pixels from which on, in width or height, players take BT.709 for granted

NOTE_HDR = "HDR: tone-mapped to BT.709"
NOTE_MATRIX = "colours that cannot be converted (YCgCo, ICtCp or reserved values): read as BT.601"
NOTE_INTERLACED = "interlaced: deinterlaced, a picture for two fields"
NOTE_ASPECT = "non-square pixels: made square"
NOTE_BROKEN_ASPECT = f"pixels more than {MAX_PIXEL_ASPECT} times as long as wide, or as wide as long: taken as square"
NOTE_TURNED = "turned or mirrored by its header: made upright"
NOTE_TRACKS = "several video tracks: the first flagged default is used, else the first"
NOTE_SIZES = "the picture's size changes on the way: fitted into the first one's, with black bars if the shape differs"


@dataclass(frozen=True)
class ColorSpace:
    """How the YUV of a video is to be understood: matrix, primaries and transfer by their numbers in H.273, range."""

    matrix: int
    primaries: int
    transfer: int
    full_range: bool = False


BT709 = ColorSpace(1, 1, 1)
BT601 = ColorSpace(6, 1, 1)  # only the matrix is: the RGB that is written has the primaries of sRGB


def color_space_for(width: int, height: int) -> ColorSpace:
    """Return how a new video of this size is written: with the matrix that players without a look at tags assume."""
    return BT709 if width >= HD[0] or height >= HD[1] else BT601


class ToRgb:
    """Converts the decoded frames of one stream to what a viewer sees, each in the size of the first one."""

    def __init__(self, stream: VideoStream, first: VideoFrame, tone_mapped: bool = True) -> None:
        """Begin with the stream's first frame, which need not be the first one that is converted.

        tone_mapped: of HDR, whether it becomes BT.709; else the RGB is the signal's own, dull on other screens.
        """
        self._stream = stream
        self._tone_mapped = tone_mapped
        self._coded_aspect = stream.codec_context.sample_aspect_ratio
        self._reformatter = VideoReformatter()  # keeps the table for HDR, which takes seconds to make
        self.height, self.width = self._size(first)
        self._name = stream.container.name.removeprefix("file:").replace("<none>", "a video in memory")

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB, contiguous: square pixels, turned and mirrored as the display matrix asks."""
        width, height = square_size(frame, self._aspect())
        mapped = self._tone_mapped and frame.color_trc in HDR
        options: dict[str, Any] = _tone_mapping(frame) if mapped else {}
        if (width, height) != (frame.width, frame.height):
            options |= {"width": width, "height": height, "interpolation": Interpolation.BICUBIC}
        rgb = turned(self._convert(_tilted(frame), options).to_ndarray(), display_matrix(frame))
        if rgb.shape[:2] != (self.height, self.width):
            say_once(self._name, NOTE_SIZES)
            rgb = letterbox(rgb, self.height, self.width)
        return np.ascontiguousarray(rgb)

    def _convert(self, frame: VideoFrame, options: dict[str, Any]) -> VideoFrame:
        try:
            return self._reformatter.reformat(frame, format="rgb24", threads=1, **options)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP or frame.colorspace == UNSPECIFIED:
                raise
        say_once(self._name, NOTE_MATRIX)
        frame.colorspace = UNSPECIFIED
        return self._convert(frame, {key: value for key, value in options.items() if key in ("width", "height")})

    def _aspect(self) -> Fraction:
        """Return a pixel's width over its height: the container's word, until the codec's changes."""
        coded = self._stream.codec_context.sample_aspect_ratio
        return (self._stream.sample_aspect_ratio if coded == self._coded_aspect else coded) or Fraction(1)

    def _size(self, frame: VideoFrame) -> tuple[int, int]:
        width, height = square_size(frame, self._aspect())
        return (width, height) if _is_on_its_side(display_matrix(frame)) else (height, width)


@cache
def say_once(name: str, note: str) -> None:
    """Log what is noticed while a file is read; once, though it may be read several times."""
    log.warning("%s: %s", name, note)


def square_size(frame: VideoFrame, aspect: Fraction) -> tuple[int, int]:
    """Return width and height in square pixels: the width follows, unless the aspect is beyond belief."""
    width = max(round(frame.width * aspect), 1)
    if abs(aspect - 1) < NEARLY_SQUARE or not _is_credible(aspect) or width * frame.height > MAX_PIXELS:
        return frame.width, frame.height
    return width, frame.height


def display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """Return the linear part (2, 2) of a frame's display matrix, as in x', y' = x, y @ matrix; None: as it is."""
    found: Any = frame.side_data  # a mapping by type, which PyAV's stub does not say
    if Type.DISPLAYMATRIX not in found:
        return None
    matrix = np.frombuffer(found[Type.DISPLAYMATRIX], np.int32)[[0, 1, 3, 4]].reshape(2, 2) / 65536
    return None if np.array_equal(matrix, np.eye(2)) else matrix


def turned(frame: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Turn a frame (H, W, 3) by quarters, and mirror it, as a display matrix asks."""
    if matrix is None or tilt(matrix):
        return frame
    if _is_on_its_side(matrix):
        frame, matrix = frame.transpose(1, 0, 2), matrix[::-1]
    frame = frame[:, ::-1] if matrix[0, 0] < 0 else frame
    return frame[::-1] if matrix[1, 1] < 0 else frame


def letterbox(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Fit a frame (H, W, 3) into another size; black bars keep the shape of what it shows."""
    scale = min(height / frame.shape[0], width / frame.shape[1])
    inner = min(max(round(frame.shape[1] * scale), 1), width), min(max(round(frame.shape[0] * scale), 1), height)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(
        np.ascontiguousarray(frame), inner, interpolation=method
    )
    return canvas


def deinterlaced(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """Pass frames on, as many and at their times; those that are flagged interlaced go through libav's bwdif."""
    for _, alike in groupby(frames, _kind):
        graph: Graph | None = None
        for frame in alike:
            if graph is None and frame.interlaced_frame and min(frame.width, frame.height) >= SMALLEST:
                graph = _graph(frame, "bwdif", "mode=send_frame:deint=interlaced")
            yield from [frame] if graph is None else _filtered(graph, frame)
        if graph is not None:
            yield from _filtered(graph, None)


def color_space_of(frame: VideoFrame) -> ColorSpace | None:
    """Return how to write frames that were read from such a one; None: its colour space cannot be written."""
    if frame.color_trc in HDR:
        return BT709
    if frame.colorspace not in MATRICES:
        return None
    primaries, transfer = (tag if tag in TAGS else UNSPECIFIED for tag in (frame.color_primaries, frame.color_trc))
    return ColorSpace(frame.colorspace, primaries, transfer, frame.color_range == FULL)


def notes(container: InputContainer, stream: VideoStream, first: VideoFrame) -> tuple[str, ...]:
    """Return what is unusual about the frames, as far as the headers and the first one tell, and what is done."""
    aspect, matrix = stream.sample_aspect_ratio or Fraction(1), display_matrix(first)
    found = {
        NOTE_TRACKS: len(video_tracks(container)) > 1,
        NOTE_HDR: first.color_trc in HDR,
        NOTE_MATRIX: first.colorspace not in (*MATRICES, RGB),
        NOTE_INTERLACED: first.interlaced_frame,
        NOTE_ASPECT: square_size(first, aspect) != (first.width, first.height),
        NOTE_BROKEN_ASPECT: not _is_credible(aspect),
        NOTE_TURNED: matrix is not None,
    }
    return tuple(note for note, there in found.items() if there)


def _is_credible(aspect: Fraction) -> bool:
    return Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT


def _is_on_its_side(matrix: np.ndarray | None) -> bool:
    """Return whether width and height change places: a quarter turn, within a degree."""
    return matrix is not None and not tilt(matrix) and bool(abs(matrix[0, 1]) > abs(matrix[0, 0]))


def tilt(matrix: np.ndarray) -> float:
    """Return the clockwise angle in degrees where a matrix asks for another turn than by quarters, else 0."""
    scale = np.hypot(*matrix)
    if not scale.all():  # the matrix says nothing
        return 0
    degrees = float(np.degrees(np.arctan2(matrix[0, 1] / scale[1], matrix[0, 0] / scale[0])))
    return degrees if abs(degrees - 90 * round(degrees / 90)) >= 1 else 0


def _tilted(frame: VideoFrame) -> VideoFrame:
    """Turn a frame on its own canvas, as ffmpeg does, where the display matrix asks for another angle than quarters."""
    matrix = display_matrix(frame)
    if matrix is None or not (degrees := tilt(matrix)):
        return frame
    return next(_filtered(_graph(frame, "rotate", f"{degrees}*PI/180"), frame))


def _tone_mapping(frame: VideoFrame) -> dict[str, Any]:
    """Return what makes swscale map HDR to BT.709, by its table for perceptual intent; most HDR files are BT.2020."""
    if frame.color_primaries == UNSPECIFIED:
        frame.color_primaries = ColorPrimaries.BT2020
    matrix = Colorspace.BT2020 if frame.colorspace == UNSPECIFIED else None
    return {"src_colorspace": matrix, "dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}


def _kind(frame: VideoFrame) -> tuple[Any, ...]:
    return frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, frame.time_base


def _graph(frame: VideoFrame, name: str, arguments: str) -> Graph:
    """Return a filter of libav for frames like this one."""
    graph = Graph()
    graph.threads = 1
    source = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={frame.time_base}"
    colour = f"colorspace={frame.colorspace}:range={frame.color_range}"
    nodes = graph.add("buffer", f"{source}:{colour}"), graph.add(name, arguments), graph.add("buffersink")
    graph.link_nodes(*nodes).configure()
    return graph


def _filtered(graph: Graph, frame: VideoFrame | None) -> Iterator[VideoFrame]:
    """Push one frame (None: the end) and yield what comes out."""
    graph.push(frame)
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
