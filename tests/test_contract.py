"""The data contract says of a real data set what is true of it, and of every column what the schemas say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

from bioqa_pipeline.dataset.schemas import TABLES

ROOT = Path(__file__).parents[1]
DATA_SET = Path(__file__).with_name("data") / "dataset_da5435d" / "dataset"
CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "bioqa.odcs.yaml").read_text("utf-8"))
OF = {table["name"]: table for table in CONTRACT["schema"]}


def test_every_table_and_column_stands_in_it_in_order() -> None:
    assert {name: [column["name"] for column in table["properties"]] for name, table in OF.items()} == {
        table.name: table.schema.names for table in TABLES
    }


@pytest.mark.parametrize("name", ["answers", "chunks", "summary"])
def test_what_it_promises_of_rows_holds(name: str) -> None:
    [table] = [table for key, table in OF.items() if key == name]
    path = str(DATA_SET / table["physicalName"])
    stored = set(pq.read_schema(next(Path(DATA_SET, name).glob("*.parquet"))).names)
    key = ", ".join(column["name"] for column in table["properties"] if column.get("primaryKey"))
    count = f"SELECT count(*), count(DISTINCT ({key})) FROM '{path}'"
    rows, distinct = duckdb.sql(count).fetchall()[0]
    assert rows == distinct > 0
    for column in table["properties"]:
        if column["name"] not in stored:
            # A later addition: then it may be null.
            assert not column["required"]
            continue
        limits = column.get("logicalTypeOptions", {})
        outside = f"{column['name']} NOT BETWEEN {limits['minimum']} AND {limits['maximum']}" if limits else "false"
        broken = f"{column['name']} IS NULL OR {outside}" if column["required"] else outside
        assert duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE {broken}").fetchall() == [(0,)], column["name"]
