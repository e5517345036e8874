"""The nouns of the pipeline, one frozen dataclass a stage.

Text is NFC and final before it reaches a record: every character offset below is a half-open
range of Unicode code points into that very text. Nothing here knows files, tensors or Prefect.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


def content_digest(*parts: str) -> str:
    """32 hexadecimal digits that identify a sequence of strings (SHA-256, cut to 128 bits).

    Parts are length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the user's file.

    Attributes:
        id: the user's own, or "q-" and ten digits of a hash of the text, so that reordering the file changes no id.
        text: NFC, white space collapsed.
        query: a PubMed query to be sent as it stands instead of one built from the text.
        line: where it stands in its file, counted from 1; None where it did not come from one.
    """

    id: str
    text: str
    query: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A labelled part of a structured abstract; [start, end) covers its text without the label."""

    label: str
    category: str | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Correction:
    """A link to another record: retraction, erratum, update, comment (CommentsCorrections/@RefType)."""

    ref_type: str
    pmid: int | None
    citation: str


@dataclass(frozen=True, slots=True)
class OtherAbstract:
    """An abstract in another language or of another kind (plain-language summary, publisher)."""

    kind: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Abstract:
    """One PubMed record as the pipeline needs it.

    Attributes:
        text: the abstract, sections joined as "LABEL: text" with one space between; "" where the record has none.
        sections: the labelled parts with their offsets into `text`; empty for a plain abstract.
        title: translated titles come without their square brackets; `vernacular_title` keeps the original.
        pub_date: ISO 8601, as precise as the record is: "1998", "1998-12" or "1998-12-03"; "" where unknown.
        pub_date_raw: as printed, for example "1998 Dec-1999 Jan".
        is_retracted: the record itself was retracted (not: it announces a retraction).
        date_revised: ISO date, "" where unknown.
    """

    pmid: int
    version: int = 1
    title: str = ""
    text: str = ""
    sections: tuple[Section, ...] = ()
    journal: str = ""
    pub_date: str = ""
    pub_date_raw: str = ""
    doi: str | None = None
    languages: tuple[str, ...] = ()
    vernacular_title: str | None = None
    authors: tuple[str, ...] = ()
    mesh_terms: tuple[str, ...] = ()
    publication_types: tuple[str, ...] = ()
    corrections: tuple[Correction, ...] = ()
    other_abstracts: tuple[OtherAbstract, ...] = ()
    copyright: str | None = None
    is_retracted: bool = False
    is_book: bool = False
    status: str = ""
    date_revised: str = ""

    @property
    def content_hash(self) -> str:
        """Identifies all that an answer row takes from the record, so a retraction or a new DOI makes a new row."""
        return content_digest(
            str(self.pmid),
            str(self.version),
            self.title,
            self.text,
            self.journal,
            self.pub_date,
            self.doi or "",
            str(self.is_retracted),
        )


class FetchStatus(StrEnum):
    """How a PMID that was asked for ended; each ends in exactly one."""

    SCORED = "scored"
    SCORED_RETRACTED = "scored_retracted"
    NO_ABSTRACT = "no_abstract"
    NOT_FOUND = "not_found"
    DELETED = "deleted"
    FETCH_ERROR = "fetch_error"
    PARSE_ERROR = "parse_error"
    SCORE_ERROR = "score_error"


