from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.abbreviations import Abbreviation, best_long_form, defined_abbreviations, expanded


def defined(text: str) -> dict[str, str]:
    return {a.short: a.long for a in defined_abbreviations(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Mutations of the heat shock transcription factor (HSF) are rare.",
            {"HSF": "heat shock transcription factor"},
        ),
        ("We saw tumor necrosis factor-alpha (TNF-α) rise.", {"TNF-α": "tumor necrosis factor-alpha"}),
        ("In amyotrophic lateral sclerosis (ALS; Lou Gehrig's disease)", {"ALS": "amyotrophic lateral sclerosis"}),
        ("amyotrophic lateral sclerosis [ALS]", {"ALS": "amyotrophic lateral sclerosis"}),
        ("released NO (nitric oxide) and CO (as before)", {"NO": "nitric oxide"}),
        ("PCOS (polycystic ovary syndrome) is common.", {"PCOS": "polycystic ovary syndrome"}),
        ("in vitro fertilization (IVF) and in-vitro fertilisation (IVF)", {"IVF": "in vitro fertilization"}),
        # The first character begins a word; the others may stand anywhere.
        ("a gene of beta-thalassemia trait (BTT)", {"BTT": "beta-thalassemia trait"}),
        ("the serum level (EL)", {}),
        # At most min(|A| + 5, |A| * 2) words.
        ("we looked at cats in the old stables (CS)", {}),
        ("acute care in the field of severe sepsis (AS)", {}),
        # Not across sentences.
        ("Epidermal growth was seen. Factor receptors (EGFR) too.", {}),
        # No short form: no letter, too long, no alphanumeric first, too many words.
        ("Staphylococcus aureus (24%) and Escherichia coli (12)", {}),
        ("some abbreviation longer than ten (SALTTABBREV)", {}),
        ("mean value (±MV)", {}),
        ("no answer (P < 0.05, by t test)", {}),
        # Not longer than what it stands for, nor a part of it.
        ("the ABC (ABC)", {}),
        ("the old EGFR (EGFR)", {}),
        ("a text without any", {}),
        ("an open bracket (HSF", {}),
    ],
)
def test_definitions_in_a_text(text: str, expected: dict[str, str]) -> None:
    assert defined(text) == expected


def published(short: str, candidate: str) -> str | None:
    """findBestLongForm as the paper prints it, index by index."""
    s, at = len(short) - 1, len(candidate) - 1
    while s >= 0:
        wanted = short[s].lower()
        if wanted.isalnum():
            while (at >= 0 and candidate[at].lower() != wanted) or (s == 0 and at > 0 and candidate[at - 1].isalnum()):
                at -= 1
            if at < 0:
                return None
            at -= 1
        s -= 1
    return candidate[candidate.rfind(" ", 0, at + 1) + 1 :]


letters = st.text("abAB1- ", max_size=14)


@given(st.text("abAB1-", min_size=1, max_size=5).filter(lambda s: s[0].isalnum()), letters)
def test_long_forms_are_those_of_the_published_algorithm(short: str, candidate: str) -> None:
    assert best_long_form(short, candidate) == published(short, candidate)


def brute_force(short: str, candidate: str) -> str | None:
    """Every way to read the short form in the candidate; of those that begin a word, the one that begins last."""
    wanted = [c.lower() for c in short if c.isalnum()]

    def ways(i: int, at: int) -> bool:
        if i == len(wanted):
            return True
        return any(candidate[j].lower() == wanted[i] and ways(i + 1, j + 1) for j in range(at, len(candidate)))

    for start in range(len(candidate) - 1, -1, -1):
        begins = start == 0 or not candidate[start - 1].isalnum()
        if begins and candidate[start].lower() == wanted[0] and ways(1, start + 1):
            return candidate[candidate.rfind(" ", 0, start) + 1 :]
    return None


@given(st.text("abAB1-", min_size=1, max_size=5).filter(lambda s: s[0].isalnum()), letters)
def test_a_long_form_is_the_shortest_there_is(short: str, candidate: str) -> None:
    assert best_long_form(short, candidate) == brute_force(short, candidate)


EGFR = Abbreviation("EGFR", "epidermal growth factor receptor")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EGFR", EGFR.long),
        ("EGFR mutations", EGFR.long + " mutations"),
        ("anti-EGFR", "anti-" + EGFR.long),
        ("EGFRs", EGFR.long + "s"),
        ("Epidermal growth factor receptor (EGFR) mutations", "Epidermal growth factor receptor mutations"),
        ("EGFR (epidermal growth factor receptor)", EGFR.long),
        ("growth factor receptor (EGFR", EGFR.long),
        ("the EGFR gene", "the " + EGFR.long),
        ("EGFRvIII", "EGFRvIII"),
        ("pEGFR", "pEGFR"),
        ("egfr", "egfr"),
        ("", ""),
    ],
)
def test_full_forms_in_the_place_of_abbreviations(text: str, expected: str) -> None:
    assert expanded(text, [EGFR]) == expected


def test_the_gene_of_a_disease_is_not_the_disease() -> None:
    assert expanded("the DMD gene", [Abbreviation("DMD", "Duchenne muscular dystrophy")]).endswith("dystrophy gene")


def test_a_plural_defines_the_singular() -> None:
    plural = Abbreviation("SSRIs", "serotonin reuptake inhibitors")
    assert [expanded(t, [plural]) for t in ("SSRI", "SSRIs")] == ["serotonin reuptake inhibitor", plural.long]


def test_abbreviations_within_abbreviations_are_read_whatever_their_order() -> None:
    both = [Abbreviation("EGFR-TKI", "EGFR tyrosine kinase inhibitor"), EGFR]
    expected = EGFR.long + " tyrosine kinase inhibitor"
    assert expanded("EGFR-TKI", both) == expanded("EGFR-TKI", both[::-1]) == expected
