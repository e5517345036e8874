"""A SQuAD file and a checkpoint, or files of predictions, into an evaluation on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bioqa_pipeline.config import ModelConfig, ScoringConfig
from bioqa_pipeline.evaluation.evaluate import Evaluation, evaluate, evaluate_predictions, gold_questions
from bioqa_pipeline.evaluation.files import check_out, read_no_answer_scores, read_predictions, write_evaluation
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
        DatasetError: `out` holds something else, or cannot be written.
    """
    if out is not None:
        check_out(out)
    paragraphs = read_squad(dataset)
    checkpoint = open_checkpoint(model.name, casing=model.casing)
    settings = checkpoint.settings
    checkpoint.check_windows(settings.windows)
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
    evaluation = evaluate(paragraphs, pairs, dataset=str(dataset), model=name, on_questions=on_questions)
    if out is not None:
        write_evaluation(evaluation, out)
    return evaluation


def evaluate_prediction_files(
    dataset: Path, predictions: Path, no_answer: Path | None, *, threshold: float = 1.0, out: Path | None = None
) -> Evaluation:
    """Scores somebody's official files on a SQuAD file.

    Args:
        no_answer: the file of no-answer scores; None scores the predictions as they are.
        threshold: on the no-answer score; 1.0 is the official default.
        out: folder for table, predictions and plots; None writes nothing.

    Raises:
        InputError: a file cannot be used, or lacks a question of the data set.
        DatasetError: `out` holds something else, or cannot be written.
    """
    if out is not None:
        check_out(out)
    paragraphs = read_squad(dataset)
    gold = gold_questions(paragraphs)
    evaluation = evaluate_predictions(
        paragraphs,
        read_predictions(predictions, gold),
        read_no_answer_scores(no_answer, gold) if no_answer else None,
        dataset=str(dataset),
        model=str(predictions),
        threshold=threshold,
    )
    if out is not None:
        write_evaluation(evaluation, out)
    return evaluation
