"""Rows with nested columns into the plain cells of a table, in which no text is a formula.

A list becomes its elements joined by "; ". A struct becomes a column for each of its fields, called COLUMN.FIELD, and a
list of structs such columns of joined elements. `user_columns`, a JSON object, becomes a column for each of its names.
Spreadsheet programs take a text that begins with = + - or @ for a formula, which may send what is in the sheet to
anybody: such a text gets an apostrophe before it, as people put one there. A text that is but a number stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import polars as pl

_JOINT = "; "
_USER_COLUMNS = "user_columns"
# What shows nothing: white space, control characters, marks of width and direction.
_UNSEEN = r"\s\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
# With such before it, and as wide signs, too, which some versions take for the narrow ones. Read by Python and by Rust.
FORMULA = rf"^[{_UNSEEN}]*[=+\-@＝＋－＠]|^[\t\r\n|%]"
# One, or several that were joined.
NUMBER = r"^[-+]?[0-9]+(?:[.,][0-9]+)*(?:e[-+]?[0-9]+)?%?(?:; [-+]?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?)*$"


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows without nested columns."""
    return frame.select([column for name in frame.columns for column in _flat(frame, name)])


def defused(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows, an apostrophe before each text that a spreadsheet would compute; headers are left as they are."""
    is_formula = {name: _is_formula(pl.col(name)) for name, kind in frame.schema.items() if kind == pl.String}
    return frame.with_columns(
        pl.when(test).then(pl.concat_str(pl.lit("'"), pl.col(name))).otherwise(pl.col(name)).alias(name)
        for name, test in is_formula.items()
    )


def _is_formula(text: pl.Expr) -> pl.Expr:
    return text.str.contains(FORMULA) & ~text.str.contains(NUMBER)


def _flat(frame: pl.DataFrame, name: str) -> Iterator[pl.Series | pl.Expr]:
    kind, column = frame.schema[name], pl.col(name)
    if name == _USER_COLUMNS:
        yield from _own_columns(frame[name])
    elif isinstance(kind, pl.Struct):
        for field in kind.fields:
            yield column.struct.field(field.name).alias(f"{name}.{field.name}")
    elif isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct):
        for field in kind.inner.fields:
            element = pl.element().struct.field(field.name).cast(pl.String).fill_null("")
            yield column.list.eval(element).list.join(_JOINT).alias(f"{name}.{field.name}")
    elif isinstance(kind, pl.List):
        yield column.list.eval(pl.element().cast(pl.String)).list.join(_JOINT).alias(name)
    else:
        yield column


def _own_columns(texts: pl.Series) -> Iterator[pl.Series]:
    rows = [json.loads(text) if text else {} for text in texts]
    names = dict.fromkeys(name for row in rows for name in row)
    for name in names:
        values = [None if (value := row.get(name)) is None else str(value) for row in rows]
        yield pl.Series(f"{_USER_COLUMNS}.{name}", values, dtype=pl.String)
