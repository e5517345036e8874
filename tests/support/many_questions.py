"""Runs of very many questions that come to nothing: the sources that find nothing, and what a run leaves of them."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import ModelConfig, RunConfig
from bioqa_pipeline.errors import RetryableSourceError, SourceError
from bioqa_pipeline.questions.query import QueryFilters
from bioqa_pipeline.records.texts import Missing, Question, Retrieval
from bioqa_pipeline.run import job
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.records import RunResult
from bioqa_pipeline.sources.entrez.responses import SearchAnswer
from bioqa_pipeline.sources.entrez.search import SearchPlan, search_question
from flows.commands.console import print_answers, print_outcome

# How a service can leave all questions without an answer.
WAYS = ("nothing", "refused", "unanswered")


class Service:
    """E-utilities without the network: every query ends in the same way."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.n_queries = 0

    def search(self, term: str, wanted: int, *, sort: str, dates: Mapping[str, str]) -> SearchAnswer:
        self.n_queries += 1
        if self.way == "refused":
            raise SourceError("NCBI reports: query too strange")
        if self.way == "unanswered":
            raise RetryableSourceError("esearch: the connection failed")
        return SearchAnswer(count=0, translation=f"{term} as understood", not_found=("gibberish",))

    def count(self, term: str, *, dates: Mapping[str, str]) -> int:
        return 0


class EmptySource:
    """Source pubmed over a `Service`; never asked for a record."""

    name = "pubmed"

    def __init__(self, folder: Path, way: str) -> None:
        self.store = AbstractStore(folder)
        self.service = Service(way)
        self._plan = SearchPlan(filters=QueryFilters(), sort="relevance", enough_hits=20)

    def search(self, question: Question, limit: int) -> Retrieval:
        return search_question(question, limit, self._plan, self.service)

    def ensure(self, pmids: Sequence[int], *, progress: Callable[[int], None] | None = None) -> list[Missing]:
        assert not pmids
        return []

    def describe(self) -> dict[str, str]:
        return {"kind": "pubmed"}


@dataclass(frozen=True, slots=True)
class Left:
    """What a run left: the result, sizes of manifest and page in bytes, lines of the log and of the terminal."""

    result: RunResult
    manifest_bytes: int
    page_bytes: int
    log_lines: int
    terminal_lines: int
    cpu_seconds: float


def run_many(folder: Path, model: Path, n_questions: int, *, way: str | None = None) -> Left:
    """Asks so many questions; `way` None asks the sample, with words that no record has."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / "q.txt"
    asked.write_text("".join(f"Which xqzzy{i}v is the xqzzy{i}w vqx{i}z?\n" for i in range(n_questions)), "utf-8")
    out = folder / "out"
    config = RunConfig(questions=asked, out=out, model=ModelConfig(name=str(model), device="cpu", engine="torch"))
    began = time.process_time()
    with _source(folder, way), _counted_log() as lines:
        result = run_job(config)
    with redirect_stdout(io.StringIO()) as terminal:
        print_answers(result.answers)
        print_outcome(result, out)
    files = {path.suffix: path.stat().st_size for path in (out / "runs").iterdir()}
    return Left(
        result,
        files[".json"],
        files[".html"],
        len(lines),
        terminal.getvalue().count("\n"),
        time.process_time() - began,
    )


@contextmanager
def _source(folder: Path, way: str | None) -> Iterator[None]:
    if way is None:
        yield
        return
    module = sys.modules[job.__name__]
    opened = module.open_source
    module.open_source = lambda *args, **kwargs: EmptySource(folder / "store", way)
    try:
        yield
    finally:
        module.open_source = opened


@contextmanager
def _counted_log() -> Iterator[list[str]]:
    """What the library logs from INFO on, as in a flow run's log."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    library, handler = logging.getLogger("bioqa_pipeline"), Handler(logging.INFO)
    level = library.level
    library.addHandler(handler)
    library.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        library.removeHandler(handler)
        library.setLevel(level)
