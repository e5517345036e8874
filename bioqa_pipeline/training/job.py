"""A recipe into a checkpoint that knows its threshold and calibration: training, then fitting on held-out articles."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bioqa_pipeline.config import ScoringConfig
from bioqa_pipeline.errors import ConfigError, InputError
from bioqa_pipeline.evaluation.evaluate import Evaluation, fit_settings
from bioqa_pipeline.evaluation.squad import SquadParagraph, read_squad
from bioqa_pipeline.evaluation.table import format_table
from bioqa_pipeline.qa.checkpoint import CheckpointSettings, open_checkpoint
from bioqa_pipeline.qa.engines import load_scorer
from bioqa_pipeline.qa.scoring import PairScorer
from bioqa_pipeline.training.card import write_card
from bioqa_pipeline.training.loop import LoggedPoint
from bioqa_pipeline.training.output import MADE_FIRST, check_out, check_unfinished, mark_out, remove_training
from bioqa_pipeline.training.recipe import TrainingConfig
from bioqa_pipeline.training.stored_settings import write_settings
from bioqa_pipeline.training.trainer import TrainingResult, train
from bioqa_pipeline.training.weights import goes_on, is_finished

logger = logging.getLogger(__name__)

NOT_FITTED = "uncalibrated, no threshold fitted: no questions were held out; python -m flows.calibrate fits both"


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A finished fine-tuning.

    Attributes:
        settings, held_out: threshold and calibration with the figures they were fitted on; None where no questions
            were held out, and in the processes of a torchrun that do not write.
    """

    training: TrainingResult
    settings: CheckpointSettings | None
    held_out: Evaluation | None


def fine_tune(
    config: TrainingConfig,
    out: Path,
    *,
    calibrate_on: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    on_progress: Callable[[LoggedPoint], None] | None = None,
) -> FineTuned:
    """Trains, then fits threshold and calibration on the held-out articles and on `calibrate_on`.

    A base model or teacher that a recipe makes is fine-tuned first, in a folder of `out/made_first`, and stays; one
    that several recipes name is made once.

    Args:
        overwrite: trains anew where `out` holds a finished training or one with other settings; an unfinished one with
            these settings goes on.

    Raises:
        CheckpointError, InputError, TrainingError: see `training.train`.
    """
    check_out(out)
    if overwrite:
        _make_room(config, out)
    else:
        check_unfinished(out)
    extra = read_squad(calibrate_on) if calibrate_on else []
    made = out / MADE_FIRST
    made_first = _made_first(config, made)
    for recipe in made_first.values():
        _check_kinds(recipe, [])
    _check_kinds(config, extra)
    if made_first:
        mark_out(out)
    for folder, recipe in made_first.items():
        if is_finished(folder, _with_made(recipe, made)):
            logger.info("%s is taken as it is", folder)
        else:
            _fine_tune_one(_with_made(recipe, made), folder, [], device=device, on_progress=on_progress)
    return _fine_tune_one(_with_made(config, made), out, extra, device=device, on_progress=on_progress)


def _check_kinds(config: TrainingConfig, extra: list[SquadParagraph]) -> None:
    """Before hours of training, not after them.

    Raises:
        ConfigError: nothing could be fitted on the questions that are kept from training.
    """
    kinds = {q.is_impossible for p in held_out_paragraphs(config) + extra for q in p.questions}
    if len(kinds) == 1:
        raise ConfigError(
            f"all questions that threshold and calibration would be fitted on are {'un' * kinds.pop()}answerable; keep "
            "some of either kind from training (`held_out`, `calibrate_on`), or none"
        )


def _make_room(config: TrainingConfig, out: Path) -> None:
    if int(os.environ.get("RANK", "0")) == 0 and not goes_on(_with_made(config, out / MADE_FIRST), out):
        remove_training(out)


def _fine_tune_one(
    config: TrainingConfig,
    out: Path,
    extra: list[SquadParagraph],
    *,
    device: str,
    on_progress: Callable[[LoggedPoint], None] | None,
) -> FineTuned:
    # Windows that cannot be scored are refused here, before hours of training.
    unfitted = CheckpointSettings.checked({"note": NOT_FITTED, "windows": config.windows})
    result = train(config, out, device=device, on_progress=on_progress)
    paragraphs = held_out_paragraphs(config) + extra
    if int(os.environ.get("RANK", "0")) > 0:
        return FineTuned(result, None, None)
    if not paragraphs:
        write_settings(out, unfitted)
        write_card(config, result, None, None)
        return FineTuned(result, None, None)
    settings, found = calibrate_checkpoint(
        out, paragraphs, config=ScoringConfig(windows=config.windows), device=device, eval_batch=config.eval_batch_size
    )
    write_card(config, result, settings, found)
    return FineTuned(result, settings, found)


def _made_first(config: TrainingConfig, made: Path) -> dict[Path, TrainingConfig]:
    """What other recipes make, by folder, each behind those that it needs itself."""
    found: dict[Path, TrainingConfig] = {}
    distillation = config.distillation
    for name, recipe in (
        (config.base_model, config.base_recipe),
        (distillation.teacher, distillation.teacher_recipe) if distillation else ("", None),
    ):
        if recipe:
            found |= _made_first(recipe, made) | {_folder(name, recipe, made): recipe}
    return found


def _folder(name: str, recipe: TrainingConfig, made: Path) -> Path:
    digest = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()
    return made / f"{Path(name).stem}-{digest[:8]}"


def _with_made(config: TrainingConfig, made: Path) -> TrainingConfig:
    """The settings with the folders of what is made first in place of its recipes."""
    update: dict[str, object] = {}
    if config.base_recipe:
        folder = _folder(config.base_model, config.base_recipe, made)
        update |= {"base_model": str(folder), "base_recipe": None}
    distillation = config.distillation
    if distillation and distillation.teacher_recipe:
        folder = _folder(distillation.teacher, distillation.teacher_recipe, made)
        update["distillation"] = distillation.changed(teacher=str(folder), teacher_recipe=None)
    return config.changed(**update)


def held_out_paragraphs(config: TrainingConfig) -> list[SquadParagraph]:
    """The articles that a recipe keeps from training."""
    return [p for data in config.data if data.held_out for p in read_squad(data.path) if p.title in data.held_out]


def calibrate_checkpoint(
    folder: Path, paragraphs: list[SquadParagraph], *, config: ScoringConfig, device: str = "auto", eval_batch: int = 64
) -> tuple[CheckpointSettings, Evaluation]:
    """Fits threshold and calibration and writes them into the checkpoint's `bioqa.json`.

    Raises:
        InputError: the paragraphs have only answerable or only unanswerable questions.
    """
    checkpoint = open_checkpoint(str(folder))
    checkpoint.check_windows(config.windows)
    scorer = load_scorer(checkpoint, device=device, token_budget=eval_batch * config.windows.max_seq_length)
    pairs = PairScorer(scorer, checkpoint.tokenizer(), config, threshold=0.0, calibration=None)
    try:
        settings, found = fit_settings(paragraphs, pairs)
    except ValueError as exc:
        raise InputError(str(exc), folder) from exc
    write_settings(folder, settings)
    logger.info("held out:\n%s", format_table(found))
    return settings, found
