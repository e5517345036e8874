"""Batches into start and end logits on one device, and windows into scores.

Logits leave this module as float32 arrays, whatever the network runs in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.qa.batching import make_batches
from bioqa_pipeline.qa.spans import Decoded, decode, window_scores
from bioqa_pipeline.records.scores import Batch, FloatArray, Window, WindowScore

# Tokens of a batch, padding included: enough to fill the device, few enough to keep padding and memory low.
TOKEN_BUDGETS = {"cpu": 2048, "cuda": 32768, "mps": 8192}


@dataclass(frozen=True, slots=True)
class ScorerInfo:
    """What runs where; `precision` is resolved, never "auto".

    Attributes:
        token_budget: tokens of a batch, padding included, at most.
        max_length: tokens of a window, padding included, at most.
        fixed_rows: whether all batches of a length need the same number of rows to give the same bits.
        lanes: batches that are computed side by side.
    """

    device: str
    precision: str
    engine: str
    token_budget: int
    pad_id: int
    max_length: int
    fixed_rows: bool = False
    lanes: int = 1


class Scorer(ABC):
    """The seam behind which engines differ; an engine is a subclass."""

    info: ScorerInfo

    @abstractmethod
    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Start and end logits, both (n_rows, length) float32; padded columns and rows hold anything."""

    def begin(self, batch: Batch, windows: Sequence[Window], config: SpanConfig) -> Callable[[], Decoded]:
        """Starts a batch of these windows, in row order; what is returned waits for its spans and null scores.

        Raises:
            NonFiniteLogitError: a logit of a real token is not finite; here or by what is returned.
        """
        start, end = self.logits(batch)
        decoded = decode(start[: len(windows)], end[: len(windows)], windows, config)
        return lambda: decoded


def batches_of(windows: Sequence[Window], info: ScorerInfo) -> Iterator[Batch]:
    """The batches in which a scorer takes these windows."""
    return make_batches(
        windows,
        token_budget=info.token_budget,
        pad_id=info.pad_id,
        max_length=info.max_length,
        fixed_rows=info.fixed_rows,
    )


def score_windows(
    windows: Sequence[Window],
    scorer: Scorer,
    config: SpanConfig,
    *,
    on_batch: Callable[[int], None] | None = None,
) -> list[WindowScore]:
    """Scores windows in batches of one length; results in the order of `windows`.

    A batch is begun before those ahead of it are finished, so that neither a GPU nor a lane need wait. A window's
    scores have the same bits whatever else is in `windows`.

    Args:
        on_batch: called with the number of windows of each batch when it is done.

    Raises:
        NonFiniteLogitError: the model gave a logit that is not finite.
    """
    results: list[WindowScore | None] = [None] * len(windows)

    def take(begun: tuple[Batch, list[Window], Callable[[], Decoded]]) -> None:
        batch, rows, finish = begun
        for i, score in zip(batch.order, window_scores(finish(), rows), strict=True):
            results[i] = score
        if on_batch:
            on_batch(len(rows))

    ahead: deque[tuple[Batch, list[Window], Callable[[], Decoded]]] = deque()
    for batch in batches_of(windows, scorer.info):
        rows = [windows[i] for i in batch.order]
        ahead.append((batch, rows, scorer.begin(batch, rows, config)))
        if len(ahead) > 2 * scorer.info.lanes:
            take(ahead.popleft())
    while ahead:
        take(ahead.popleft())
    return [score for score in results if score is not None]
