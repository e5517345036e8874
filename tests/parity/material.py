"""Vocabulary, texts and logits of the parity test, made from seeds alone.

The script that writes the reference and the test that reads it make the same material, so that only the reference's
numbers are stored. Knows nothing about either side. Drawn with Python's Mersenne Twister and numpy's RandomState, whose
streams are fixed for good.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

N_PAIRS = 500
# The rest is lowercased and stripped of accents, as uncased checkpoints do it.
N_CASED = 350
MAX_SEQ_LENGTH, DOC_STRIDE, MAX_QUERY_LENGTH, MAX_ANSWER_LENGTH, N_BEST = 384, 128, 64, 30, 20
# Logits are multiples of this: sums of two are exact in single and in double precision, so scores compare exactly.
GRID = 2.0**-18

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789αβγδμéüñ"
_MARKS = ".,;:()[]%/-+<>='"
_SUFFIXES = ("emia", "itis", "oma", "ase", "in", "ine", "ol", "s", "ed", "ing", "ly", "tion", "genic", "pathy")
_ONSETS = ("b", "c", "d", "f", "g", "gl", "h", "k", "l", "m", "n", "p", "ph", "r", "s", "st", "t", "th", "tr", "v", "x")
_VOWELS = ("a", "e", "i", "o", "u", "ae", "io", "y")


@dataclass(frozen=True)
class Material:
    """One pair. `seed` makes the logits of its windows."""

    question: str
    passage: str
    cased: bool
    seed: int


def _stems() -> list[str]:
    rng = random.Random("stems")
    stems = {"".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.randint(1, 3))) for _ in range(400)}
    return sorted(stems)


def pieces(*, cased: bool) -> list[str]:
    """A WordPiece vocabulary: stems, endings, letters; capitalised stems where cased."""
    stems = _stems()
    letters = [c for c in _LETTERS if cased or (c.islower() and c not in "éüñ") or c.isdigit()]
    capitalised = [stem.capitalize() for stem in stems[::2]] if cased else []
    return list(
        dict.fromkeys(
            [
                *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
                *letters,
                *_MARKS,
                *(f"##{c}" for c in letters),
                *(f"##{suffix}" for suffix in _SUFFIXES),
                *stems,
                *capitalised,
            ]
        )
    )


def _word(rng: random.Random, stems: list[str]) -> str:
    stem = rng.choice(stems)
    kind = rng.random()
    if kind < 0.45:
        return stem
    if kind < 0.65:
        return stem + rng.choice(_SUFFIXES)
    if kind < 0.73:
        return (stem + rng.choice(("", *_SUFFIXES))).capitalize()
    if kind < 0.78:
        return f"{rng.randint(0, 99)}.{rng.randint(0, 9)}%"
    if kind < 0.82:
        return f"{stem.upper()[:4]}{rng.randint(1, 9)}"
    if kind < 0.86:
        return f"{stem}-{rng.choice('αβγδ')}{rng.randint(1, 9)}"
    if kind < 0.90:
        return f"({stem}/{rng.choice(stems)})"
    if kind < 0.93:
        return stem + rng.choice(("né", "rü", "ñol"))
    if kind < 0.95:
        return stem + "♥"  # not in the vocabulary: [UNK]
    return stem + rng.choice((",", ".", ";", ":"))


def materials() -> list[Material]:
    """All pairs, always the same; every passage needs at least three windows."""
    stems = _stems()
    made = []
    for index in range(N_PAIRS):
        rng = random.Random(f"pair {index}")
        n_question = rng.randint(60, 90) if index % 20 == 0 else rng.randint(3, 16)
        # A word makes some two pieces.
        n_passage = rng.randint(280, 480)
        made.append(
            Material(
                question=" ".join(_word(rng, stems) for _ in range(n_question)) + "?",
                passage=" ".join(_word(rng, stems) for _ in range(n_passage)),
                cased=index < N_CASED,
                seed=1000 * index,
            )
        )
    return made


def window_logits(material: Material, window: int, length: int) -> tuple[npt.NDArray[np.float32], ...]:
    """Start and end logits of one window, (max_seq_length,) each, the padding behind `length` included.

    Noise with peaks: some pairs of a start and an end close behind it, at any place of the window, also in the question
    and the padding, where they must not count; and `[CLS]`, in some pairs above, in others below them.
    """
    rng = np.random.RandomState(material.seed + window)
    start, end = rng.normal(-4.0, 1.5, size=(2, MAX_SEQ_LENGTH))
    for position in rng.randint(0, MAX_SEQ_LENGTH, size=12):
        behind = min(position + rng.randint(0, 40), MAX_SEQ_LENGTH - 1)
        start[position] = rng.uniform(1.0, 8.0)
        end[behind] = rng.uniform(1.0, 8.0)
    start[length:] += 4.0
    null = np.random.RandomState(material.seed).uniform(4.0, 8.5)
    start[0], end[0] = null + rng.uniform(0.0, 1.0, size=2)
    return tuple((np.round(logits / GRID) * GRID).astype(np.float32) for logits in (start, end))
