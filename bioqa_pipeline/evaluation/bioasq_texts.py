"""BioASQ questions into the texts that they are asked of: their snippets, their documents, or what a source finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bioqa_pipeline.abbreviations import Abbreviation, defined_abbreviations
from bioqa_pipeline.abstracts.works import group_works
from bioqa_pipeline.evaluation.bioasq import BioasqQuestion
from bioqa_pipeline.records.texts import Abstract, Question
from bioqa_pipeline.sources.base import Source


@dataclass(frozen=True, slots=True)
class AskedText:
    """One text; `pmid` below 0 where it is not PubMed's, `work` as in `qa.merging.Candidate`."""

    text: str
    pmid: int
    is_retracted: bool = False
    work: int | None = None

    @property
    def abbreviations(self) -> tuple[Abbreviation, ...]:
        """What it defines itself."""
        return defined_abbreviations(self.text)


@dataclass(frozen=True, slots=True)
class Asked:
    """What all questions are asked of.

    Attributes:
        texts: by the question's id; those without any are left out.
        missing: what could not be had, by reason.
    """

    texts: dict[str, list[AskedText]]
    missing: dict[str, int]


def snippets_of(questions: Sequence[BioasqQuestion]) -> Asked:
    """The passages that the organisers' experts chose, each text once."""
    texts = {}
    for question in questions:
        own = {s.text: AskedText(s.text, s.pmid or -n) for n, s in enumerate(question.snippets, start=1)}
        if own:
            texts[question.id] = list(own.values())
    return Asked(texts, _without(questions, texts))


def documents_of(questions: Sequence[BioasqQuestion], source: Source) -> Asked:
    """The abstracts of the documents that belong to each question, out of a source."""
    return _abstracts(questions, {q.id: q.pmids for q in questions}, source)


def found_by(questions: Sequence[BioasqQuestion], source: Source, limit: int) -> Asked:
    """The abstracts that a source finds for each question, at most `limit`; a search that fails finds none, counted."""
    pmids, failed = {}, Counter[str]()
    for question in questions:
        retrieval = source.search(Question(question.id, question.text), limit)
        pmids[question.id] = tuple(hit.pmid for hit in retrieval.hits)
        if retrieval.error:
            failed["searches that failed"] += 1
    found = _abstracts(questions, pmids, source)
    return Asked(found.texts, found.missing | dict(failed))


def _abstracts(questions: Sequence[BioasqQuestion], pmids: dict[str, tuple[int, ...]], source: Source) -> Asked:
    wanted = list(dict.fromkeys(pmid for own in pmids.values() for pmid in own))
    absent = source.ensure(wanted)
    missing = Counter(f"documents: {gone.status.replace('_', ' ')}" for gone in absent)
    gone = {m.pmid for m in absent}
    records: dict[int, Abstract] = {r.pmid: r for r in source.store.get([p for p in wanted if p not in gone])}
    works = group_works(records.values())
    texts = {}
    for question in questions:
        own = [
            AskedText(record.text, pmid, record.is_retracted, works.get(pmid))
            for pmid in pmids[question.id]
            if (record := records.get(pmid)) and record.text
        ]
        if own:
            texts[question.id] = own
    missing["documents: no abstract"] += sum(not r.text for r in records.values())
    return Asked(texts, dict(+missing) | _without(questions, texts))


def _without(questions: Sequence[BioasqQuestion], texts: dict[str, list[AskedText]]) -> dict[str, int]:
    n = sum(question.id not in texts for question in questions)
    return {"questions without a text to ask": n} if n else {}
