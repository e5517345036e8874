"""Rows of a run that were scored again into its summary, and what differs in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from bioqa_pipeline.dataset.schemas import SUMMARY
from bioqa_pipeline.dataset.tables import summary_rows, to_table
from bioqa_pipeline.records.texts import Question, Retrieval
from bioqa_pipeline.run.asked_again import Records
from bioqa_pipeline.run.differences import UNEXPLAINED, Difference, differing, of_row
from bioqa_pipeline.run.records import RunIdentity
from bioqa_pipeline.run.summarise import summarise

# What a summary is made of.
MERGED = (
    *("pair_id", "question_id", "pmid", "margin", "answerability"),
    *("score_diff", "is_retracted", "n_best", "evidence"),
)
NOT_MERGED = "whose answers rest on pairs of other runs or that are gone, or on records that say something else now"


class SummaryAgain:
    """The summary of a run beside what its rows come to.

    Args:
        stored: as it is.
        rows: those of the run, scored again, with the columns of `MERGED`.

    Attributes:
        left_out: questions that cannot be merged again, see `NOT_MERGED`.
    """

    def __init__(self, stored: pl.DataFrame, rows: pl.DataFrame, records: Records) -> None:
        revised = [*records.revised, *(record.pmid for record in records.earlier.values())]
        own = rows.group_by("question_id").agg(n=pl.len(), is_revised=pl.col("pmid").is_in(revised).any())
        asked = stored.filter(pl.col("n_abstracts") > 0).join(own, on="question_id", how="left")
        other = asked.filter(pl.col("is_revised").fill_null(True) | (pl.col("n") != pl.col("n_abstracts")))
        self.left_out = frozenset(other["question_id"])
        self._stored, self._rows, self._store = stored, rows, records.store

    def differing(self, run: RunIdentity, causes: Sequence[str]) -> Iterator[Difference]:
        """Merges the answers of each question anew and compares them by their rank."""
        stored = self._stored.filter(~pl.col("question_id").is_in(self.left_out), pl.col("n_abstracts") > 0)
        asked = stored.unique("question_id", keep="first", maintain_order=True)
        questions = [Question(*row) for row in asked.select("question_id", "question", "user_columns").iter_rows()]
        index = pl.DataFrame({"question_id": asked["question_id"], "question_index": range(len(questions))})
        merged = summarise(
            questions,
            [Retrieval(question.id, ()) for question in questions],
            self._rows.join(index, on="question_id").select("question_index", "pair_id").lazy(),
            self._rows.lazy(),
            self._store,
            run,
        )
        frame = pl.DataFrame(to_table(summary_rows(merged, ""), SUMMARY))
        was, now = (
            # A summary has no pair; what is said of one has its best abstract.
            {(row["question_id"], row["rank"]): {**row, "pmid": 0, "pair_id": ""} for row in table.to_dicts()}
            for table in (stored, frame)
        )
        for key in sorted(was.keys() | now.keys()):
            if key in was and key in now:
                yield from differing("summary", was[key], now[key], causes)
            else:
                row = was.get(key) or now[key]
                ranks = (key[1] if key in was else None), (key[1] if key in now else None)
                yield of_row("summary", "rank", row, *ranks, tuple(causes) or (UNEXPLAINED,))
