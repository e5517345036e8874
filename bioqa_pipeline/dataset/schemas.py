"""The columns and ids of the data set. Arrow schemas and docs/columns.md follow from one row dataclass a table.

Nothing here reads or writes files; `tables` turns rows into Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from bioqa_pipeline.dataset.table import PMID, Table
from bioqa_pipeline.records.scores import SpanAnswer
from bioqa_pipeline.records.texts import content_digest

# Raised whenever a column changes its name, type or meaning, or one comes that cannot be null; a data set holds files
# of one version only. A new column that can be null does not raise it: files without it are read with nulls.
SCHEMA_VERSION = 1

# Beside the folders of the tables: manifests, the log of what belongs here, work in progress, what was set aside.
RUNS = "runs"
LOG = "_log"
STAGING = "_staging"
QUARANTINE = "_quarantine"
PARQUET = ".parquet"
PAGE = ".html"

# The files that are replaced, each as a whole; all others are written once.
CURRENT_FILE = f"current/current{PARQUET}"
INDEX = f"{RUNS}/index{PAGE}"
FEED = f"{RUNS}/feed.xml"
REPLACED = (CURRENT_FILE, INDEX, FEED)


def manifest_path(run_id: str) -> str:
    return f"{RUNS}/{run_id}.json"


def page_path(run_id: str) -> str:
    return f"{RUNS}/{run_id}{PAGE}"


def summary_path(run_id: str) -> str:
    return f"summary/{run_id}{PARQUET}"


def is_manifest(path: str) -> bool:
    return path.startswith(f"{RUNS}/") and path.endswith(".json")


def make_pair_id(question_id: str, question: str, pmid: int, content_hash: str, scoring_key: str) -> str:
    """The identity of a score: equal ids mean that the pair need not be scored again."""
    return content_digest("pair", question_id, question, str(pmid), content_hash, scoring_key)


def make_shard_id(pair_ids: Sequence[str]) -> str:
    """The name of a set of pairs, whatever their order."""
    return content_digest("shard", *sorted(pair_ids))


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One (question, abstract) pair of `answers`.

    An infinite `margin` or `score_diff` (no valid span) is stored as null; NaN is refused.
    """

    pair_id: Annotated[str, "identifies question, abstract content and scoring key; unique"]
    question_id: Annotated[str, "the user's id of the question, or one made from its text"]
    question: Annotated[str, "text of the question"]
    pmid: Annotated[int, PMID, "PubMed id"]
    pmid_version: Annotated[int, "version of the PubMed record"]
    title: Annotated[str, "title of the article"]
    journal: Annotated[str, "journal of the article"]
    pub_date: Annotated[str, "publication date, ISO 8601, as precise as known; empty where unknown"]
    pub_year: Annotated[int | None, "publication year"]
    doi: Annotated[str | None, "digital object identifier"]
    is_retracted: Annotated[bool, "whether the record was retracted"]
    rank: Annotated[int, "place in the search results when the pair was scored, from 1"]
    answer: Annotated[str | None, "the best answer, in words of the abstract; null where the abstract does not answer"]
    answer_start: Annotated[int | None, "first code point of the answer in the abstract"]
    answer_end: Annotated[int | None, "code point after the answer"]
    evidence: Annotated[str | None, "the sentence that holds the answer"]
    evidence_start: Annotated[int | None, "first code point of the evidence in the abstract"]
    evidence_end: Annotated[int | None, "code point after the evidence"]
    n_windows: Annotated[int, "pieces (windows) of what the model reads at once, which overlap, in the abstract"]
    span_score: Annotated[
        float | None, "the model's score of the best answer (start logit + end logit); null where no words can be one"
    ]
    null_score: Annotated[float, "the model's score of 'there is no answer here', lowest over the pieces"]
    score_diff: Annotated[float | None, "null_score - span_score; higher = less answerable"]
    span_log_prob: Annotated[float | None, "log-probability of the best answer in its piece"]
    null_log_prob: Annotated[float, "log-probability of 'there is no answer here', lowest over the pieces"]
    margin: Annotated[
        float | None,
        "what speaks for any answer (log-sum-exp of their scores) less null_score of the same piece, highest",
    ]
    answerability: Annotated[
        float | None,
        "calibrated probability that the abstract answers the question; null where the checkpoint has no calibration",
    ]
    threshold: Annotated[float, "on score_diff; is_answerable holds at or below it"]
    is_answerable: Annotated[bool, "whether score_diff <= threshold"]
    n_best: Annotated[tuple[SpanAnswer, ...], "best answers, best first, also where is_answerable is false"]
    content_hash: Annotated[str, "identifies the content of the PubMed record"]
    scoring_key: Annotated[str, "identifies all that changes a score"]
    model: Annotated[str, "name of the checkpoint"]
    model_revision: Annotated[str, "revision of the checkpoint"]
    run_id: Annotated[str, "run that scored the pair"]
    scored_at: Annotated[datetime, "time of scoring"]
    passage: Annotated[
        str | None,
        "the text that was asked and in which offsets count: abstract, or title+abstract (the title, with a full stop "
        "where it has no end mark, one blank, the abstract); null is abstract, in rows written before this column",
    ] = None
    print_date: Annotated[str | None, "date of the printed issue, as pub_date, which is the earlier of the two"] = None
    electronic_date: Annotated[str | None, "date of the electronic article, as pub_date"] = None
    publication_types: Annotated[tuple[str, ...] | None, "kinds of publication, as PubMed names them"] = None
    mesh_terms: Annotated[tuple[str, ...] | None, "MeSH headings, without qualifiers"] = None
    languages: Annotated[tuple[str, ...] | None, "languages of the article, in three letters (eng)"] = None
    expressions_of_concern: Annotated[
        tuple[str, ...] | None, "where concern about the article was expressed: PMIDs, else citations"
    ] = None
    errata: Annotated[tuple[str, ...] | None, "where the article was corrected: PMIDs, else citations"] = None
    user_columns: Annotated[
        str | None,
        "the further columns of the file of questions when the pair was scored, as a JSON object of texts; null where "
        "it had none",
    ] = None
    authors: Annotated[
        tuple[str, ...] | None,
        "the first ten authors as PubMed cites them (Smith J), and last 'et al.' where there are more; null in rows "
        "written before this column",
    ] = None
    retraction: Annotated[
        str | None,
        "how the record was taken back, as its title, types and links say: retracted, retracted and republished, "
        "withdrawn, removed, or retracted in part, which is not is_retracted and counts as support like any other; "
        "null where it was not, and in rows written before this column",
    ] = None


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """One window of one pair, a row of `chunks`.

    Infinite values (a window without a valid span) are stored as null; NaN is refused.
    """

    pair_id: Annotated[str, "the row of answers that this piece (window) of its abstract belongs to"]
    question_id: Annotated[str, "the user's id of the question, or one made from its text"]
    pmid: Annotated[int, PMID, "PubMed id"]
    window_index: Annotated[int, "place of the piece in the abstract, from 0"]
    n_windows: Annotated[int, "pieces that the abstract was cut into"]
    char_start: Annotated[int, "first code point of the piece in the abstract"]
    char_end: Annotated[int, "code point after the piece"]
    n_tokens: Annotated[int, "tokens (words and parts of words) that the model read: piece, question and special ones"]
    null_score: Annotated[float, "the model's score of 'there is no answer here' (start logit + end logit)"]
    null_log_prob: Annotated[float, "the same as log-probabilities"]
    best_start: Annotated[int | None, "first code point of the best answer; null where no words can be one"]
    best_end: Annotated[int | None, "code point after the best answer"]
    span_score: Annotated[float | None, "the model's score of the best answer (start logit + end logit)"]
    span_log_prob: Annotated[float | None, "the same as log-probabilities"]
    span_logsumexp: Annotated[float | None, "log-sum-exp of the scores of all words that can be an answer"]
    margin: Annotated[float | None, "span_logsumexp - null_score"]
    run_id: Annotated[str, "run that scored the pair"]
    scoring_key: Annotated[str, "identifies all that changes a score"]


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One merged answer of one run, a row of `summary`."""

    run_id: Annotated[str, "run that merged the answers"]
    question_id: Annotated[str, "the user's id of the question, or one made from its text"]
    question: Annotated[str, "text of the question"]
    rank: Annotated[int, "place among the answers to the question, from 1"]
    answer: Annotated[str | None, "best wording; null in the one row of a question without an answer"]
    answerability: Annotated[
        float | None,
        "that of the best abstract; null where the checkpoint has no calibration, and where no abstract was asked",
    ]
    margin: Annotated[float | None, "that of the best abstract; null where no words can be an answer"]
    n_support: Annotated[int, "abstracts that give this answer"]
    support_pmids: Annotated[tuple[int, ...], PMID, "their PMIDs, best first"]
    retracted_pmids: Annotated[tuple[int, ...], PMID, "those of them that were retracted"]
    variants: Annotated[tuple[str, ...], "wordings that were merged, best first"]
    best_pmid: Annotated[int | None, PMID, "the best abstract"]
    evidence: Annotated[str | None, "the sentence that holds the answer in the best abstract"]
    n_abstracts: Annotated[int, "abstracts that were asked this question"]
    outcome: Annotated[
        str | None,
        "answered; or why `answer` is null: no_answer (in the abstracts that were asked), evidence_only (a yes/no "
        "question), nothing_found, no_abstract, search_failed; null in rows written before there was this column",
    ]
    work_pmids: Annotated[
        tuple[int, ...] | None,
        PMID,
        "for each of support_pmids the first of them that is a version of the same work; n_support counts it once",
    ]
    user_columns: Annotated[
        str | None, "the further columns of the file of questions, as a JSON object of texts; null where it has none"
    ]


@dataclass(frozen=True, slots=True)
class CurrentRow(SummaryRow):
    """One merged answer over all runs, a row of `current`."""

    run_id: Annotated[str, "run that last changed this row"]
    last_changed: Annotated[datetime, "when that run began"]
    change: Annotated[
        str,
        "what it changed: new (the answer was not there), wording, retracted (other records of the support are), "
        "support, rank, score, outcome (of a question without an answer)",
    ]
    why: Annotated[
        str,
        "why: new_question, new_record, revised_record, retraction, removed_record, new_threshold, new_model, "
        "new_settings (another setting, or version of bioqa), question_changed, search (what it found)",
    ]
    why_pmids: Annotated[tuple[int, ...], PMID, "the records whose coming, revision or retraction that was"]
    first_seen: Annotated[datetime, "when the run began that first gave this answer"]
    first_run_id: Annotated[str, "that run"]
    gone: Annotated[
        tuple[str, ...] | None,
        "in the first row of a question: answers that were there and are no more, as the last run that took some "
        "away did; null where none did",
    ]
    gone_run_id: Annotated[str | None, "that run"]
    gone_why: Annotated[str | None, "why, as in `why`"]
    scored_at: Annotated[datetime | None, "when the last of the abstracts was scored; null where none was"]
    threshold: Annotated[float, "on score_diff, of the newest run that asked the question"]
    scoring_key: Annotated[str, "identifies all that changes a score, as in `answers`"]
    model: Annotated[str, "name of the checkpoint"]
    model_revision: Annotated[str, "revision of the checkpoint"]


Row = AnswerRow | ChunkRow | SummaryRow


ANSWERS = Table(
    name="answers",
    row=AnswerRow,
    sorted_by=("question_id", "rank", "pmid"),
    dictionary=(
        *("question_id", "question", "title", "journal", "pub_date", "doi", "answer", "evidence"),
        *("scoring_key", "model", "model_revision", "run_id", "user_columns"),
    ),
)

CHUNKS = Table(
    name="chunks",
    row=ChunkRow,
    sorted_by=("question_id", "pmid", "window_index"),
    dictionary=("pair_id", "question_id", "run_id", "scoring_key"),
)

SUMMARY = Table(
    name="summary",
    row=SummaryRow,
    sorted_by=("question_id", "rank"),
    dictionary=("run_id", "question_id", "question", "user_columns"),
)

CURRENT = Table(
    name="current",
    row=CurrentRow,
    sorted_by=("question_id", "rank"),
    dictionary=(
        *("run_id", "question_id", "question", "user_columns", "change", "why", "first_run_id", "gone_run_id"),
        *("gone_why", "scoring_key", "model", "model_revision"),
    ),
)

TABLES = (ANSWERS, CHUNKS, SUMMARY, CURRENT)
