from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from bioqa_pipeline.records.texts import Abstract, Correction, Section

RECORD = Abstract(pmid=1, title="A title", text="A text.", journal="A journal", pub_date="1998", doi="10.1/x")
# What an answer row takes from the record.
HASHED: dict[str, Any] = {
    "pmid": 2,
    "version": 2,
    "title": "Another title",
    "text": "Another text.",
    "journal": "Another journal",
    "pub_date": "1999",
    "doi": None,
    "is_retracted": True,
}
OTHERS: dict[str, Any] = {
    "sections": (Section("AIM", None, 0, 1),),
    "authors": ("Makar AB",),
    "mesh_terms": ("Humans",),
    "date_revised": "2024-02-02",
    "status": "MEDLINE",
    "languages": ("eng",),
    "print_date": "1965-06",
    "electronic_date": "2008-01-15",
    "publication_types": ("Review",),
    "journal_names": ("J Chem", "0000001"),
    "corrections": (Correction("ErratumIn", 99, "J"),),
}


@pytest.mark.parametrize("name", HASHED)
def test_whatever_a_row_shows_is_part_of_the_content(name: str) -> None:
    assert replace(RECORD, **{name: HASHED[name]}).content_hash != RECORD.content_hash


@pytest.mark.parametrize("name", OTHERS)
def test_what_changes_no_answer_makes_no_new_content(name: str) -> None:
    assert replace(RECORD, **{name: OTHERS[name]}).content_hash == RECORD.content_hash


def test_every_field_was_thought_of() -> None:
    """Data sets that people have depend on what is in the hash today.

    What rows show beside it (types, headings, languages, dates, concern, errata) is as it was when the pair was scored.
    """
    left_out = {
        *("pub_date_raw", "vernacular_title", "other_abstracts", "copyright", "is_book"),
    }
    assert {field.name for field in fields(Abstract)} == HASHED.keys() | OTHERS.keys() | left_out
    assert RECORD.content_hash == "93bfb02d5690309ced3b9bef596cabd6"
