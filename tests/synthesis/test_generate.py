"""Generating frames: what a wavefront changes, and what it must not. The networks have random weights."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from syncdiff.config import parse_config
from syncdiff.diffusion.schedule import scheduler
from syncdiff.models.autoencoder import build_autoencoder, start_linear
from syncdiff.models.denoiser import Denoiser
from syncdiff.priors import lip_region, mouth_mask
from syncdiff.synthesis.generate import Networks, Previous, Target, generate, speech_windows

pytestmark = pytest.mark.quick
CPU = torch.device("cpu")
LENGTHS = (5, 5, 2)
WINDOW = 3  # frames of speech around a frame
Build = Callable[..., Networks]


@pytest.fixture(scope="module")
def networks() -> Build:
    """Build networks whose weights depend on the denoiser's form alone, never on how it samples."""

    def build(sample: dict[str, Any], **denoiser: Any) -> Networks:
        config = parse_config(
            {
                "denoiser": {"channels": [32, 32], **denoiser},
                "speech": {"dim": 32, "layers": 1, "window_frames": WINDOW},
                "sample": {"steps": 3, "guidance": 2.0, **sample},
            }
        )
        torch.manual_seed(0)
        model, autoencoder = Denoiser(config).eval(), build_autoencoder(config.autoencoder).eval()
        return Networks(config, model, autoencoder, scheduler(config.diffusion, config.sample), CPU)

    return build


def _targets(lengths: Sequence[int] = LENGTHS) -> list[Target]:
    rng = np.random.default_rng(0)
    targets = []
    for index, length in enumerate(lengths):
        crops = rng.integers(256, size=(length, 64, 64, 3), dtype=np.uint8)
        speech = rng.normal(size=(length, 104)).astype(np.float32)
        targets.append(Target(crops, crops[0], speech, noise_seed=index))
    return targets


def _clips(networks: Networks, targets: Sequence[Target]) -> list[np.ndarray]:
    """Return the crops (T_i, S, S, 3) of each target."""
    frames = list(generate(networks, targets))
    return [np.stack([crops[i] for crops in frames if len(crops) > i]) for i in range(len(targets))]


