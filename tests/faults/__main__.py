"""Injects so many faults into the code that writes and reads data sets, by seed, and counts what came of them.

    cd tests && python -m faults --n 10000 --seed 1
    cd tests && python -m faults --replay 123        # one history again, with all that happened in it

What went wrong goes to stdout as it is found, then the table and, as the last line, one JSON object. Exit code 1 where
anything was lost, doubled or cannot be explained.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

# Before polars is loaded: these data sets are small.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from faults.kinds import KINDS, Outcome, live, live_all

WRONG = ("lost", "doubled", "unexplained")
SEEDS_OF_A_PART = 20
# What a report names in full.
MOST_SHOWN = 20


class Table:
    """Counts by kind."""

    def __init__(self) -> None:
        self.injected: Counter[str] = Counter()
        self.wrong: Counter[tuple[str, str]] = Counter()
        self.failures: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self.injected.update(outcome.injected)
        self.wrong.update((outcome.kind, finding.kind) for finding in outcome.findings)
        if outcome.findings:
            self.failures.append(outcome)

    def lines(self) -> list[str]:
        """The table; a history in which anything was wrong counts as one fault that was not survived."""
        failed = Counter(outcome.kind for outcome in self.failures)
        lines = [f"{'fault':<34}" + "".join(f"{name:>12}" for name in ("injected", "survived", *WRONG))]
        for kind in [kind.name for kind in KINDS] + ["all"]:
            names = list(self.injected) if kind == "all" else [kind]
            injected = sum(self.injected[name] for name in names)
            values = [injected, injected - sum(failed[name] for name in names)]
            values += [sum(self.wrong[name, what] for name in names) for what in WRONG]
            lines.append(f"{kind:<34}" + "".join(f"{value:>12,}" for value in values))
        return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000, help="faults to inject, at least")
    parser.add_argument("--seed", type=int, default=1, help="the first; every history takes the next one")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--replay", type=int, metavar="SEED", help="one history again")
    options = parser.parse_args()
    if options.replay is not None:
        return _replay(options.replay)
    started = time.monotonic()
    table = Table()
    first = options.seed * 1_000_000
    parts = (range(start, start + SEEDS_OF_A_PART) for start in itertools.count(first, SEEDS_OF_A_PART))
    with ProcessPoolExecutor(options.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        pending = [pool.submit(live_all, next(parts)) for _ in range(options.processes + 1)]
        while pending:
            for outcome in pending.pop(0).result():
                table.add(outcome)
                if outcome.findings and len(table.failures) <= MOST_SHOWN:
                    _show(outcome)
            if table.injected.total() < options.n:
                pending.append(pool.submit(live_all, next(parts)))
            _progress(table, options.n, time.monotonic() - started)
    return _report(table, options.seed, time.monotonic() - started)


def _progress(table: Table, n: int, seconds: float) -> None:
    sys.stderr.write(f"\r{table.injected.total():,} of {n:,} faults, {len(table.failures)} failures, {seconds:.0f} s ")
    sys.stderr.flush()


def _show(outcome: Outcome) -> None:
    sys.stdout.write(f"\nseed {outcome.seed}, {outcome.kind}: {outcome.findings[0].text.strip()[-1000:]}\n")
    sys.stdout.write(f"    again: cd tests && python -m faults --replay {outcome.seed}\n")
    sys.stdout.flush()


def _report(table: Table, seed: int, seconds: float) -> int:
    sys.stderr.write("\n")
    sys.stdout.write("\n".join(table.lines()) + "\n")
    totals = {what: sum(n for (_, found), n in table.wrong.items() if found == what) for what in WRONG}
    summary = {
        "seed": seed,
        "injected": table.injected.total(),
        **totals,
        "failed_seeds": [outcome.seed for outcome in table.failures],
        "seconds": round(seconds, 1),
    }
    sys.stdout.write(json.dumps(summary) + "\n")
    return int(bool(table.failures))


def _replay(seed: int) -> int:
    outcome = live(seed)
    sys.stdout.write(f"{outcome.kind}\n" + "".join(f"  {event}\n" for event in outcome.events))
    for finding in outcome.findings:
        sys.stdout.write(f"{finding.kind}: {finding.text}\n")
    sys.stdout.write(json.dumps({"seed": seed, "injected": outcome.injected, "findings": len(outcome.findings)}) + "\n")
    return int(bool(outcome.findings))


if __name__ == "__main__":
    sys.exit(main())
