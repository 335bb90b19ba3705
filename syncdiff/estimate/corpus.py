"""How many clips and frames there are, and how many of them each network goes over."""

from __future__ import annotations

import math
from dataclasses import dataclass

from syncdiff.config import Config
from syncdiff.corpus.kind import kind_of
from syncdiff.corpus.listing import clip_counts
from syncdiff.errors import UserError
from syncdiff.estimate.rows import Row
from syncdiff.media.container import FPS
from syncdiff.models.cost import NetworkCosts
from syncdiff.registry.corpora import CORPORA
from syncdiff.training.windows import ROUND_BYTES, ROUND_STEPS


@dataclass(frozen=True)
class CorpusSize:
    """How many clips and frames each split has, and how surely that is known."""

    clips: dict[str, int]
    frames: dict[str, int]  # at 25 fps
    grade: str
    basis: str
    held_out: tuple[str, ...] = ("test",)  # of what is held out of training, the splits that are prepared

    @property
    def trained(self) -> int:
        """Frames of the splits that are trained on."""
        return sum(self.frames.get(split, 0) for split in ("pretrain", "train"))

    @property
    def prepared(self) -> int:
        """Frames that go through faces, priors, speech and shards: val's where training is validated."""
        return self.trained + sum(self.frames[split] for split in self.held_out)

    @property
    def prepared_clips(self) -> int:
        """Clips of the same splits."""
        return self.trained_clips + sum(self.clips[split] for split in self.held_out)

    @property
    def trained_clips(self) -> int:
        """Clips of the splits that are trained on."""
        return sum(self.clips.get(split, 0) for split in ("pretrain", "train"))


def corpus_size(config: Config) -> CorpusSize:
    """Count clips by the corpus's lists where a root is named, else by its published totals; frames by mean length.

    Raises:
        UserError: the corpus is not where `corpus.root` says, or a folder corpus has no root.
    """
    kind = kind_of(config)
    known, mean_frames = kind.clip_counts(config), kind.mean_frames(config)
    if CORPORA[config.corpus.kind].rendered and known:
        clips, grade, basis = known, "computed", "the config"
    elif config.corpus.root:
        clips, grade = clip_counts(config), "published" if known else "assumed"
        length = "published mean length" if known else f"{max(mean_frames.values()) / FPS:g} s a clip"
        basis = f"its lists, {length}"
    elif known:
        clips, grade, basis = known, "published", "totals and mean length"
    else:
        raise UserError(
            f"config: corpus.root: missing; a corpus of kind {config.corpus.kind} has no published totals, "
            "name the one to count in"
        )
    held_out = ("val", "test") if config.validation.every else ("test",)
    return CorpusSize(clips, {split: n * mean_frames[split] for split, n in clips.items()}, grade, basis, held_out)


def corpus_rows(corpus: CorpusSize) -> list[Row]:
    """Clips and frames of each split, and hours of all."""
    rows = [Row("corpus", f"{split}: clips", n, "", corpus.grade, corpus.basis) for split, n in corpus.clips.items()]
    rows += [Row("corpus", f"{split}: frames", n, "", corpus.grade, corpus.basis) for split, n in corpus.frames.items()]
    hours = sum(corpus.frames.values()) / FPS / 3600
    return [*rows, Row("corpus", "all splits", hours, "h", corpus.grade, corpus.basis)]


def sampled_frames(config: Config, corpus: CorpusSize) -> int:
    """Return how many frames the denoiser generates: of the test clips that are sampled, under every protocol."""
    return _chosen(config, corpus, "test", config.sample.max_clips) * len(config.evaluate.protocols)


def validated_frames(config: Config, corpus: CorpusSize) -> int:
    """Return how many frames validation generates in all its looks: of some clips of val, with sound and in silence."""
    if not config.validation.every:
        return 0
    stages = config.train.steps, config.second_stage.steps
    looks = sum(math.ceil(steps / config.validation.every) for steps in stages)
    return looks * 2 * _chosen(config, corpus, "val", config.validation.clips)


def _chosen(config: Config, corpus: CorpusSize, split: str, max_clips: int | None) -> int:
    """Return the frames of a split's clips, of `max_clips` of each of its shards."""
    clips, frames = corpus.clips[split], corpus.frames[split]
    shards = math.ceil(frames / config.plan.frames_per_shard)
    return round(frames * min(1.0, (max_clips or clips) * shards / clips)) if clips else 0


def encoded_frames(config: Config, corpus: CorpusSize, networks: NetworkCosts) -> int:
    """Return how many frames training reads and encodes, where latents are not stored: those of each round."""
    size = 2 * 2 * math.prod(networks.latent_shape) + 3 * config.priors.pose_size**2 + 4 * networks.speech_dim
    if corpus.trained * size <= ROUND_BYTES:
        return corpus.trained * ((config.train.steps > 0) + (config.second_stage.steps > 0))
    shard = config.plan.frames_per_shard
    in_round = shard * max(1, ROUND_BYTES // 2 // (shard * size))
    total = 0
    for stage in (config.train, config.second_stage):
        draws = max(1, round(ROUND_STEPS * stage.batch_size / in_round))
        total += math.ceil(stage.steps * stage.batch_size / draws)
    return total
