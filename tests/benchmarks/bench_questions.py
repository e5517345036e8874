"""How long 100,000 questions without an answer take, and what they leave: processor time, log, manifest, page.

    PYTHONPATH=tests nice -n 5 .venv/bin/python tests/benchmarks/bench_questions.py [--questions 100000] [--way sample]

Asked of the sample with words that no record has, and of E-utilities without a network that find nothing, refuse every
query, or do not answer. The last line is JSON.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from support.checkpoints import make_checkpoint  # noqa: E402
from support.many_questions import WAYS, run_many  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--way", choices=("sample", *WAYS), action="append")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        model = make_checkpoint(Path(folder) / "model")
        for way in args.way or ("sample", *WAYS):
            profile = cProfile.Profile()
            if args.profile:
                profile.enable()
            left = run_many(Path(folder) / way, model, args.questions, way=None if way == "sample" else way)
            if args.profile:
                profile.disable()
                pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
            found[way] = {
                "cpu_seconds": round(left.cpu_seconds, 1),
                "timings": left.result.manifest.timings_seconds,
                "log_lines": left.log_lines,
                "terminal_lines": left.terminal_lines,
                "manifest_kb": left.manifest_bytes // 1000,
                "page_kb": left.page_bytes // 1000,
            }
            print(way, found[way], flush=True)
    found["peak_mb"] = {"all": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    print(json.dumps({"questions": args.questions, **found}))


if __name__ == "__main__":
    main()
