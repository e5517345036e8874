"""Writes the tables of docs/columns.md from the row classes of the data set; with --check only says whether it is true.

python docs/make_columns.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from bioqa_pipeline.dataset.schemas import TABLES
from bioqa_pipeline.dataset.table import Table

PAGE = Path(__file__).with_name("columns.md")


def markdown(table: Table) -> str:
    """One line a column."""
    lines = ["| column | type | meaning |", "| --- | --- | --- |"]
    for field in table.schema:
        kind = re.sub(r"element: | not null", "", str(field.type)).replace("float", "float32")
        nullable = ", can be null" if field.nullable else ""
        lines.append(f"| `{field.name}` | {kind}{nullable} | {field.metadata[b'description'].decode()} |")
    return "\n".join(lines)


def filled(page: str) -> str:
    """The page with each table between its two marks made anew."""
    for table in TABLES:
        begin, end = f"<!-- {table.name}: made by docs/make_columns.py -->\n", f"\n<!-- end of {table.name} -->"
        before, rest = page.split(begin)
        page = before + begin + markdown(table) + end + rest.split(end)[1]
    return page


def main() -> None:
    page = PAGE.read_text("utf-8")
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(filled(page), "utf-8")
    elif filled(page) != page:
        sys.exit(f"{PAGE} is not what the columns say: run python docs/make_columns.py")


if __name__ == "__main__":
    main()
