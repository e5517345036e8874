"""Writes docs/bioqa.odcs.yaml, the data contract, from the row classes of the data set; --check says if it is true.

A contract of the Open Data Contract Standard, 3.1 (https://bitol-io.github.io/open-data-contract-standard/), checked by
the standard's own JSON schema.

python docs/make_contract.py [--check]
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import yaml

from bioqa_pipeline.dataset.schemas import SCHEMA_VERSION, TABLES
from bioqa_pipeline.dataset.table import Table

PAGE = Path(__file__).with_name("bioqa.odcs.yaml")
# What Arrow says, in the words of the standard.
LOGICAL_TYPES = {
    pa.string(): "string",
    pa.int32(): "integer",
    pa.int64(): "integer",
    pa.float32(): "number",
    pa.bool_(): "boolean",
    pa.timestamp("us", tz="UTC"): "timestamp",
}
# The columns that together name one row.
KEYS = {
    "answers": ("pair_id",),
    "chunks": ("pair_id", "window_index"),
    "summary": ("run_id", "question_id", "rank"),
    "current": ("question_id", "rank"),
}
GRAINS = {
    "answers": "one row per question and abstract",
    "chunks": "one row per window of an abstract that was asked",
    "summary": "one row per run, question and merged answer",
    "current": "one row per question and merged answer as things stand, over all runs",
}
PROBABILITIES = {"answerability"}


def contract() -> dict[str, Any]:
    """The contract as the standard's keys."""
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "bioqa-data-set",
        "name": "Answers of PubMed abstracts to questions",
        "version": f"{SCHEMA_VERSION}.0.0",
        "status": "active",
        "description": {
            "purpose": "For each question and each abstract asked: where the answer stands, or that there is none.",
            "usage": "Read as Parquet: each table is a folder of files. Rows never change, but in `current`.",
            "limitations": "Spans of English abstracts as a model finds them; no synthesis, no yes or no.",
        },
        "schema": [_table(table) for table in TABLES],
    }


def _table(table: Table) -> dict[str, Any]:
    key = KEYS[table.name]
    return {
        "name": table.name,
        "logicalType": "object",
        "physicalName": f"{table.name}/*.parquet",
        "physicalType": "Parquet files",
        "description": GRAINS[table.name],
        "dataGranularityDescription": GRAINS[table.name],
        "properties": [_column(field, key) for field in table.schema],
    }


def _column(field: pa.Field, key: tuple[str, ...]) -> dict[str, Any]:
    said: dict[str, Any] = {"name": field.name, **_type(field.type), "required": not field.nullable}
    if field.name in key:
        said |= {"primaryKey": True, "primaryKeyPosition": key.index(field.name) + 1}
    if key == (field.name,):
        said["unique"] = True
    if field.name in PROBABILITIES:
        said["logicalTypeOptions"] = {"minimum": 0, "maximum": 1}
    said["description"] = field.metadata[b"description"].decode()
    return said


def _type(kind: pa.DataType) -> dict[str, Any]:
    physical = str(kind).replace("element: ", "").replace(" not null", "")
    if pa.types.is_list(kind):
        return {"logicalType": "array", "physicalType": physical, "items": _type(kind.value_type)}
    if pa.types.is_struct(kind):
        inner = [{"name": field.name, **_type(field.type), "required": not field.nullable} for field in kind]
        return {"logicalType": "object", "physicalType": physical, "properties": inner}
    return {"logicalType": LOGICAL_TYPES[kind], "physicalType": physical}


def written() -> str:
    """The file's text; raises jsonschema.ValidationError where the standard refuses it."""
    made = contract()
    schema = json.loads(files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8"))
    jsonschema.Draft201909Validator(schema).validate(made)
    head = "# Made by docs/make_contract.py from the row classes of bioqa_pipeline/dataset/schemas.py.\n"
    return head + yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=110)


def main() -> None:
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(written(), "utf-8")
    elif not PAGE.exists() or written() != PAGE.read_text("utf-8"):
        sys.exit(f"{PAGE} is not what the columns say: run python docs/make_contract.py")


if __name__ == "__main__":
    main()
