"""Fuzzes every reader for a while and prints what came of it: `make fuzz`, or

    PYTHONPATH=tests .venv/bin/python -m fuzz [--seconds 60] [--seed 1] [--target records]

Exit code 1 where a fault was found; the smallest example of it is printed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import traceback
from pathlib import Path

from fuzz.running import fuzz_for
from fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further round has the next one")
    parser.add_argument("--target", choices=list(TARGETS), action="append")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    faults = []
    print(f"{'target':<16}{'examples':>10}{'refused':>10}  fault")
    for name in args.target or TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            outcome = fuzz_for(name, Path(folder), seconds=args.seconds, first=args.seed)
        fault = type(outcome.fault).__name__ if outcome.fault else "none"
        print(f"{name:<16}{outcome.examples:>10,}{outcome.refused:>10,}  {fault}", flush=True)
        if outcome.fault:
            faults.append((name, outcome))
    for name, outcome in faults:
        print(f"\n{name}: {outcome.example!r:.3000}")
        traceback.print_exception(outcome.fault, limit=-12)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
