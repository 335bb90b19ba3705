"""What the demo's people say: sentences from two small grammars, one shaped like GRID's and one freer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from syncdiff.corpus.grid import SENTENCE

WORDS_PER_SECOND = 2.4

# Words chosen so that every viseme of English comes often, with lips that close, round, spread and open wide.
FREE = (
    ("my father", "the baker", "a young woman", "our boss", "the pilot", "his mother", "that farmer", "everybody"),
    ("may buy", "will carry", "found", "wants to paint", "never moved", "saw", "should wash", "left behind", "opens"),
    ("five maps", "the heavy box", "warm bread", "a purple jar", "two good books", "the old house", "some fresh fish"),
    ("by the river", "on the far shore", "before winter", "for about an hour", "in the park", "this evening", ""),
)


def unique_sentences(rng: np.random.Generator, seconds: float) -> Iterator[str]:
    """Yield texts without end, no two alike, each of enough sentences to speak for about `seconds`."""
    seen: set[str] = set()
    while True:
        sentences: list[str] = []
        while sum(len(sentence.split()) for sentence in sentences) < seconds * WORDS_PER_SECOND - 2:
            grammar = SENTENCE if rng.random() < 0.4 else FREE
            sentences.append(" ".join(str(rng.choice(slot)) for slot in grammar).strip())
        text = ", ".join(sentences)
        if text not in seen:
            seen.add(text)
            yield text
