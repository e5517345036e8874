"""Which of the DOIs that a record names is its own."""

from __future__ import annotations

import io

import pytest

from bioqa_pipeline.pubmed.xml import parse_records
from bioqa_pipeline.records.texts import Abstract
from support.pubmed_reading import article, document


@pytest.mark.parametrize(
    ("locations", "doi"),
    [
        ([("N", "10.1234/no")], None),
        ([("N", "10.1234/no"), ("Y", "10.1234/yes")], "10.1234/yes"),
        ([("Y", "10.1234/first"), ("Y", "10.1234/second")], "10.1234/first"),
        ([(None, "10.1234/unmarked")], "10.1234/unmarked"),
    ],
)
def test_a_doi_that_is_marked_as_not_valid_is_passed_over(
    locations: list[tuple[str | None, str]], doi: str | None
) -> None:
    marks = [f' ValidYN="{mark}"' if mark else "" for mark, _ in locations]
    placed = "".join(
        f'<ELocationID EIdType="doi"{mark}>{text}</ELocationID>'
        for mark, (_, text) in zip(marks, locations, strict=True)
    )
    [record] = parse_records(io.BytesIO(document(article(article=placed))), name="file.xml")
    assert isinstance(record, Abstract)
    assert record.doi == doi
