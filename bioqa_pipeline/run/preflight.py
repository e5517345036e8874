"""Settings into what a run starts with, so that what is wrong with them is said before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bioqa_pipeline.config import ModelConfig, RunConfig
from bioqa_pipeline.errors import InputError
from bioqa_pipeline.qa.checkpoint import Checkpoint, open_checkpoint
from bioqa_pipeline.qa.devices import resolve_device, resolve_precision
from bioqa_pipeline.qa.engines import resolve_engine
from bioqa_pipeline.questions.files import QuestionFile, read_questions
from bioqa_pipeline.questions.query_lint import query_problems

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


@dataclass(frozen=True, slots=True)
class Preflight:
    """What can be checked before anything is started."""

    questions: QuestionFile
    checkpoint: Checkpoint
    threshold: float

    def introduction(self) -> Iterator[str]:
        """What is asked, line by line."""
        path, merged = self.questions.path, self.questions.merged
        for question in merged[:SAID]:
            dropped = f", the ids {_first(question.dropped_ids)} are not used" if question.dropped_ids else ""
            lines = _first(question.lines)
            yield f"{path}: asked on lines {lines}, answered once as {question.id}{dropped}: {question.text}"
        if len(merged) > SAID:
            yield f"{path}: {len(merged):,} questions are asked more than once, of which the first {SAID} are named"
        yield f"{len(self.questions.questions):,} questions; model {self.checkpoint.description}"


def _first(names: Sequence[object]) -> str:
    more = f" and {len(names) - SAID:,} more" if len(names) > SAID else ""
    return ", ".join(map(str, names[:SAID])) + more


def preflight(config: RunConfig) -> Preflight:
    """Reads the questions and opens the checkpoint, so that what is wrong with them is said at once.

    Raises:
        InputError: the file of questions.
        CheckpointError: the model.
        ConfigError: device or precision.
    """
    questions = read_questions(config.questions)
    for question in questions.questions:
        if question.query is not None and (problems := query_problems(question.query)):
            raise InputError(f"the query of this question: {'; '.join(problems)}", questions.path, question.line)
    if config.runner == "local":
        resolve_model(config.model)
    checkpoint = open_checkpoint(config.model.name, casing=config.model.casing)
    checkpoint.check_windows(checkpoint.settings.windows)
    threshold = checkpoint.settings.score_diff_threshold if config.threshold is None else config.threshold
    return Preflight(questions=questions, checkpoint=checkpoint, threshold=threshold)
