"""The columns and ids of the data set: one row dataclass and one Arrow schema a table.

Fields of a row are the columns of its table, in order; a test keeps the two together. Nothing here reads or writes
files; `tables` turns rows into Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from bioqa_pipeline.records import SpanAnswer, content_digest

# Raised whenever a column changes its name, type or meaning; a data set holds files of one version only.
SCHEMA_VERSION = 1

# Beside the folders of the tables: manifests, and work in progress.
RUNS = "runs"
STAGING = "_staging"
PARQUET = ".parquet"
PAGE = ".html"


def make_pair_id(question_id: str, question: str, pmid: int, content_hash: str, scoring_key: str) -> str:
    """The identity of a score: equal ids mean that the pair need not be scored again."""
    return content_digest("pair", question_id, question, str(pmid), content_hash, scoring_key)


def make_shard_id(pair_ids: Sequence[str]) -> str:
    """The name of a set of pairs, whatever their order."""
    return content_digest("shard", *sorted(pair_ids))


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One (question, abstract) pair of `answers`; the columns are described in `ANSWERS`.

    An infinite `margin` or `score_diff` (no valid span) is stored as null; NaN is refused.
    """

    pair_id: str
    question_id: str
    question: str
    pmid: int
    pmid_version: int
    title: str
    journal: str
    pub_date: str
    pub_year: int | None
    doi: str | None
    is_retracted: bool
    rank: int
    answer: str | None
    answer_start: int | None
    answer_end: int | None
    evidence: str | None
    evidence_start: int | None
    evidence_end: int | None
    n_windows: int
    span_score: float | None
    null_score: float
    score_diff: float | None
    span_log_prob: float | None
    null_log_prob: float
    margin: float | None
    answerability: float
    threshold: float
    is_answerable: bool
    n_best: tuple[SpanAnswer, ...]
    content_hash: str
    scoring_key: str
    model: str
    model_revision: str
    run_id: str
    scored_at: datetime


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """One window of one pair, a row of `chunks`; the columns are described in `CHUNKS`.

    Infinite values (a window without a valid span) are stored as null; NaN is refused.
    """

    pair_id: str
    question_id: str
    pmid: int
    window_index: int
    n_windows: int
    char_start: int
    char_end: int
    n_tokens: int
    null_score: float
    null_log_prob: float
    best_start: int | None
    best_end: int | None
    span_score: float | None
    span_log_prob: float | None
    span_logsumexp: float | None
    margin: float | None
    run_id: str
    scoring_key: str


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One merged answer of one run, a row of `summary`; the columns are described in `SUMMARY`."""

    run_id: str
    question_id: str
    question: str
    rank: int
    answer: str | None
    answerability: float
    margin: float | None
    n_support: int
    support_pmids: tuple[int, ...]
    retracted_pmids: tuple[int, ...]
    variants: tuple[str, ...]
    best_pmid: int | None
    evidence: str | None
    n_abstracts: int


Row = AnswerRow | ChunkRow | SummaryRow


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the data set.

    Attributes:
        name: its folder.
        sorted_by: columns that order the rows of a file.
        dictionary: columns whose values repeat within a file, dictionary-encoded in Parquet.
    """

    name: str
    schema: pa.Schema
    sorted_by: tuple[str, ...]
    dictionary: tuple[str, ...]


def _required(name: str, dtype: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, dtype, nullable=False, metadata={"description": description})


def _optional(name: str, dtype: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, dtype, nullable=True, metadata={"description": description})


N_BEST_STRUCT = pa.struct(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("log_prob", pa.float32(), nullable=False),
    ]
)


def _list_of(dtype: pa.DataType) -> pa.ListType:
    return pa.list_(pa.field("element", dtype, nullable=False))


