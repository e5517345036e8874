"""A row dataclass into the Arrow schema of its table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa

from bioqa_pipeline.records.scores import SpanAnswer

PMID = pa.int64()
ARROW_TYPES = {
    str: pa.string(),
    int: pa.int32(),
    float: pa.float32(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
    SpanAnswer: pa.struct(
        [
            pa.field("text", pa.string(), nullable=False),
            pa.field("start", pa.int32(), nullable=False),
            pa.field("end", pa.int32(), nullable=False),
            pa.field("score", pa.float32(), nullable=False),
            pa.field("log_prob", pa.float32(), nullable=False),
        ]
    ),
}


@dataclass(frozen=True)
class Table:
    """One table of the data set.

    Attributes:
        name: its folder.
        row: its columns, in order, each with its Arrow type where that does not follow from Python's, and its
            description.
        sorted_by: columns that order the rows of a file.
        dictionary: columns whose values repeat within a file, dictionary-encoded in Parquet.
    """

    name: str
    row: type[Any]
    sorted_by: tuple[str, ...]
    dictionary: tuple[str, ...]

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the rows, with each column's description."""
        columns = get_type_hints(self.row, include_extras=True)
        return pa.schema([_field(name, columns[name]) for name in (f.name for f in fields(self.row))])


def _field(name: str, column: Any) -> pa.Field:
    python_type, *said = get_args(column)
    *arrow_type, description = said
    alternatives = get_args(python_type) if isinstance(python_type, UnionType) else (python_type,)
    return pa.field(
        name,
        _arrow_type(alternatives[0], *arrow_type),
        nullable=NoneType in alternatives,
        metadata={"description": description},
    )


def _arrow_type(python_type: Any, arrow_type: pa.DataType | None = None) -> pa.DataType:
    if get_origin(python_type) is tuple:
        element = _arrow_type(get_args(python_type)[0], arrow_type)
        return pa.list_(pa.field("element", element, nullable=False))
    return arrow_type or ARROW_TYPES[python_type]
