"""A file of questions and a checkpoint, or files of predictions, into an evaluation on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bioqa_pipeline.config import ModelConfig, ScoringConfig, SourceConfig
from bioqa_pipeline.errors import ConfigError, InputError
from bioqa_pipeline.evaluation.beside import Comparison, compare, read_beside
from bioqa_pipeline.evaluation.bioasq import QUOTED, BioasqQuestion
from bioqa_pipeline.evaluation.bioasq_answers import answer_bioasq
from bioqa_pipeline.evaluation.bioasq_evaluate import BioasqEvaluation, judge_bioasq
from bioqa_pipeline.evaluation.bioasq_texts import Asked, documents_of, found_by, snippets_of
from bioqa_pipeline.evaluation.dataset import EvaluationSet, read_evaluation_set
from bioqa_pipeline.evaluation.evaluate import Evaluation, evaluate, evaluate_predictions
from bioqa_pipeline.evaluation.files import check_out, read_no_answer_scores, read_predictions, write_evaluation
from bioqa_pipeline.evaluation.squad import read_squad
from bioqa_pipeline.evaluation.squad_judged import gold_questions
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.sources import check_source, open_source

# Texts a question is asked of, for the choice of an engine before they are there.
TEXTS_A_QUESTION = 10


def evaluate_checkpoint(
    dataset: Path,
    model: ModelConfig,
    *,
    threshold: float | None = None,
    over: str | None = None,
    source: SourceConfig | None = None,
    beside: str | None = None,
    scoring: ScoringConfig | None = None,
    out: Path | None = None,
    on_questions: Callable[[int], None] | None = None,
) -> Evaluation | BioasqEvaluation:
    """Scores a checkpoint on a SQuAD or BioASQ file.

    Args:
        threshold: on score_diff; None takes the checkpoint's own.
        over: what BioASQ's questions are asked of: "snippets" of the file (None as well), the "documents" that it
            names, or what a "source" finds.
        source: where the documents' abstracts come from, or what is searched.
        beside: a published table or another evaluation, see `read_beside`, for the files in `out`.
        scoring: windows and spans; None takes the checkpoint's windows.
        out: folder for table, predictions and plots; None writes nothing.
        on_questions: called with the number of questions of each part when it is done.

    Raises:
        InputError, CheckpointError, ConfigError: data set, checkpoint or device cannot be used.
        SourceError: the source cannot be used.
        DatasetError: `out` holds something else, or cannot be written.
    """
    if out is not None:
        check_out(out)
    content = read_evaluation_set(dataset)
    if over and not content.questions:
        raise ConfigError(f"`over {over}` is for BioASQ's questions; those of {dataset} have their own paragraphs")
    if source is not None:
        check_source(source)
    if beside:
        _check_beside(beside, content, dataset)
    pairs, name = _pair_scorer(content, model, threshold, scoring)
    evaluation: Evaluation | BioasqEvaluation
    if content.questions:
        asked, told = _asked(content.questions, over or "snippets", source)
        started = time.perf_counter()
        answers = answer_bioasq(content.questions, asked.texts, pairs, on_questions=on_questions)
        evaluation = judge_bioasq(
            content.questions,
            answers,
            dataset=str(dataset),
            model=name,
            threshold=pairs.threshold,
            over=told,
            missing=asked.missing,
            seconds=time.perf_counter() - started,
        )
    else:
        evaluation = evaluate(content.paragraphs, pairs, dataset=str(dataset), model=name, on_questions=on_questions)
    if out is not None:
        write_evaluation(evaluation, out, comparison(evaluation, beside))
    return evaluation


def _check_beside(beside: str, content: EvaluationSet, dataset: Path) -> None:
    """Before all questions are asked, not after them."""
    if not content.has_gold:
        raise InputError("has no gold, so no figures that could stand beside others", dataset)
    found = read_beside(beside)
    if not found.figures.keys() & ({"strict_accuracy", "list_f1"} if content.questions else {"exact"}):
        kind = "BioASQ" if content.questions else "SQuAD"
        raise ConfigError(f"{beside} has no figures of a {kind} file, which {dataset} is: nothing to compare")


def comparison(evaluation: Evaluation | BioasqEvaluation, beside: str | None) -> Comparison | None:
    """The evaluation beside another one; None without one.

    Raises:
        InputError: see `read_beside` and `compare`.
    """
    return compare(evaluation.metrics, evaluation.at_zero, read_beside(beside)) if beside else None


def _pair_scorer(
    content: EvaluationSet, model: ModelConfig, threshold: float | None, scoring: ScoringConfig | None
) -> tuple[PairScorer, str]:
    """The checkpoint as the main job scores with it, and its name with what it runs on."""
    checkpoint = open_checkpoint(model.name, casing=model.casing)
    settings = checkpoint.settings
    scoring = scoring or ScoringConfig(windows=settings.windows)
    checkpoint.check_windows(scoring.windows)
    n_pairs = content.n_asked * (TEXTS_A_QUESTION if content.questions else 1)
    scorer = load_scorer(
        checkpoint, device=model.device, precision=model.precision, engine=model.engine, n_pairs=n_pairs
    )
    pairs = PairScorer(
        scorer,
        checkpoint.tokenizer(),
        scoring,
        threshold=settings.score_diff_threshold if threshold is None else threshold,
        calibration=settings.calibration,
    )
    return pairs, f"{checkpoint.description}, {scorer.info.engine} {scorer.info.precision} on {scorer.info.device}"


def _asked(questions: Sequence[BioasqQuestion], over: str, source: SourceConfig | None) -> tuple[Asked, str]:
    """The texts, and what they are in words."""
    quoted = [q for q in questions if q.type in QUOTED]
    if over == "snippets":
        return snippets_of(quoted), "the snippets of the file"
    if source is None:
        raise ConfigError(f"`over {over}` needs a source of abstracts: a folder of PubMed files, or PubMed itself")
    opened = open_source(source)
    if over == "documents":
        return documents_of(quoted, opened), f"the abstracts of the documents that the file names, from {opened.name}"
    found = found_by(quoted, opened, source.max_abstracts)
    return found, f"what {opened.name} finds, {source.max_abstracts:,} abstracts a question at most"


def evaluate_prediction_files(
    dataset: Path,
    predictions: Path,
    no_answer: Path | None,
    *,
    threshold: float = 1.0,
    beside: str | None = None,
    out: Path | None = None,
) -> Evaluation:
    """Scores somebody's official files on a SQuAD file.

    Args:
        no_answer: the file of no-answer scores; None scores the predictions as they are.
        threshold: on the no-answer score; 1.0 is the official default.
        beside: as of `evaluate_checkpoint`.
        out: folder for table, predictions and plots; None writes nothing.

    Raises:
        InputError: a file cannot be used, or lacks a question of the data set.
        DatasetError: `out` holds something else, or cannot be written.
    """
    if out is not None:
        check_out(out)
    paragraphs = read_squad(dataset, may_lack_labels=True)
    gold = gold_questions(paragraphs)
    if not gold:
        raise InputError("has no gold that predictions could be compared with", dataset)
    evaluation = evaluate_predictions(
        paragraphs,
        read_predictions(predictions, gold),
        read_no_answer_scores(no_answer, gold) if no_answer else None,
        dataset=str(dataset),
        model=str(predictions),
        threshold=threshold,
    )
    if out is not None:
        write_evaluation(evaluation, out, comparison(evaluation, beside))
    return evaluation
