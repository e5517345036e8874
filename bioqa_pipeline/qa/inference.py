"""Batches into start and end logits on one device, and windows into scores.

Logits leave this module as float32 arrays, whatever the network runs in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.qa.batching import make_batches
from bioqa_pipeline.qa.spans import Decoded, decode, window_scores
from bioqa_pipeline.records.scores import Batch, FloatArray, Window, WindowScore

# Tokens of a batch, padding included: enough to fill the device, few enough to keep padding and memory low.
TOKEN_BUDGETS = {"cpu": 2048, "cuda": 32768, "mps": 8192}


@dataclass(frozen=True, slots=True)
class ScorerInfo:
    """What runs where; `precision` is resolved, never "auto"."""

    device: str
    precision: str
    engine: str
    token_budget: int
    pad_id: int


class Scorer(ABC):
    """The seam behind which engines differ; an engine is a subclass."""

    info: ScorerInfo

    @abstractmethod
    def logits(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Start and end logits, both (n_windows, length) float32; padded columns hold anything."""

    def begin(self, batch: Batch, windows: Sequence[Window], config: SpanConfig) -> Callable[[], Decoded]:
        """Starts a batch of these windows, in row order; what is returned waits for its spans and null scores.

        Raises:
            NonFiniteLogitError: a logit of a real token is not finite; here or by what is returned.
        """
        decoded = decode(*self.logits(batch), windows, config)
        return lambda: decoded


def score_windows(
    windows: Sequence[Window],
    scorer: Scorer,
    config: SpanConfig,
    *,
    on_batch: Callable[[int], None] | None = None,
) -> list[WindowScore]:
    """Scores windows in length-sorted batches; results in the order of `windows`.

    A batch is begun before the one ahead of it is finished, so that a GPU need not wait.

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

    ahead = None
    for batch in make_batches(windows, token_budget=scorer.info.token_budget, pad_id=scorer.info.pad_id):
        rows = [windows[i] for i in batch.order]
        begun = batch, rows, scorer.begin(batch, rows, config)
        if ahead:
            take(ahead)
        ahead = begun
    if ahead:
        take(ahead)
    return [score for score in results if score is not None]
