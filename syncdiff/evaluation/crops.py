"""The pictures that SyncNet is shown: Wav2Lip's two protocols (evaluation/scores_LSE), and the reference's JPEG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from scipy.signal import medfilt

from syncdiff.config import Faces
from syncdiff.faces.align import align
from syncdiff.faces.boxes import bounding_box
from syncdiff.faces.landmarks import open_landmarker
from syncdiff.faces.track import Segment, find_faces, quarter_turns
from syncdiff.media.audio import read_audio
from syncdiff.media.container import FPS, open_media, video_stream
from syncdiff.media.video import read_frames
from syncdiff.models.syncnet import mouth_view

Crop = Literal["none", "face", "aligned"]

# Landmarks end at the brows, the detector's box above them: median of YuNet (trained on WIDER FACE, as S3FD) over
# 13 clips, within 0.23 to 0.37; the other three sides agree within 0.02.
FOREHEAD = 0.31  # in heights of the landmarks' box
# run_pipeline.py of joonson/syncnet_python
SMOOTHING_FRAMES = 13
CROP_SCALE = 0.4
GREY = 110
SYNCNET_FRAMES = 6  # at least, of a face that SyncNet scores
TRACKED = Faces(min_track_frames=SYNCNET_FRAMES)


def scored_pictures(
    video: Path, size: int, crop: Crop, jpeg: bool, face: Segment | None = None, faces: Faces = TRACKED
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Open a video for `lse.score`: its sound (n,) int16, and a stream of (size, size, 3) uint8 RGB at 25 fps.

    `none` resizes the whole frame, as calculate_scores_LRS.py. `face` crops around a face, as run_pipeline.py before
    calculate_scores_real_videos.py, with this project's tracker instead of S3FD and with tracks from 6 frames on
    instead of 100; frames outside the track are left out, with their sound. `aligned` shows the mouth of the aligned
    face, as a SyncNet that the workflow has trained saw it.

    Args:
        face: for `face` and `aligned`, which one; by default the largest.
        faces: the landmarker; for `aligned`, the size of the crops that SyncNet was trained on.

    Raises:
        ClipRejected: unreadable, without sound, or (`face`, `aligned`) without a face.
    """
    if crop == "none":
        frames = read_frames(video)
        if jpeg:
            frames = through_jpeg(frames, _jpeg_format(video))
        return read_audio(video), (cv2.resize(frame, (size, size)) for frame in frames)
    face = face or faces_of(video, faces)[0]
    audio = read_audio(video, face.start / FPS)
    if crop == "aligned":
        _, crops = aligned_crops(video, face, faces)
        return audio, (mouth_view(aligned, size) for aligned in crops)
    _, boxes = face_boxes(video, face)
    turns = quarter_turns(face.landmarks)
    upright = (np.rot90(frame, turns) for frame in read_frames(video, face.start))
    pictures = (crop_face(*pair, size) for pair in zip(upright, boxes, strict=False))
    return audio, through_jpeg(pictures, "yuvj420p") if jpeg else pictures


def faces_of(video: Path, faces: Faces = TRACKED) -> list[Segment]:
    """Track the faces of a video as the stage `faces` does: the largest, then those beside it.

    Raises:
        ClipRejected: unreadable, or no face.
    """
    return find_faces(video, open_landmarker(faces), faces)


def aligned_crops(video: Path, face: Segment | None = None, faces: Faces = TRACKED) -> tuple[int, Iterator[np.ndarray]]:
    """Align a face, by default the largest, as the stage `faces` does: its first frame's index, and its crops.

    Raises:
        ClipRejected: no face.
    """
    face = face or faces_of(video, faces)[0]
    _, crops = align(video, face, faces)
    return face.start, crops


def face_boxes(video: Path, face: Segment | None = None) -> tuple[int, np.ndarray]:
    """Return the first frame with a face, by default the largest, and per frame (T, 3) centre x, y and half side.

    The box is the detector's, smoothed by a median over 13 frames. Pixels of the source, turned by `quarter_turns`.

    Raises:
        ClipRejected: no face.
    """
    face = face or faces_of(video)[0]
    landmarks = face.landmarks
    if turns := quarter_turns(landmarks):
        landmarks = _turned(landmarks, turns, next(read_frames(video, face.start)).shape[:2])
    boxes = detector_box(landmarks)
    odd = len(boxes) - 1 + len(boxes) % 2
    return face.start, medfilt(boxes, (min(SMOOTHING_FRAMES, odd), 1))  # it pads with zeros: no wider than the track


def detector_box(landmarks: np.ndarray) -> np.ndarray:
    """Return the box that a detector would give to faces (T, 68, 2): (T, 3) float64 centre x, y and half side."""
    x0, y0, x1, y1 = bounding_box(landmarks).T
    y0 = y0 - FOREHEAD * (y1 - y0)
    half_side = np.maximum(x1 - x0, y1 - y0) / 2
    return np.stack([(x0 + x1) / 2, (y0 + y1) / 2, half_side], axis=1).astype(np.float64)


def _turned(points: np.ndarray, turns: int, shape: tuple[int, ...]) -> np.ndarray:
    """Move points (..., 2) as `np.rot90` moves the pixels of a picture (height, width)."""
    height, width = shape
    for _ in range(turns):
        points = np.stack([points[..., 1], width - 1 - points[..., 0]], axis=-1)
        height, width = width, height
    return points


def crop_face(frame: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Cut the square around a face's box (centre x, y, half side), more of it below than above; grey beyond the edges.

    Args:
        frame: (H, W, 3) uint8.

    Returns:
        (size, size, 3) uint8
    """
    x, y, half = box
    pad = int(half * (1 + 2 * CROP_SCALE))
    padded = cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(GREY, GREY, GREY))
    x, y = x + pad, y + pad
    wide = half * (1 + CROP_SCALE)
    face = padded[int(y - half) : int(y + half * (1 + 2 * CROP_SCALE)), int(x - wide) : int(x + wide)]
    return cv2.resize(face, (size, size))


def through_jpeg(frames: Iterable[np.ndarray], pixel_format: str) -> Iterator[np.ndarray]:
    """Pass (H, W, 3) uint8 RGB frames through what `ffmpeg -f image2 %06d.jpg` writes by default.

    libav's own encoder with its rate control (200 kb/s at 25 fps, quantiser from 2 up), not a JPEG of fixed quality.
    Another version of ffmpeg converts colours with other rounding and does not match to the digit.
    """
    encoder: av.VideoCodecContext | None = None
    for index, frame in enumerate(frames):
        if encoder is None:
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width, encoder.pix_fmt = *frame.shape[:2], pixel_format
            encoder.time_base, encoder.thread_count = Fraction(1, FPS), 1
        picture = VideoFrame.from_ndarray(frame, format="rgb24")
        picture = picture.reformat(format=pixel_format, interpolation="BICUBIC")
        picture.pts, picture.time_base = index, encoder.time_base
        for packet in encoder.encode(picture):  # intra only: one packet a frame
            decoded = cv2.imdecode(np.frombuffer(bytes(packet), np.uint8), cv2.IMREAD_COLOR)
            assert decoded is not None
            yield cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _jpeg_format(video: Path) -> str:
    """Chroma as ffmpeg chooses it: 4:2:0 for a 4:2:0 source, 4:4:4 for RGB and 4:4:4."""
    with open_media(video) as container:
        source = video_stream(container).codec_context.pix_fmt or ""
    return "yuvj420p" if "420" in source else "yuvj422p" if "422" in source else "yuvj444p"
