"""`python -m flows.compact`: few files in the place of many. No Prefect in it: nothing is run."""

from __future__ import annotations

import sys

from flows.commands.compact import main

if __name__ == "__main__":
    sys.exit(main())
