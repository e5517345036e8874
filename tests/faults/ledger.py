"""What must be in a data set after what happened to it, and whether it is: nothing lost, doubled or unexplained.

Pairs are known by their numbers; all else of a row follows from the number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import ANSWERS

# Of a row these say when and by whom it was scored.
PROVENANCE = ("run_id", "scored_at")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be: `kind` is "lost", "doubled" or "unexplained"."""

    kind: str
    text: str


@dataclass(slots=True)
class Ledger:
    """What was promised so far.

    Attributes:
        expected: all rows that a run could ever commit, without PROVENANCE, by `pair_id`.
        windows: how many rows of chunks each pair has.
        must: pairs whose commit has returned, or that a finished run answered for.
        may: pairs in a commit that broke off.
        finished, begun: runs whose manifest was written; runs whose manifest may be there.
        foreign: files of somebody else's, by path.
        current: the runs whose current answers may be there, with None where there may be none yet; None: any run's.
    """

    expected: pl.DataFrame
    windows: dict[str, int]
    must: set[str] = field(default_factory=set)
    may: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    foreign: dict[Path, bytes] = field(default_factory=dict)
    current: set[str | None] | None = None

    def check(self, dataset: Dataset) -> list[Finding]:
        """All that is wrong for who reads the data set now."""
        if not dataset.storage.exists():
            return self._check_pairs([])
        answers = dataset.answers().collect()
        pair_ids = answers["pair_id"].to_list()
        findings = self._check_pairs(pair_ids)
        found = answers.drop(PROVENANCE).sort("pair_id")
        expected = self.expected.filter(pl.col("pair_id").is_in(found["pair_id"].implode())).sort("pair_id")
        if not any(f.kind == "doubled" for f in findings) and not found.equals(expected):
            text = f"answers are not what was committed: {found} in place of {expected}"
            findings.append(Finding("unexplained", text))
        windows = Counter(dataset.chunks().collect()["pair_id"].to_list())
        wrong = {p for p in windows.keys() | set(pair_ids) if windows[p] != self.windows.get(p) or p not in pair_ids}
        if wrong:
            findings.append(Finding("unexplained", f"chunks do not fit answers: {wrong}"))
        runs = dataset.runs()
        findings += self._check_runs(runs, answers, set(dataset.summary().collect()["run_id"].to_list()))
        of_run = dataset.current_table()[1].get("run_id")
        if of_run not in (self.current or {None, *(run.run_id for run in runs)}):
            text = f"the current answers are those of run {of_run} and not of {self.current}"
            findings.append(Finding("unexplained", text))
        return findings + self.check_foreign()

    def check_foreign(self) -> list[Finding]:
        """Files of somebody else's that are not as they were."""
        return [
            Finding("unexplained", f"{path}: somebody else's file was touched")
            for path, content in self.foreign.items()
            if not path.is_file() or path.read_bytes() != content
        ]

    def _check_pairs(self, found: Sequence[str]) -> list[Finding]:
        doubled = [f"pair {p} is there {n} times" for p, n in Counter(found).items() if n > 1]
        lost = [f"pair {p} is gone" for p in sorted(self.must - set(found))]
        strange = [f"pair {p} was never committed" for p in sorted(set(found) - self.must - self.may)]
        return [
            Finding(kind, text)
            for kind, texts in (("doubled", doubled), ("lost", lost), ("unexplained", strange))
            for text in texts
        ]

    def _check_runs(self, runs: Iterable[RunManifest], answers: pl.DataFrame, summarised: set[str]) -> list[Finding]:
        findings = []
        rows = Counter(answers["run_id"].to_list())
        known = set()
        for run in runs:
            known.add(run.run_id)
            named = sum(file.rows for file in run.files if file.path.startswith(f"{ANSWERS.name}/"))
            if run.status == "completed" and rows[run.run_id] != named:
                text = f"run {run.run_id} has {rows[run.run_id]} rows, its manifest names {named}"
                findings.append(Finding("unexplained", text))
            if run.status == "completed" and run.run_id not in summarised:
                findings.append(Finding("unexplained", f"run {run.run_id} has a manifest and no summary"))
        findings += [Finding("lost", f"the manifest of run {r} is gone") for r in sorted(self.finished - known)]
        findings += [
            Finding("unexplained", f"run {r} left a manifest or summary that it did not write")
            for r in sorted((known | summarised) - self.begun)
        ]
        findings += [
            Finding("unexplained", f"a summary of run {r}, which has no manifest") for r in sorted(summarised - known)
        ]
        return findings
