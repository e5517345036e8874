from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bioqa_pipeline.questions.terms import question_words
from support.eutils_records import ServerRecord, read_records
from support.eutils_search import words_of
from support.eutils_server import EutilsServer
from support.outside import OutsideMaterial
from support.retrieval import (
    AskedRecord,
    as_it_stands,
    longest_common_run,
    medline_source,
    pubmed_source,
    rank_all,
    read_asked_records,
    share_of_words,
)

ASKED = read_asked_records()
RECORDS = "pubmed/records/*.xml.gz"


@pytest.fixture(scope="module")
def records(test_data: OutsideMaterial) -> dict[int, ServerRecord]:
    return {r.pmid: r for r in read_records(test_data.files(RECORDS))}


@pytest.fixture(scope="module")
def server(records: dict[int, ServerRecord]) -> Iterator[EutilsServer]:
    with EutilsServer(records.values(), limit=None, key_limit=None) as running:
        yield running


def test_questions_are_many_and_distinct() -> None:
    assert len(ASKED) >= 70
    assert len({item.question.id for item in ASKED}) == len(ASKED)
    assert len({item.question.text for item in ASKED}) == len(ASKED)
    assert len({item.pmid for item in ASKED}) == len(ASKED)


def test_each_record_answers_its_question(records: dict[int, ServerRecord]) -> None:
    for item in ASKED:
        record = records[item.pmid]
        assert item.answer in f"{record.title} {record.abstract}"


def test_questions_are_not_copied_from_their_records(records: dict[int, ServerRecord]) -> None:
    """Nobody who asks has seen the abstract: half of the words at most are its own, and no run of them is long."""
    shares = []
    for item in ASKED:
        record = records[item.pmid]
        texts = [words_of(record.title), words_of(record.abstract)]
        question = words_of(item.question.text)
        assert max(longest_common_run(question, text) for text in texts) <= 5
        shares.append(share_of_words([w.text for w in question_words(item.question.text)], texts[0] + texts[1]))
    assert sum(shares) / len(shares) < 0.6


def test_a_question_as_it_stands_finds_next_to_nothing(server: EutilsServer, tmp_path: Path) -> None:
    source = pubmed_source(server.base_url, tmp_path)
    assert rank_all(as_it_stands(ASKED[::4]), lambda question: source.search(question, 20)).recall(20) < 0.1


def test_the_local_index_finds_the_record_that_answers(test_data: OutsideMaterial, tmp_path: Path) -> None:
    source = medline_source(test_data.files(RECORDS)[0].parent, tmp_path)
    ranks = rank_all(ASKED, lambda question: source.search(question, 20))
    assert ranks.recall(20) >= 0.9, ranks.missed
    assert ranks.recall(1) >= 0.6


@pytest.mark.parametrize(
    "asked", [pytest.param(ASKED[::4], id="fourth"), pytest.param(ASKED, id="all", marks=pytest.mark.slow)]
)
def test_the_ladder_finds_the_record_that_answers(
    server: EutilsServer, tmp_path: Path, asked: list[AskedRecord]
) -> None:
    source = pubmed_source(server.base_url, tmp_path)
    ranks = rank_all(asked, lambda question: source.search(question, 20))
    assert ranks.recall(20) >= 0.85, ranks.missed
    assert ranks.recall(1) >= 0.5
    assert ranks.n_queries <= 7 * len(asked)
