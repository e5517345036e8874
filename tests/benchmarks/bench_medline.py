"""What a folder of PubMed files costs: parsing, importing, indexing, searching, and getting single records.

    PYTHONPATH=tests python tests/benchmarks/bench_medline.py [--records 200000] [--scratch DIR]

Makes files from the real records of the test data: PMIDs count up, a fifth of the words of each
abstract is drawn anew from all of them. Each stage runs in a process of its own, for its peak memory. Rates are records
for each second of CPU time, all threads and processes together, so that a busy machine measures the same; latencies are
by the wall clock. The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree

from bioqa_pipeline.abstracts.fulltext import FullTextIndex
from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.pubmed.xml import parse_records
from bioqa_pipeline.sources.medline.files import list_files
from bioqa_pipeline.sources.medline.importing import import_files, parse_file
from bioqa_pipeline.sources.medline.state import ImportState
from support.outside import OutsideMaterial
from support.store_processes import held_pmids

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = ROOT / "tests" / "data" / "retrieval_questions.tsv"
RECORDS_PER_FILE = 30_000
ALL_OF_PUBMED = 38_000_000
# The baseline of 2026: 51 GB for 1,334 files of some 29,000 records.
BASELINE_GZ_BYTES = 51e9 / (1_334 * 29_000)
MARK = "@@{}@@"


class Clock:
    """Seconds of the wall and of CPU time, this process and children that have ended together."""

    def __enter__(self) -> Clock:
        self._started = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = (now - then for now, then in zip(self._now(), self._started, strict=True))

    @staticmethod
    def _now() -> tuple[float, float]:
        times = os.times()
        return time.perf_counter(), times.user + times.system + times.children_user + times.children_system


class Template:
    """A real record with gaps for its PMID and for the text of its abstract."""

    def __init__(self, article: etree._Element) -> None:
        self.texts: list[list[str]] = []
        pmid = article.findtext("MedlineCitation/PMID") or ""
        for i, element in enumerate(article.iterfind("MedlineCitation/Article/Abstract/AbstractText")):
            self.texts.append("".join(element.itertext()).split())
            attributes = dict(element.attrib)
            element.clear()
            element.attrib.update(attributes)
            element.text = MARK.format(i)
        xml = etree.tostring(article, encoding="unicode")
        xml = xml.replace(f">{pmid}</PMID>", ">@@PMID@@</PMID>", 1)
        self.xml = xml.replace(f'IdType="pubmed">{pmid}<', 'IdType="pubmed">@@PMID@@<', 1)

    def filled(self, pmid: int, words: list[str], rng: random.Random) -> str:
        xml = self.xml.replace("@@PMID@@", str(pmid))
        for i, text in enumerate(self.texts):
            drawn = [rng.choice(words) if rng.random() < 0.2 else word for word in text]
            xml = xml.replace(MARK.format(i), escape(" ".join(drawn)))
        return xml


def make_files(folder: Path, n_records: int) -> None:
    articles = [
        article
        for path in OutsideMaterial(missing=sys.exit).files("pubmed/records/*.xml.gz")
        for article in etree.fromstring(gzip.decompress(path.read_bytes())).iter("PubmedArticle")
    ]
    templates = [Template(article) for article in articles]
    words = [word for template in templates for text in template.texts for word in text]
    rng = random.Random(38)
    folder.mkdir(parents=True)
    for number, start in enumerate(range(1, n_records + 1, RECORDS_PER_FILE), start=1):
        with gzip.open(folder / f"pubmed26n{number:04d}.xml.gz", "wt", compresslevel=6, encoding="utf-8") as file:
            file.write("<PubmedArticleSet>")
            for pmid in range(start, min(start + RECORDS_PER_FILE, n_records + 1)):
                file.write(templates[pmid % len(templates)].filled(pmid, words, rng))
            file.write("</PubmedArticleSet>")


def parse(folder: Path, home: Path) -> dict[str, float]:
    """One process, one file: parsing alone, and parsing into a part of the store."""
    file = list_files(folder).files[0]
    with Clock() as parsing:
        n_records = sum(1 for _ in parse_records(file.path, name=file.name))
    home.mkdir()
    with Clock() as both:
        parse_file(file, home / "part.parquet")
    return {
        "parse_records_per_cpu_s": n_records / parsing.cpu,
        "parse_and_write_records_per_cpu_s": n_records / both.cpu,
    }


def bring_in(folder: Path, home: Path) -> dict[str, float]:
    """The import as `--source medline` does it, with all cores."""
    with Clock() as clock:
        state = import_files(folder, list_files(folder), AbstractStore(home), ImportState({}))
    n_records = sum(file.n_records for file in state.files.values())
    return {
        "import_wall_s": clock.wall,
        "import_cpu_s": clock.cpu,
        "import_records_per_cpu_s": n_records / clock.cpu,
    }


def index(folder: Path, home: Path) -> dict[str, float]:
    made = FullTextIndex(home / "fulltext")
    with Clock() as clock:
        made.update(AbstractStore(home))
    return {
        "index_wall_s": clock.wall,
        "index_cpu_s": clock.cpu,
        "indexed": len(made),
        "index_abstracts_per_cpu_s": len(made) / clock.cpu,
    }


def search(folder: Path, home: Path) -> dict[str, float]:
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        questions = [row["question"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    made = FullTextIndex(home / "fulltext")
    made.search(questions[0], 20)
    return {
        **_latencies("query_20", lambda i: made.search(questions[i % len(questions)], 20), 2 * len(questions)),
        **_latencies("query_200", lambda i: made.search(questions[i % len(questions)], 200), len(questions)),
    }


def get(folder: Path, home: Path) -> dict[str, float]:
    store = AbstractStore(home)
    n_records = held_pmids(store)[-1]
    rng = random.Random(1)

    def some(n: int) -> list[int]:
        return [rng.randint(1, n_records) for _ in range(n)]

    list(store.get(some(4)))
    return {
        **_latencies("get_1", lambda _: list(store.get(some(1))), 200),
        **_latencies("get_20", lambda _: list(store.get(some(20))), 50),
        **_latencies("get_256", lambda _: list(store.get(some(256))), 8),
        **_latencies("locate_10000", lambda _: store.index(some(10_000)), 10),
    }


def update(folder: Path, home: Path) -> dict[str, float]:
    """A daily file: 5,000 records all over the store, revised."""
    store, made = AbstractStore(home), FullTextIndex(home / "fulltext")
    there = held_pmids(store)
    pmids = random.Random(2).sample(there, min(5_000, len(there)))
    revised = [replace(r, text=r.text + " Revised.", date_revised="2030-01-01") for r in store.get(pmids)]
    with Clock() as storing:
        store.add(revised, origin="bench")
    with Clock() as indexing:
        made.update(store)
    return {"update_5000_store_cpu_s": storing.cpu, "update_5000_index_cpu_s": indexing.cpu}


def _latencies(name: str, call: Callable[[int], Any], n: int) -> dict[str, float]:
    times = []
    with Clock() as clock:
        for i in range(n):
            started = time.perf_counter()
            call(i)
            times.append(1000 * (time.perf_counter() - started))
    return {
        f"{name}_ms_median": statistics.median(times),
        f"{name}_ms_p95": statistics.quantiles(times, n=20)[-1],
        f"{name}_cpu_ms": 1000 * clock.cpu / n,
    }


def staged(stage: Callable[[Path, Path], dict[str, float]], folder: Path, home: Path) -> dict[str, float]:
    """Runs a stage here and adds the peak memory of this process, libraries included (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # what came before does not count
    result = stage(folder, home)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {**result, f"{stage.__name__}_peak_mb": int(status["VmHWM"].split()[0]) / 1024}


def apart(stage: Callable[[Path, Path], dict[str, float]], folder: Path, home: Path) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(staged, stage, folder, home).result()


def _bytes(paths: Iterator[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


def extrapolated(figures: dict[str, float], n_records: int) -> dict[str, float]:
    """All of PubMed, by records (an upper bound: these are heavier than most) and by the size of the gzipped files."""
    lighter = BASELINE_GZ_BYTES / figures["gz_bytes_per_record"]
    gigabytes = {
        name: figures[f"{name}_bytes_per_record"] * ALL_OF_PUBMED / 1e9 for name in ("store", "locator", "index")
    }
    hours = figures["import_cpu_s"] / n_records * ALL_OF_PUBMED / 3600
    index_hours = figures["index_cpu_s"] / n_records * ALL_OF_PUBMED / 3600
    return {
        **{f"all_{name}_gb_upper": value for name, value in gigabytes.items()},
        "all_import_core_hours_upper": hours,
        "all_index_core_hours_upper": index_hours,
        "weight_of_a_baseline_record": lighter,
        "all_store_gb": gigabytes["store"] * lighter,
        "all_locator_gb": gigabytes["locator"],
        "all_index_gb": gigabytes["index"] * lighter,
        "all_import_core_hours": hours * lighter,
        "all_index_core_hours": index_hours * lighter,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--scratch", type=Path)
    arguments = parser.parse_args()
    n_records: int = arguments.records
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder, home = Path(scratch) / "files", Path(scratch) / "home"
        make_files(folder, n_records)
        figures: dict[str, float] = {"records": n_records, "cores": len(os.sched_getaffinity(0))}
        figures |= apart(parse, folder, Path(scratch) / "one")
        figures |= apart(bring_in, folder, home)
        figures |= apart(index, folder, home)
        sizes = {
            "gz": folder.glob("*.gz"),
            "store": (home / "parts").iterdir(),
            "locator": home.glob("locator-*"),
            "index": (home / "fulltext").rglob("*"),
        }
        figures |= {f"{name}_bytes_per_record": _bytes(iter(paths)) / n_records for name, paths in sizes.items()}
        for stage in (search, get, update):
            figures |= apart(stage, folder, home)
    figures |= extrapolated(figures, n_records)
    for name, value in figures.items():
        print(f"{name:40s} {value:14,.2f}")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
