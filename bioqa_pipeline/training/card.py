"""A finished training into its model card (README.md) and the page with its learning curve, beside the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from bioqa_pipeline.evaluation.evaluate import Evaluation
from bioqa_pipeline.evaluation.table import format_table
from bioqa_pipeline.files import SMALL, read_own
from bioqa_pipeline.html.page import asset, environment, html_page
from bioqa_pipeline.html.plots import Series, line_plot
from bioqa_pipeline.qa.checkpoint import Checkpoint, CheckpointSettings
from bioqa_pipeline.storage.local import LocalStorage
from bioqa_pipeline.training.output import CARD, CURVE
from bioqa_pipeline.training.recipe import TrainingConfig
from bioqa_pipeline.training.trainer import TrainingResult

OURS = "<!-- written by python -m flows.train, and written over by the next training -->"
# Settings that the card says in words of their own, or that are too long for a line.
_ELSEWHERE = {"base_model", "base_recipe", "data", "distillation", "windows"}


def write_card(
    config: TrainingConfig,
    result: TrainingResult,
    settings: CheckpointSettings | None,
    held_out: Evaluation | None,
) -> None:
    """Writes both into the checkpoint's folder; a README.md that somebody else wrote there stays.

    Raises:
        DatasetError: it cannot be written.
    """
    storage = LocalStorage(result.folder)
    path = result.folder / CARD
    if not path.exists() or read_own(path, max_bytes=SMALL).startswith(OURS.encode()):
        storage.write(CARD, ("\n".join(_card(config, result, settings, held_out)) + "\n").encode())
    storage.write(CURVE, _page(config, result, settings).encode())


def _card(
    config: TrainingConfig,
    result: TrainingResult,
    settings: CheckpointSettings | None,
    held_out: Evaluation | None,
) -> Iterator[str]:
    yield OURS
    yield f"# {result.folder.name}"
    yield ""
    yield "An extractive question answering model, made by `python -m flows.train`; `training.json` has every setting."
    yield ""
    vocabulary = f", with the vocabulary of `{config.vocabulary}`" if config.vocabulary else ""
    yield f"Starts from `{config.base_model}`{vocabulary}, revision `{result.base.revision}`."
    yield ""
    yield from _files("base model", result.base)
    if result.teacher:
        yield f"Learns from the answers of `{result.teacher.name}` as well, revision `{result.teacher.revision}`."
        yield ""
        yield from _files("teacher", result.teacher)
    yield "| | |"
    yield "| --- | --- |"
    for name, value in _facts(config, result, settings):
        yield f"| {name} | {value} |"
    yield ""
    yield "## Trained on"
    yield ""
    for data in config.data:
        kept = f"; held out: {', '.join(data.held_out)}" if data.held_out else ""
        yield f"- `{data.path.name}`{kept}"
    yield ""
    yield "## Figures"
    yield ""
    if held_out is None:
        yield "None: no questions were held out. `python -m flows.evaluate` gives them, `python -m flows.calibrate`"
        yield "fits threshold and probabilities."
    else:
        yield "On the questions that threshold and calibration were fitted on, so they are flattering:"
        yield ""
        yield "```"
        yield format_table(held_out).rstrip()
        yield "```"
    yield ""
    yield "The licence is that of the base model and of the data, whichever asks for more."


def _files(what: str, model: Checkpoint) -> Iterator[str]:
    yield f"| file of the {what} | SHA-256 |"
    yield "| --- | --- |"
    yield from (f"| {name} | `{digest}` |" for name, digest in model.files.items())
    yield ""


def _facts(
    config: TrainingConfig, result: TrainingResult, settings: CheckpointSettings | None
) -> Iterator[tuple[str, str]]:
    yield "epochs", f"{result.epochs:g}"
    yield "steps", f"{result.steps:,}"
    if result.history:
        yield "loss, first and last logged", f"{result.history[0].loss:.4f}, {result.history[-1].loss:.4f}"
    yield from ((name, f"{count:,}") for name, count in result.counts.items())
    if settings:
        yield "threshold on score_diff", f"{settings.score_diff_threshold:g}"
    windows = config.windows
    yield "max_seq_length, doc_stride", f"{windows.max_seq_length}, {windows.doc_stride}"
    for name, value in _plain(config.model_dump(mode="json", exclude=_ELSEWHERE)):
        yield name.replace("_", " "), value


def _plain(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((k, json.dumps(v).strip('"')) for k, v in settings.items() if v is not None and k != "epochs")


def _page(config: TrainingConfig, result: TrainingResult, settings: CheckpointSettings | None) -> str:
    body = (
        environment()
        .get_template("training.html.j2")
        .render(
            name=result.folder.name,
            base_model=config.base_model,
            facts=list(_facts(config, result, settings)),
            plots=_plots(result),
        )
    )
    return html_page(f"Training of {result.folder.name}", body, style=asset("evaluation.css"))


def _plots(result: TrainingResult) -> Sequence[Markup]:
    points = result.history
    epochs = [p.epoch for p in points]
    if not points:
        return ()
    return (
        line_plot("Loss", "epochs of the data", "loss", [Series("loss", epochs, [p.loss for p in points])]),
        line_plot(
            "Learning rate", "epochs of the data", "rate", [Series("rate", epochs, [p.learning_rate for p in points])]
        ),
    )
