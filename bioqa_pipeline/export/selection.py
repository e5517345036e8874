"""A data set and what is wanted of it into a frame: which table, which rows, which columns, in an order that stays.

Questions come in the order in which the newest run asked them, those that it did not ask behind. A manifest names the
searches of a run in that order, the first `manifest.MOST_SEARCHES` of them; other questions go by their ids. Columns
come as people read them: what was asked, what is answered, how surely and by whom; ids and digests last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import polars as pl

from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.records.scores import STRONG
from bioqa_pipeline.text import normalize_text

What = Literal["merged", "current", "answers", "evidence", "abstracts"]
_OF_QUESTION = ("question_id", "question")
_OF_RECORD = ("title", "journal", "pub_date", "pub_year", "doi", "is_retracted", "publication_types", "mesh_terms")
# Columns that tables may have, or may get.
_PERHAPS = ("authors", "retraction")
_STRENGTHS = {"answerability": "strength", "probability": "strength", "answer_probability": "answer_strength"}
_ORDER = {
    "merged": ("rank", "run_id"),
    "current": ("rank",),
    "answers": ("rank", "pmid", "scoring_key", "pair_id"),
    "evidence": ("answer_rank", "answer", "place", "pmid"),
}
_FIRST = (
    "question", "answer", "answerability", "probability", "strength", "is_answerable", "best_pmid", "pmid", "title",
    "pub_year", "evidence", "wording", "answer_probability", "answer_strength", "outcome", "n_support", "n_abstracts",
    "rank", "answer_rank", "authors", "journal", "pub_date", "doi", "is_retracted",
)  # fmt: skip
_LAST = (
    "work_pmids", "question_id", "pair_id", "run_id", "first_run_id", "gone_run_id", "model", "model_revision",
    "content_hash", "scoring_key",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted.

    Attributes:
        what: merged, the answers of each question's newest run; current, those over all its runs, with what changed and
            why; answers, a row for each abstract and question; evidence, a row for each abstract that gives a merged
            answer, with its sentence; abstracts, a row for each of these abstracts.
        columns: in this order; empty for all, in the order of a reader.
        run_id: of merged answers, and of evidence and abstracts for them; of the pairs that it scored, for answers; of
            the changes, for current.
        questions: ids, or words that stand in the text of a question.
        min_probability: rows of a lower probability, or of none, are left out.
        pmids: only what is of these abstracts; empty for all.
    """

    what: What = "merged"
    columns: tuple[str, ...] = ()
    run_id: str | None = None
    questions: tuple[str, ...] = ()
    min_probability: float | None = None
    pmids: tuple[int, ...] = ()


def select(dataset: Dataset, wanted: Selection) -> pl.DataFrame:
    """The rows.

    Raises:
        ConfigError: there is no such run, question or column.
        DatasetError: the data set cannot be read.
    """
    runs = dataset.runs()
    if wanted.run_id is not None and all(run.run_id != wanted.run_id for run in runs):
        last = f"; the newest is {runs[-1].run_id}" if runs else ""
        raise ConfigError(f"`run {wanted.run_id}`: the data set has no such run{last}")
    asked = (_asked(runs, wanted.run_id), *_OF_QUESTION)
    match wanted.what:
        case "merged":
            rows = _filtered(_merged(dataset, runs, wanted.run_id), wanted)
        case "current":
            rows = dataset.current()
            rows = _filtered(rows if wanted.run_id is None else rows.filter(run_id=wanted.run_id), wanted)
        case "answers":
            rows = dataset.answers(current=True)
            rows = _filtered(rows if wanted.run_id is None else rows.filter(run_id=wanted.run_id), wanted)
        case "evidence":
            rows = _evidence(dataset, runs, wanted)
        case "abstracts":
            rows = _abstracts(_evidence(dataset, runs, wanted).sort(*asked, "answer_rank", "place"))
    frame = rows.collect(engine="streaming")
    if wanted.what == "abstracts":
        frame = frame.sort("pmid")
    else:
        ordered = frame.sort(*asked, *_ORDER[wanted.what], nulls_last=True)
        frame = _with_strength(ordered.drop("place", strict=False))
    if "best_pmid" in frame.columns:
        frame = _with_titles(frame, dataset)
    read = sorted(frame.columns, key=_place)
    return frame.select(_columns(wanted.columns, read) or read)


def _merged(dataset: Dataset, runs: Sequence[RunManifest], run_id: str | None) -> pl.LazyFrame:
    """The merged answers of one run, or of each question's newest."""
    summary = dataset.summary()
    if run_id is not None:
        return summary.filter(run_id=run_id)
    order = {run.run_id: number for number, run in enumerate(runs)}
    numbered = summary.with_columns(
        place=pl.col("run_id").replace_strict(list(order), list(order.values()), default=-1, return_dtype=pl.Int64)
    )
    return numbered.filter(pl.col("place") == pl.col("place").max().over(_OF_QUESTION)).drop("place")


def _asked(runs: Sequence[RunManifest], run_id: str | None) -> pl.Expr:
    """The place of a question, as the wanted run asked them, or the newest; of others as those before it did."""
    last = sorted(runs, key=lambda run: run.run_id == run_id)
    ids = list(dict.fromkeys(search.question_id for run in reversed(last) for search in run.retrievals))
    places = range(len(ids))
    return pl.col("question_id").replace_strict(ids, places, default=len(ids), return_dtype=pl.Int64)


