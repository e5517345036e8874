"""Settings into what a run starts with, so that what is wrong with them is said before anything is started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bioqa_pipeline.config import ModelConfig, RunConfig, SourceKind
from bioqa_pipeline.dataset.marker import MARKER
from bioqa_pipeline.dataset.old import first_foreign, refusal
from bioqa_pipeline.errors import ConfigError, InputError
from bioqa_pipeline.messages import counted, first_few
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.devices import resolve_device, resolve_precision
from bioqa_pipeline.qa.engines import resolve_engine
from bioqa_pipeline.questions.files import QuestionFile, read_questions
from bioqa_pipeline.questions.kinds import asks_yes_or_no
from bioqa_pipeline.questions.notes import named_lines
from bioqa_pipeline.questions.query_lint import query_problems
from bioqa_pipeline.questions.terms import question_words
from bioqa_pipeline.records.texts import Question
from bioqa_pipeline.run.long_questions import long_question_notes
from bioqa_pipeline.storage.places import storage_at
from bioqa_pipeline.storage.uri import ObjectUri

# Lines that say one thing, and names in a line; more of them are a number.
SAID = 20


def resolve_model(model: ModelConfig) -> ModelConfig:
    """Device and precision as they are on this machine.

    Raises:
        ConfigError: this machine has no such device, or the device no such precision or engine.
    """
    device = resolve_device(model.device)
    precision = resolve_precision(model.precision, device)
    resolve_engine(model.engine, device, n_pairs=0)
    return model.changed(device=device, precision=precision)


def check_place(out: Path | ObjectUri) -> None:
    """Says before anything is started that no data set can be made or added to in this folder; of an object store the
    run itself finds out.

    Raises:
        ConfigError: it is no folder, cannot be written, or holds something else.
    """
    if isinstance(out, ObjectUri):
        return
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"`out {out}`: {there} is not a folder; a data set lies in a folder of its own")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"`out {out}`: {there} cannot be written to")
    if there == out.absolute():
        storage = storage_at(out)
        names = storage.list("")
        if MARKER not in names and (foreign := first_foreign(names)):
            raise ConfigError(f"`out {out}`: {refusal(storage, foreign, for_run=True)}")


@dataclass(frozen=True, slots=True)
class Preflight:
    """What can be checked before anything is started.

    Attributes:
        notes: what the user should know of how the questions were read, in words.
    """

    questions: QuestionFile
    checkpoint: Checkpoint
    threshold: float
    notes: tuple[str, ...] = ()

    def introduction(self) -> Iterator[str]:
        """What is asked, line by line."""
        path, merged = self.questions.path, self.questions.merged
        for question in merged[:SAID]:
            dropped = f", the ids {first_few(question.dropped_ids, SAID)} are not used" if question.dropped_ids else ""
            lines = first_few(question.lines, SAID)
            yield f"{path}: asked on lines {lines}, answered once as {question.id}{dropped}: {question.text}"
        if len(merged) > SAID:
            yield f"{path}: {len(merged):,} questions are asked more than once, of which the first {SAID} are named"
        yield from (f"{path}: {note}" for note in self.notes)
        yield f"{counted(len(self.questions.questions), 'question')}; model {self.checkpoint.description}"


def preflight(config: RunConfig) -> Preflight:
    """Reads the questions and opens the checkpoint, so that what is wrong with them is said at once.

    Raises:
        InputError: the file of questions.
        CheckpointError: the model.
        ConfigError: device or precision.
    """
    questions, notes = _with_queries(read_questions(config.questions), config.source.kind)
    if config.runner == "local":
        resolve_model(config.model)
    checkpoint = open_checkpoint(config.model.name, casing=config.model.casing)
    checkpoint.check_windows(checkpoint.settings.windows)
    cut = long_question_notes(questions.questions, checkpoint.tokenizer(), checkpoint.settings.windows.max_query_length)
    if cut and config.long_questions == "refuse":
        raise InputError(f"{cut[0]}; shorten them, or set `long_questions ask`", questions.path)
    threshold = checkpoint.settings.score_diff_threshold if config.threshold is None else config.threshold
    filtered = config.source.filters().notes(by_pubmed=config.source.kind == "pubmed")
    yes_no = [question for question in questions.questions if asks_yes_or_no(question.text)]
    unsaid = [
        f"not answered: yes/no questions, for which a quotation says neither; their evidence is shown: {_lines(yes_no)}"
    ]
    all_notes = (*questions.notes, *notes, *cut, *filtered, *unsaid[: len(yes_no)])
    return Preflight(questions=questions, checkpoint=checkpoint, threshold=threshold, notes=all_notes)


def _with_queries(file: QuestionFile, source: SourceKind) -> tuple[QuestionFile, list[str]]:
    """The questions with what is sent to PubMed for those that are queries themselves, and what to say of it.

    Raises:
        InputError: a query that PubMed would misread, or that this source cannot be asked.
    """
    given = [question for question in file.questions if question.query is not None]
    pasted = [question for question in file.questions if question.id in file.pasted]
    notes = []
    if source == "pubmed" and pasted:
        # The questions as they are: the words of a query are what the model reads.
        as_queries = {q.id: replace(q, query=q.text) for q in pasted}
        file = replace(file, questions=tuple(as_queries.get(q.id, q) for q in file.questions))
        given += as_queries.values()
        notes.append(
            f"PubMed queries in the place of questions, sent as they are: {_lines(pasted)}. The model is asked the "
            "same words: for better answers write a table with the columns question and query"
        )
    elif pasted:
        notes.append(
            f"PubMed queries in the place of questions: {_lines(pasted)}. Source {source} looks for their words; "
            "source pubmed sends them as queries"
        )
    blind = [q for q in file.questions if q.query is None and any(w.is_stop_word for w in question_words(q.text))]
    if source == "pubmed" and blind:
        notes.append(
            "names in capitals that PubMed, which knows no capitals, finds as everyday words (ALL, WHO): "
            f"{_lines(blind)}; write the full name, or give a query"
        )
    if given and source in ("pmids", "files"):
        notes.append(f"queries that are not sent, for source {source} asks of its whole list: {_lines(given)}")
    for question in given:
        if problems := query_problems(question.query or ""):
            raise InputError(f"the query of this question: {'; '.join(problems)}", file.path, question.line)
        if source in ("sample", "medline"):
            raise InputError(
                f"a query in PubMed's syntax can be sent to PubMed only, and source {source} searches by itself: leave "
                "the query out, or take source pubmed",
                file.path,
                question.line,
            )
    return file, notes


def _lines(questions: Sequence[Question]) -> str:
    return named_lines([(question.line or 0, question.text) for question in questions])
