"""Questions into a frame of answers, for scripts and notebooks: the main job in one call."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bioqa_pipeline.config import Engine, ModelConfig, Precision, RunConfig, SourceConfig
from bioqa_pipeline.errors import BioqaError

if TYPE_CHECKING:
    import polars as pl

_MODEL, _SOURCE = ModelConfig(), SourceConfig()


class PartialAnswerError(BioqaError):
    """Parts of the run failed.

    Attributes:
        answers: what could be had, as `answer` returns it.
        failures: what failed, in words.
    """

    def __init__(self, answers: pl.DataFrame, failures: Sequence[str]) -> None:
        super().__init__(f"{len(failures)} failures: " + "; ".join(failures[:5]))
        self.answers = answers
        self.failures = tuple(failures)


def answer(
    questions: Sequence[str] | str | Path,
    *,
    source: str | None = None,
    model: str = _MODEL.name,
    out: Path | str | None = None,
    max_abstracts: int = _SOURCE.max_abstracts,
    threshold: float | None = None,
    max_answers: int = RunConfig.model_fields["max_answers"].default,
    device: str = _MODEL.device,
    precision: Precision = _MODEL.precision,
    engine: Engine = _MODEL.engine,
    workers: int = 1,
    **source_settings: Any,
) -> pl.DataFrame:
    """Asks PubMed, or another source, and returns the merged answers.

    Args:
        questions: the questions themselves, or the path of a file of questions.
        source: sample, pubmed, medline or pmids; None takes what pmids_file, medline_dir or email are for, else sample.
        model: a folder, a hub name with an optional @revision, or "embedded".
        out: the data set, in which nothing is scored twice; None keeps nothing but what is returned.
        threshold: an abstract answers where its score_diff is at most this; None takes the checkpoint's own.
        workers: processes that score; more than one needs a script with `if __name__ == "__main__":`.
        source_settings: more of `SourceConfig`, such as email, mindate, medline_dir, pmids_file.

    Returns:
        One row a (question, merged answer), in the order of the questions, with the columns of `summary` in
        docs/columns.md; a question without an answer has one row, whose `answer` is null. `Dataset(out).answers()` has
        a row for each abstract.

    Raises:
        PartialAnswerError: parts of the run failed; it holds the rest.
        BioqaError: a setting, the questions or the model cannot be used; the run cannot go on.
    """
    with TemporaryDirectory(prefix="bioqa-") as folder, _question_file(questions, Path(folder)) as file:
        values = {
            "questions": file,
            "out": Path(folder) / "answers" if out is None else out,
            "model": {"name": model, "device": device, "precision": precision, "engine": engine},
            "source": {"kind": source, "max_abstracts": max_abstracts} | source_settings,
            "threshold": threshold,
            "max_answers": max_answers,
            "workers": workers,
        }
        return _run(RunConfig.checked(values))


def _run(config: RunConfig) -> pl.DataFrame:
    import polars as pl

    from bioqa_pipeline.dataset.reader import Dataset
    from bioqa_pipeline.run.job import run_job
    from bioqa_pipeline.run.workers import Pooled, worker_count

    n_workers = worker_count(config)
    result = run_job(config, executor=Pooled(n_workers) if n_workers > 1 else None)
    answers = Dataset(config.out).summary().filter(run_id=result.manifest.run_id).collect()
    order = {question: i for i, question in enumerate(dict.fromkeys(a.question_id for a in result.answers))}
    answers = answers.sort(answers["question_id"].replace_strict(order, return_dtype=pl.Int64).alias("order"), "rank")
    if result.failures:
        raise PartialAnswerError(answers, result.failures)
    return answers


@contextmanager
def _question_file(questions: Sequence[str] | str | Path, folder: Path) -> Iterator[Path]:
    if isinstance(questions, str | Path):
        yield Path(questions)
        return
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps({"question": question}) + "\n" for question in questions), "utf-8")
    yield file
