"""What the whole flow costs beside its forward passes, and what several CPU workers win or lose against one process.

    python tests/benchmarks/bench_flow.py [--windows 20000] [--workers 1] [--rounds 1] [--engine auto]
    python tests/benchmarks/bench_flow.py --windows 2000 --workers 1,2 --rounds 3

Each run is `python -m flows.run` in a process of its own, with Prefect's own temporary server, on real records from
files to a finished data set; the numbers of workers take turns. With one worker the forward passes are timed inside the
run: `overhead` is the wall time in which no lane computes, from the start of the interpreter to its end, as a share of
that in which one does. `forward_share_of_processor` says the same in seconds of the processor, of all processes of the
run, which others on the machine change little: with every core busy the flow has that share of the bare rate. The rest
has a part that is the same for any number of windows (start, imports, Prefect), so two sizes tell of a third.
`bare_rate` is that of the engine alone, right after each run with one worker where nothing else is measured, on 1,000
windows of the run's lengths in batches sorted over all of them. The last line is JSON: medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from support.outside import OutsideMaterial  # noqa: E402

BARE_WINDOWS = 1000
# Windows an abstract has on average in the test data, with questions as these.
WINDOWS_PER_PAIR = 1.4
MAX_ABSTRACTS = 700
TOPICS = (
    "cancer", "diabetes", "hypertension", "asthma", "stroke", "depression", "obesity", "infection", "pain", "anaemia",
    "arthritis", "epilepsy", "dementia", "pneumonia", "sepsis", "cirrhosis", "lymphoma", "malaria", "tuberculosis",
    "hepatitis", "psoriasis", "migraine", "thrombosis", "osteoporosis", "schizophrenia", "glaucoma", "influenza",
    "nephropathy", "fibrosis", "anxiety",
)  # fmt: skip


def questions(count: int) -> list[str]:
    """Questions with a word that nearly every abstract has."""
    asked = ["What was the effect of treatment in patients with {}?", "Which cells, levels or results changed in {}?"]
    return [asked[i // len(TOPICS) % 2].format(TOPICS[i % len(TOPICS)]) for i in range(count)]


class ForwardClock:
    """Seconds in which some lane computes, and the processor's seconds of all forward passes, on CPUs.

    torch computes in the lane that asks; OpenVINO in threads of its own, of which the kernel keeps the times.
    """

    def __init__(self) -> None:
        self.seconds = self.in_lanes = 0.0
        self._mutex, self._running, self._since = threading.Lock(), 0, 0.0
        self._engine_threads: set[str] = set()

    def watch(self) -> None:
        from bioqa_pipeline.qa.lanes import Lanes

        begin: Any = Lanes.begin
        Lanes.begin = lambda lanes, compute: begin(lanes, lambda: self._timed(compute))  # type: ignore[method-assign]
        try:
            from bioqa_pipeline.qa.openvino_engine import OpenVinoScorer
        except ImportError:
            return
        load: Any = OpenVinoScorer.__init__

        def loaded(scorer: Any, *args: Any, **kwargs: Any) -> None:
            before = self._threads()
            load(scorer, *args, **kwargs)
            self._engine_threads |= self._threads() - before

        OpenVinoScorer.__init__ = loaded  # type: ignore[method-assign]

    def processor_seconds(self) -> float:
        ticks = 0
        for thread in self._engine_threads & self._threads():
            said = Path(f"/proc/self/task/{thread}/stat").read_text("utf-8").rpartition(")")[2].split()
            ticks += int(said[11]) + int(said[12])
        return self.in_lanes + ticks / os.sysconf("SC_CLK_TCK")

    def _threads(self) -> set[str]:
        """Those that are none of Python's."""
        return {thread.name for thread in Path("/proc/self/task").iterdir()} - {
            str(t.native_id) for t in threading.enumerate()
        }

    def _timed(self, compute: Any) -> Any:
        with self._mutex:
            self._since = self._since if self._running else time.perf_counter()
            self._running += 1
        started = time.thread_time()
        try:
            return compute()
        finally:
            took = time.thread_time() - started
            with self._mutex:
                self.in_lanes += took
                self._running -= 1
                if not self._running:
                    self.seconds += time.perf_counter() - self._since


def timed_run(report: Path, arguments: list[str]) -> int:
    """The command line in this process, its forward passes timed."""
    from flows.environment import apply_defaults

    apply_defaults()
    from flows.commands.run import main as run

    clock = ForwardClock()
    clock.watch()
    code = run(arguments)
    report.write_text(json.dumps([clock.seconds, clock.processor_seconds()]), "utf-8")
    return code


