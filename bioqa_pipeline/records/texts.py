"""What is asked, what is found and what is read: questions, searches, abstracts, passages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from bioqa_pipeline.records.retraction import Retraction, retraction_of

PassageKind = Literal["abstract", "title+abstract"]


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
        user_columns: the further columns of its file as a JSON object of texts; None where it has none.
    """

    id: str
    text: str
    query: str | None = None
    line: int | None = None
    user_columns: str | None = None


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
        pub_date: ISO 8601, as precise as the record is: "1998", "1998-12" or "1998-12-03"; "" where unknown. It is the
            earlier one of `print_date` and `electronic_date`.
        pub_date_raw: as printed, for example "1998 Dec-1999 Jan".
        print_date, electronic_date: those of the issue and of the electronic article, as `pub_date`; "" where unknown,
            and in records that earlier versions stored.
        is_retracted: the record itself was retracted (not: it announces a retraction), by type, link or title.
        date_revised: ISO date, "" where unknown.
        journal_names: what else the journal is known by: abbreviations, NLM id, ISSNs; none in records that earlier
            versions stored.
    """

    pmid: int
    version: int = 1
    title: str = ""
    text: str = ""
    sections: tuple[Section, ...] = ()
    journal: str = ""
    pub_date: str = ""
    pub_date_raw: str = ""
    print_date: str = ""
    electronic_date: str = ""
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
    journal_names: tuple[str, ...] = ()

    def passage_text(self, kind: PassageKind) -> str:
        """What is asked: the abstract, or the title as its first sentence; "" where there is nothing to ask."""
        if kind == "abstract" or not self.title:
            return self.text
        title = self.title if self.title.endswith((".", "?", "!")) else self.title + "."
        return f"{title} {self.text}" if self.text else title

    @property
    def retraction(self) -> Retraction | None:
        """How the record was taken back; in part is not `is_retracted`."""
        how = retraction_of(self.title, self.publication_types, self.corrections, is_marked=self.is_retracted)
        return how if self.is_retracted or how is Retraction.IN_PART else None

    @property
    def expressions_of_concern(self) -> tuple[str, ...]:
        """Where concern about the record was expressed: the PMID in digits, or the citation where there is none."""
        return self._linked("ExpressionOfConcernIn")

    @property
    def errata(self) -> tuple[str, ...]:
        """Where the record was corrected, as `expressions_of_concern`."""
        return self._linked("ErratumIn", "CorrectedandRepublishedIn")

    def _linked(self, *ref_types: str) -> tuple[str, ...]:
        if not self.corrections:
            return ()
        names = {name.casefold() for name in ref_types}
        linked = [str(c.pmid or c.citation) for c in self.corrections if c.ref_type.casefold() in names]
        return tuple(dict.fromkeys(filter(None, linked)))

    @property
    def content_hash(self) -> str:
        """Identifies text, citation and retraction: where one of them changes, pairs are scored anew and make new rows.

        What rows say beside it (types, headings, languages, both dates, concern, errata) makes none.
        """
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
    FILTERED = "filtered"
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
    """What a source found for one question; `hits` in rank order.

    Attributes:
        is_unanswered: it failed because the service gave no answer, so other searches will fare the same.
    """

    question_id: str
    hits: tuple[Hit, ...]
    attempts: tuple[QueryAttempt, ...] = ()
    outcome: RetrievalOutcome = RetrievalOutcome.OK
    error: str | None = None
    is_unanswered: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to be asked: a PubMed abstract or a SQuAD paragraph. `text` is NFC."""

    id: str
    text: str
