"""Two runs of a data set into what the later one says otherwise, by their summaries, question by question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.messages import counted
from bioqa_pipeline.qa.merge_key import answer_key
from bioqa_pipeline.records.scores import AnswerOutcome
from bioqa_pipeline.report.runs import only_newest, read_manifest
from bioqa_pipeline.report.unanswered import FAILED, without_answer


@dataclass(frozen=True, slots=True)
class Difference:
    """One question that two runs answer otherwise.

    Attributes:
        before, now: the best answers, or in words why a run has none.
        new, gone: answers that only the later run has, and only the earlier one.
    """

    question: str
    before: str
    now: str
    new: tuple[str, ...]
    gone: tuple[str, ...]


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
        lines += ["", difference.question]
        if difference.before != difference.now:
            lines.append(f"  best  {difference.before} -> {difference.now}")
        lines += [f"  new   {answer}" for answer in difference.new]
        lines += [f"  gone  {answer}" for answer in difference.gone]
    return [*lines, "", f"{counted(len(differences), 'question')} answered otherwise"]


def _differences(before: pl.DataFrame, now: pl.DataFrame) -> Iterator[Difference]:
    found = [_by_question(frame) for frame in (before, now)]
    for key in dict.fromkeys([*found[1], *found[0]]):
        (old, was), (new, has) = (asked.get(key, ({}, "not asked")) for asked in found)
        same_best = next(iter(old), None) == next(iter(new), None)
        best = next(iter(old.values()), was)
        # Of a search that failed nobody knows what it would have found.
        failed = any(words.startswith(FAILED) for words in (was, has))
        added = () if failed else tuple(text for k, text in new.items() if k not in old)
        gone = () if failed else tuple(text for k, text in old.items() if k not in new)
        if added or gone or not same_best:
            yield Difference(key[1], best, best if same_best else next(iter(new.values()), has), added, gone)


def _by_question(summary: pl.DataFrame) -> dict[tuple[str, str], tuple[dict[str, str], str]]:
    """The answers of each question by their merge keys, best first, and in words why it has none."""
    found: dict[tuple[str, str], tuple[dict[str, str], str]] = {}
    rows = summary.filter(pl.col("outcome").is_null() | (pl.col("outcome") != AnswerOutcome.EVIDENCE_ONLY.value))
    columns = ("question_id", "question", "answer", "outcome", "n_abstracts")
    for question_id, question, answer, outcome, n_abstracts in rows.sort("question_id", "rank").select(columns).rows():
        why = ""
        if answer is None:
            why = without_answer(AnswerOutcome(outcome or AnswerOutcome.NO_ANSWER), n_abstracts, has_evidence=False)
        answers, _ = found.setdefault((question_id, question), ({}, why))
        if answer is not None:
            answers.setdefault(answer_key(answer), answer)
    return found
