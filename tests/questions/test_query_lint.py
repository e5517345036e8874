from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.questions.pasted import is_query
from bioqa_pipeline.questions.query_lint import FIELD_TAGS, query_problems


@pytest.mark.parametrize(
    "query",
    [
        "asthma",
        '"heart failure"[MeSH Terms] AND (aspirin[tiab] OR "acetylsalicylic acid"[Title/Abstract])',
        "asthma/therapy[mh:noexp] NOT review[pt]",
        '"patient safety"[tiab:~3]',
        "flavo*[ti] AND 2020:2024[dp]",
        '("2020/01/01"[Date - Publication] : "3000"[Date - Publication]) AND smith j[1au]',
        "hasabstract AND english[la]",
        'a "phrase (with a bracket"',
        "NOT x",
        "a AND NOT b",
        "3-(2-propyl)phenol",
    ],
)
def test_good_queries_pass(query: str) -> None:
    assert query_problems(query) == ()


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("  ", "it is empty"),
        ("asthma[tiabb]", "[tiabb] is not a PubMed field tag, and PubMed would ignore it"),
        ("asthma[]", "[] is not a PubMed field tag, and PubMed would ignore it"),
        ("(a OR b)[tiab]", "[tiab] stands behind a group, where PubMed ignores it: tag each term"),
        ('"asthma', 'a quotation mark " is not closed'),
        ("(a OR b", "a bracket ( is not closed"),
        ("a) OR (b", "a bracket ) was never opened"),
        ("a [ti", "a square bracket [ or ] is not paired"),
        ("a ti]", "a square bracket [ or ] is not paired"),
        ("a AND ()", "a group () is empty"),
        ("OR a", "OR has no term before it"),
        ("(AND a)", "AND has no term before it"),
        ("a AND OR b", "AND has no term behind it"),
        ("a NOT", "NOT has no term behind it"),
        ("(a AND) b", "AND has no term behind it"),
        ("“asthma”[ti]", "'“' (U+201C) is not search syntax: type the straight quotation mark \""),
        ("asthm∗", "'∗' (U+2217) is not search syntax: type the asterisk * of the keyboard"),
        ("（a OR b)", "'（' (U+FF08) is not search syntax: type the bracket ("),
    ],
)
def test_slips_are_named(query: str, problem: str) -> None:
    assert problem in query_problems(query)