def _apart(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> int:
    """Return the largest difference between two sets of clips, in grey levels."""
    return max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("pose_steps", [1, 2, None])
def test_every_frame_comes_once_and_outside_the_mask_it_is_the_targets_own(
    networks: Build, pose_steps: int | None
) -> None:
    clips = _clips(networks({"pose_steps": pose_steps}), _targets())
    assert [len(clip) for clip in clips] == list(LENGTHS)
    visible = mouth_mask(64) == 0
    for clip, target in zip(clips, _targets(), strict=True):
        assert (clip[:, visible] == np.stack(list(target.crops))[:, visible]).all()
        assert (clip[:, ~visible] != np.stack(list(target.crops))[:, ~visible]).any()


@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver++"])
def test_a_wavefront_takes_the_steps_of_frame_by_frame(networks: Build, sampler: str) -> None:
    """Without a pose frame, nothing else is between frames: both must give the same."""
    wave, one_by_one = (
        _clips(networks({"sampler": sampler, "pose_steps": steps}, pose_frame="none"), _targets())
        for steps in (1, None)
    )
    assert _apart(wave, one_by_one) <= 1  # batches of other sizes round otherwise


@pytest.mark.parametrize("pose_frame", ["bottleneck", "full"])
def test_the_pose_frame_is_that_of_the_steps_asked_for(networks: Build, pose_frame: str) -> None:
    clips = {
        steps: _clips(networks({"pose_steps": steps, "guidance": 1.0}, pose_frame=pose_frame), _targets())
        for steps in (1, 3, 9, None)
    }
    assert _apart(clips[3], clips[None]) == _apart(clips[9], clips[None]) == 0  # all steps, or more than there are
    assert _apart(clips[1], clips[None]) > 0
    assert _apart([clip[:1] for clip in clips[1]], [clip[:1] for clip in clips[None]]) <= 1  # frame 0 has none before


def test_a_clip_alone_is_what_it_is_among_others(networks: Build) -> None:
    net = networks({})
    together = _clips(net, _targets())
    alone = [_clips(net, [target])[0] for target in _targets()]
    assert _apart(together, alone) <= 1


def test_bf16_rounds_and_stays_inside(networks: Build) -> None:
    """What asks for the frames computes in its own precision meanwhile."""
    net = networks({})
    clips = {}
    for precision in ("no", "bf16"):
        stream = generate(replace(net, config=net.config.model_copy(update={"mixed_precision": precision})), _targets())
        clips[precision] = []
        for crops in stream:
            assert not torch.is_autocast_enabled("cpu")
            clips[precision].append(crops)
    assert 0 < _apart(clips["no"], clips["bf16"]) <= 12


def test_guidance_moves_the_lips_most(networks: Build) -> None:
    """With an autoencoder whose latents are the red pixels of a patch, so that each stays where it is."""
    [target] = _targets([2])
    pair = [networks({"steps": 1, "guidance": w}) for w in (1.0, 2.0)]
    for net in pair:
        start_linear(net.autoencoder, torch.zeros(192), torch.eye(192)[:64])
    [plain], [guided] = (_clips(net, [target]) for net in pair)
    moved = np.abs(plain.astype(int) - guided).mean(axis=(0, 3))  # (S, S)
    lips = lip_region(64)
    hidden = mouth_mask(64) == 1
    assert moved[hidden & (lips > 0.8)].mean() > 3 * moved[hidden & (lips < 0.05)].mean()


def test_no_frame_knows_the_future(networks: Build) -> None:
    """Speech is heard half a window ahead, pictures not at all."""
    [target] = _targets([6])
    crops, speech = np.array(target.crops), target.speech.copy()
    crops[4:], speech[4:] = 0, 1
    net = networks({})
    [before], [after] = _clips(net, [target]), _clips(net, [Target(crops, target.identity, speech, 0)])
    assert _apart([before[: 4 - WINDOW // 2]], [after[: 4 - WINDOW // 2]]) <= 1
    assert _apart([before[4 - WINDOW // 2 :]], [after[4 - WINDOW // 2 :]]) > 1


def test_a_callback_sees_what_comes_before_each_frame_and_can_put_something_else_there(networks: Build) -> None:
    net, seen = networks({"guidance": 1.0}), {}

    def look(t: int, previous: Previous) -> Previous:
        seen[t] = previous
        return previous

    def restart(t: int, previous: Previous) -> Previous:
        return seen[0] if t == 3 else previous

    [target] = _targets([5])
    plain, watched, changed = (
        np.concatenate(list(generate(net, [target], callback))) for callback in (None, look, restart)
    )
    assert list(seen) == list(range(5))
    assert seen[0].pose.shape == (1, 8, 8, 3)
    np.testing.assert_array_equal(watched, plain)
    assert _apart([changed[:3]], [plain[:3]]) <= 1
    assert _apart([changed[3:]], [plain[3:]]) > 1


@pytest.mark.parametrize("width", [5, 6, 31])
def test_speech_windows_are_centred_and_end_with_the_clip(width: int) -> None:
    speech = np.arange(1, 21, dtype=np.float32)[:, None]  # row t is t + 1
    for times in (range(3), range(7, 12), range(17, 20), range(20)):
        windows, valid = speech_windows(speech, times, width)
        rows = [[t + offset for offset in range(-(width // 2), width - width // 2)] for t in times]
        assert valid.tolist() == [[0 <= row < 20 for row in window] for window in rows]
        assert windows[..., 0].tolist() == [[row + 1 if 0 <= row < 20 else 0 for row in window] for window in rows]


def test_chunks_of_a_long_clip_leave_no_seam(networks: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    net = networks({})
    whole = _clips(net, _targets())
    monkeypatch.setattr("syncdiff.synthesis.generate.BATCH", 2)
    assert _apart(_clips(net, _targets()), whole) <= 1
