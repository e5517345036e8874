"""Writes into a wheel which commit it is made of; all else stands in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bioqa_pipeline.commit import FILE, commit


class BuildWithCommit(build_py):
    """The packages, and in one of them the commit, where it is known."""

    def run(self) -> None:
        """Builds."""
        super().run()
        known = commit()
        if known and not self.editable_mode:
            Path(self.build_lib, "bioqa_pipeline", FILE).write_text(known + "\n", encoding="utf-8")


setup(cmdclass={"build_py": BuildWithCommit})