def measure(n_workers: int, args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """One run in a fresh data set, and the bare rate after it."""
    pairs = args.windows / WINDOWS_PER_PAIR
    n_questions = max(4, math.ceil(pairs / MAX_ABSTRACTS))
    limit = math.ceil(pairs / n_questions)
    records = OutsideMaterial(missing=sys.exit).files("pubmed/records/*.xml.gz")[0].parent
    (folder / "q.txt").write_text("\n".join(questions(n_questions)), "utf-8")
    out, report = folder / "answers", folder / "forward.json"
    arguments = [
        *("--questions", str(folder / "q.txt"), "--out", str(out), "--source", "medline"),
        *("--medline-dir", str(records), "--max-abstracts", str(limit)),
        *("--workers", str(n_workers), "--engine", args.engine, "--device", "cpu", "--quiet"),
    ]  # fmt: skip
    command = [sys.executable, __file__, "--timed-run", str(report), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    started, begun = time.perf_counter(), processor_of_children()
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
    wall, processor = time.perf_counter() - started, processor_of_children() - begun

    import polars as pl

    manifest = json.loads(next((out / "runs").glob("*.json")).read_text("utf-8"))
    lengths = pl.read_parquet(out / "chunks" / "**" / "*.parquet", columns=["n_tokens"])["n_tokens"].to_list()
    found = {
        "windows": len(lengths),
        "mean_tokens": statistics.mean(lengths),
        "wall_seconds": wall,
        "processor_seconds": processor,
        "windows_per_second": len(lengths) / wall,
        **{f"{stage}_seconds": seconds for stage, seconds in manifest["timings_seconds"].items()},
    }
    if n_workers == 1:
        forward, computed = json.loads(report.read_text("utf-8"))
        found |= {"forward_seconds": forward, "overhead": wall / forward - 1}
        found |= {"forward_processor_seconds": computed, "forward_share_of_processor": computed / processor}
    if args.workers == "1":
        bare = bare_rate(lengths, args.engine, manifest["n_pairs"])
        found |= {"bare_rate": bare, "share_of_bare_rate": len(lengths) / wall / bare}
    return found


def processor_of_children() -> float:
    """Seconds of the processor of all processes that were started here and have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bare_rate(lengths: list[int], engine: Any, n_pairs: int) -> float:
    """Windows a second of the engine alone on windows of such lengths; what stands in them does not matter."""
    import numpy as np

    from bioqa_pipeline.config import SpanConfig
    from bioqa_pipeline.qa.checkpoint import open_checkpoint
    from bioqa_pipeline.qa.engines import load_scorer
    from bioqa_pipeline.records.scores import Window
    from support.windows import score_windows

    rng = np.random.default_rng(0)
    scorer = load_scorer(open_checkpoint(str(ROOT / "data" / "model")), device="cpu", engine=engine, n_pairs=n_pairs)
    windows = [
        Window(
            index=0,
            n_windows=1,
            token_start=0,
            token_end=n - 13,
            context_start=0,
            context_end=n - 13,
            passage_offset=12,
            input_ids=rng.integers(1000, 20000, n, dtype=np.int32),
        )
        for n in rng.choice(lengths, min(BARE_WINDOWS, len(lengths)), replace=False).tolist()
    ]
    score_windows(windows[:8], scorer, SpanConfig())
    started = time.perf_counter()
    score_windows(windows, scorer, SpanConfig())
    return len(windows) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=20_000)
    parser.add_argument("--workers", default="1", help="numbers of workers, such as 1,2")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--engine", default="auto")
    args = parser.parse_args()
    found: dict[int, list[dict[str, float]]] = {int(n): [] for n in args.workers.split(",")}
    for number in range(args.rounds):
        for n_workers, runs in found.items():
            with tempfile.TemporaryDirectory() as folder:
                runs.append(measure(n_workers, args, Path(folder)))
            shown = {name: round(value, 3) for name, value in runs[-1].items()}
            print(f"round {number + 1}, {n_workers} workers: {json.dumps(shown)}", flush=True)
    medians = {n: {k: round(statistics.median(r[k] for r in runs), 4) for k in runs[0]} for n, runs in found.items()}
    ratios = {
        f"{n}_workers_times_as_fast_as_one": round(
            statistics.median(one["score_seconds"] / more["score_seconds"] for more, one in pairs), 3
        )
        for n, runs in found.items()
        if n > 1 and 1 in found
        for pairs in [list(zip(runs, found[1], strict=True))]
    }
    print(json.dumps({"rounds": args.rounds, "engine": args.engine, "workers": medians, **ratios}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--timed-run"]:
        sys.exit(timed_run(Path(sys.argv[2]), sys.argv[3:]))
    main()
