"""The packages of requirements/core.lock and torch into docs/licences.md, by what their metadata say.

Run by make audit, in an environment of the library, with the path of pip-licenses.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"

HEAD = """# Licences

What `make audit` read in the metadata of the packages that the library and the flows need, on Linux with Python 3.11.
The project itself is under the Apache License 2.0 ([LICENSE](../LICENSE)). PyPI's build of torch for Linux brings
NVIDIA's CUDA libraries along, under NVIDIA's own terms; builds for the CPU do not.

| package | version | licence |
| --- | --- | --- |
"""


def main(command: str) -> None:
    names = re.findall(r"^([a-z0-9][a-z0-9._-]*)==", (ROOT / "requirements" / "core.lock").read_text("utf-8"), re.M)
    arguments = ["--format=json", "--with-system", f"--python={sys.executable}", "--packages", *names, "torch"]
    found = json.loads(subprocess.run([command, *arguments], capture_output=True, check=True, text=True).stdout)
    rows = sorted((_name(p["Name"]), p["Version"].partition("+")[0], _licence(p["License"])) for p in found)
    PAGE.write_text(HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows), "utf-8")


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _licence(text: str) -> str:
    """One line; some packages give the whole text."""
    return next(iter(text.strip().splitlines()), "UNKNOWN").replace("|", "/")


if __name__ == "__main__":
    main(sys.argv[1])
