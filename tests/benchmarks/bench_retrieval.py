"""At which rank the sources find the record that answers a question, over the real records of the test data.

    PYTHONPATH=tests .venv/bin/python tests/benchmarks/bench_retrieval.py

Side by side: the question sent to PubMed's search as it stands and the ladder of queries, both through the live
source's code and a local E-utilities server, and the full-text index of local files.
Recall at 1, 5, 10 and 20 over all questions of `tests/data/retrieval_questions.tsv`, queries and seconds a question.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bioqa_pipeline.records.texts import Question, Retrieval
from support.eutils_records import read_records
from support.eutils_server import EutilsServer
from support.outside import OutsideMaterial
from support.retrieval import (
    LIMIT,
    AskedRecord,
    as_it_stands,
    medline_source,
    pubmed_source,
    rank_all,
    read_asked_records,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    files = OutsideMaterial(missing=sys.exit).files("pubmed/records/*.xml.gz")
    asked = read_asked_records()
    results = {}
    with tempfile.TemporaryDirectory() as name, EutilsServer(read_records(files), limit=None, key_limit=None) as server:
        scratch = Path(name)
        plain = pubmed_source(server.base_url, scratch / "plain")
        medline = medline_source(files[0].parent, scratch / "medline")
        results["question as it stands"] = measure(as_it_stands(asked), lambda q: plain.search(q, LIMIT))
        results["ladder"] = measure(asked, lambda q: plain.search(q, LIMIT))
        results["local index"] = measure(asked, lambda q: medline.search(q, LIMIT))
    print(json.dumps({"questions": len(asked), "results": results}))


def measure(asked: list[AskedRecord], search: Callable[[Question], Retrieval]) -> dict[str, float]:
    start = time.perf_counter()
    ranks = rank_all(asked, search)
    seconds = (time.perf_counter() - start) / len(asked)
    figures = {**ranks.summary(), "seconds_per_question": round(seconds, 4)}
    print("  ".join(f"{key} {value}" for key, value in figures.items()), " missed:", *ranks.missed[:10])
    return figures


if __name__ == "__main__":
    main()
