"""Two versions of the same rows into what differs between them, and two environments into why it may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# What may differ: they say who scored and when.
EXEMPT = frozenset({"run_id", "scored_at"})
# Taken from the record and never computed.
OF_THE_RECORD = frozenset(
    {
        *("pmid_version", "title", "journal", "pub_date", "pub_year", "doi", "is_retracted", "content_hash"),
        *("print_date", "electronic_date", "publication_types", "mesh_terms", "languages", "expressions_of_concern"),
        *("errata", "retraction"),
    }
)
UNEXPLAINED = "unexplained"

# What each reason means, for people.
WHY = {
    "processor": "another kind of processor",
    "device": "another device",
    "engine": "another engine",
    "engine_version": "another version of the engine",
    "package_version": "another version of what cuts texts into tokens or builds the network",
    "precision": "another precision",
    "model": "other files of the model",
    "bioqa_version": "another version of bioqa",
    "settings": "settings that were read otherwise, or another schema version",
    "revised_record": "the record says something else now",
    "retracted_since": "retracted since; the text is the same",
    "missing_record": "the record is not to be had",
    "changed_row": "the row's id is not that of its question, record and key: it was changed after it was written",
    "lost_rows": "the data set no longer has the rows that the run wrote: set aside, deleted or changed",
    "not_scored": "no score came out",
    UNEXPLAINED: "no cause is known: changed after it was written, or bioqa's code was under the same version number",
}

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cause:
    """What is other than when the run was made, by a name of `WHY`."""

    why: str
    then: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that is not what it was.

    Attributes:
        why: names of `WHY`, the first the likeliest.
        window_index: of a row of `chunks`.
    """

    table: str
    column: str
    question_id: str
    pmid: int
    pair_id: str
    window_index: int | None = None
    then: Any
    now: Any
    why: tuple[str, ...]


@dataclass(slots=True)
class Differences:
    """The first ones as they are, all of them as numbers.

    Attributes:
        most: that are kept.
        counts: by table, column and `why`.
        pair_ids: that differ somewhere.
    """

    most: int
    first: list[Difference] = field(default_factory=list)
    counts: Counter[tuple[str, str, tuple[str, ...]]] = field(default_factory=Counter)
    pair_ids: set[str] = field(default_factory=set)

    def add(self, found: Iterable[Difference]) -> None:
        for difference in found:
            self.counts[difference.table, difference.column, difference.why] += 1
            if difference.pair_id:
                self.pair_ids.add(difference.pair_id)
            if len(self.first) < self.most:
                self.first.append(difference)


def differing(
    table: str, then: Values, now: Values, causes: Sequence[str], *, left_out: frozenset[str] = frozenset()
) -> Iterator[Difference]:
    """The values of a row that are not the same to the bit, as Python values of its Arrow types.

    Args:
        causes: names of `WHY` that can have changed a score.
        left_out: columns that are not compared, besides `EXEMPT`.
    """
    for column, was in then.items():
        # By their shortest exact spelling: 0.0 and -0.0 are equal, and are not the same bits.
        if column in EXEMPT or column in left_out or repr(was) == repr(now[column]):
            continue
        why = ("revised_record",) if column in OF_THE_RECORD else tuple(causes) or (UNEXPLAINED,)
        yield of_row(table, column, then, was, now[column], why)


def of_row(table: str, column: str, row: Values, then: Any, now: Any, why: tuple[str, ...]) -> Difference:
    """A difference in a row."""
    return Difference(
        table=table,
        column=column,
        question_id=row["question_id"],
        pmid=row["pmid"],
        pair_id=row["pair_id"],
        then=then,
        now=now,
        why=why,
        window_index=row.get("window_index"),
    )


def differing_windows(then: Sequence[Values], now: Sequence[Values], causes: Sequence[str]) -> Iterator[Difference]:
    """The windows of one pair, matched by their index; one that the other side lacks is a difference of its index."""
    was, became = ({row["window_index"]: row for row in rows} for rows in (then, now))
    for index in sorted(was.keys() | became.keys()):
        if index in was and index in became:
            yield from differing("chunks", was[index], became[index], causes)
            continue
        row = was.get(index) or became[index]
        present = (index if index in was else None), (index if index in became else None)
        yield of_row("chunks", "window_index", row, *present, tuple(causes) or (UNEXPLAINED,))
    if len(was) != len(then):
        yield of_row("chunks", "window_index", then[0], len(then), len(was), (UNEXPLAINED,))