@pytest.mark.parametrize(
    ("query", "proposed"),
    [
        ("exp Neoplasms/", '"Neoplasms"[mh]'),
        ("exp *Breast Neoplasms/dt, th", '("Breast Neoplasms/dt"[majr] OR "Breast Neoplasms/th"[majr])'),
        ("Diabetes Mellitus, Type 2/ or asthma/", '"Diabetes Mellitus, Type 2"[mh:noexp] OR "asthma"[mh:noexp]'),
        ("x.ti,ab.", "x[tiab]"),
        ('(asthma or "heart attack").tw.', '(asthma[tw] OR "heart attack"[tw])'),
        ("smith.au. and lancet.jn.", "smith[au] AND lancet[ta]"),
        ("heart adj3 attack", '"heart attack"[tiab:~2]'),
        ("heart adj attack", '"heart attack"[tiab]'),
        ("asthma$ and wheez$3", "asthma* AND wheez*"),
        ("(lung adj2 cancer$).ti,ab.", '("lung cancer"[tiab:~1])'),
        ("'heart attack'/exp OR 'asthma'/de", '"heart attack"[mh] OR "asthma"[mh:noexp]'),
        ("'heart attack':ti,ab,kw", '"heart attack"[tiab]'),
        ("asthma:ti AND 'lung cancer'/exp/mj", 'asthma[ti] AND "lung cancer"[majr]'),
        ("heart NEAR/3 attack", '"heart attack"[tiab:~3]'),
        ("[english]/lim AND [2010-2020]/py AND 'x y'/de", 'english[la] AND 2010:2020[dp] AND "x y"[mh:noexp]'),
        ('(MH "Asthma+") AND lung N3 cancer', '"Asthma"[mh] AND "lung cancer"[tiab:~3]'),
        ("TITLE-ABS-KEY(asthma AND child)", "(asthma[tiab] AND child[tiab])"),
        ("TS=(asthma OR copd)", "(asthma[tw] OR copd[tw])"),
        ("TS=asthma AND PY=2019-2021", "asthma[tw] AND 2019:2021[dp]"),
        ("AB=copd AND LA=(English)", "copd[tiab] AND (English[la])"),
        ("aspirin w/3 stroke", '"aspirin stroke"[tiab:~3]'),
        ('(DE "Depression") OR TI relapse', '"Depression"[mh:noexp] OR relapse[ti]'),
        ("‘heart attack’/exp", '"heart attack"[mh]'),
        ("heart adj3 (attack or failure)", '("heart attack"[tiab:~2] OR "heart failure"[tiab:~2])'),
        ("lung adj2 cancer adj3 screening", '"lung cancer screening"[tiab:~3]'),
        ("(asthma or (copd and child$)).ti,ab.", "(asthma[tiab] OR (copd[tiab] AND child*[tiab]))"),
        ("asthma.mp. [mp=title, abstract, heading word]", "asthma[tw]"),
        ("asthma.tw", "asthma[tw]"),
        ("asthma?.tw.", "asthma*[tw]"),
        ('exp "Lung Diseases"/', '"Lung Diseases"[mh]'),
        ("heart NEXT attack", '"heart attack"[tiab]'),
        ("asthma NOT [conference abstract]/lim", 'asthma NOT "conference abstract"[pt]'),
        ("[adult]/lim AND [embase]/lim", "adult[mh] AND medline[sb]"),
        ('TI asthma OR AB "lung cancer"', 'asthma[ti] OR "lung cancer"[tiab]'),
        ('DE "Asthma" AND TI (lung OR "airway")', '"Asthma"[mh:noexp] AND (lung[ti] OR airway[ti])'),
        ("TITLE-ABS-KEY ( asthma )", "( asthma[tiab] )"),
        ('[mh ^"Lung Diseases"] or [mh asthma]', '"Lung Diseases"[mh:noexp] OR "asthma"[mh]'),
        ("MeSH descriptor: [Asthma] explode all trees", '"Asthma"[mh]'),
        ("MESH DESCRIPTOR Diabetes Mellitus, Type 2 EXPLODE ALL TREES", '"Diabetes Mellitus, Type 2"[mh]'),
        ("(MESH DESCRIPTOR Asthma WITH QUALIFIERS DT) OR asthma:TI,AB,KY", '("Asthma"[mh:noexp]) OR asthma[tiab]'),
        ("MESH DESCRIPTOR asthma EXPLODE 1 2 AND child", '"asthma"[mh] AND child'),
        ("MeSH descriptor: [Asthma] explode all trees and with qualifier(s): [drug therapy - DT]", '"Asthma"[mh]'),
        ("[mh Asthma/DT] and (heart next failure):ti,ab,kw in Trials", '"Asthma/DT"[mh] AND ("heart failure"[tiab])'),
        ("All=(asthma) AND DT=(Review)", "(asthma[tw]) AND (Review[pt])"),
        ('TS = ("heart failure" SAME drug)', '("heart failure"[tw] AND drug[tw])'),
        ("TITLE(asthma) AND ABS(child)", "(asthma[ti]) AND (child[tiab])"),
        ("TITLE-ABS(asthma) AND PUBYEAR > 2010", "(asthma[tiab]) AND 2011:3000[dp]"),
        ('KEY(asthma) AND LIMIT-TO(LANGUAGE, "English")', "(asthma[ot]) AND English[la]"),
        ('ALL(asthma) AND (EXCLUDE(DOCTYPE, "re"))', "(asthma[tw]) AND ((all[sb] NOT review[pt]))"),
        ("'asthma'/exp/dm_dt OR 'wheeze'/syn", '"asthma"[mh] OR wheeze[tw]'),
        ('(MH "Asthma+/DT") OR (MM "Wheezing")', '"Asthma"[mh] OR "Wheezing"[majr:noexp]'),
        ("heart failure/dt [drug therapy]", '"heart failure/dt"[mh:noexp]'),
        ('asthma near3 child AND "wheeze".ab. /freq=2', '"asthma child"[tiab:~3] AND wheeze[tiab]'),
        ('MAINSUBJECT.EXACT.EXPLODE("Asthma")', "(Asthma[mh])"),
        ("tw:(asthma) AND mh:(child) AND PUB_YEAR:2010", "(asthma[tw]) AND (child[mh]) AND 2010[dp]"),
        ('noft(asthma) AND su.exact("lung")', "(asthma[tw]) AND (lung[mh])"),
        ('title:asthma AND abstract:("lung cancer")', 'asthma[ti] AND ("lung cancer"[tiab])'),
    ],
)
def test_what_other_databases_write_is_named_with_its_form_in_pubmed(query: str, proposed: str) -> None:
    (problem,) = query_problems(query)
    assert problem.endswith(f"PubMed misreads what other databases write; in PubMed's form: {proposed}")
    assert query_problems(proposed) == ()


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("#1 AND #2", "#1, #2: the number of an earlier search, which is not known here"),
        ("(#3) NOT child[tiab]", "#3: the number"),
        ("1 and (2 or 3)", "1, 2, 3: the number"),
        ("S1 OR S2", "S1, S2: the number"),
        ("or/1-5", "or/1-5: the number"),
        ("limit 5 to english language", "limit 5 to: the number"),
        ("wom#n", "wom#n: PubMed knows no sign"),
        ("wom?n[tiab]", "wom?n: PubMed knows no sign for a letter inside a word"),
    ],
)
def test_what_pubmed_cannot_know_is_named(query: str, problem: str) -> None:
    (found,) = query_problems(query)
    assert found.startswith(problem)


