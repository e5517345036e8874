from __future__ import annotations

import dataclasses
import types
import typing
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.dataset.schemas import (
    ANSWERS,
    CHUNKS,
    CURRENT,
    SCHEMA_VERSION,
    SUMMARY,
    AnswerRow,
    ChunkRow,
    CurrentRow,
    SummaryRow,
    make_pair_id,
    make_shard_id,
)
from bioqa_pipeline.dataset.table import Table
from bioqa_pipeline.dataset.tables import decode, empty_frame, encode, file_metadata, summary_rows, to_table
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.records.scores import SpanAnswer
from bioqa_pipeline.records.texts import content_digest
from support.dataset_rows import METADATA, answer_row, chunk_rows, merged_answer, unanswered_row

ARROW_TYPES: dict[Any, set[pa.DataType]] = {
    str: {pa.string()},
    int: {pa.int32(), pa.int64()},
    float: {pa.float32()},
    bool: {pa.bool_()},
    datetime: {pa.timestamp("us", tz="UTC")},
    tuple[int, ...]: {pa.list_(pa.field("element", pa.int64(), nullable=False))},
    tuple[str, ...]: {pa.list_(pa.field("element", pa.string(), nullable=False))},
    tuple[SpanAnswer, ...]: {ANSWERS.schema.field("n_best").type},
}


@pytest.mark.parametrize(
    ("row", "table"), [(AnswerRow, ANSWERS), (ChunkRow, CHUNKS), (SummaryRow, SUMMARY), (CurrentRow, CURRENT)]
)
def test_fields_of_a_row_are_the_columns_of_its_table(row: type, table: Table) -> None:
    hints = typing.get_type_hints(row)
    assert [f.name for f in dataclasses.fields(row)] == table.schema.names
    for field in table.schema:
        hint = hints[field.name]
        optional = isinstance(hint, types.UnionType)
        plain = next(a for a in typing.get_args(hint) if a is not type(None)) if optional else hint
        assert field.nullable == optional, field.name
        assert field.type in ARROW_TYPES[plain], field.name
        assert field.metadata[b"description"], field.name
    assert {*table.sorted_by, *table.dictionary} <= set(table.schema.names)


def test_schema_version_rises_with_the_columns() -> None:
    """Whoever changes a column puts the new digest here, and raises SCHEMA_VERSION unless it is new and can be null."""
    columns = [f"{t.name}.{f.name}:{f.type}:{f.nullable}" for t in (ANSWERS, CHUNKS, SUMMARY) for f in t.schema]
    assert (SCHEMA_VERSION, content_digest(*columns)) == (1, "0dea4d030c962c2caa60cf9bea924784")
    current = [f"{f.name}:{f.type}:{f.nullable}" for f in CURRENT.schema]
    assert content_digest(*current) == "7d0909a9c94a4bb7e2e5a9bd4da63312"


def test_answers_read_back_as_written_sorted_by_question_then_rank() -> None:
    rows = [answer_row(2, question_id="q2", rank=1), answer_row(3, rank=2), unanswered_row(1, rank=1)]
    table = decode(encode(to_table(rows, ANSWERS), ANSWERS, METADATA))
    assert table.schema.equals(ANSWERS.schema)
    names = [f.name for f in dataclasses.fields(SpanAnswer) if f.name != "window_index"]
    expected = [
        {
            **{f.name: getattr(row, f.name) for f in dataclasses.fields(row)},
            "n_best": [{name: getattr(span, name) for name in names} for span in row.n_best],
            "authors": row.authors and list(row.authors),
        }
        for row in (rows[2], rows[1], rows[0])
    ]
    assert table.to_pylist() == expected


def test_windows_without_a_span_have_null_scores() -> None:
    table = to_table(chunk_rows([answer_row(1)]), CHUNKS)
    assert table["margin"].to_pylist() == [8.875, None]
    assert table["span_logsumexp"].to_pylist() == [7.625, None]


