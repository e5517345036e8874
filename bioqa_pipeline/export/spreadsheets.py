"""Rows into CSV and Excel."""

from __future__ import annotations

import io
import re
from datetime import datetime
from typing import Any

import polars as pl
import xlsxwriter

from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.export.flat import FORMULA, NUMBER, defused, flat

# Excel's own.
MAX_ROWS, MAX_COLUMNS, MAX_CELL_CHARS = 1_048_576, 16_384, 32_767
# In characters; other columns have Excel's own.
_WIDTHS = {"question": 45, "answer": 28, "title": 45, "evidence": 60}
_ISO = "%Y-%m-%dT%H:%M:%S%.6fZ"
_FORMULA, _NUMBER = re.compile(FORMULA), re.compile(NUMBER)


def as_csv(frame: pl.DataFrame, *, bom: bool) -> bytes:
    """A table in UTF-8 with a header line; null is an empty cell, times are ISO 8601 in UTC.

    Args:
        bom: begins with a byte-order mark, without which Excel takes it for another encoding.
    """
    rows = flat(frame)
    times = [name for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)]
    rows = defused(rows.with_columns(pl.col(times).dt.strftime(_ISO)))
    file = io.BytesIO()
    rows.write_csv(file, include_bom=bom)
    return file.getvalue()


def as_xlsx(frame: pl.DataFrame, name: str) -> tuple[bytes, list[str]]:
    """(a workbook of one sheet, what had to be left out of it); no cell of it is a formula.

    Raises:
        ConfigError: more rows or columns than a sheet takes.
    """
    rows = flat(frame)
    if rows.height >= MAX_ROWS or rows.width > MAX_COLUMNS:
        raise ConfigError(
            f"{rows.height:,} rows of {rows.width:,} columns are more than a sheet of Excel takes ({MAX_ROWS - 1:,} of "
            f"{MAX_COLUMNS:,}): filter them, or use `format csv`"
        )
    file = io.BytesIO()
    # Texts stay texts, whatever they look like.
    options = dict.fromkeys(("strings_to_formulas", "strings_to_urls", "strings_to_numbers"), False)
    book = xlsxwriter.Workbook(file, {"constant_memory": True, **options})
    # The time of writing would make each file another one.
    book.set_properties({"created": datetime(2000, 1, 1)})
    sheet = book.add_worksheet(name)
    sheet.freeze_panes(1, 0)
    cells = _Cells(book, sheet)
    for column, title in enumerate(rows.columns):
        sheet.set_column(column, column, _WIDTHS.get(title))
        cells.write(0, column, title)
    for number, row in enumerate(rows.iter_rows(), start=1):
        for column, value in enumerate(row):
            cells.write(number, column, value)
    if rows.height:
        sheet.autofilter(0, 0, rows.height, rows.width - 1)
    book.close()
    cut = f"{cells.n_cut:,} texts were cut at the {MAX_CELL_CHARS:,} characters that a cell of Excel takes"
    return file.getvalue(), [cut] if cells.n_cut else []


class _Cells:
    """Values into the cells of a sheet."""

    def __init__(self, book: Any, sheet: Any) -> None:
        self._sheet = sheet
        self._time = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        # Excel's own way to say that a cell is text: it stays one when the sheet is saved as CSV and read again.
        self._text = book.add_format({"quote_prefix": True})
        self.n_cut = 0

    def write(self, row: int, column: int, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, bool):
            self._sheet.write_boolean(row, column, value)
        elif isinstance(value, int | float):
            self._sheet.write_number(row, column, value)
        elif isinstance(value, datetime):
            self._sheet.write_datetime(row, column, value.replace(tzinfo=None), self._time)
        else:
            self._write_text(row, column, str(value))

    def _write_text(self, row: int, column: int, text: str) -> None:
        if len(text.encode("utf-16-le", "replace")) // 2 > MAX_CELL_CHARS:
            text = text.encode("utf-16-le", "replace")[: 2 * (MAX_CELL_CHARS - 1)].decode("utf-16-le", "ignore") + "…"
            self.n_cut += 1
        is_formula = _FORMULA.search(text) and not _NUMBER.search(text)
        self._sheet.write_string(row, column, text, self._text if is_formula else None)
