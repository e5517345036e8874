"""Tokens of a text into the characters that they stand for, alone and drawn out to whole words; all tokens at once.

Uncased tokenizers drop combining marks, and their offsets with them: a range is drawn out over the marks that follow,
so that an answer never ends inside a character. Tokens of bytes may be white space, which no range begins or ends with
where there is anything else.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioqa_pipeline.records.scores import IntArray, Places, TokenizedText

MARK, WORD, SPACE, UNKNOWN = 1, 2, 4, 255
# What each code point is, as far as it was met.
_kinds = np.full(0x110000, UNKNOWN, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class CharBounds:
    """Where a range of code points begins or ends that begins or ends with a token.

    Attributes:
        outer: (4, n_tokens) starts and ends, starts and ends of whole words.
        inner: the same moved over white space, starts forwards and ends backwards; `outer` itself where none moves.
    """

    outer: IntArray
    inner: IntArray


def char_bounds(texts: Sequence[str], tokens: Sequence[TokenizedText]) -> list[CharBounds]:
    """The bounds of each token of each text; all texts at once, for a call costs more than a text."""
    # Behind each other, with a character that is nothing behind each: there begins, ends and is drawn out nothing.
    codes = np.frombuffer("".join(f"{text}\0" for text in texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = _kinds[codes]
    if (kinds == UNKNOWN).any():
        for code in np.unique(codes[kinds == UNKNOWN]).tolist():
            _kinds[code] = _kind(chr(code))
        kinds = _kinds[codes]
    # Positions before the characters.
    places = np.arange(len(codes), dtype=np.int32)
    between, solid_before = np.ones((2, len(places)), dtype=np.bool_)
    between[1:] = (kinds[:-1] & kinds[1:] & WORD) == 0
    unmarked, solid = kinds & MARK == 0, kinds & SPACE == 0
    solid_before[1:] = solid[:-1]
    first = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1].astype(np.int32)
    bounds = np.cumsum([0, *map(len, tokens)]).tolist()
    shift = np.repeat(first, np.diff(bounds))
    starts = np.concatenate([np.zeros(0, dtype=np.int32), *(t.starts for t in tokens)]) + shift
    ends = _next(unmarked, places)[np.concatenate([np.zeros(0, dtype=np.int32), *(t.ends for t in tokens)]) + shift]
    outer = np.stack([starts, ends, _last(between, places)[starts], _next(between, places)[ends]])
    inner = np.where([[True], [False]] * 2, _next(solid, places)[outer], _last(solid_before, places)[outer])
    found = []
    for begin, stop, offset in zip(bounds, bounds[1:], first, strict=False):
        own, moved = outer[:, begin:stop] - offset, inner[:, begin:stop] - offset
        found.append(CharBounds(own, own if np.array_equal(own, moved) else moved))
    return found


def _next(stops: npt.NDArray[np.bool_], places: IntArray) -> IntArray:
    """For each place the first stop from there on; the last place is one."""
    return np.minimum.accumulate(np.where(stops, places, len(places))[::-1])[::-1]


def _last(stops: npt.NDArray[np.bool_], places: IntArray) -> IntArray:
    """For each place the last stop up to there; the first place is one."""
    return np.maximum.accumulate(np.where(stops, places, 0))


def _kind(char: str) -> int:
    # Accents, vowel signs, variation selectors: what belongs to the character before it.
    mark = unicodedata.category(char).startswith("M")
    # Between two characters of a word BERT's tokenizer can split only between its pieces.
    word = (char.isalnum() or mark) and not _stands_alone(ord(char))
    return MARK * mark | WORD * word | SPACE * char.isspace()


def _stands_alone(code: int) -> bool:
    """Ideographs, each of which BERT's tokenizer makes a word of its own."""
    return (
        0x3400 <= code <= 0x4DBF or 0x4E00 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x2FA1F
    )


class CharRanges:
    """The bounds of some texts, for ranges of tokens of any of them.

    Args:
        bounds: of each text.
    """

    def __init__(self, bounds: Sequence[CharBounds]) -> None:
        counts = np.array([b.outer.shape[1] for b in bounds], dtype=np.int64)
        self._first = np.cumsum(counts) - counts
        self._outer = np.concatenate([np.zeros((4, 0), dtype=np.int32), *(b.outer for b in bounds)], axis=1)
        is_moved = any(b.inner is not b.outer for b in bounds)
        self._inner = np.concatenate([b.inner for b in bounds], axis=1) if is_moved else self._outer

    def of(self, text: Places, first: Places, last: Places, *, whole_words: bool) -> tuple[Places, Places]:
        """Code points [start, end) of the tokens `first` to `last`, both included, of these texts.

        Args:
            text: (n,) numbers of the texts.
            whole_words: draws the ranges out over the pieces of a word that stand outside them.
        """
        begin, stop = self._first[text] + first, self._first[text] + last
        row = 2 * whole_words
        start, end = self._inner[row, begin].astype(np.int64), self._inner[row + 1, stop].astype(np.int64)
        if (blank := start >= end).any():
            start[blank] = self._outer[row, begin[blank]]
            end[blank] = self._outer[row + 1, stop[blank]]
        return start, end
