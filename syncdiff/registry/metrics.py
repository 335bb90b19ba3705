"""The metrics: what each says, under which protocols it is taken, and the function that computes it.

The function of a metric of clips gets an `evaluation.scored_clip.ScoredClip` and returns {name of the metric: value};
an array of values, one a frame, is averaged, and kept beside the average. Metrics of one function share one call of it,
and none of them has a value where it raises ClipRejected. The function of a metric of a whole set gets and returns what
`evaluation.metrics.fidelity.fid_of_set` does, of the features of its scorer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from syncdiff.registry.part import Part

SYNCNET, FEATURES, LANDMARKS = "syncnet", "features", "landmarks"  # scorers whose names the config decides
PIXELS = "-"  # no network is behind the metric
ALEXNET, FACENET, I3D = "alexnet", "facenet", "i3d"  # of NETWORKS
ALL = ("paired", "cross", "silent")


@dataclass(frozen=True, kw_only=True)
class Network(Part):
    """A published network that metrics need: the part gets the path of its weights, and the device.

    detail: is printed behind the name of the file, as part of the scorer's.
    weights: its name in `syncdiff weights`.
    """

    detail: str
    weights: str


# By the key of `evaluate` that names the weights; the metrics of a network without weights are not taken.
NETWORKS = {
    ALEXNET: Network("syncdiff.models.lpips:load_lpips", detail="LPIPS v0.1 heads", weights="alexnet"),
    FACENET: Network("syncdiff.models.facenet:load_facenet", detail="boxes of landmarks", weights="facenet"),
    I3D: Network("syncdiff.models.i3d:load_i3d", detail="frames 20 to 35, boxes of landmarks", weights="i3d"),
}


@dataclass(frozen=True, kw_only=True)
class Metric(Part):
    """A metric.

    better: "↑" higher, "↓" lower, "→ 1" nearer to 1, "" neither.
    digits: behind the point.
    protocols: under which it is taken.
    scorer: SYNCNET, FEATURES, LANDMARKS or a key of NETWORKS; else the words that are printed as its scorer.
    against: the protocol with whose video it compares its own; it is not taken where both are the same.
    of_set: one value for all clips together.
    in_table: it is averaged over clips; else only its values frame by frame are of use, to the report.
    drift_from: the report draws its values over time, and the first is of this frame; None: it does not.
    """

    label: str
    better: str = ""
    digits: int = 2
    meaning: str
    protocols: tuple[str, ...] = ("paired",)
    scorer: str = PIXELS
    against: str | None = None
    of_set: bool = False
    in_table: bool = True
    drift_from: int | None = None

    @property
    def heading(self) -> str:
        """Label and direction."""
        return f"{self.label} {self.better}".strip()


_LSE = "syncdiff.evaluation.metrics.lse:lse_of_clip"
_FID = "syncdiff.evaluation.metrics.fidelity:fid_of_set"
_FIDELITY = "syncdiff.evaluation.metrics.fidelity:fidelity_of_clip"
_FVD = "syncdiff.evaluation.metrics.fvd:fvd_of_set"
_LPIPS = "syncdiff.evaluation.metrics.lpips:lpips_of_clip"
_CSIM = "syncdiff.evaluation.metrics.csim:csim_of_clip"
_SHARPNESS = "syncdiff.evaluation.metrics.sharpness:sharpness_of_clip"
_FLICKER = "syncdiff.evaluation.metrics.flicker:flicker_of_clip"
_MOUTH = "syncdiff.evaluation.metrics.mouth:mouth_of_clip"
_SILENCE = "syncdiff.evaluation.metrics.mouth:motion_in_silence"
_OPEN = "syncdiff.evaluation.metrics.mouth:open_in_silence"

METRICS = {
    "lse_c": Metric(
        _LSE,
        label="LSE-C",
        better="↑",
        meaning="SyncNet's confidence: median minus minimum of the distance over 31 shifts",
        protocols=ALL,
        scorer=SYNCNET,
    ),
    "lse_d": Metric(
        _LSE,
        label="LSE-D",
        better="↓",
        meaning="SyncNet's distance between lips and sound at the best shift",
        protocols=ALL,
        scorer=SYNCNET,
    ),
    "sync_offset": Metric(
        _LSE,
        label="Offset",
        digits=1,
        meaning="best shift in frames; positive: the sound is early",
        protocols=ALL,
        scorer=SYNCNET,
    ),
    "fid": Metric(
        _FID,
        label="FID",
        better="↓",
        meaning="Fréchet distance between the aligned crops of the set and those of the real clips",
        protocols=ALL,
        scorer=FEATURES,
        of_set=True,
    ),
    "fvd": Metric(
        _FVD,
        label="FVD",
        better="↓",
        digits=1,
        meaning="Fréchet distance between I3D's logits of 16 frames of each clip and those of the real clips; of fewer "
        "than some hundreds of clips it compares the rows of one table at most",
        protocols=ALL,
        scorer=I3D,
        of_set=True,
    ),
    "sharpness": Metric(
        _SHARPNESS,
        label="Sharpness",
        better="→ 1",
        meaning="variance of the Laplacian around the lips, at the source's resolution, over that of the real video: "
        "below 1 is blur, above it noise",
    ),
    "ssim": Metric(
        _FIDELITY,
        label="SSIM",
        better="↑",
        digits=3,
        meaning="structural similarity of aligned crops",
        drift_from=0,
    ),
    "psnr": Metric(_FIDELITY, label="PSNR", better="↑", meaning="peak signal-to-noise ratio of aligned crops, in dB"),
    "lpips": Metric(
        _LPIPS,
        label="LPIPS",
        better="↓",
        digits=3,
        meaning="learned perceptual distance of aligned crops, by AlexNet, at the crops' own size",
        scorer=ALEXNET,
    ),
    "csim": Metric(
        _CSIM,
        label="CSIM",
        better="↑",
        digits=3,
        meaning="cosine of the face embeddings of each generated and the real frame, by FaceNet, at 160 px",
        protocols=ALL,
        scorer=FACENET,
    ),
    "flicker_mouth": Metric(
        _FLICKER,
        label="Flicker, mouth",
        better="↓",
        meaning="mean |change of the error from frame to frame| under the mouth mask, in grey levels (0..510), of "
        "crops of at most 96 px",
        drift_from=1,
    ),
    "flicker_rest": Metric(_FLICKER, label="Flicker, rest", better="↓", meaning="the same outside the mouth mask"),
    "lmd": Metric(
        _MOUTH,
        label="LMD",
        better="↓",
        meaning="distance of the lip landmarks from the real ones, in pixels of a 96 px crop",
        scorer=LANDMARKS,
    ),
    "mouth_corr": Metric(
        _MOUTH,
        label="Mouth r",
        better="↑",
        meaning="Pearson correlation of the mouth aperture, real against generated",
        scorer=LANDMARKS,
    ),
    "aperture_error": Metric(
        _MOUTH,
        label="Aperture error",
        better="↓",
        digits=3,
        meaning="mean |generated - real mouth aperture|, in distances between the eyes (0 closed, about 0.3 wide open)",
        scorer=LANDMARKS,
        drift_from=0,
    ),
    "mouth_aperture": Metric(
        _MOUTH,
        label="Mouth aperture",
        digits=3,
        meaning="gap of the inner lips frame by frame, in distances between the eyes",
        scorer=LANDMARKS,
        in_table=False,
    ),
    "mouth_std_ratio": Metric(
        _SILENCE,
        label="Moves",
        better="↓",
        meaning="std of the mouth aperture when driven by silence, over that with sound",
        protocols=("silent",),
        scorer=LANDMARKS,
        against="paired",
    ),
    "open_in_silence": Metric(
        _OPEN,
        label="Open",
        better="↓",
        meaning="share of frames with an open mouth when driven by silence; open is ours: a gap of the inner lips of "
        "more than 0.1 distances between the eyes",
        protocols=("silent",),
        scorer=LANDMARKS,
    ),
}
DRIFT = {name: metric.drift_from for name, metric in METRICS.items() if metric.drift_from is not None}


def clip_metrics(protocol: str, videos: Mapping[str, Path | None], networks: Collection[str] = ()) -> list[str]:
    """Return the metrics of clips that are taken under a protocol.

    Args:
        protocol: one of those in `videos`.
        videos: of the method, by protocol.
        networks: of NETWORKS, those whose weights are given.
    """
    wanted = [name for name, metric in METRICS.items() if not metric.of_set and _has_network(metric, networks)]
    return [name for name in wanted if _is_taken(METRICS[name], protocol, videos)]


def set_metrics(networks: Collection[str] = ()) -> list[str]:
    """Return the metrics of whole sets that are taken with the networks whose weights are given."""
    return [name for name, metric in METRICS.items() if metric.of_set and _has_network(metric, networks)]


def why_not_taken(taken: Collection[str]) -> str:
    """Say in a line which metrics are not among those taken, for want of weights, and what to do; "": none."""
    wanted = {
        name: metric.scorer for name, metric in METRICS.items() if metric.scorer in NETWORKS and name not in taken
    }
    reasons = [
        f"{METRICS[name].label} (evaluate.{key}; syncdiff weights get {NETWORKS[key].weights})"
        for name, key in wanted.items()
    ]
    return f"not taken, for want of weights: {', '.join(reasons)}" if reasons else ""


def _has_network(metric: Metric, networks: Collection[str]) -> bool:
    return metric.scorer not in NETWORKS or metric.scorer in networks


def _is_taken(metric: Metric, protocol: str, videos: Mapping[str, Path | None]) -> bool:
    if metric.against is not None and videos.get(metric.against) in (None, videos[protocol]):
        return False
    return protocol in metric.protocols


def by_function(names: list[str]) -> list[list[str]]:
    """Return the metrics in groups, each of those that one function computes."""
    places = dict.fromkeys(METRICS[name].place for name in names)
    return [[name for name in names if METRICS[name].place == place] for place in places]
