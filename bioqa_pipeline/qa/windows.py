"""(question, passage) pairs into windows of at most `max_seq_length` tokens, all pairs together, as arrays.

The layout is that of google-research/bert `run_squad.py`: `[CLS] question [SEP] window [SEP]`, by RoBERTa's tokens
`<s> question </s></s> window </s>`, windows starting every `doc_stride` passage tokens until one reaches the end. Knows
nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.records.scores import Places, SpecialIds, TokenizedText, Windows


def make_windows(
    questions: Sequence[TokenizedText],
    passages: Sequence[TokenizedText],
    asked: Places,
    read: Places,
    special: SpecialIds,
    config: WindowConfig,
) -> Windows:
    """All windows of all pairs; at least one a pair, also for a passage without tokens.

    Pair i asks `questions[asked[i]]` of `passages[read[i]]`. A question is cut at `max_query_length` tokens.
    """
    heads = [
        [special.cls, *q.ids[: config.max_query_length].tolist(), *[special.sep] * special.n_middle] for q in questions
    ]
    pieces = [np.array(head, dtype=np.int32) for head in heads] + [passage.ids for passage in passages]
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    first = np.cumsum(lengths) - lengths
    offset, n_tokens = lengths[asked], lengths[len(heads) + read]
    capacity = config.max_seq_length - offset - 1
    n_windows = 1 + np.maximum(0, -(-(n_tokens - capacity) // config.doc_stride))
    pair = np.repeat(np.arange(len(n_windows)), n_windows)
    index = np.arange(len(pair)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    start = index * config.doc_stride
    end = np.minimum(start + capacity[pair], n_tokens[pair])
    context_start = _context_starts(index, n_windows[pair], start, end, capacity[pair], config.doc_stride)
    context_end = np.where(index + 1 < n_windows[pair], np.append(context_start[1:], 0), end)
    return Windows(
        pair=pair,
        index=index,
        n_windows=n_windows[pair],
        token_start=start,
        token_end=end,
        context_start=context_start,
        context_end=context_end,
        passage_offset=offset[pair],
        head=first[asked][pair],
        passage=first[len(heads) + read][pair],
        ids=np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32),
        sep=special.sep,
    )


def _context_starts(
    index: Places, n_windows: Places, start: Places, end: Places, capacity: Places, stride: int
) -> Places:
    """The first token of a passage that each window owns: for which it has more context than those before it.

    The context of token t in window [a, b) is `min(t - a, b - 1 - t) + 0.01 * (b - a)` (`token_is_max_context` of
    run_squad); the first window wins ties. Window starts and ends grow together, so any two windows change places once,
    and those of one length in the middle of what they share. The last one can be shorter.
    """
    owned = np.where(index > 0, start - stride + (stride + capacity - 1) // 2 + 1, 0)
    last = np.flatnonzero((index > 0) & (index + 1 == n_windows))
    if len(last):
        # Tokens of the window before, counted from its start; rounding can make two equal contexts win in turns, as in
        # run_squad: from its first token on, the last one wins.
        token = np.arange(stride, capacity[last].max(initial=stride))
        full, short = capacity[last, None], (end - start)[last, None]
        context = np.minimum(token, full - 1 - token) + 0.01 * full
        wins = np.minimum(token - stride, stride + short - 1 - token) + 0.01 * short > context
        wins |= token >= full
        found = np.where(wins.any(axis=1), wins.argmax(axis=1) + stride, capacity[last]) if len(token) else stride
        owned[last] = start[last] - stride + found
    return owned
