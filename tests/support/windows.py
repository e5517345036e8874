"""Windows, their scores and answers one by one, in place of the columns in which the pipeline has them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from bioqa_pipeline.config import SpanConfig, WindowConfig
from bioqa_pipeline.qa import batching, inference, spans, windows
from bioqa_pipeline.qa.answers import answer_pairs
from bioqa_pipeline.qa.calibration import Calibration
from bioqa_pipeline.qa.char_ranges import CharRanges, char_bounds
from bioqa_pipeline.qa.inference import Scorer
from bioqa_pipeline.records.scores import (
    Batch,
    FloatArray,
    PassageAnswer,
    SpecialIds,
    TokenizedText,
    Window,
    Windows,
    WindowScores,
)
from bioqa_pipeline.records.texts import Passage


@dataclass(frozen=True, slots=True)
class Span:
    """A span of passage tokens, both ends included, as one window scored it."""

    window_index: int
    token_start: int
    token_end: int
    score: float
    log_prob: float


@dataclass(frozen=True, slots=True)
class WindowScore:
    """What one window says; `best` is None where it holds no valid span."""

    null_score: float
    null_log_prob: float
    span_logsumexp: float
    margin: float
    best: Span | None
    n_best: tuple[Span, ...]


def make_windows(
    question: TokenizedText, passage: TokenizedText, special: SpecialIds, config: WindowConfig
) -> list[Window]:
    """All windows of one pair."""
    only = np.zeros(1, dtype=np.int64)
    made = windows.make_windows([question], [passage], only, only, special, config)
    assert (made.pair == 0).all()
    return [made[i] for i in range(len(made))]


def columns_of_windows(some: Sequence[Window]) -> Windows:
    """Some windows of any pairs, each as if of a pair of its own."""
    names = [f.name for f in fields(Window) if f.name != "input_ids"]
    columns = {name: np.array([getattr(w, name) for w in some], dtype=np.int64) for name in names}
    lengths = np.array([len(w) for w in some], dtype=np.int64)
    head = np.cumsum(lengths) - lengths
    return Windows(
        **columns,
        pair=np.arange(len(some)),
        head=head,
        passage=head + columns["passage_offset"] - columns["token_start"],
        ids=np.concatenate([np.zeros(0, dtype=np.int32), *(w.input_ids for w in some)]),
        sep=int(some[0].input_ids[-1]) if some else 0,
    )


def make_batches(
    some: Sequence[Window], *, token_budget: int, pad_id: int, max_length: int, fixed_rows: bool = False
) -> Iterator[Batch]:
    return batching.make_batches(
        columns_of_windows(some), token_budget=token_budget, pad_id=pad_id, max_length=max_length, fixed_rows=fixed_rows
    )


def pack_windows(some: Sequence[Window], *, token_budget: int, most_windows: int, pad_id: int) -> Iterator[Batch]:
    return batching.pack_windows(
        columns_of_windows(some), token_budget=token_budget, most_windows=most_windows, pad_id=pad_id
    )


def batches_of(some: Sequence[Window], scorer: Scorer) -> Iterator[Batch]:
    return scorer.batches(columns_of_windows(some))


def pad_batch(some: Sequence[Window], order: Sequence[int], *, pad_id: int, length: int | None = None) -> Batch:
    return batching.pad_windows(columns_of_windows(some), np.array(order), pad_id=pad_id, length=length)


def decode(start: FloatArray, end: FloatArray, some: Sequence[Window], config: SpanConfig) -> WindowScores:
    return spans.decode([(start, end)], spans.window_columns(columns_of_windows(some)), config)


def score_windows(some: Sequence[Window], scorer: Scorer, config: SpanConfig) -> list[WindowScore]:
    return window_scores(inference.score_windows(columns_of_windows(some), scorer, config), some)


def window_scores(scores: WindowScores, some: Sequence[Window]) -> list[WindowScore]:
    """One object a window."""
    found = []
    for row, window in enumerate(some):
        columns = zip(scores.starts[row], scores.ends[row], scores.scores[row], scores.log_probs[row], strict=True)
        kept = [(int(a), int(b), float(s), float(p)) for a, b, s, p in columns if s > -np.inf]
        n_best = tuple(Span(window.index, *values) for values in kept)
        numbers = (scores.null_score, scores.null_log_prob, scores.span_logsumexp, scores.margin)
        found.append(WindowScore(*(float(n[row]) for n in numbers), n_best[0] if n_best else None, n_best))
    return found


def columns_of(scores: Sequence[WindowScore]) -> WindowScores:
    """What `window_scores` made objects of."""
    most = max((len(s.n_best) for s in scores), default=0) or 1

    def numbers(name: str) -> FloatArray:
        return np.array([getattr(s, name) for s in scores], dtype=np.float32)

    def per_span(name: str, kind: Any, filler: float) -> Any:
        rows = [[getattr(n, name) for n in s.n_best] + [filler] * (most - len(s.n_best)) for s in scores]
        return np.array(rows, dtype=kind).reshape(-1, most)

    return WindowScores(
        *(numbers(name) for name in ("null_score", "null_log_prob", "span_logsumexp", "margin")),
        per_span("token_start", np.int64, 0),
        per_span("token_end", np.int64, 0),
        per_span("score", np.float32, -math.inf),
        per_span("log_prob", np.float32, -math.inf),
    )


def answer_passage(
    scores: Sequence[WindowScore],
    passage: Passage,
    tokens: TokenizedText,
    config: SpanConfig,
    *,
    threshold: float,
    calibration: Calibration | None,
) -> PassageAnswer:
    """The answer of one pair, whose windows said this; those that say no span of theirs have any."""
    n = len(scores)
    own = [Window(i, n, 0, 0, 0, 0, 1, np.zeros(2, dtype=np.int32)) for i in range(n)]
    found = answer_pairs(
        replace(columns_of_windows(own), pair=np.zeros(n, dtype=np.int64)),
        columns_of(scores),
        [passage.text],
        CharRanges(char_bounds([passage.text], [tokens])),
        np.zeros(1, dtype=np.int64),
        config,
        threshold=threshold,
        calibration=calibration,
    )
    return found.answer(0)


def char_range(
    text: str, tokens: TokenizedText, token_start: int, token_end: int, *, whole_words: bool = False
) -> tuple[int, int]:
    """Code points of the tokens `token_start` to `token_end`, both included."""
    places = (np.array([place]) for place in (0, token_start, token_end))
    start, end = CharRanges(char_bounds([text], [tokens])).of(*places, whole_words=whole_words)
    return int(start[0]), int(end[0])
