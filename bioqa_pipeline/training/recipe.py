"""The settings of a fine-tuning and of its training data, read from a recipe file (TOML) or made from arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from bioqa_pipeline.config import AUTO_PRECISION, Precision, WindowConfig
from bioqa_pipeline.errors import ConfigError, InputError
from bioqa_pipeline.inputs import parse_toml, read_text
from bioqa_pipeline.setting_values import Number, Settings

MAX_RECIPE_BYTES = 2**20


class NegativesConfig(Settings):
    """How many unanswerable questions are written by rule, each as a share of a file's answerable ones."""

    removed_sentence: float = Field(0.0, ge=0, le=1, description="the sentence that answers is taken out")
    other_paragraph: float = Field(0.0, ge=0, le=1, description="asked of the best other paragraph of the article")
    swapped: float = Field(0.0, ge=0, le=1, description="a name, number or word of the question is exchanged")
    reversed: float = Field(0.0, ge=0, le=1, description="a word becomes its opposite, or the question is negated")


class DataConfig(Settings):
    """One SQuAD file of the training data."""

    path: Path
    held_out: tuple[str, ...] = Field((), description="titles of articles kept for calibration, never trained on")
    share: float = Field(1.0, gt=0, le=1, description="share of its questions that each epoch draws")
    unanswerable_draws: int = Field(1, ge=1, description="how often each epoch draws a question without an answer")
    merge_chars: int = Field(
        0, ge=0, description="neighbouring paragraphs are joined until they have so many characters"
    )
    crop_share: float = Field(
        0.0, ge=0, le=1, description="share of examples whose paragraph is cut to whole sentences"
    )
    crop_chars: int = Field(350, ge=1, description="characters that a cut paragraph keeps at most, the answer apart")
    negatives: NegativesConfig = Field(default_factory=NegativesConfig)


class DistillationConfig(Settings):
    """A larger model whose span distributions are learned along with the labels (Hinton et al. 2015)."""

    teacher: str = Field(
        description="fine-tuned checkpoint with the student's vocabulary, or the recipe (.toml, beside the student's) "
        "that makes it first"
    )
    teacher_recipe: TrainingConfig | None = Field(None, description="what `teacher` says, read; not to be given")
    weight: float = Field(0.7, gt=0, le=1, description="share of the teacher's distributions in the loss")
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False, description="divides both models' logits")


class TrainingConfig(Settings):
    """A fine-tuning, resolved; defaults are those of the seed's model card."""

    base_model: str = Field(
        description="encoder or QA checkpoint to start from: a folder, a hub name, package:NAME/FOLDER in an "
        "installed Python package, archive:PATTERN, the pieces of one zip among the installed packages, or the recipe "
        "(.toml, beside this one) that makes it first"
    )
    base_recipe: TrainingConfig | None = Field(None, description="what `base_model` says, read; not to be given")
    vocabulary: str | None = Field(
        None, description="model whose vocabulary an MPNet base model is given, so that it can teach a BERT"
    )
    frozen_layers: int = Field(0, ge=0, description="lowest layers, and the embeddings, that stay as they are")
    distillation: DistillationConfig | None = None
    data: tuple[DataConfig, ...] = Field(min_length=1)
    windows: WindowConfig = Field(default_factory=WindowConfig)
    learning_rate: float = Field(3e-5, gt=0, allow_inf_nan=False, description="highest learning rate")
    epochs: float = Field(3, gt=0, le=10_000, description="passes over the data; of the last one a part, as in 2.5")
    drawn_epochs: int | None = Field(
        None,
        ge=1,
        description="epochs that draw shares, negatives and cuts anew; later ones repeat theirs in turn, for which "
        "a teacher need not be asked again",
    )
    max_steps: int | None = Field(None, ge=1, description="steps, instead of `epochs`; the decay ends there too")
    max_hours: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="ends the steps by the clock if they take longer, the learning rate falling with the time that is "
        "left; reading before them and scoring after them are not counted",
    )
    train_batch_size: int = Field(18, ge=1, description="pieces of text of a batch, each process")
    batch_tokens: int | None = Field(
        None,
        ge=8,
        description="tokens of a batch, padding included, each process, of pieces of like length: instead of "
        "`train_batch_size`; some 16,000 to 50,000 keep a large GPU busy",
    )
    eval_batch_size: int = Field(64, ge=1, description="full pieces of a batch at most, when the result is scored")
    gradient_accumulation_steps: int = Field(1, ge=1, description="batches that make one step")
    warmup_steps: int = Field(550, ge=0, description="steps of the rising learning rate")
    decay_steps: int | None = Field(
        None, ge=1, description="steps of the final linear decay (default: all after the warm-up)"
    )
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False, description="of AdamW")
    adam_epsilon: float = Field(1e-8, gt=0, allow_inf_nan=False, description="of AdamW")
    max_grad_norm: Number = Field(1.0, gt=0, description="gradients are clipped to this norm")
    dropout: float | None = Field(
        None, ge=0, lt=1, description="of hidden states and attention (default: the base model's own)"
    )
    save_steps: int = Field(2000, ge=1, description="steps between two saved states, each a checkpoint")
    logging_steps: int = Field(50, ge=1, description="steps between two reports of the loss")
    average_checkpoints: int = Field(1, ge=1, description="last saved states whose weights are averaged")
    precision: Precision = Field("auto", description=AUTO_PRECISION)
    seed: int = Field(42, ge=-(2**63), lt=2**63, description="of everything that is drawn")

    @model_validator(mode="after")
    def _files_once(self) -> TrainingConfig:
        paths = [d.path for d in self.data]
        if len(set(paths)) != len(paths):
            raise ValueError("a training file stands in the recipe twice")
        return self


def read_recipe(path: Path, *, data_root: Path, within: tuple[Path, ...] = ()) -> TrainingConfig:
    """Reads a recipe and those that it names; relative data paths start at `data_root`.

    Args:
        within: the recipes that name this one.

    Raises:
        InputError: a file cannot be read or a setting cannot be used.
    """
    if path in within:
        raise InputError("needs itself to be made first", path)
    return check_training_config(read_toml(path), path, data_root=data_root, within=within)


def check_training_config(
    content: dict[str, Any], path: Path, *, data_root: Path, within: tuple[Path, ...] = ()
) -> TrainingConfig:
    """Settings out of a recipe's content, which arguments may have changed.

    Args: see `read_recipe`.

    Raises:
        InputError: a setting cannot be used; names `path`.
    """
    try:
        config = TrainingConfig.checked(content)
    except ConfigError as exc:
        raise InputError(str(exc), path) from exc
    distillation = config.distillation
    if config.base_recipe or (distillation and distillation.teacher_recipe):
        raise InputError("base_recipe and teacher_recipe are read from the files that are named; leave them out", path)

    def named(recipe: str) -> TrainingConfig:
        return read_recipe(path.parent / recipe, data_root=data_root, within=(*within, path))

    update: dict[str, Any] = {"data": tuple(d.changed(path=data_root / d.path) for d in config.data)}
    if config.base_model.endswith(".toml"):
        update["base_recipe"] = named(config.base_model)
    if distillation and distillation.teacher.endswith(".toml"):
        update["distillation"] = distillation.changed(teacher_recipe=named(distillation.teacher))
    return config.changed(**update)


def read_toml(path: Path) -> dict[str, Any]:
    """What a recipe says, unchecked.

    Raises:
        InputError: it cannot be read, or is not TOML.
    """
    return parse_toml(read_text(path, most_bytes=MAX_RECIPE_BYTES), path)
