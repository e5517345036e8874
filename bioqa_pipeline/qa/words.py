"""Texts into tokens by their words, each of which is cut into pieces once; BERT's tokenizers only.

They change and cut what stands between two spaces or marks of punctuation without a look at what stands around it, so
that a text's tokens are those of its words: the same as the library gives of the whole text.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from itertools import chain, pairwise

import numpy as np

from bioqa_pipeline.records.scores import IntArray, Places, TokenizedText

_MARK = r"!-/:-@\[-`{-~"
# With the space before it, which halves their number; all of a text is in one of them.
_WORD = re.compile(rf" ?[^ {_MARK}]+| ?[{_MARK}]| +")
# Characters of the words that are kept: some 130,000 in some 25 MB, which more than 10,000 abstracts have.
KEPT_CHARS = 2**20


class WordTokens:
    """Tokens of texts, by tokens of words that came before.

    Args:
        encode: a text into its tokens, by the library.
    """

    def __init__(self, encode: Callable[[str], TokenizedText]) -> None:
        self._encode = encode
        self._mutex = threading.Lock()
        self._forget()

    def __call__(self, texts: Sequence[str]) -> list[TokenizedText]:
        words = [_WORD.findall(text) for text in texts]
        with self._mutex:
            self._learn([word for word in set().union(*words) if word not in self._numbers])
            which = np.fromiter(map(self._numbers.__getitem__, chain.from_iterable(words)), dtype=np.int64)
            known, chars, first = self._tokens, self._chars, self._first
            if chars.sum() > KEPT_CHARS:
                self._forget()
        counts = (first[1:] - first[:-1])[which]
        # Where the first word of each text stands among all, and its first token.
        of_text = np.cumsum([0, *map(len, words)])
        begins = np.append(0, np.cumsum(counts))
        places = np.append(0, np.cumsum(chars[which]))
        at = np.repeat(first[which] - begins[:-1], counts) + np.arange(begins[-1])
        shift = np.repeat(places[:-1] - np.repeat(places[of_text[:-1]], np.diff(of_text)), counts).astype(np.int32)
        ids, starts, ends = known.ids[at], known.starts[at] + shift, known.ends[at] + shift
        bounds = begins[of_text].tolist()
        # Copies: one text that is kept would keep those of all others.
        return [TokenizedText(ids[a:b].copy(), starts[a:b].copy(), ends[a:b].copy()) for a, b in pairwise(bounds)]

    def _forget(self) -> None:
        nothing: IntArray = np.zeros(0, dtype=np.int32)
        self._numbers: dict[str, int] = {}
        self._tokens = TokenizedText(nothing, nothing, nothing)
        self._chars, self._first = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)

    def _learn(self, words: Sequence[str]) -> None:
        """Cuts new words, all in one text: a call for each would cost more than the cutting."""
        if not words:
            return
        found, known = self._encode(" ".join(words)), self._tokens
        chars = np.fromiter(map(len, words), dtype=np.int64)
        begins: Places = np.cumsum(chars + 1) - (chars + 1)
        word = np.searchsorted(begins, found.starts, side="right") - 1
        shift = begins[word].astype(np.int32)
        self._tokens = TokenizedText(
            np.append(known.ids, found.ids),
            np.append(known.starts, found.starts - shift),
            np.append(known.ends, found.ends - shift),
        )
        counts = np.bincount(word, minlength=len(words))
        self._first = np.append(self._first, self._first[-1] + np.cumsum(counts))
        self._chars = np.append(self._chars, chars)
        self._numbers |= zip(words, range(len(self._numbers), len(self._chars)), strict=True)
