"""Where the project's own data lie: the sample records and questions, and the embedded checkpoint.

In a checkout `data/` stands beside the packages; a wheel brings the same folder inside this package.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
DATA = _PACKAGE / "data" if (_PACKAGE / "data").is_dir() else _PACKAGE.parent / "data"
SAMPLE = DATA / "sample"
EMBEDDED_MODEL = DATA / "model"
