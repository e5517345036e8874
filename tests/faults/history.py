"""The life of one data set through some faults, and all that was found to be wrong with it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from bioqa_pipeline.dataset.reader import Dataset
from faults.ledger import Finding, Ledger


class History:
    """What all kinds have in common.

    Attributes:
        injected: faults so far, by kind.
        findings: what must not be, each with the events before it.
    """

    def __init__(self, rng: random.Random, ledger: Ledger, dataset: Dataset) -> None:
        self.rng, self.ledger, self.dataset = rng, ledger, dataset
        self.kind = ""
        self.injected: Counter[str] = Counter()
        self.events: list[str] = []
        self.findings: list[Finding] = []
        self._n_runs = 0

    def next_run_id(self) -> str:
        self._n_runs += 1
        self.note(f"run {self._n_runs}")
        # A fault may have left this run's manifest, or not.
        self.ledger.begun.add(f"run-{self._n_runs}")
        return f"run-{self._n_runs}"

    def note(self, event: str) -> None:
        if event:
            self.events.append(event)

    def inject(self, event: str, kind: str | None = None, times: int = 1) -> None:
        """Counts a fault, of the history's own kind unless another is named."""
        self.injected[kind or self.kind] += times
        self.note(event)

    def check(self) -> None:
        """Adds what is wrong now. What is wrong once is not to be counted again and again."""
        if not self.findings:
            self.findings += self.ledger.check(self.dataset)

    def check_clean(self, names: Callable[[str], set[str]]) -> None:
        """No leftover anywhere, after a run that nothing struck."""
        foreign = {path.name for path in self.ledger.foreign}
        answers, chunks, staged = (names(folder) - foreign for folder in ("answers", "chunks", "_staging"))
        if staged or answers != chunks:
            text = f"leftovers: {staged} in _staging, {chunks ^ answers} in one of answers and chunks"
            self.findings.append(Finding("unexplained", text))
