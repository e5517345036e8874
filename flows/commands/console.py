"""What a user sees: progress on standard error, results on standard output."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from bioqa_pipeline.dataset.manifest import shortened
from bioqa_pipeline.dataset.schemas import RUNS
from bioqa_pipeline.html.page import duration
from bioqa_pipeline.messages import counted, shown
from bioqa_pipeline.notify.news import why
from bioqa_pipeline.qa.calibration import CALIBRATE, UNCALIBRATED
from bioqa_pipeline.records.scores import MergedAnswer
from bioqa_pipeline.report.delta import Delta
from bioqa_pipeline.report.unanswered import accounted, best_words, listed
from bioqa_pipeline.report.words import PROBABILITY, statuses, weighed
from bioqa_pipeline.run.progress import Progress, Reporter, progress_text
from bioqa_pipeline.run.records import RunResult
from bioqa_pipeline.storage.uri import ObjectUri
from flows.commands.spelling import spelled

LINE_EVERY_SECONDS = 5.0
SHOWN = 10
TABLE_ROWS = 1_000
PIPE_WIDTH = 160


class TerminalReporter(Reporter):
    """Progress of long stages: a bar with rate and time left on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool = False, in_options: Callable[[str], str] = str) -> None:
        self._in_options = in_options
        self.console = Console(stderr=True, highlight=False, quiet=quiet)

    def say(self, text: str) -> None:
        """One line, at once."""
        self.console.print(escape(shown(self._in_options(text))), soft_wrap=True)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Progress]:
        """A stage of `total` steps."""
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(unit),
                RateColumn(),
                TimeRemainingColumn(),
            )
            with Bar(*columns, console=self.console) as bar:
                task = bar.add_task(name, total=total)
                yield lambda steps: bar.advance(task, steps)
        else:
            lines = LineProgress(self, name, total, unit)
            yield lines
            lines.finish()


class RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


class LineProgress:
    """A line every few seconds, for logs and pipes."""

    def __init__(self, reporter: TerminalReporter, name: str, total: int, unit: str) -> None:
        self._say = reporter.say
        self._name, self._total, self._unit = name, total, unit
        self._done = 0.0
        self._started = self._said = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, steps: float) -> None:
        with self._lock:
            self._done += steps
            now = time.monotonic()
            if now - self._said >= LINE_EVERY_SECONDS and self._done < self._total:
                self._said = now
                self._say(progress_text(self._name, self._done, self._total, self._unit, now - self._started))

    def finish(self) -> None:
        """The last line of the stage."""
        seconds = time.monotonic() - self._started
        self._say(
            f"{self._name}: {self._done:,.0f} {self._unit} in {duration(seconds)} "
            f"({self._done / max(seconds, 1e-9):,.1f}/s)"
        )


def print_answers(answers: Sequence[MergedAnswer]) -> None:
    """The best answer of every question, or of the first `TABLE_ROWS`, on standard output."""
    best = [answer for answer in answers if answer.rank == 1]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("question", ratio=5)
    table.add_column("best answer", ratio=4)
    table.add_column("probability", justify="right")
    table.add_column("support", justify="right")
    table.add_column("PMID", justify="right")
    for answer in best[:TABLE_ROWS]:
        n_retracted = len(answer.retracted_pmids)
        support = answer.support + f", {n_retracted:,} retracted" * bool(n_retracted)
        if answer.answer is None:
            words = f"[dim]{escape(best_words(answer))}[/dim]"
            table.add_row(escape(answer.question), words, "", support, str(answer.best_pmid or ""))
            continue
        retracted = " (retracted)" if answer.best_pmid in answer.retracted_pmids else ""
        table.add_row(
            escape(answer.question),
            escape(answer.answer),
            weighed(answer.answerability),
            support,
            f"{answer.best_pmid}{retracted}",
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        # A pipe has no width: wide enough for whole questions, so that grep finds them.
        console = Console(highlight=False, width=PIPE_WIDTH)
    console.print(table)
    if any(answer.answer is not None and answer.answerability is not None for answer in best):
        console.print(PROBABILITY)
    if len(best) > TABLE_ROWS:
        console.print(f"… and {len(best) - TABLE_ROWS:,} more questions; all of them are in the data set")


def print_changes(result: RunResult, out: Path | ObjectUri) -> None:
    """What a run changed and what failed; nothing of one that is like the run before."""
    changed = _changed(result.delta) if result.delta and result.delta.counts else []
    if lines := [*changed, *_failed(result)]:
        _write([*lines, *_where(result, out)])


def print_outcome(result: RunResult, out: Path | ObjectUri) -> None:
    """Counts, what was skipped and why, what failed, and the path written; on standard output."""
    manifest = result.manifest
    best = [a for a in result.answers if a.rank == 1]
    lines = [
        "".join(accounted((a.outcome for a in best), manifest.n_questions)),
        f"scored {manifest.n_scored:,} new pairs, reused {manifest.n_reused:,}, failed {manifest.n_failed:,}",
        f"abstracts: {statuses(manifest.statuses)}",
    ]
    lines += _changed(result.delta) if result.delta else []
    for words, asked in listed(best):
        lines.append(f"{words}, for {counted(len(asked), 'question')}:")
        lines += _first(asked)
    lines += _failed(result)
    if any(answer.is_uncalibrated for answer in result.answers):
        lines.append(uncalibrated_note(manifest.model["name"]))
    _write([*lines, *_where(result, out)])


def _failed(result: RunResult) -> list[str]:
    failures = result.failures
    head = f"{counted(len(failures), 'failure')}; the next run tries again:"
    return [head, *_first(failures)] if failures else []


def _where(result: RunResult, out: Path | ObjectUri) -> list[str]:
    manifest = result.manifest
    page = f"{out}/{RUNS}/{manifest.run_id}.html"
    if not result.has_page:
        page = f"none; make it with python -m flows.report --data-set {out}"
    return [f"data set: {out}  (run {manifest.run_id})", f"page: {page}"]


def _write(lines: Sequence[str]) -> None:
    sys.stdout.write(spelled(shown("\n".join(lines))) + "\n")


def uncalibrated_note(model: str) -> str:
    """What is said in the place of probabilities, with the command that fits them."""
    command = f"{CALIBRATE} --model {shlex.quote(model)} --dataset FILE --out DIR"
    return UNCALIBRATED.replace(CALIBRATE, command)


def _changed(delta: Delta) -> list[str]:
    return [changed_words(delta), *_first(changed_questions(delta), delta.n_questions)]


def changed_words(delta: Delta) -> str:
    """ "changed since the run before: 2 questions (1 new, 1 changed)"."""
    if not delta.counts:
        return "nothing changed since the run before"
    return f"changed since the run before: {counted(delta.n_questions, 'question')} ({delta.counts})"


def changed_questions(delta: Delta) -> list[str]:
    """What the page's box says, by question; retractions first, for nobody may miss them."""
    asked = defaultdict[str, dict[str, None]](dict)
    for change in sorted(delta.changes, key=lambda change: not change.is_retraction):
        asked[change.question][f"{change.what}, {why(change)}"] = None
    return [f"{shortened(question)}: {'; '.join(said)}" for question, said in asked.items()]


def _first(texts: Sequence[str], n: int | None = None) -> list[str]:
    first = [f"  {shortened(text)}" for text in texts[:SHOWN]]
    n_more = (len(texts) if n is None else n) - len(first)
    return [*first, f"  … and {n_more:,} more"] if n_more > 0 else first
