"""Labelled questions and a checkpoint into the threshold and the calibration that its `bioqa.json` holds.

How far the probabilities can be trusted is told by cross-fitting: those of each fifth of the passages come from a fit
on the other four, so that no question is judged by a fit that saw it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioqa_pipeline.config import EMBEDDED, ModelConfig, ScoringConfig
from bioqa_pipeline.errors import ConfigError, InputError
from bioqa_pipeline.evaluation.evaluate import fitted_threshold
from bioqa_pipeline.evaluation.metrics import GoldQuestion
from bioqa_pipeline.evaluation.scored import ScoredQuestion, score_paragraphs
from bioqa_pipeline.evaluation.squad import SquadParagraph, read_squad
from bioqa_pipeline.qa.calibration import (
    Calibration,
    auroc,
    brier_score,
    expected_calibration_error,
    fit_calibration,
    reliability,
)
from bioqa_pipeline.qa.checkpoint import SETTINGS_FILE, Checkpoint, CheckpointSettings, open_checkpoint
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.training.stored_settings import copy_with_settings, write_settings

FOLDS = 5
# Of either kind: three numbers fitted on fewer say more about these questions than about the model.
FEWEST_OF_A_KIND = 50


@dataclass(frozen=True, slots=True)
class Trust:
    """How far probabilities can be trusted: expected calibration error and Brier score, lower is better."""

    ece: float
    brier: float


@dataclass(frozen=True, slots=True)
class CalibratedSet:
    """One file of labelled questions.

    Attributes:
        weight: its share in the fit; the shares of all files add up to 1.
        before: by the checkpoint's own calibration; None where it had none.
        auroc: of the margin; nan where the file has one kind of question.
        after: by cross-fitting.
    """

    path: Path
    weight: float
    n_questions: int
    n_answerable: int
    auroc: float
    before: Trust | None
    after: Trust


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A checkpoint with its new settings.

    Attributes:
        before, after: the settings.
        checkpoint: as it is now.
    """

    before: CheckpointSettings
    after: CheckpointSettings
    sets: tuple[CalibratedSet, ...]
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class _Label:
    """One scored question: the numbers of its file and of its passage, what it counts for in the fit."""

    source: int
    passage: int
    weight: float
    gold: GoldQuestion
    scored: ScoredQuestion


def calibrate(
    datasets: Sequence[Path],
    model: ModelConfig,
    *,
    weights: Sequence[float] | None = None,
    out: Path | None = None,
    on_questions: Callable[[int], None] | None = None,
) -> Calibrated:
    """Fits threshold (highest F1) and calibration on labelled questions, and stores them with the checkpoint.

    Args:
        datasets: SQuAD files of questions that the model was not trained on.
        weights: what each file counts for, whatever its size; None counts all questions alike.
        out: gets a copy of the checkpoint with the new settings; None changes the model's own folder.
        on_questions: called with the number of questions of each part when it is done.

    Raises:
        ConfigError: weights that do not fit; a model that cannot be changed in place; `out` is there already.
        CheckpointError: the checkpoint cannot be used, or its new settings cannot be written.
        InputError: a file cannot be read, or there are too few questions of a kind.
    """
    _check_place(model.name, out)
    parts = [read_squad(path) for path in datasets]
    sizes = [sum(len(p.questions) for p in part) for part in parts]
    shares = _shares(sizes, weights)
    _check_questions(parts, datasets, each=weights is not None)
    checkpoint = open_checkpoint(model.name, casing=model.casing)
    # One on average.
    counts = [sum(sizes) * share / n for share, n in zip(shares, sizes, strict=True)]
    labels = _scored(parts, counts, checkpoint, model, on_questions)
    before = checkpoint.settings
    try:
        after = before.changed(score_diff_threshold=_threshold(labels), calibration=_fit(labels), note=None)
        cross_fitted = _cross_fitted(labels)
    except ValueError as exc:
        raise InputError(f"{exc} in each fifth of the passages", datasets[0]) from exc
    sets = tuple(
        _told(path, share, before.calibration, [x for x in labels if x.source == source], cross_fitted)
        for source, (path, share) in enumerate(zip(datasets, shares, strict=True))
    )
    if out is None:
        write_settings(checkpoint.folder, after)
    else:
        copy_with_settings(checkpoint, out, after)
    return Calibrated(before, after, sets, open_checkpoint(str(out or checkpoint.folder), casing=model.casing))


def _scored(
    parts: Sequence[Sequence[SquadParagraph]],
    counts: Sequence[float],
    checkpoint: Checkpoint,
    model: ModelConfig,
    on_questions: Callable[[int], None] | None,
) -> list[_Label]:
    """Every question of every file with its scores; those of one file count `counts` each."""
    windows = checkpoint.settings.windows
    checkpoint.check_windows(windows)
    n_pairs = sum(len(p.questions) for part in parts for p in part)
    scorer = load_scorer(
        checkpoint, device=model.device, precision=model.precision, engine=model.engine, n_pairs=n_pairs
    )
    pairs = PairScorer(scorer, checkpoint.tokenizer(), ScoringConfig(windows=windows), threshold=0.0, calibration=None)
    labels = []
    passages: dict[str, int] = {}
    for source, (part, count) in enumerate(zip(parts, counts, strict=True)):
        scored = iter(score_paragraphs(part, pairs, on_questions=on_questions))
        for paragraph in part:
            passage = passages.setdefault(paragraph.context, len(passages))
            for question in paragraph.questions:
                gold = GoldQuestion(f"{source}:{question.id}", tuple(a.text for a in question.answers))
                labels.append(_Label(source, passage, count, gold, next(scored)))
    return labels


