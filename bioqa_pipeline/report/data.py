"""What the page of a run shows, as values: questions, answers, evidence, what is new."""

from __future__ import annotations

from dataclasses import dataclass

from bioqa_pipeline.dataset.manifest import RetrievalRecord, RunManifest


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a page shows at most; what is left out stands in the data set.

    Attributes:
        answers: merged answers; the best one of a question is always shown.
        evidence: sentences, those of the best answers first.
        evidence_each: sentences of one answer.
    """

    answers: int = 4000
    evidence: int = 2400
    evidence_each: int = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one abstract says: a sentence in three parts, of which the middle one is the answer.

    Attributes:
        before, after: cut where the sentence is long.
        is_new: scored since the run before.
    """

    pmid: int
    title: str
    journal: str
    pub_date: str
    doi: str | None
    is_retracted: bool
    answerability: float | None
    is_new: bool
    before: str
    answer: str
    after: str


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """One merged answer.

    Attributes:
        years: those of the first and the last publication in the support; None where none is known.
        n_new: abstracts of the support scored since the run before.
        is_new: whether the best abstract is among them.
    """

    rank: int
    text: str
    answerability: float | None
    support_pmids: tuple[int, ...]
    n_retracted: int
    n_new: int
    is_new: bool
    years: tuple[int, int] | None
    variants: tuple[str, ...]
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class ShownQuestion:
    """One question, its answers best first.

    Attributes:
        text: None where the run broke off before the question was kept.
        n_answers: merged answers in the summary, shown or not.
        nearest: for a question without an answer, the candidate that came nearest.
        retrieval: None where the run broke off before the search.
        changed: whether the best answer of the run before was another; `before` is that answer.
    """

    number: int
    question_id: str
    text: str | None
    n_abstracts: int
    n_answers: int
    answers: tuple[ShownAnswer, ...]
    nearest: Evidence | None
    retrieval: RetrievalRecord | None
    changed: bool = False
    before: str | None = None

    @property
    def title(self) -> str:
        """The question, or what is known of it."""
        return self.text if self.text is not None else f"Question {self.question_id}"

    @property
    def is_new(self) -> bool:
        return any(answer.is_new for answer in self.answers)

    @property
    def has_retracted(self) -> bool:
        return any(answer.n_retracted for answer in self.answers)


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run.

    Attributes:
        previous: the last run before it that came to its end and asked some of these questions.
        compares: whether scores since then are news: there is such a run, and it scored in the same way.
        is_calibrated: whether there are probabilities.
        n_evidence, n_support: sentences shown, and abstracts that support the answers.
    """

    manifest: RunManifest
    questions: tuple[ShownQuestion, ...]
    previous: RunManifest | None
    compares: bool
    is_calibrated: bool
    n_evidence: int
    n_support: int
