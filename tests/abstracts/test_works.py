from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioqa_pipeline.abstracts.works import group_works
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.records.texts import Abstract, Correction, Section
from bioqa_pipeline.run.job import run_job
from support.checkpoints import make_checkpoint
from support.medline_folder import Article
from support.small_runs import small_config, write_records

SCURVY = "Scurvy is caused by a lack of vitamin C in the diet of sailors."


def record(pmid: int, text: str = "", *links: tuple[str, int | None] | str, doi: str | None = None) -> Abstract:
    """Links are (RefType, PMID), or an UpdateOf with nothing but a citation."""
    corrections = [
        Correction("UpdateOf", None, link) if isinstance(link, str) else Correction(*link, "J 2020") for link in links
    ]
    return Abstract(pmid=pmid, text=text or f"Text {pmid}.", corrections=tuple(corrections), doi=doi)


@pytest.mark.parametrize(
    "records",
    [
        [record(1, "", ("UpdateIn", 2)), record(2)],
        [record(1), record(2, "", ("UpdateOf", 1))],
        [record(1), record(2, "", ("RepublishedFrom", 1))],
        [record(1, "", ("RepublishedIn", 2)), record(2)],
        [record(1, "", ("RetractedandRepublishedIn", 2)), record(2)],
        [record(1), record(2, "", ("RetractedandRepublishedFrom", 1))],
        [record(1, "", ("CorrectedandRepublishedIn", 2)), record(2)],
        [record(1), record(2, "", ("ReprintOf", 1))],
        [record(1, doi="10.1101/2020.01.02"), record(2, "", "medRxiv. 2020. doi: 10.1101/2020.01.02.")],
        [record(1, doi="10.1000/AbC"), record(2, doi="10.1000/abc")],
        [record(1, doi="10.21203/rs.3.rs-1/v1"), record(2, doi="10.21203/rs.3.rs-1/v2")],
        [record(1, doi="10.20944/p1.v1"), record(2, "", "Preprints. doi: 10.20944/p1.v3.")],
        [record(1, SCURVY), record(2, SCURVY)],
        [record(1, "Vitamin C – the “cure” for scurvy."), record(2, "Vitamin C: the 'cure' for SCURVY")],
        # The article between them was not found.
        [record(1, "", ("UpdateIn", 9)), record(2, "", ("RepublishedFrom", 9))],
    ],
    ids=str,
)
def test_versions_are_one_work(records: list[Abstract]) -> None:
    assert group_works(records) == group_works(reversed(records)) == {1: 1, 2: 1}


@pytest.mark.parametrize(
    "records",
    [
        [record(1), record(2)],
        [record(1, "", ("CommentIn", 2)), record(2, "", ("CommentOn", 1))],
        # One notice may concern several works.
        [record(1, "", ("ErratumIn", 9)), record(2, "", ("ErratumIn", 9)), record(9, "", ("ErratumFor", 1))],
        [record(1, "", ("RetractionIn", 9)), record(2, "", ("RetractionIn", 9))],
        [record(1, "", ("UpdateIn", None)), record(2, "", ("UpdateIn", None))],
        [record(1, "Reduced by +5 mg."), record(2, "Reduced by 6 mg.")],
        [Abstract(pmid=1), Abstract(pmid=2)],
    ],
    ids=str,
)
def test_other_records_are_not(records: list[Abstract]) -> None:
    assert group_works(records) == {r.pmid: r.pmid for r in records}


def test_a_structured_text_is_that_of_its_preprint_without_labels() -> None:
    plain = record(1, "Sailors fell ill. Lemons cured them.")
    text = "BACKGROUND: Sailors fell ill. RESULTS: Lemons cured them."
    sections = (Section("BACKGROUND", None, 12, 29), Section("RESULTS", None, 39, 57))
    structured = replace(record(2, text), sections=sections)
    assert [text[s.start : s.end] for s in sections] == ["Sailors fell ill.", "Lemons cured them."]
    assert group_works([plain, structured]) == {1: 1, 2: 1}


pmids = st.integers(1, 8)
links = st.dictionaries(pmids, st.sets(pmids, max_size=2), max_size=6)


@given(links)
def test_works_are_the_connected_parts(linked: dict[int, set[int]]) -> None:
    """Against walking from record to record."""
    records = [record(pmid, "", *(("UpdateOf", other) for other in others)) for pmid, others in linked.items()]
    expected = {}
    for pmid in linked:
        reached, todo = set(), [pmid]
        while todo:
            node = todo.pop()
            if node not in reached:
                reached.add(node)
                todo += [*linked.get(node, ()), *(p for p, others in linked.items() if node in others)]
        expected[pmid] = min(reached & linked.keys())
    assert group_works(records) == expected


def test_a_long_chain_is_one_work() -> None:
    chain = [record(n, "", ("UpdateOf", n - 1)) for n in range(1, 30_000)]
    assert set(group_works(chain).values()) == {1}


def test_a_run_counts_preprint_article_and_republication_once(tmp_path: Path) -> None:
    text = "Quinine is the drug that treats malaria."
    articles = [
        Article(301, text, "A preprint", links=(("UpdateIn", 302),)),
        Article(302, text, "An article", links=(("UpdateOf", 301),)),
        Article(303, text, "An article, corrected", links=(("RepublishedFrom", 302),)),
        Article(304, text + " It does.", "Another article"),
    ]
    write_records(tmp_path / "records", articles)
    config = small_config(tmp_path, make_checkpoint(tmp_path / "model", layers=1), threshold=1e9)
    answers = run_job(config).answers
    [best] = [a for a in answers if 301 in a.support_pmids]
    apart = 304 not in best.support_pmids
    assert set(best.support_pmids) - {304} == {301, 302, 303}
    assert best.n_support == (1 if apart else 2)
    assert best.support == f"{best.n_support} of 4 ({len(best.support_pmids)} records)"
    works = dict(zip(best.support_pmids, best.work_pmids, strict=True))
    assert len({works[p] for p in (301, 302, 303)}) == 1
    summary = Dataset(config.out).summary().collect()
    assert summary["n_support"].to_list() == [a.n_support for a in answers]
    assert summary["work_pmids"].to_list() == [list(a.work_pmids) for a in answers]
