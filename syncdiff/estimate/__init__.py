"""`syncdiff estimate`: what a full run of a config needs on disk, in core hours and in GPU hours, before it is started.

Every figure has a grade: `computed` from the config and the code's own shapes, `measured` (benchmarks/results, on the
machine named there, or a rate that the user measured), `published` by the corpus's authors, or `assumed`. A product
has the weakest grade of its factors, but for the number of frames, which all of them share and which has rows of its
own.
"""

from __future__ import annotations

from syncdiff.config import Config
from syncdiff.estimate.cores import core_rows
from syncdiff.estimate.corpus import corpus_rows, corpus_size
from syncdiff.estimate.disk import disk_rows
from syncdiff.estimate.gpu import Gpu, gpu_rows, network_rows
from syncdiff.estimate.rows import Row
from syncdiff.models.cost import NetworkCosts


def estimate(config: Config, gpu: Gpu) -> list[Row]:
    """Return every figure of a full run of `config`.

    Raises:
        UserError: the corpus is not where `corpus.root` says, a folder corpus has no root, the networks cannot be
            built, or the measurements are not there.
    """
    corpus, networks = corpus_size(config), NetworkCosts(config)
    return [
        *corpus_rows(corpus),
        *disk_rows(config, corpus, networks),
        *core_rows(config, corpus, networks),
        *network_rows(config, networks),
        *gpu_rows(config, corpus, networks, gpu),
    ]
