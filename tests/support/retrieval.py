"""The retrieval evaluation: questions over real records, and at which rank a source finds the record that answers each.

`data/retrieval_questions.tsv` was written for this project by reading the records of the test data: each question as
somebody would ask it who has not seen the abstract, with the PMID that answers it and a few words of the answer.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.config import SourceConfig
from bioqa_pipeline.records.texts import Question, Retrieval
from bioqa_pipeline.sources.entrez.settings import EntrezSettings
from bioqa_pipeline.sources.entrez.source import EntrezSource
from bioqa_pipeline.sources.medline.source import MedlineSource
from support.paths import TESTS

QUESTIONS = TESTS / "data" / "retrieval_questions.tsv"
LIMIT = 20


@dataclass(frozen=True, slots=True)
class AskedRecord:
    """A question, the record that answers it, and the answer as that record words it."""

    question: Question
    pmid: int
    answer: str


def read_asked_records(path: Path = QUESTIONS) -> list[AskedRecord]:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            AskedRecord(Question(row["id"], row["question"]), int(row["pmid"]), row["answer"])
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


@dataclass(frozen=True, slots=True)
class Ranks:
    """For each question the rank of its record among the hits, None where it is not there."""

    by_question: dict[str, int | None]
    n_queries: int

    def recall(self, first: int) -> float:
        """The share of questions whose record is among so many first hits."""
        return sum(r is not None and r <= first for r in self.by_question.values()) / len(self.by_question)

    @property
    def missed(self) -> list[str]:
        return [name for name, rank in self.by_question.items() if rank is None]

    def summary(self) -> dict[str, float]:
        figures = {f"recall_at_{k}": round(self.recall(k), 4) for k in (1, 5, 10, LIMIT)}
        return {**figures, "queries_per_question": round(self.n_queries / len(self.by_question), 2)}


def rank_all(asked: Sequence[AskedRecord], search: Callable[[Question], Retrieval]) -> Ranks:
    ranks: dict[str, int | None] = {}
    n_queries = 0
    for item in asked:
        retrieval = search(item.question)
        n_queries += len(retrieval.attempts)
        ranks[item.question.id] = next((hit.rank for hit in retrieval.hits if hit.pmid == item.pmid), None)
    return Ranks(ranks, n_queries)


def as_it_stands(asked: Sequence[AskedRecord]) -> list[AskedRecord]:
    """The same questions, each as its own PubMed query: what somebody gets who types it into the search box."""
    return [replace(item, question=replace(item.question, query=item.question.text)) for item in asked]


def longest_common_run(question: Sequence[str], text: Sequence[str]) -> int:
    """How many words in a row the question shares with the text at most."""
    return max((n for n in range(1, len(question) + 1) if set(_runs(question, n)) & set(_runs(text, n))), default=0)


def _runs(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def share_of_words(words: Sequence[str], text: Sequence[str]) -> float:
    """The share of the words that the text has in the same form."""
    return sum(set(word.replace("-", " ").split()) <= set(text) for word in words) / len(words)


def pubmed_source(base_url: str, folder: Path) -> EntrezSource:
    """The live source's code, pointed at a server of our own that does not count requests."""
    settings = EntrezSettings(base_url=base_url, requests_per_second=100, lock_dir=folder)
    config = SourceConfig(kind="pubmed", email="tests@example.org")
    return EntrezSource(AbstractStore(folder / "store"), config, settings=settings)


def medline_source(records: Path, home: Path) -> MedlineSource:
    """The local source over a folder of PubMed files, imported anew."""
    return MedlineSource(records, home=home, workers=1)
