"""Rows into Parquet bytes and back: values are checked, metadata is added.

A string that UTF-8 cannot hold (lone surrogates, as broken JSON escapes give them) is written with U+FFFD in the place
of each of them, one code point for one, so that all character offsets stay true; a warning counts the strings.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bioqa_pipeline.dataset.schemas import SCHEMA_VERSION, Row, SummaryRow
from bioqa_pipeline.dataset.table import Table
from bioqa_pipeline.errors import DatasetError
from bioqa_pipeline.messages import words_of
from bioqa_pipeline.records.scores import MergedAnswer

logger = logging.getLogger(__name__)

# Keys of the Parquet metadata stand under this prefix.
METADATA_PREFIX = "bioqa."
# A scan reads one column of one group at a time: large enough to compress, small enough for several readers.
ROW_GROUP_ROWS = 65_536

_FLOAT32_MAX = 3.4028234663852886e38
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_table(rows: Sequence[Row], table: Table) -> pa.Table:
    """Rows as an Arrow table with exactly the table's schema, sorted by `table.sorted_by`.

    Raises:
        DatasetError: a value does not fit its column (None, NaN, infinite, out of range, a time without zone).
    """
    return columns_to_table({name: [getattr(row, name) for row in rows] for name in table.schema.names}, table)


def columns_to_table(columns: Mapping[str, Any], table: Table) -> pa.Table:
    """`to_table` of columns by their names, each a list, a numpy array, masked where it is null, or an Arrow array.

    Raises:
        DatasetError: as `to_table`.
    """
    arrays = [arrow_column(columns[field.name], field, table) for field in table.schema]
    return in_order(pa.Table.from_arrays(arrays, schema=table.schema), table)


def arrow_column(values: Any, column: pa.Field | str, table: Table) -> pa.Array:
    """Values of one column, see `columns_to_table`, checked.

    Raises:
        DatasetError: as `to_table`.
    """
    field = table.schema.field(column) if isinstance(column, str) else column
    place = f"column {table.name}.{field.name}"
    if isinstance(values, pa.Array):
        array = values.cast(field.type)
    elif isinstance(values, np.ndarray):
        array = _from_numpy(values, field, place)
    else:
        array = _from_list(values, field, place)
    if array.null_count and not field.nullable:
        raise DatasetError(f"{place}: a value is missing")
    return array


def summary_rows(merged: Iterable[MergedAnswer], run_id: str) -> list[SummaryRow]:
    """Merged answers as the rows of one run."""
    said = [f.name for f in fields(SummaryRow) if f.name != "run_id"]
    return [SummaryRow(run_id=run_id, **{name: getattr(answer, name) for name in said}) for answer in merged]


def encode(data: pa.Table, table: Table, metadata: Mapping[str, str]) -> bytes:
    """An Arrow table as one zstd Parquet file.

    Args:
        metadata: goes into the file under `bioqa.`; "config", the whole resolved configuration as JSON, must be there.
    """
    if "config" not in metadata:
        raise ValueError("metadata lacks 'config', the resolved configuration as JSON")
    own = {"schema_version": str(SCHEMA_VERSION), "table": table.name}
    stamped = {METADATA_PREFIX + key: replace_surrogates(value) for key, value in {**metadata, **own}.items()}
    sink = pa.BufferOutputStream()
    pq.write_table(
        data.replace_schema_metadata(stamped),
        sink,
        compression="zstd",
        row_group_size=ROW_GROUP_ROWS,
        write_page_checksum=True,
        use_dictionary=list(table.dictionary),
        sorting_columns=pq.SortingColumn.from_ordering(data.schema, [(name, "ascending") for name in table.sorted_by]),
    )
    return bytes(sink.getvalue())


def decode(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The Arrow table in a Parquet file, or some of its columns; checksums of pages are compared."""
    chosen = None if columns is None else list(columns)
    return pq.read_table(pa.BufferReader(data), columns=chosen, page_checksum_verification=True)


def n_rows(data: bytes) -> int:
    """Rows of a Parquet file."""
    rows: int = pq.read_metadata(pa.BufferReader(data)).num_rows
    return rows


