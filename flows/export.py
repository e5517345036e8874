"""`python -m flows.export`: a data set into a table, a spreadsheet or references. No Prefect in it: nothing is run."""

from __future__ import annotations

import sys

from flows.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
