"""Records a second of `parse_records` and of `Bio.Entrez.read` on the same records, turn about in fresh processes.

    python tests/benchmarks/bench_pubmed_xml.py [--rounds 5]

Both get article sets under a DTD that Biopython has and that fits its records, from memory. CPU time, medians; peak
memory is what parsing adds to a process that holds the files. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bioqa_pipeline.pubmed.xml import parse_records  # noqa: E402
from bioqa_pipeline.records.texts import Abstract  # noqa: E402
from support.biopython_reading import fitting_dtd, joined, read, split  # noqa: E402
from support.outside import OutsideMaterial  # noqa: E402

Reader = Callable[[list[bytes]], int]


def ours(documents: list[bytes]) -> int:
    """How many records there were."""
    records = (parse_records(io.BytesIO(document), name="benchmark") for document in documents)
    return sum(isinstance(record, Abstract) for document in records for record in document)


def theirs(documents: list[bytes]) -> int:
    """How many records there were."""
    with tempfile.TemporaryDirectory() as folder:
        return sum(len(read(document, Path(folder))) for document in documents)


def documents_of(paths: Sequence[Path]) -> list[bytes]:
    """The records of all files, grouped by the DTD that fits."""
    by_dtd: dict[str, list[bytes]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths:
            for record in split(path):
                by_dtd.setdefault(fitting_dtd(record, Path(scratch)), []).append(record)
    return [joined(records, dtd) for dtd, records in by_dtd.items()]


def measured(reader: Reader, documents: list[bytes]) -> tuple[int, float, float]:
    """(records, CPU seconds, MB by which the peak memory grows) in a fresh process, after a first pass."""
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[tuple[int, float, float]] = context.Queue()
    process = context.Process(target=_measure, args=(reader, documents, queue))
    process.start()
    result = queue.get()
    process.join()
    return result


def _measure(reader: Reader, documents: list[bytes], queue: multiprocessing.Queue[tuple[int, float, float]]) -> None:
    before = _high_water_mb()
    reader(documents)
    grown = _high_water_mb() - before
    start = time.process_time()
    count = reader(documents)
    queue.put((count, time.process_time() - start, grown))


def _high_water_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    documents = documents_of(OutsideMaterial(missing=sys.exit).files("pubmed/records/*.xml.gz"))
    rounds = [(measured(ours, documents), measured(theirs, documents)) for _ in range(options.rounds)]
    (n_records,) = {count for both in rounds for count, _, _ in both}
    ratios = [slow / fast for (_, fast, _), (_, slow, _) in rounds]
    result = {
        "records": n_records,
        "mb": round(sum(map(len, documents)) / 1e6, 1),
        "ours_records_per_cpu_s": round(n_records / statistics.median(own[1] for own, _ in rounds)),
        "entrez_read_records_per_cpu_s": round(n_records / statistics.median(other[1] for _, other in rounds)),
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_worst_round": round(min(ratios), 2),
        "ours_peak_growth_mb": round(max(own[2] for own, _ in rounds), 1),
        "entrez_read_peak_growth_mb": round(max(other[2] for _, other in rounds), 1),
    }
    for name, value in result.items():
        print(f"{name:32}{value:>12,}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
