from __future__ import annotations

import pytest

from bioqa_pipeline.questions.languages import language_codes
from bioqa_pipeline.questions.query_lint import query_problems
from bioqa_pipeline.questions.record_filters import RecordFilters
from bioqa_pipeline.records.texts import Abstract

RECORD = Abstract(
    1,
    journal="Lancet (London, England)",
    journal_names=("Lancet", "2985213R", "0140-6736", "1474-547X"),
    languages=("eng", "fre"),
    mesh_terms=("Diabetes Mellitus, Type 2", "Receptors, Interleukin-6"),
    publication_types=("Journal Article", "Randomized Controlled Trial"),
)


@pytest.mark.parametrize(
    ("filters", "terms"),
    [
        (RecordFilters(), []),
        (RecordFilters(publication_type=("Randomized Controlled Trial",)), ['"Randomized Controlled Trial"[pt]']),
        (RecordFilters(mesh=("Neoplasms", "neoplasms/therapy")), ['("Neoplasms"[mh] OR "neoplasms/therapy"[mh])']),
        (
            RecordFilters(journal=("N Engl J Med", "0028-4793", "0255562", "Zhonghua Yi Xue [Chin Med J]")),
            ['("N Engl J Med"[ta] OR "0028-4793"[ta] OR "0255562"[jid] OR "Zhonghua Yi Xue Chin Med J"[ta])'],
        ),
        (RecordFilters(language=("eng", "English", "de", "mul")), ["(english[la] OR german[la] OR mul[la])"]),
        (
            RecordFilters(publication_type=("Review",), mesh=("Humans",), journal=("BMJ",), language=("fra",)),
            ['"Review"[pt]', '"Humans"[mh]', '"BMJ"[ta]', "french[la]"],
        ),
    ],
)
def test_pubmed_gets_one_expression_a_kind(filters: RecordFilters, terms: list[str]) -> None:
    assert filters.terms() == terms
    assert query_problems(" AND ".join(["x", *terms])) == ()


@pytest.mark.parametrize(
    ("kind", "name", "passes"),
    [
        ("publication_type", "randomized controlled TRIAL", True),
        ("publication_type", "Clinical Trial", True),
        ("publication_type", "Controlled Clinical Trial", True),
        ("publication_type", "Trial", False),
        ("publication_type", "Review", False),
        ("mesh", "diabetes mellitus, type 2", True),
        ("mesh", "Receptors, Interleukin 6/blood", True),
        ("mesh", "Diabetes Mellitus", False),
        ("mesh", "Diabetes Mellitus, Type 1", False),
        ("journal", "The Lancet", True),
        ("journal", "lancet (london, england)", True),
        ("journal", "1474-547x", True),
        ("journal", "2985213R", True),
        ("journal", "Lancet Oncology", False),
        ("language", "English", True),
        ("language", "fr", True),
        ("language", "ger", False),
    ],
)
def test_a_record_is_compared_by_whole_names(kind: str, name: str, passes: bool) -> None:
    filters = RecordFilters(**{kind: (name,)})
    assert (filters.left_out(RECORD) is None) is passes
    other = RecordFilters(**{kind: ("Swahili" if kind == "language" else "Nothing", name)})
    assert (other.left_out(RECORD) is None) is passes  # of one kind, any


def test_of_several_kinds_each_has_to_hold() -> None:
    both = RecordFilters(journal=("Lancet",), language=("German",))
    assert both.left_out(RECORD) == "left out by the filter: its language is not German"
    assert RecordFilters(journal=("Lancet",), language=("French",)).left_out(RECORD) is None


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("publication_type", "", "name of no publication type"),
        ("mesh", "  ", "name of no MeSH heading"),
        ("journal", "--", "name of no journal"),
        ("publication_type", '"Review"', "without quotation marks"),
        ("mesh", "Neoplasms[mh]", "without quotation marks, field tag"),
        ("mesh", "Neoplasm*", "whole name"),
        ("journal", 'x" OR "y', "without quotation marks"),
        ("journal", "x\ny", "whole name"),
        ("journal", "x" * 400, "whole name"),
        ("language", "englich", "is English meant?"),
        ("language", "english[la] OR x", "give a code"),
    ],
)
def test_what_can_be_no_name_is_refused(kind: str, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        RecordFilters(**{kind: (name,)})


def test_a_language_has_codes_by_any_of_its_names() -> None:
    assert language_codes("Serbian") == language_codes("scc") == ("srp", "scc")
    assert (language_codes("deu"), language_codes("xxx"), language_codes("")) == (("ger",), ("xxx",), ())


def test_notes_say_what_may_be_another_than_meant() -> None:
    filters = RecordFilters(publication_type=("Randomised Controlled Trial", "Review"), mesh=("Asthma/therapy",))
    unknown, headings, qualified = filters.notes(by_pubmed=False)
    assert (
        unknown.startswith("publication type Randomised Controlled Trial is none") and "near it are Random" in unknown
    )
    assert "stands below" in headings and "Asthma/therapy is read without" in qualified
    assert filters.notes(by_pubmed=True) == [unknown]