def test_merged_answers_become_summary_rows() -> None:
    rows = summary_rows([merged_answer(1), merged_answer(2, answer=None, margin=float("-inf"))], "run")
    table = to_table(rows, SUMMARY)
    assert table["n_support"].to_pylist() == [2, 2]
    assert table["support_pmids"].to_pylist() == [[3, 1], [3, 1]]
    assert table["margin"].to_pylist() == [8.0, None]
    assert table["run_id"].to_pylist() == ["run", "run"]


def test_files_carry_version_configuration_descriptions_and_order() -> None:

    data = encode(to_table([answer_row(1)], ANSWERS), ANSWERS, METADATA)
    file = pq.ParquetFile(pa.BufferReader(data))
    found = file_metadata(file.schema_arrow)
    assert found == {**METADATA, "schema_version": str(SCHEMA_VERSION), "table": "answers"}
    assert file.schema_arrow.field("pmid").metadata[b"description"] == b"PubMed id"
    group = file.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert "RLE_DICTIONARY" in columns["question"].encodings
    assert "RLE_DICTIONARY" not in columns["pair_id"].encodings
    assert [columns_by_index(file)[s.column_index] for s in group.sorting_columns] == ["question_id", "rank", "pmid"]


def columns_by_index(file: Any) -> list[str]:
    group = file.metadata.row_group(0)
    return [group.column(i).path_in_schema for i in range(group.num_columns)]


def test_configuration_is_not_optional() -> None:
    with pytest.raises(ValueError, match="config"):
        encode(to_table([answer_row(1)], ANSWERS), ANSWERS, {"scoring_key": "key"})


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_any_string_can_be_written_and_keeps_its_length(text: str) -> None:
    row = answer_row(1, title=text, answer=text, n_best=(SpanAnswer(text, 0, len(text), 1.0, -1.0, 0),))
    table = decode(encode(to_table([row], ANSWERS), ANSWERS, {"config": "{}", "note": text}))
    stored = table["title"][0].as_py()
    assert stored == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert table["answer"][0].as_py() == stored == table["n_best"][0].as_py()[0]["text"]
    assert file_metadata(table.schema)["note"] == stored


def test_replaced_characters_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    to_table([answer_row(1, title="a\ud800"), answer_row(2), answer_row(3, title="\udc00")], ANSWERS)
    assert caplog.messages == ["column answers.title: 2 values hold characters that UTF-8 cannot; stored as U+FFFD"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("null_score", float("nan"), "answers.null_score: nan is not a score"),
        ("margin", float("nan"), "answers.margin: nan is not a score"),
        ("null_score", float("-inf"), "answers.null_score: -inf is not a score"),
        ("margin", 1e39, r"answers.margin: 1e\+39 is not a score"),
        ("null_score", None, "answers.null_score: a value is missing"),
        ("title", None, "answers.title: a value is missing"),
        ("title", 3, "answers.title: a value does not fit string"),
        ("pmid_version", 2**31, "answers.pmid_version: a value does not fit int32"),
        ("scored_at", datetime(2026, 1, 1), "answers.scored_at: 2026-01-01T00:00:00 has no time zone"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_their_column(field: str, value: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        to_table([answer_row(1, **{field: value})], ANSWERS)


@pytest.mark.parametrize("table", [ANSWERS, CHUNKS, SUMMARY, CURRENT])
def test_an_empty_table_has_the_columns_of_a_full_one(table: Table) -> None:

    full = pl.read_parquet(encode(table.schema.empty_table(), table, METADATA))
    assert empty_frame(table).collect_schema() == full.schema


def test_a_shard_is_named_by_its_pairs_whatever_their_order() -> None:
    assert make_shard_id(["a", "b"]) == make_shard_id(["b", "a"]) != make_shard_id(["ab"])


def test_a_pair_is_new_when_anything_of_it_changes() -> None:
    base = ("q1", "Which gene?", 7, "content", "key")
    others = [(*base[:i], 8 if i == 2 else base[i] + "x", *base[i + 1 :]) for i in range(5)]  # type: ignore[operator]
    assert len({make_pair_id(*ids) for ids in (base, *others)}) == 6  # type: ignore[arg-type]
