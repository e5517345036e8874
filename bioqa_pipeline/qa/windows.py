"""(question, passage) pairs into windows of at most `max_seq_length` tokens, each text tokenised once.

The layout is that of google-research/bert `run_squad.py`: `[CLS] question [SEP] window [SEP]`, by RoBERTa's tokens
`<s> question </s></s> window </s>`, windows starting every `doc_stride` passage tokens until one reaches the end. Knows
nothing about models.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import pairwise

import numpy as np

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.records.scores import SpecialIds, TokenizedText, Window


def window_ranges(n_tokens: int, capacity: int, doc_stride: int) -> tuple[tuple[int, int], ...]:
    """Token ranges of a passage's windows: `doc_stride` apart, the last one ending with the passage.

    Args:
        n_tokens: tokens of the passage; 0 gives the one empty range.
        capacity: passage tokens that one window holds.

    Example:
        >>> window_ranges(600, 369, 128)
        ((0, 369), (128, 497), (256, 600))
    """
    ranges = []
    start = 0
    while True:
        end = min(start + capacity, n_tokens)
        ranges.append((start, end))
        if end >= n_tokens:
            return tuple(ranges)
        start += doc_stride


@lru_cache(maxsize=4096)
def max_context_ranges(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """For each window the tokens for which it has the most context (`token_is_max_context` of run_squad).

    The context of token t in window [a, b) is `min(t - a, b - 1 - t) + 0.01 * (b - a)`; the first window wins ties.
    Window starts and ends grow together, so any two windows change places once and the results are ranges: disjoint,
    in order, covering the passage; a window can come out empty.
    """
    if len(ranges) == 1:
        return ranges
    n_tokens = ranges[-1][1]
    tokens = np.arange(n_tokens)
    most = np.full(n_tokens, -1.0)
    owner = np.zeros(n_tokens, dtype=np.int64)
    for number, (start, end) in enumerate(ranges):
        inside = tokens[start:end]
        context = np.minimum(inside - start, end - 1 - inside) + 0.01 * (end - start)
        wins = context > most[start:end]
        owner[start:end][wins] = number
        most[start:end][wins] = context[wins]
    # Rounding can make two equal contexts win in turns, as in run_squad: from its first token on, the later one wins.
    owner = np.maximum.accumulate(owner)
    first = np.searchsorted(owner, np.arange(len(ranges) + 1))
    return tuple((int(a), int(b)) for a, b in pairwise(first))


def make_windows(
    question: TokenizedText, passage: TokenizedText, special: SpecialIds, config: WindowConfig
) -> list[Window]:
    """All windows of one pair; at least one, also for a passage without tokens.

    The question is cut at `max_query_length` tokens.
    """
    query_ids = question.ids[: config.max_query_length]
    head = np.array([special.cls, *query_ids, *[special.sep] * special.n_middle], dtype=np.int32)
    tail = np.array([special.sep], dtype=np.int32)
    capacity = config.max_seq_length - len(head) - len(tail)
    ranges = window_ranges(len(passage), capacity, config.doc_stride)
    contexts = max_context_ranges(ranges)
    return [
        Window(
            index=index,
            n_windows=len(ranges),
            token_start=start,
            token_end=end,
            context_start=context_start,
            context_end=context_end,
            passage_offset=len(head),
            input_ids=np.concatenate([head, passage.ids[start:end], tail]),
        )
        for index, ((start, end), (context_start, context_end)) in enumerate(zip(ranges, contexts, strict=True))
    ]


def char_range(
    text: str, passage: TokenizedText, token_start: int, token_end: int, *, whole_words: bool = False
) -> tuple[int, int]:
    """Code points [start, end) of the passage tokens `token_start` to `token_end`, both included.

    Uncased tokenizers drop combining marks, and their offsets with them: the range is drawn out over the marks that
    follow, so that an answer never ends inside a character. Tokens of bytes may be white space, which no range begins
    or ends with where there is anything else.

    Args:
        whole_words: draws the range out over the pieces of a word that stand outside it.
    """
    start = int(passage.starts[token_start])
    end = int(passage.ends[token_end])
    while end < len(text) and _is_mark(text[end]):
        end += 1
    if whole_words:
        while 0 < start < len(text) and _is_inside_word(text, start):
            start -= 1
        while 0 < end < len(text) and _is_inside_word(text, end):
            end += 1
    if inside := text[start:end].strip():
        start += text[start:end].index(inside)
        end = start + len(inside)
    return start, max(start, end)


def _is_inside_word(text: str, position: int) -> bool:
    """Whether BERT's tokenizer can split here only between the pieces of a word."""
    return all(
        (char.isalnum() or _is_mark(char)) and not _stands_alone(char) for char in text[position - 1 : position + 1]
    )


def _is_mark(char: str) -> bool:
    """Accents, vowel signs, variation selectors: what belongs to the character before it."""
    return unicodedata.category(char).startswith("M")


def _stands_alone(char: str) -> bool:
    """Ideographs, each of which BERT's tokenizer makes a word of its own."""
    code = ord(char)
    return (
        0x3400 <= code <= 0x4DBF or 0x4E00 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x2FA1F
    )