ANSWERS = Table(
    name="answers",
    schema=pa.schema(
        [
            _required("pair_id", pa.string(), "identifies question, abstract content and scoring key; unique"),
            _required("question_id", pa.string(), "the user's id of the question, or one made from its text"),
            _required("question", pa.string(), "text of the question"),
            _required("pmid", pa.int64(), "PubMed id"),
            _required("pmid_version", pa.int32(), "version of the PubMed record"),
            _required("title", pa.string(), "title of the article"),
            _required("journal", pa.string(), "journal of the article"),
            _required("pub_date", pa.string(), "publication date, ISO 8601, as precise as known; empty where unknown"),
            _optional("pub_year", pa.int32(), "publication year"),
            _optional("doi", pa.string(), "digital object identifier"),
            _required("is_retracted", pa.bool_(), "whether the record was retracted"),
            _required("rank", pa.int32(), "place in the search results when the pair was scored, from 1"),
            _optional("answer", pa.string(), "the best span; null where the abstract does not answer"),
            _optional("answer_start", pa.int32(), "first code point of the answer in the abstract"),
            _optional("answer_end", pa.int32(), "code point after the answer"),
            _optional("evidence", pa.string(), "the sentence that holds the answer"),
            _optional("evidence_start", pa.int32(), "first code point of the evidence in the abstract"),
            _optional("evidence_end", pa.int32(), "code point after the evidence"),
            _required("n_windows", pa.int32(), "windows that the abstract was cut into"),
            _optional(
                "span_score", pa.float32(), "start logit + end logit of the best span; null without a valid span"
            ),
            _required("null_score", pa.float32(), "lowest score of 'no answer' over the windows"),
            _optional("score_diff", pa.float32(), "null_score - span_score; higher = less answerable"),
            _optional("span_log_prob", pa.float32(), "log-probability of the best span in its window"),
            _required("null_log_prob", pa.float32(), "lowest log-probability of 'no answer' over the windows"),
            _optional("margin", pa.float32(), "log-sum-exp of valid spans - null score of the same window, highest"),
            _required("answerability", pa.float32(), "calibrated probability that the abstract answers the question"),
            _required("threshold", pa.float32(), "on score_diff; is_answerable holds at or below it"),
            _required("is_answerable", pa.bool_(), "whether score_diff <= threshold"),
            _required("n_best", _list_of(N_BEST_STRUCT), "best spans, best first, also where is_answerable is false"),
            _required("content_hash", pa.string(), "identifies the content of the PubMed record"),
            _required("scoring_key", pa.string(), "identifies all that changes a score"),
            _required("model", pa.string(), "name of the checkpoint"),
            _required("model_revision", pa.string(), "revision of the checkpoint"),
            _required("run_id", pa.string(), "run that scored the pair"),
            _required("scored_at", pa.timestamp("us", tz="UTC"), "time of scoring"),
        ]
    ),
    sorted_by=("question_id", "rank", "pmid"),
    dictionary=(
        *("question_id", "question", "title", "journal", "pub_date", "doi", "answer", "evidence"),
        *("scoring_key", "model", "model_revision", "run_id"),
    ),
)

CHUNKS = Table(
    name="chunks",
    schema=pa.schema(
        [
            _required("pair_id", pa.string(), "the row of answers that this window belongs to"),
            _required("question_id", pa.string(), "the user's id of the question, or one made from its text"),
            _required("pmid", pa.int64(), "PubMed id"),
            _required("window_index", pa.int32(), "place of the window in the abstract, from 0"),
            _required("n_windows", pa.int32(), "windows that the abstract was cut into"),
            _required("char_start", pa.int32(), "first code point of the window in the abstract"),
            _required("char_end", pa.int32(), "code point after the window"),
            _required("n_tokens", pa.int32(), "tokens of the window, question and special tokens included"),
            _required("null_score", pa.float32(), "start logit + end logit of 'no answer'"),
            _required("null_log_prob", pa.float32(), "the same as log-probabilities"),
            _optional("best_start", pa.int32(), "first code point of the best span; null without a valid span"),
            _optional("best_end", pa.int32(), "code point after the best span"),
            _optional("span_score", pa.float32(), "start logit + end logit of the best span"),
            _optional("span_log_prob", pa.float32(), "the same as log-probabilities"),
            _optional("span_logsumexp", pa.float32(), "log-sum-exp of the scores of all valid spans"),
            _optional("margin", pa.float32(), "span_logsumexp - null_score"),
            _required("run_id", pa.string(), "run that scored the pair"),
            _required("scoring_key", pa.string(), "identifies all that changes a score"),
        ]
    ),
    sorted_by=("question_id", "pmid", "window_index"),
    dictionary=("pair_id", "question_id", "run_id", "scoring_key"),
)

SUMMARY = Table(
    name="summary",
    schema=pa.schema(
        [
            _required("run_id", pa.string(), "run that merged the answers"),
            _required("question_id", pa.string(), "the user's id of the question, or one made from its text"),
            _required("question", pa.string(), "text of the question"),
            _required("rank", pa.int32(), "place among the answers to the question, from 1"),
            _optional("answer", pa.string(), "best wording; null in the one row of a question without an answer"),
            _required("answerability", pa.float32(), "that of the best abstract"),
            _optional("margin", pa.float32(), "that of the best abstract; null without a valid span"),
            _required("n_support", pa.int32(), "abstracts that give this answer"),
            _required("support_pmids", _list_of(pa.int64()), "their PMIDs, best first"),
            _required("retracted_pmids", _list_of(pa.int64()), "those of them that were retracted"),
            _required("variants", _list_of(pa.string()), "wordings that were merged, best first"),
            _optional("best_pmid", pa.int64(), "the best abstract"),
            _optional("evidence", pa.string(), "the sentence that holds the answer in the best abstract"),
            _required("n_abstracts", pa.int32(), "abstracts that were asked this question"),
        ]
    ),
    sorted_by=("question_id", "rank"),
    dictionary=("run_id", "question_id", "question"),
)

TABLES = (ANSWERS, CHUNKS, SUMMARY)
