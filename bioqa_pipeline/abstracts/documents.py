"""Records and questions into what a full-text index holds and is asked: its fields, its documents, its words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Literal

import tantivy
from tantivy import Document

from bioqa_pipeline.abstracts.parts import filtered_by
from bioqa_pipeline.questions.record_filters import KINDS, record_values
from bioqa_pipeline.questions.terms import question_words

TITLE_WEIGHT = 0.5
NAME_WEIGHT = 1.5
FIELDS = {"title": TITLE_WEIGHT, "text": 1.0}
# The name of the analyzer.
WORDS = "words"
_LONGEST_WORD_BYTES = 64
_DATE = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")


@dataclass(frozen=True, slots=True)
class DateRange:
    """Only records whose date lies in a range with one end or two, included; records without the date are left out.

    Attributes:
        field: "published" or "revised", a month or a year standing for its first day; "arrived", when the store got
            the record.
    """

    field: Literal["published", "revised", "arrived"]
    first: datetime | date | None = None
    last: datetime | date | None = None


def query_words(question: str) -> dict[str, float]:
    """The words of a question as the index holds them, with their weights."""
    weights: dict[str, float] = {}
    for word in question_words(question):
        for spelling in word.spellings:
            for stem in analyzer().analyze(spelling):
                weights.setdefault(stem, NAME_WEIGHT if word.core else 1.0)
    return weights


def schema(*, filtered: bool) -> tantivy.Schema:
    """The fields; `filtered` adds those that records are filtered by."""
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("pmid", indexed=True, fast=True)
    for name in ("part", "published", "revised", "arrived"):
        builder.add_integer_field(name, fast=True)
    for name in FIELDS:
        builder.add_text_field(name, tokenizer_name=WORDS, index_option="freq")
    for name in KINDS if filtered else ():
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


@lru_cache(maxsize=1)
def analyzer() -> tantivy.TextAnalyzer:
    """As tantivy's en_stem, with accents folded and longer words."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(_LONGEST_WORD_BYTES))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )


def document(row: dict[str, Any], *, filtered: bool) -> Document:
    """A row of the store as the index has it; what it can be filtered by only where there are fields for that."""
    made = Document()
    made.add_integer("pmid", row["pmid"])
    made.add_text("title", row["title"])
    made.add_text("text", row["text"])
    made.add_integer("arrived", moment(row["fetched_at"]))
    for field, text in (("published", row["pub_date"]), ("revised", row["date_revised"])):
        if match := _DATE.match(text):
            year, month, day = match.groups()
            made.add_integer(field, int(year) * 10_000 + int(month or 1) * 100 + int(day or 1))
    for kind, values in record_values(journal=row["journal"], **filtered_by(row)).items() if filtered else ():
        for value in values:
            made.add_text(kind, value)
    return made


def moment(value: date | datetime) -> int:
    """A time as microseconds since 1970, a day as yyyymmdd."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1_000_000)
    return value.year * 10_000 + value.month * 100 + value.day