def file_metadata(schema: pa.Schema) -> dict[str, str]:
    """What `encode` put into a file's metadata, without the prefix; empty for a foreign file."""
    prefix = METADATA_PREFIX.encode()
    raw: dict[bytes, bytes] = schema.metadata or {}
    return {k.removeprefix(prefix).decode(): v.decode() for k, v in raw.items() if k.startswith(prefix)}


def column_faults(schema: pa.Schema, table: Table) -> list[str]:
    """What a file's columns lack to be those of a table. Columns that can be null may be missing: files that were
    written before a column came have none of it."""
    faults = []
    for field in table.schema:
        index = schema.get_field_index(field.name)
        if index < 0:
            if not field.nullable:
                faults.append(f"column {field.name} is missing")
        elif not schema.field(index).type.equals(field.type):
            faults.append(f"column {field.name} is {schema.field(index).type} in place of {field.type}")
    return faults


def empty_frame(table: Table) -> pl.LazyFrame:
    """No rows, with the columns and types that a scan of the table's files has."""
    return pl.DataFrame(table.schema.empty_table()).lazy()


def joined(parts: Iterable[pa.Table], table: Table) -> pa.Table:
    """The rows of all parts, with the columns of the table: those that came later are absent in older files."""
    every = [table.schema.empty_table(), *(part.replace_schema_metadata() for part in parts)]
    return pa.concat_tables(every, promote_options="default").select(table.schema.names)


def in_order(rows: pa.Table, table: Table) -> pa.Table:
    """Sorted as in a file of the table."""
    return rows.take(pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in table.sorted_by]))


def replace_surrogates(value: Any) -> Any:
    """Each surrogate in the strings of a value as U+FFFD."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list | tuple):
        return [replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {key: replace_surrogates(item) for key, item in value.items()}
    return value


def _from_numpy(values: np.ndarray[Any, Any], field: pa.Field, place: str) -> pa.Array:
    mask, values = np.ma.getmask(values), np.ma.getdata(values)
    is_null = None if mask is np.ma.nomask else mask
    if pa.types.is_floating(field.type):
        if not (finite := np.abs(values) <= _FLOAT32_MAX).all():
            is_null = np.zeros(values.shape, dtype=np.bool_) if is_null is None else is_null
            for value in values[~finite & ~is_null].tolist():
                _finite(value, field.nullable, place)
            is_null = is_null | ~finite
            values = np.where(is_null, 0, values)
        values = values.astype(np.float32)
    elif pa.types.is_integer(field.type):
        limits = np.iinfo(field.type.to_pandas_dtype())
        if values.size and not limits.min <= values.min() <= values.max() <= limits.max:
            raise DatasetError(f"{place}: a value does not fit {field.type}")
        values = values.astype(field.type.to_pandas_dtype())
    return pa.array(values, type=field.type, mask=is_null)


def _from_list(values: Sequence[Any], field: pa.Field, place: str) -> pa.Array:
    if pa.types.is_floating(field.type):
        values = [_finite(value, field.nullable, place) for value in values] if field.name != "threshold" else values
    elif pa.types.is_timestamp(field.type):
        for value in values:
            if isinstance(value, datetime) and value.tzinfo is None:
                raise DatasetError(f"{place}: {value.isoformat()} has no time zone")
    elif field.name == "n_best":
        names = [item.name for item in field.type.value_type]
        values = [[{name: getattr(span, name) for name in names} for span in spans] for spans in values]
    try:
        return _array(values, field, place)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as exc:
        raise DatasetError(f"{place}: a value does not fit {field.type}: {words_of(exc)}") from exc


def _array(values: Sequence[Any], field: pa.Field, place: str) -> pa.Array:
    try:
        return pa.array(values, type=field.type)
    except UnicodeEncodeError:
        cleaned = [replace_surrogates(value) for value in values]
        changed = sum(a != b for a, b in zip(values, cleaned, strict=True))
        logger.warning("%s: %d values hold characters that UTF-8 cannot; stored as U+FFFD", place, changed)
        return pa.array(cleaned, type=field.type)


def _finite(value: float | None, nullable: bool, place: str) -> float | None:
    if value is None or abs(value) <= _FLOAT32_MAX:
        return value
    if nullable and math.isinf(value):
        return None
    raise DatasetError(f"{place}: {value} is not a score")
