"""The second pass over a video: its pictures in the order of the output, with mouths generated as they come by."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from av.video.frame import VideoFrame

from syncdiff.dubbing.closed import ClosedMouth
from syncdiff.dubbing.scene import Scene, relit
from syncdiff.dubbing.timeline import DenseSpeech, Timeline
from syncdiff.faces.align import unwarp, warp
from syncdiff.media.pictures import Form, Part, Picture, Video, compose
from syncdiff.priors import HIDDEN_GREY, mouth_mask
from syncdiff.synthesis.generate import Networks, Target, generate

AHEAD = 16  # crops that are encoded at a time: so many pictures are in memory
MARGIN = 2  # pixels around a crop that its outermost ones are made of


@dataclass(frozen=True)
class Run:
    """Frames of the output, one after another, in which one stretch's mouth is generated.

    transforms: (T, 2, 3), from stored pixels to the crop.
    identity: (S, S, 3) uint8.
    rows: (T,) of the speech.
    scene: the usual light and mouths of the stretch.
    closing: (T,) how far the mouth is closed, 0 to 1, by `closed`, which `moves` (T, 2, 3) bring into each crop.
    """

    frames: range
    stretch: int
    transforms: np.ndarray
    identity: np.ndarray
    closed: ClosedMouth
    moves: np.ndarray
    scene: Scene
    speech: DenseSpeech
    rows: np.ndarray
    closing: np.ndarray
    noise_seed: int


class Reel:
    """The pictures of the output, each for as long as somebody may still ask for it."""

    def __init__(self, pictures: Iterator[Picture]) -> None:
        self._pictures = pictures
        self._held: deque[Picture] = deque()
        self._first = 0

    def __getitem__(self, index: int) -> Picture:
        """Return a picture that has not been popped."""
        while len(self._held) <= index - self._first:
            self._held.append(next(self._pictures))
        return self._held[index - self._first]

    def pop(self) -> Picture:
        """Return the first picture that is held, and let go of it."""
        first = self[self._first]
        self._held.popleft()
        self._first += 1
        return first


def played(video: Video, timeline: Timeline) -> Iterator[Picture]:
    """Yield the pictures of the output in their order; only those that come again are kept."""
    kept: deque[Picture] = deque(maxlen=timeline.kept)
    pictures, n_read = video.pictures(), 0
    for ticks, index in zip(timeline.ticks.tolist(), timeline.order.tolist(), strict=True):
        if index == n_read:
            picture = next(pictures)
            kept.append(picture)
            n_read += 1
        else:
            picture = kept[index - n_read]
        yield picture._replace(ticks=ticks)


def dubbed(
    networks: Networks, video: Video, timeline: Timeline, runs: Sequence[Run], hidden: set[int]
) -> Iterator[Picture]:
    """Yield every picture of the output; those of a run with the generated mouth, the others as they were read.

    A frame with something before its mouth passes too; its index is added to `hidden`.
    """
    reel, part = Reel(played(video, timeline)), Part(video.form)
    waiting = deque(sorted(runs, key=lambda run: run.frames.start))
    under_way: list[tuple[Run, Iterator[np.ndarray | None]]] = []
    mask = mouth_mask(networks.config.faces.size)
    for index in range(len(timeline.order)):
        while waiting and waiting[0].frames.start == index:
            run = waiting.popleft()
            under_way.append((run, _mouths(networks, reel, part, run)))
        mouths = [(run.transforms[index - run.frames.start], next(crops)) for run, crops in under_way]
        picture = reel.pop()
        seen = [(transform, mouth) for transform, mouth in mouths if mouth is not None]
        if mouths and not seen:
            hidden.add(index)
        if seen:
            frame = part.copy(picture.frame)
            for transform, mouth in seen:
                put(part, frame, mouth, transform, mask)
            picture = picture._replace(frame=frame)
        under_way = [(run, crops) for run, crops in under_way if index + 1 < run.frames.stop]
        yield picture


def _mouths(networks: Networks, reel: Reel, part: Part, run: Run) -> Iterator[np.ndarray | None]:
    """Yield the crops (S, S, 3) of a run, with mouths generated, and closed in silence; None: the mouth is hidden.

    The network is shown crops of the usual light, as in its training, and what it makes is dimmed again.
    """
    size = networks.config.faces.size
    noted: deque[tuple[float, bool]] = deque()

    def own() -> Iterator[np.ndarray]:
        for index, transform in zip(run.frames, run.transforms, strict=True):
            crop = cut(part, reel[index].frame, transform, size)
            gain = run.scene.gain(crop)
            noted.append((gain, run.scene.hides_mouth(crop, gain)))
            yield relit(crop, 1 / gain)

    target = Target(own(), run.identity, run.speech, run.noise_seed, run.rows, run.speech.density)
    generated = generate(networks, [target], ahead=AHEAD)
    for share, move, [crop] in zip(run.closing.tolist(), run.moves, generated, strict=True):
        gain, is_hidden = noted.popleft()
        shut = run.closed.laid_over(crop, move, share) if share else crop
        yield None if is_hidden else relit(shut, gain)


def cut(part: Part, frame: VideoFrame, transform: np.ndarray, size: int) -> np.ndarray:
    """Cut an aligned crop (size, size, 3) uint8 out of a stored picture; `transform` (2, 3) leads from it there."""
    box = part.box(_corners(transform, 0, 0, size, size, MARGIN))
    if box.x0 >= box.x1 or box.y0 >= box.y1:
        return np.full((size, size, 3), HIDDEN_GREY, np.uint8)
    return warp(part.rgb(frame, box), _from(transform, box.x0, box.y0), size)


def put(part: Part, frame: VideoFrame, crop: np.ndarray, transform: np.ndarray, mask: np.ndarray) -> None:
    """Put a crop into a frame of `Part.copy`, where the mask (S, S) says: only there its samples change."""
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    box = part.box(_corners(transform, left - 1, top - 1, left + width, top + height, 0))
    if box.x0 >= box.x1 or box.y0 >= box.y1:
        return
    local, size = _from(transform, box.x0, box.y0), (box.x1 - box.x0, box.y1 - box.y0)
    part.mix(frame, box, *unwarp(crop, mask, local, size))


def stored(transforms: np.ndarray, form: Form) -> np.ndarray:
    """Return transforms (T, 2, 3) of the shown picture as those of the stored one."""
    return np.stack([compose(transform, form.to_shown) for transform in transforms])


def _corners(transform: np.ndarray, left: float, top: float, right: float, bottom: float, margin: float) -> np.ndarray:
    """Return where the corners of a part of a crop lie in its picture, and so many pixels around them."""
    corners = np.array([[[left, top], [right, top], [right, bottom], [left, bottom]]], np.float64)
    [points] = cv2.transform(corners, cv2.invertAffineTransform(transform))
    return np.concatenate([points - margin, points + margin])


def _from(transform: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return a transform for a part of the picture that begins at a pixel."""
    return transform + np.outer(transform[:, :2] @ [x, y], [0, 0, 1])
