"""`python -m flows.verify`: whether a data set is whole. No Prefect in it: nothing is run."""

from __future__ import annotations

import sys

from flows.commands.verify import main

if __name__ == "__main__":
    sys.exit(main())
