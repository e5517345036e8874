"""`python -m flows.reproduce`: whether a run's scores come out again. No Prefect in it: nothing is kept."""

from __future__ import annotations

import sys

from flows.commands.reproduce import main

if __name__ == "__main__":
    sys.exit(main())
