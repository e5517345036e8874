"""A checkpoint and a SQuAD file into an evaluation on disk. Knows nothing about Prefect, terminals or arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bioqa_pipeline.config import ModelConfig, ScoringConfig
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.evaluation.evaluate import Evaluation, evaluate, write_evaluation
from bioqa_pipeline.evaluation.page import write_report
from bioqa_pipeline.evaluation.squad import read_squad
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.scoring import PairScorer


def evaluate_checkpoint(
    dataset: Path,
    model: ModelConfig,
    *,
    threshold: float | None = None,
    out: Path | None = None,
    on_questions: Callable[[int], None] | None = None,
) -> Evaluation:
    """Scores a checkpoint on a SQuAD file.

    Args:
        threshold: on score_diff; None takes the checkpoint's own.
        out: folder for table, predictions and plots; None writes nothing.
        on_questions: called with the number of questions of each part when it is done.

    Raises:
        InputError, CheckpointError, ConfigError: data set, checkpoint or device cannot be used.
        DatasetError: `out` cannot be written.
    """
    paragraphs = read_squad(dataset)
    checkpoint = open_checkpoint(model.name, casing=model.casing)
    settings = checkpoint.settings
    n_pairs = sum(len(p.questions) for p in paragraphs)
    scorer = load_scorer(
        checkpoint, device=model.device, precision=model.precision, engine=model.engine, n_pairs=n_pairs
    )
    pairs = PairScorer(
        scorer,
        checkpoint.tokenizer(),
        ScoringConfig(windows=settings.windows),
        threshold=settings.score_diff_threshold if threshold is None else threshold,
        calibration=settings.calibration,
    )
    name = f"{checkpoint.description}, {scorer.info.engine} {scorer.info.precision} on {scorer.info.device}"
    found = evaluate(paragraphs, pairs, dataset=str(dataset), model=name, on_questions=on_questions)
    if out is not None:
        save_evaluation(found, out)
    return found


def save_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Table, predictions and the page of plots.

    Raises:
        DatasetError: the folder cannot be written.
    """
    try:
        write_evaluation(evaluation, out)
        write_report(evaluation, out / "report.html")
    except OSError as exc:
        raise DatasetError(f"{out} cannot be written: {exc}") from exc