def _with_strength(frame: pl.DataFrame) -> pl.DataFrame:
    """With a word for what each probability of an answer says."""
    for name, column in _STRENGTHS.items():
        if name in frame.columns:
            word = pl.when(pl.col(name) >= STRONG).then(pl.lit("strong")).when(pl.col(name) < STRONG)
            words = pl.when(pl.col("answer").is_not_null()).then(word.then(pl.lit("weak")))
            frame = frame.with_columns(words.alias(column))
    return frame


def _with_titles(frame: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """With title and year of the best abstract, as they were when it was last scored."""
    best = frame["best_pmid"].drop_nulls().unique()
    records = dataset.answers().filter(pl.col("pmid").is_in(best.implode()))
    dated = records.select("pmid", "title", "pub_year", "scored_at").collect(engine="streaming")
    last = dated.sort("scored_at", "title").unique("pmid", keep="last").drop("scored_at")
    return frame.join(last, left_on="best_pmid", right_on="pmid", how="left", maintain_order="left")


def _place(column: str) -> int:
    if column in _LAST:
        return len(_FIRST) + 1 + _LAST.index(column)
    return _FIRST.index(column) if column in _FIRST else len(_FIRST)


def _filtered(rows: pl.LazyFrame, wanted: Selection) -> pl.LazyFrame:
    columns = rows.collect_schema().names()
    if wanted.questions:
        asked = rows.select(_OF_QUESTION).unique().collect()
        ids = [_ids(asked, question) for question in wanted.questions]
        rows = rows.filter(pl.col("question_id").is_in(sorted({name for some in ids for name in some})))
    if wanted.min_probability is not None:
        rows = rows.filter(pl.col("answerability") >= wanted.min_probability)
    if wanted.pmids and "pmid" in columns:
        rows = rows.filter(pl.col("pmid").is_in(wanted.pmids))
    elif wanted.pmids:
        rows = rows.filter(pl.col("support_pmids").list.eval(pl.element().is_in(wanted.pmids)).list.any())
    return rows


def _ids(asked: pl.DataFrame, question: str) -> list[str]:
    """The ids of the questions that an id or some words name."""
    words = normalize_text(question).casefold()
    texts = dict(asked.iter_rows())
    found = [question] if question in texts else [name for name, text in texts.items() if words in text.casefold()]
    if not found or not words:
        close = get_close_matches(question, [*texts, *texts.values()], 1)
        meant = f"; is {close[0]} meant?" if close else ""
        raise ConfigError(f"`question {question}`: the data set asks none of that id or with these words{meant}")
    return found


def _evidence(dataset: Dataset, runs: Sequence[RunManifest], wanted: Selection) -> pl.LazyFrame:
    """For each merged answer the abstracts that give it, best first, with their own wordings and sentences."""
    merged = _filtered(_merged(dataset, runs, wanted.run_id), wanted).filter(pl.col("answer").is_not_null())
    keys = {run.run_id: run.scoring_key for run in runs}
    support = merged.select(
        *_OF_QUESTION,
        "answer",
        answer_rank="rank",
        answer_probability="answerability",
        scoring_key=pl.col("run_id").replace_strict(
            list(keys), list(keys.values()), default=None, return_dtype=pl.String
        ),
        pmid="support_pmids",
        place=pl.int_ranges(0, pl.col("support_pmids").list.len()),
    ).explode("pmid", "place")
    answers = dataset.answers(current=True)
    others = [name for name in _PERHAPS if name in answers.collect_schema().names()]
    said = answers.select(
        *_OF_QUESTION, "scoring_key", "pmid", "evidence", *_OF_RECORD, *others,
        wording="answer", probability="answerability",
    )  # fmt: skip
    rows = support.join(said, on=[*_OF_QUESTION, "scoring_key", "pmid"], how="inner").with_columns(
        # An early version kept numbers of checkpoints without a calibration, which are no probabilities.
        probability=pl.when(pl.col("answer_probability").is_not_null()).then("probability")
    )
    if wanted.pmids:
        rows = rows.filter(pl.col("pmid").is_in(wanted.pmids))
    return rows.select(
        *_OF_QUESTION, "answer", "answer_rank", "answer_probability", "pmid", "wording", "evidence", "probability",
        *_OF_RECORD, *others, "place",
    )  # fmt: skip


def _abstracts(evidence: pl.LazyFrame) -> pl.LazyFrame:
    """Each abstract once, with the answers that it gives."""
    given = ("question", "answer", "probability", "evidence")
    record = [name for name in evidence.collect_schema().names() if name in (*_OF_RECORD, *_PERHAPS)]
    return evidence.group_by("pmid", maintain_order=True).agg(
        *(pl.col(name).first() for name in record), answers=pl.struct(given)
    )


def _columns(wanted: Sequence[str], there: Iterable[str]) -> list[str]:
    names = list(there)
    for name in wanted:
        if name not in names:
            close = get_close_matches(name, names, 1)
            meant = f"; is {close[0]} meant?" if close else "."
            raise ConfigError(f"`columns {name}`: there is no such column{meant} There are {', '.join(names)}")
    return list(dict.fromkeys(wanted))
