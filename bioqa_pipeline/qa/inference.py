"""Batches into start and end logits on one device, and windows into scores.

Logits leave this module as float32 arrays, whatever the network runs in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np

from bioqa_pipeline.config import SpanConfig
from bioqa_pipeline.qa.batching import make_batches
from bioqa_pipeline.qa.spans import decode, window_columns
from bioqa_pipeline.records.scores import Batch, FloatArray, Places, Windows, WindowScores

# Tokens of a batch, padding included: enough to fill the device, few enough to keep padding and memory low.
TOKEN_BUDGETS = {"cpu": 2048, "cuda": 32768, "mps": 8192}
# Windows that are decoded at once: a batch on a CPU has too few for the calls that this takes.
DECODED_AT_ONCE = 128

Logits = tuple[FloatArray, FloatArray]
# What a device made of them itself has spans.
Found = Logits | WindowScores


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

    def batches(self, windows: Windows) -> Iterator[Batch]:
        """The batches in which these windows are taken; a window's bits hang on no other."""
        return make_batches(
            windows,
            token_budget=self.info.token_budget,
            pad_id=self.info.pad_id,
            max_length=self.info.max_length,
            fixed_rows=self.info.fixed_rows,
        )

    def begin(self, batch: Batch, columns: Places, config: SpanConfig) -> Callable[[], Found]:
        """Starts a batch; what is returned waits for its logits, or for its spans and null scores.

        Args:
            columns: `spans.window_columns` of the batch's windows, in row order.

        Raises:
            NonFiniteLogitError: a logit of a real token is not finite; here or by what is returned.
        """
        found = self.logits(batch)
        return lambda: found


def score_windows(
    windows: Windows,
    scorer: Scorer,
    config: SpanConfig,
    *,
    on_batch: Callable[[int], None] | None = None,
) -> WindowScores:
    """Scores windows in batches of one length; results in the order of `windows`.

    A batch is begun before those ahead of it are finished, so that neither a GPU nor a lane need wait. A window's
    scores have the same bits whatever else is in `windows`.

    Args:
        on_batch: called with the number of windows of each batch when it is done.

    Raises:
        NonFiniteLogitError: the model gave a logit that is not finite.
    """
    results = _Results(windows, config)
    ahead: deque[tuple[Batch, Callable[[], Found]]] = deque()

    def take() -> None:
        batch, finish = ahead.popleft()
        results.add(batch, finish())
        if on_batch:
            on_batch(len(batch.order))

    for batch in scorer.batches(windows):
        ahead.append((batch, scorer.begin(batch, results.columns[batch.order], config)))
        if len(ahead) > 2 * scorer.info.lanes:
            take()
    while ahead:
        take()
    results.decode()
    return results.scores


class _Results:
    """The scores of some windows as they come, in the order of the windows."""

    def __init__(self, windows: Windows, config: SpanConfig) -> None:
        self.columns = window_columns(windows)
        self._config = config
        n, per_span = len(windows), (len(windows), config.n_best)
        null_score, null_log_prob, span_logsumexp, margin = np.empty((4, n), dtype=np.float32)
        starts, ends = np.empty((2, *per_span), dtype=np.int64)
        scores, log_probs = np.empty((2, *per_span), dtype=np.float32)
        self.scores = WindowScores(null_score, null_log_prob, span_logsumexp, margin, starts, ends, scores, log_probs)
        self._waiting: list[tuple[Places, Logits]] = []
        self._n_waiting = 0

    def add(self, batch: Batch, found: Found) -> None:
        if isinstance(found, WindowScores):
            self._put(batch.order, found)
            return
        start, end = (logits[: len(batch.order)] for logits in found)
        self._waiting.append((batch.order, (start, end)))
        self._n_waiting += len(batch.order)
        if self._n_waiting >= DECODED_AT_ONCE:
            self.decode()

    def decode(self) -> None:
        """What waits."""
        if self._waiting:
            order = np.concatenate([order for order, _ in self._waiting])
            self._put(order, decode([logits for _, logits in self._waiting], self.columns[order], self._config))
            self._waiting.clear()
            self._n_waiting = 0

    def _put(self, order: Places, scores: WindowScores) -> None:
        for field in fields(WindowScores):
            getattr(self.scores, field.name)[order] = getattr(scores, field.name)[: len(order)]
