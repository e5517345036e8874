"""Two runs of a data set into what the later one says otherwise, or by other records, by their summaries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.messages import counted
from bioqa_pipeline.qa.merge_key import answer_key
from bioqa_pipeline.records.scores import AnswerOutcome
from bioqa_pipeline.report.runs import only_newest, read_manifest
from bioqa_pipeline.report.unanswered import FAILED, without_answer


@dataclass(frozen=True, slots=True)
class Difference:
    """One question that two runs answer otherwise, or the same by other records.

    Attributes:
        before, now: the best answers, or in words why a run has none.
        new, gone: answers that only the later run has, and only the earlier one.
        retracted: PMIDs of the earlier run's support that were retracted since.
        best_pmids: the best abstracts, of the earlier run and the later, where they differ for the same best answer.
    """

    question: str
    before: str
    now: str
    new: tuple[str, ...]
    gone: tuple[str, ...]
    retracted: tuple[int, ...]
    best_pmids: tuple[int, int] | None

    @property
    def is_otherwise(self) -> bool:
        """Whether an answer is another, and not only what it rests on."""
        return bool(self.new or self.gone) or self.before != self.now

    def lines(self) -> list[str]:
        """For a terminal."""
        lines = ["", self.question]
        if self.before != self.now:
            lines.append(f"  best  {self.before} -> {self.now}")
        lines += [f"  new   {answer}" for answer in self.new]
        lines += [f"  gone  {answer}" for answer in self.gone]
        if self.retracted:
            lines.append(f"  support retracted: {', '.join(map(str, self.retracted))}")
        if self.best_pmids:
            lines.append(f"  best abstract now {self.best_pmids[1]}, was {self.best_pmids[0]}")
        return lines


_READ = (
    *("question_id", "question", "rank", "answer", "outcome", "n_abstracts"),
    *("best_pmid", "support_pmids", "retracted_pmids"),
)


@dataclass(slots=True)
class _Asked:
    """What one run says to a question: its answers by their merge keys, best first, or in words why it has none."""

    why: str = "not asked"
    answers: dict[str, str] = field(default_factory=dict)
    best_pmid: int | None = None
    support: set[int] = field(default_factory=set)
    retracted: set[int] = field(default_factory=set)


def compare_runs(dataset: Dataset, earlier: str, later: str) -> list[str]:
    """What differs, in lines for a terminal.

    Raises:
        ConfigError: a run has no manifest.
    """
    manifests = [read_manifest(dataset, run_id) for run_id in (earlier, later)]
    lines = [
        f"{run.run_id}: {run.started_at:%Y-%m-%d %H:%M} UTC, {counted(run.n_questions, 'question')}"
        for run in manifests
    ]
    lines += [f"note: run {run.run_id} asked only the newest records" for run in manifests if only_newest(run)]
    for what, values in (
        ("model", [run.model.get("name") for run in manifests]),
        ("threshold", [run.config.get("threshold") for run in manifests]),
    ):
        if values[0] != values[1]:
            lines.append(f"{what}: {values[0]} -> {values[1]}")
    differences = list(_differences(*(dataset.run_summary(run_id) for run_id in (earlier, later))))
    for difference in differences:
        lines += difference.lines()
    n_retracted = sum(bool(difference.retracted) for difference in differences)
    n_best = sum(difference.best_pmids is not None for difference in differences)
    said = [f"{counted(sum(d.is_otherwise for d in differences), 'question')} answered otherwise"]
    said += [f"{n_retracted:,} with support retracted since"] * bool(n_retracted)
    said += [f"{n_best:,} with another best abstract"] * bool(n_best)
    return [*lines, "", ", ".join(said)]


def _differences(before: pl.DataFrame, now: pl.DataFrame) -> Iterator[Difference]:
    found = [_by_question(frame) for frame in (before, now)]
    for key in dict.fromkeys([*found[1], *found[0]]):
        old, new = (asked.get(key) or _Asked() for asked in found)
        same_best = next(iter(old.answers), None) == next(iter(new.answers), None)
        best = next(iter(old.answers.values()), old.why)
        # Of a search that failed nobody knows what it would have found.
        failed = any(asked.why.startswith(FAILED) for asked in (old, new))
        other_pmids = None
        if same_best and old.best_pmid != new.best_pmid and old.best_pmid is not None and new.best_pmid is not None:
            other_pmids = old.best_pmid, new.best_pmid
        difference = Difference(
            question=key[1],
            before=best,
            now=best if same_best else next(iter(new.answers.values()), new.why),
            new=() if failed else tuple(text for k, text in new.answers.items() if k not in old.answers),
            gone=() if failed else tuple(text for k, text in old.answers.items() if k not in new.answers),
            retracted=tuple(sorted((new.retracted - old.retracted) & old.support)),
            best_pmids=other_pmids,
        )
        if difference.is_otherwise or difference.retracted or other_pmids:
            yield difference


def _by_question(summary: pl.DataFrame) -> dict[tuple[str, str], _Asked]:
    found: dict[tuple[str, str], _Asked] = {}
    for row in summary.select(_READ).sort("question_id", "rank").iter_rows(named=True):
        answer, outcome = row["answer"], AnswerOutcome(row["outcome"] or AnswerOutcome.NO_ANSWER)
        asked = found.setdefault((row["question_id"], row["question"]), _Asked(why="", best_pmid=row["best_pmid"]))
        asked.support |= {*(row["support_pmids"] or ())}
        asked.retracted |= {*(row["retracted_pmids"] or ())}
        if answer is not None:
            asked.answers.setdefault(answer_key(answer), answer)
        else:
            has_evidence = row["best_pmid"] is not None
            asked.why = without_answer(outcome, row["n_abstracts"], has_evidence=has_evidence)
    return found