@dataclass(frozen=True, slots=True)
class Missing:
    """A PMID that was asked for and for which no abstract came, with the reason in words."""

    pmid: int
    status: FetchStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One retrieved PMID. `rank` counts from 1; `level` is the step of the query ladder that found it, from 0."""

    pmid: int
    rank: int
    score: float | None = None
    level: int = 0


@dataclass(frozen=True, slots=True)
class QueryAttempt:
    """One query that was sent: the term, what the service made of it, and how many records it matched."""

    level: int
    term: str
    translation: str
    count: int
    warnings: tuple[str, ...] = ()


class RetrievalOutcome(StrEnum):
    """A failed search is never an empty result."""

    OK = "ok"
    NO_HITS = "no_hits"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What a source found for one question; `hits` in rank order."""

    question_id: str
    hits: tuple[Hit, ...]
    attempts: tuple[QueryAttempt, ...] = ()
    outcome: RetrievalOutcome = RetrievalOutcome.OK
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to be asked: a PubMed abstract or a SQuAD paragraph. `text` is NFC."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Vocabulary ids of the tokens that frame a window."""

    cls: int
    sep: int
    pad: int


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text tokenised once, without special tokens.

    Attributes:
        ids: (n_tokens,) int32.
        starts, ends: (n_tokens,) int32, the code points [start, end) of each token in the text.
    """

    ids: IntArray
    starts: IntArray
    ends: IntArray

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Window:
    """`[CLS] question [SEP] passage tokens [token_start, token_end) [SEP]` of one (question, passage) pair.

    Attributes:
        index, n_windows: its place among the pair's windows.
        token_start, token_end: range of the passage's tokens.
        context_start, context_end: the tokens of that range for which this window has the most context; the ranges
            of a pair's windows are disjoint and cover the passage.
        input_ids: (length,) int32.
        passage_offset: position of the passage's first token in `input_ids`; positions before it are segment 0.
    """

    index: int
    n_windows: int
    token_start: int
    token_end: int
    context_start: int
    context_end: int
    passage_offset: int
    input_ids: IntArray

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows padded to the longest of them.

    Attributes:
        input_ids, token_type_ids, attention_mask: (n_windows, length) int64; 1 in the mask is a real token.
        order: (n_windows,) position of each row in the list that was batched.
    """

    input_ids: npt.NDArray[np.int64]
    token_type_ids: npt.NDArray[np.int64]
    attention_mask: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Span:
    """A span of passage tokens, both ends included, as one window scored it.

    `score` = start logit + end logit; `log_prob` = the same two as log-probabilities over the window's real tokens.
    """

    window_index: int
    token_start: int
    token_end: int
    score: float
    log_prob: float


@dataclass(frozen=True, slots=True)
class WindowScore:
    """What one window says; see `spans` for the formulas.

    `best` is None where the window holds no valid span; `margin` is then minus infinity.
    """

    null_score: float
    null_log_prob: float
    span_logsumexp: float
    margin: float
    best: Span | None
    n_best: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class SpanAnswer:
    """A span as text: `text == passage.text[start:end]`."""

    text: str
    start: int
    end: int
    score: float
    log_prob: float
    window_index: int


@dataclass(frozen=True, slots=True)
class PassageAnswer:
    """The windows of one (question, passage) pair made one answer.

    `score_diff = null_score - best.score` (higher = less answerable); +inf where there is no valid span.
    `answer` is the best span, also where the null score wins; `is_answerable` says which won.
    """

    best: SpanAnswer | None
    n_best: tuple[SpanAnswer, ...]
    null_score: float
    null_log_prob: float
    score_diff: float
    margin: float
    answerability: float
    is_answerable: bool
    n_windows: int


@dataclass(frozen=True, slots=True)
class Pair:
    """One cell of the (question, abstract) matrix, with its retrieval rank in this run."""

    question: Question
    abstract: Abstract
    rank: int
    pair_id: str


@dataclass(frozen=True, slots=True)
class MergedAnswer:
    """One answer to a question over many abstracts; `rank` counts from 1 within the question.

    Attributes:
        support_pmids: abstracts that give this answer, best first.
        variants: the wordings that were merged, best first.
        retracted_pmids: those of the support that were retracted.
        answer: None in the one row of a question that no abstract answers; the evidence is then empty too.
    """

    question_id: str
    question: str
    rank: int
    answer: str | None
    answerability: float
    margin: float
    support_pmids: tuple[int, ...] = ()
    retracted_pmids: tuple[int, ...] = ()
    variants: tuple[str, ...] = ()
    best_pmid: int | None = None
    evidence: str | None = None
    n_abstracts: int = field(default=0)