def test_a_foreign_query_is_judged_in_its_pubmed_form() -> None:
    assert len(query_problems("exp Asthma/ and #2 and (x.ti,ab.")) == 3  # the syntax, the number, the bracket


@pytest.mark.parametrize(
    "query",
    [
        *("asthma/drug therapy[mh]", "asthma/dt[mh]", "TNF/IL-6[tiab]", "vitamin D and/or calcium", "p53.ti[tiab]"),
        *(
            "10.1000/x.y[doi]",
            "crohn's disease[tiab] AND 'x'",
            "H. pylori[tiab]",
            '"adj3 #1 exp X/"[tiab]',
            "n=3",
            "TI plasmid",
            "AB blood group",
        ),
        *("S100 AND S6", "type 1 and type 2", "blood near the heart", "5 and aspirin", "mesh (surgical)"),
        *("ALL (leukemia) AND child", "ABS (brakes)", "bias in Trials", "same drug", "MeSH descriptors"),
        *("mg/ml[tiab]", "2020:2024[dp]", "e.g.[tiab]", "IgE-mediated[tiab]"),
    ],
)
def test_pubmeds_own_syntax_is_not_taken_for_another(query: str) -> None:
    assert query_problems(query) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("insulin[ti] AND discovery", True),
        ('"Neoplasms"[MeSH] aspirin', True),
        ("asthma [MeSH Terms]", True),
        ("aspirin AND stroke", True),
        ("(asthma OR copd) AND child*", True),
        ("#1 AND #2", True),
        ("exp Neoplasms/", True),
        ("1 and 2", True),
        ("“heart attack”[tiab]", True),
        ("What does “role” mean", False),
        ("Type 1 or 2", False),
        ("'heart attack'/exp AND aspirin:ti,ab", True),
        ("Which is better, aspirin OR ibuprofen?", False),
        ("aspirin is NOT good", False),
        ("SCURVY AND VITAMIN C", False),
        ("What is in the [title]", False),
        ("Describe the role of A AND B", False),
        ("causes of scurvy", False),
        ("IL-6/TNF signalling and/or NF-kB", False),
        ("Who discovered insulin[ti]?", False),
    ],
)
def test_a_query_in_the_place_of_a_question_is_recognised(text: str, expected: bool) -> None:
    assert is_query(text) is expected


@pytest.mark.parametrize("part", ["(", "'", "exp ", "A ", "a.ti,", "x:ti,", "w adj3 ", "[x]/", 'MH "', "T", "#1 "])
def test_no_query_takes_long_to_judge(part: str) -> None:
    began = time.process_time()
    query_problems(part * (20_000 // len(part)))
    is_query(part * (2_000 // len(part)))
    assert time.process_time() - began < 2


def test_all_slips_are_reported_at_once() -> None:
    assert len(query_problems("“asthma”[tiabb] AND (")) == 4  # two marks, the tag, the bracket


def test_tags_are_compared_without_case() -> None:
    assert all(query_problems(f"x[{tag.upper()}]") == () for tag in FIELD_TAGS)


@given(st.text(alphabet='ab ()[]"*:AND OR“∗', max_size=30))
def test_any_text_is_judged_and_brackets_decide(query: str) -> None:
    problems = query_problems(query)
    if not problems:
        assert query.count('"') % 2 == 0
        assert query.count("[") == query.count("]") or '"' in query
        assert query.count("(") == query.count(")") or '"' in query
