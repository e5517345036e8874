"""Work grows with the input and not with its square, for the inputs that are the worst of their kind.

At `n` of a case the right code takes some milliseconds and code that reads its input once for each of its parts minutes
to days: the default run sees to it that each ends. How it grows is measured by the slow tests; where the work is
Python's own its lines are counted, which is exact.
"""

from __future__ import annotations

import gzip
import io
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.errors import BioqaError
from bioqa_pipeline.evaluation.metrics import GoldQuestion, score_questions
from bioqa_pipeline.messages import shown
from bioqa_pipeline.pubmed.xml import parse_records
from bioqa_pipeline.qa.merge_key import answer_key
from bioqa_pipeline.qa.windows import make_windows
from bioqa_pipeline.questions.query import QueryFilters, build_queries
from bioqa_pipeline.questions.query_lint import query_problems
from bioqa_pipeline.records.scores import TokenizedText
from bioqa_pipeline.records.texts import Question
from bioqa_pipeline.run.summarise import SUMMARY_PAIRS, _batches
from bioqa_pipeline.sources.entrez.responses import check_body, decode_search
from bioqa_pipeline.sources.files.bibtex import bibtex_records
from bioqa_pipeline.sources.files.endnote_xml import endnote_records
from bioqa_pipeline.sources.files.nbib import nbib_records
from bioqa_pipeline.text import normalize_text, sentences
from bioqa_pipeline.training.phrases import phrases_in, sentence_bounds
from support.builders import SPECIAL
from support.pubmed_reading import article, document
from support.work import TooMuchWorkError, ends, lines_run

HEAD = b'<?xml version="1.0"?><PubmedArticleSet>'
MATHML = b'<math xmlns="http://www.w3.org/1998/Math/MathML">'


def records(data: bytes) -> object:
    return list(parse_records(io.BytesIO(data), name="file.xml"))


def abstract(body: bytes) -> bytes:
    return document(article(1, abstract="MARK")).replace(b"MARK", body)


def ladder(text: str) -> object:
    return build_queries(Question("q", text), filters=QueryFilters())


def search_answer(body: bytes) -> object:
    check_body(body, ("eSearchResult",))
    return decode_search(body)


def scores(n: int) -> object:
    gold = GoldQuestion("q", tuple(f"a {i}" for i in range(n)))
    return score_questions([gold], {"q": "x " * n})


def contexts(n: int) -> object:
    empty, long = (TokenizedText(*np.zeros((3, size), dtype=np.int32)) for size in (0, n))
    only = np.zeros(1, dtype=np.int64)
    return make_windows([empty], [long], only, only, SPECIAL, WindowConfig())


@dataclass(frozen=True, slots=True)
class Case:
    """A function and its worst inputs by size, with a size at which the right code takes milliseconds."""

    call: Callable[[Any], object]
    make: Callable[[int], object]
    n: int