def _shares(sizes: Sequence[int], weights: Sequence[float] | None) -> list[float]:
    if weights is None:
        return [n / max(1, sum(sizes)) for n in sizes]
    if len(weights) != len(sizes):
        raise ConfigError(f"{len(weights)} weights for {len(sizes)} data sets; give one for each")
    if not (math.isfinite(sum(weights)) and all(w > 0 for w in weights)):
        raise ConfigError(f"weights {', '.join(f'{w:g}' for w in weights)}: each has to be above 0, and none too large")
    return [w / sum(weights) for w in weights]


def _check_place(name: str, out: Path | None) -> None:
    """Before an hour of scoring, not after it."""
    if out is None:
        if name == EMBEDDED or not Path(name).expanduser().is_dir():
            raise ConfigError(f"{name} is not a folder of yours that could be changed in place; have a copy made")
    elif os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already and not an empty folder; give another place for the copy")


def _check_questions(parts: Sequence[Sequence[SquadParagraph]], datasets: Sequence[Path], *, each: bool) -> None:
    """Enough of either kind: in each file where files are weighed, as its share of answerable questions counts then."""
    kinds = [[not q.is_impossible for p in part for q in p.questions] for part in parts]
    together = [[answerable for part in kinds for answerable in part]]
    for answerable, path in zip(kinds if each else together, datasets, strict=each):
        n_answerable, n_all = sum(answerable), len(answerable)
        if min(n_answerable, n_all - n_answerable) < FEWEST_OF_A_KIND:
            raise InputError(
                f"{n_answerable:,} answerable and {n_all - n_answerable:,} unanswerable questions"
                f"{'' if each or len(parts) == 1 else ' in all files'}; a calibration needs at least "
                f"{FEWEST_OF_A_KIND} of either kind",
                path,
            )


def _fit(labels: Sequence[_Label]) -> Calibration:
    return fit_calibration(
        [x.scored.margin for x in labels],
        [x.scored.has_answer for x in labels],
        [x.weight for x in labels],
    )


def _threshold(labels: Sequence[_Label]) -> float:
    return fitted_threshold(
        [x.gold for x in labels],
        {x.gold.id: x.scored.best_span or "" for x in labels},
        {x.gold.id: x.scored.score_diff for x in labels},
        {x.gold.id: x.weight for x in labels},
    )


def _cross_fitted(labels: Sequence[_Label]) -> dict[str, float]:
    """Probability by question, each from a fit that saw no question of its passage."""
    found = {}
    for fold in range(FOLDS):
        fitted = _fit([x for x in labels if x.passage % FOLDS != fold])
        for x in labels:
            if x.passage % FOLDS == fold:
                found[x.gold.id] = fitted.probability(x.scored.margin, x.scored.n_windows)
    return found


def _told(
    path: Path, share: float, before: Calibration | None, own: Sequence[_Label], cross_fitted: dict[str, float]
) -> CalibratedSet:
    truth = [x.scored.has_answer for x in own]
    old = [before.probability(x.scored.margin, x.scored.n_windows) for x in own] if before else None
    return CalibratedSet(
        path=path,
        weight=share,
        n_questions=len(own),
        n_answerable=sum(truth),
        auroc=auroc([x.scored.margin for x in own], truth),
        before=_trust(old, truth) if old else None,
        after=_trust([cross_fitted[x.gold.id] for x in own], truth),
    )


def _trust(probabilities: Sequence[float], truth: Sequence[bool]) -> Trust:
    return Trust(expected_calibration_error(reliability(probabilities, truth)), brier_score(probabilities, truth))


def format_calibration(found: Calibrated) -> str:
    """The figures as text."""
    lines = [f"{'':<32}{'weight':>8}{'questions':>11}{'answerable':>12}{'auroc':>8}{'ECE':>18}{'Brier':>18}"]
    for x in found.sets:
        figures = [
            f"{'none' if old is None else f'{old:.3f}'} -> {new:.3f}"
            for old, new in (
                (x.before and x.before.ece, x.after.ece),
                (x.before and x.before.brier, x.after.brier),
            )
        ]
        share = x.n_answerable / x.n_questions
        separation = "-" if math.isnan(x.auroc) else f"{x.auroc:.3f}"
        lines.append(
            f"{x.path.name[-32:]:<32}{x.weight:>8.2g}{x.n_questions:>11,}{share:>12.0%}{separation:>8}"
            f"{figures[0]:>18}{figures[1]:>18}"
        )
    before, after = (
        f"threshold {s.score_diff_threshold:g}, "
        + ("no calibration" if s.calibration is None else ", ".join(f"{k} {v:.5g}" for k, v in s.calibration))
        for s in (found.before, found.after)
    )
    lines += [
        "ECE and Brier score: before, and after by cross-fitting (each fifth of the passages by a fit on the others)",
        f"before  {before}",
        f"now     {after}",
        f"written to {found.checkpoint.folder / SETTINGS_FILE}; to a data set this is another checkpoint "
        f"({found.checkpoint.digest[:12]}), by which pairs are scored anew",
    ]
    return "\n".join(lines) + "\n"
