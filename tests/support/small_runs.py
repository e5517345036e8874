"""Runs of a tiny random model over a folder of PubMed files of a test's own, quick enough for the default suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bioqa_pipeline.config import ModelConfig, RunConfig, SourceConfig
from support.medline_folder import Article, numbered, write_file

QUESTION = "Which drug treats malaria?"
# Each holds all content words of the question, so that a search for it finds them all.
ARTICLES = (
    Article(11, "Quinine is the drug that treats malaria."),
    Article(12, "Malaria: a drug that treats fever treats it, too."),
    Article(13, "No drug treats malaria in the heart (5 of 9)."),
)


def write_records(folder: Path, articles: Sequence[Article] = ARTICLES, *, number: int = 1) -> None:
    """A baseline or update file; the next run takes it up."""
    write_file(numbered(folder, number), articles)


def small_config(folder: Path, model: Path, /, *questions: str, **changes: object) -> RunConfig:
    """A run over the files in `folder`/records; in fp32, so that scores compare on every processor."""
    asked = folder / "q.txt"
    asked.write_text("\n".join(questions or (QUESTION,)), "utf-8")
    settings: dict[str, object] = {
        "questions": asked,
        "out": folder / "out",
        "model": ModelConfig(name=str(model), device="cpu", precision="fp32", engine="torch"),
        "source": SourceConfig(kind="medline", medline_dir=folder / "records", max_abstracts=10),
    }
    return RunConfig.model_validate(settings | changes)


def sample_config(folder: Path, model: Path, *questions: str, most: int, **changes: object) -> RunConfig:
    """The same over the project's sample, by the engine that a run chooses by itself."""
    by = ModelConfig(name=str(model), device="cpu", precision="fp32")
    return small_config(folder, model, *questions, model=by, source=SourceConfig(max_abstracts=most), **changes)
