"""What the page of a run shows, as values: questions, answers, evidence, what is new."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bioqa_pipeline.dataset.manifest import RetrievalRecord, RunManifest
from bioqa_pipeline.records.scores import AnswerOutcome
from bioqa_pipeline.records.texts import RetrievalOutcome
from bioqa_pipeline.report.delta import Delta


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a page shows at most; what is left out stands in the data set.

    Attributes:
        questions: of more, those with the surest answers are shown, best first.
        answers: merged answers; the best one of a question that is shown always is, others with their evidence.
        evidence: sentences, those of the best answers first.
        evidence_each: sentences of one answer.
        silent: abstracts named that do not answer, the nearest ones first.
        silent_each: of one question.
    """

    questions: int = 2000
    answers: int = 4000
    evidence: int = 2400
    evidence_each: int = 5
    silent: int = 4000
    silent_each: int = 20


class Searches:
    """How the searches of a run ended, as far as its manifest tells.

    Attributes:
        named: by question id, in the order of the run.
    """

    def __init__(self, manifest: RunManifest) -> None:
        self.named = {r.question_id: r for r in manifest.retrievals}
        n_named = sum(r.outcome is RetrievalOutcome.FAILED for r in manifest.retrievals)
        n_failed = manifest.search_outcomes.get(RetrievalOutcome.FAILED, 0)
        # Failed ones are named first: a search without a name went well, unless not even they had room.
        self._others_went_well = bool(manifest.searches) and n_named == n_failed

    def went_well(self, question_id: str) -> bool:
        record = self.named.get(question_id)
        return self._others_went_well if record is None else record.outcome is not RetrievalOutcome.FAILED


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one abstract says: a sentence in three parts, of which the middle one is the answer.

    Attributes:
        before, after: cut where the sentence is long.
        is_new: scored since the run before.
        authors: in short; empty in rows of before they were kept.
        study: what kind of study it is, in words; empty where PubMed does not say.
        retraction: how it was taken back; empty where it was not.
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
    authors: str = ""
    study: str = ""
    retraction: str = ""

    @property
    def year(self) -> str:
        return self.pub_date[:4]


@dataclass(frozen=True, slots=True)
class SilentAbstract:
    """An abstract that was read and does not answer."""

    pmid: int
    title: str


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """One merged answer.

    Attributes:
        n_support: works that give it; of `support_pmids`, preprint, article and republication are one.
        years: those of the first and the last publication in the support; None where none is known.
        n_new: abstracts of the support scored since the run before.
        work_pmids: for each of `support_pmids` the first of them that is a version of the same work.
        is_new: whether the best abstract is among them.
    """

    rank: int
    text: str
    answerability: float | None
    support_pmids: tuple[int, ...]
    n_support: int
    n_retracted: int
    n_new: int
    is_new: bool
    years: tuple[int, int] | None
    variants: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    work_pmids: tuple[int, ...] = ()

    def same_work(self, pmid: int) -> tuple[int, ...]:
        """The other records of the support that are versions of the work of this one."""
        works = dict(zip(self.support_pmids, self.work_pmids, strict=False))
        return tuple(p for p, work in works.items() if p != pmid and work == works.get(pmid))


@dataclass(frozen=True, slots=True)
class ShownQuestion:
    """One question, its answers best first.

    Attributes:
        text: None where the run broke off before the question was kept.
        n_answers: merged answers in the summary, shown or not.
        nearest: for a question without an answer, the candidate that came nearest.
        evidence: for a question that asks for yes or no, what abstracts say; it has no answers then.
        outcome: None in runs that did not say.
        retrieval: None where the run broke off before the search, or the manifest has no room for it.
        was_searched: whether the search came to its end, with hits or without.
        user_columns: of the file of questions, names and values.
        changed: whether the best answer of the run before was another; `before` is that answer.
        silent: abstracts that were read and do not answer, the nearest ones first; `n_silent` there are in all.
    """

    number: int
    question_id: str
    text: str | None
    n_abstracts: int
    n_answers: int
    answers: tuple[ShownAnswer, ...]
    nearest: Evidence | None
    retrieval: RetrievalRecord | None
    evidence: ShownAnswer | None = None
    outcome: AnswerOutcome | None = None
    was_searched: bool = False
    changed: bool = False
    before: str | None = None
    user_columns: tuple[tuple[str, str], ...] = ()
    silent: tuple[SilentAbstract, ...] = ()
    n_silent: int = 0

    @property
    def title(self) -> str:
        """The question, or what is known of it."""
        return self.text if self.text is not None else f"Question {self.question_id}"

    @property
    def is_new(self) -> bool:
        return any(answer.is_new for answer in self.said)

    @property
    def best_evidence(self) -> Evidence | None:
        """The sentence that says most for the best answer, or what stands in its place."""
        return next((said.evidence[0] for said in self.said[:1] if said.evidence), None)

    @property
    def has_retracted(self) -> bool:
        return any(answer.n_retracted for answer in self.said)

    @property
    def said(self) -> tuple[ShownAnswer, ...]:
        """Its answers, or the evidence that stands in their place."""
        return self.answers or ((self.evidence,) if self.evidence else ())


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run.

    Attributes:
        previous: the last run before it that came to its end and asked some of these questions.
        compares: whether scores since then are news: there is such a run, and it scored in the same way.
        n_questions, outcomes, n_answers: of the run, shown or not.
        is_calibrated: whether there are probabilities.
        is_current: whether the answers are those over all runs, and not those of this run alone.
        delta: what the run changed of them; None where it was the first to ask.
        dataset_id: None in data sets of a version that knew none.
        n_evidence, n_support: sentences shown, and different abstracts that support the answers.
    """

    manifest: RunManifest
    questions: tuple[ShownQuestion, ...]
    previous: RunManifest | None
    compares: bool
    n_questions: int
    outcomes: Counter[AnswerOutcome]
    n_answers: int
    is_calibrated: bool
    n_evidence: int
    n_support: int
    is_current: bool = False
    delta: Delta | None = None
    dataset_id: str | None = None