CASES = {
    "dots": Case(sentences, lambda n: "." * n, 500_000),
    "dots and quotes": Case(sentences, lambda n: ("." * 10 + '"' * 10) * n, 20_000),
    "sentences": Case(sentences, lambda n: "Aa bb. " * n, 20_000),
    "nested brackets": Case(sentences, lambda n: "(" * n + ". A" + ")" * n, 50_000),
    "cited pages": Case(sentences, lambda n: "A. " + "1" * n + ". A", 200_000),
    "combining marks": Case(normalize_text, lambda n: "a" + "\u0301\u0327" * n, 200_000),
    "lists of cited papers never closed": Case(records, lambda n: HEAD + b"<ReferenceList>" * n, 100_000),
    "lists of cited papers closed late": Case(
        records, lambda n: HEAD + b"<ReferenceList>" * n + b"</ReferenceList>" * n, 50_000
    ),
    "one long list of cited papers": Case(records, lambda n: HEAD + b"<ReferenceList><x>" + b"y" * n, 8_000_000),
    "a tag never closed": Case(records, lambda n: HEAD + b"<" + b"a" * n, 4_000_000),
    "attributes": Case(records, lambda n: HEAD + b"<x " + b" ".join(b'a%d="1"' % i for i in range(n)) + b">", 50_000),
    "name spaces": Case(records, lambda n: HEAD + b"<x " + b" ".join(b'xmlns:a%d="1"' % i for i in range(n)), 20_000),
    "members of gzip": Case(records, lambda n: gzip.compress(b" ") * n, 10_000),
    "superscripts in each other": Case(
        records, lambda n: abstract(b"<sup>" * 200 + b"1" * n + b"</sup>" * 200), 500_000
    ),
    "superscripts": Case(records, lambda n: abstract(b"1<sup>2</sup>" * n), 20_000),
    "formulas": Case(records, lambda n: abstract(MATHML + b"<mi>ab</mi>" * n + b"</math>"), 20_000),
    "labelled parts": Case(records, lambda n: abstract(b'a</AbstractText><AbstractText Label="B">' * n), 20_000),
    "a number in a name": Case(ladder, lambda n: "What ab" + "1" * n + "x is B?", 100_000),
    "words of a question": Case(ladder, lambda n: " ".join(f"w{i}x" for i in range(n)), 1_000),
    "letters of a question": Case(ladder, lambda n: "a b " * n + "word " * n, 5_000),
    "tags of a query": Case(query_problems, lambda n: "[a] " * n, 50_000),
    "groups of a query": Case(query_problems, lambda n: ") " * n + "[x]", 50_000),
    "groups never closed": Case(query_problems, lambda n: "(" * n + "[" * n, 40_000),
    "elements in each other": Case(
        search_answer, lambda n: b"<eSearchResult>" + b"<a>" * n + b"</a>" * n + b"<Count>0</Count>", 100_000
    ),
    "ids": Case(search_answer, lambda n: b"<eSearchResult><IdList>" + b"<Id>1</Id>" * n + b"</IdList>", 50_000),
    "comments in front": Case(search_answer, lambda n: b"<!--" * n, 200_000),
    "answers of a question": Case(scores, lambda n: n, 5_000),
    "windows of a passage": Case(contexts, lambda n: n, 400_000),
    "names in a text": Case(phrases_in, lambda n: "The Aa of the Bb, 12,000 in 1990s " * n, 5_000),
    "a name that is none": Case(phrases_in, lambda n: "A-" * n + "-" * n + "1," * n, 100_000),
    "records of EndNote never closed": Case(
        lambda text: list(endnote_records(text)), lambda n: "<record>" * n + "x" * (4_000 * n), 10_000
    ),
    "names in BibTeX": Case(
        lambda text: list(bibtex_records(text)), lambda n: "@article{a, author={a" + " " * n + "b}}", 100_000
    ),
    "numbers of a record": Case(
        lambda text: list(nbib_records(text)), lambda n: "PMID- 1\nLID - " + "a " * n + "[do", 100_000
    ),
    "an answer of one word": Case(answer_key, lambda n: "²" + "1" * n, 20_000),
    "an answer of many words": Case(answer_key, lambda n: "one hundred " * n, 3_000),
    "a message of names": Case(shown, lambda n: "x-amz-" * n + "aws_" + "key" * n, 20_000),
    "a message of addresses": Case(shown, lambda n: "a.a:/" * n, 50_000),
    "stops in a row": Case(sentence_bounds, lambda n: "." * n + " " * n + ". " * n, 100_000),
}


@pytest.mark.parametrize("name", CASES)
def test_the_worst_input_ends(name: str) -> None:
    case = CASES[name]
    data = case.make(case.n)
    with ends(), suppress(BioqaError):
        case.call(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_twice_the_input_is_at_most_three_times_the_work(name: str) -> None:
    """The least processor time of several calls; what is short is made longer first, until a clock can tell it."""
    case, n = CASES[name], CASES[name].n
    # Below that the first large allocations show: four times the time for twice the depth, once.
    while (least := _least_seconds(case, n)) < 0.1 and n < 100 * case.n:
        n *= 2
    # A collection of garbage, or a cache that is full, can cost half as much again; a square is four times.
    assert min(_least_seconds(case, 2 * n) / max(least, _least_seconds(case, n)) for _ in range(3)) < 3


def _least_seconds(case: Case, n: int) -> float:
    return min(_seconds(case, case.make(n)) for _ in range(3))


def _seconds(case: Case, data: object) -> float:
    began = time.process_time()
    with suppress(BioqaError):
        case.call(data)
    return time.process_time() - began


def batches(n: int) -> Iterator[list[int]]:
    # Only every hundredth question has found something.
    return _batches(range(n), dict.fromkeys(range(0, n, 100), 7), SUMMARY_PAIRS)


@pytest.mark.parametrize(
    "call",
    [
        lambda n: list(batches(n)),
        lambda n: ladder(" ".join(f"w{i}x" for i in range(n))),
        lambda n: query_problems("[a] " * n),
        lambda n: phrases_in("The Aa of the Bb, 12,000 in 1990s " * n),
        lambda n: records(abstract(b"1<sup>2</sup>" * n)),
        lambda n: sentences("Aa bb. (" * n),
    ],
)
def test_twice_the_input_is_at_most_three_times_the_lines(call: Callable[[int], object]) -> None:
    call(10)  # what is done once only
    assert lines_run(lambda: call(1_000)) <= 3 * lines_run(lambda: call(500))


def test_lines_are_counted_and_what_does_not_end_is_broken_off() -> None:
    assert lines_run(lambda: [sum(range(i)) for i in range(100)]) < 1_000
    assert 3 * lines_run(lambda: _squared(50)) < lines_run(lambda: _squared(100))
    with pytest.raises(TooMuchWorkError, match="not done after"), ends(0.05):
        all(True for _ in itertools.repeat(0))


def _squared(n: int) -> int:
    return sum(1 for _ in range(n) for _ in range(n))
