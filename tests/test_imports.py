"""What imports what, and what the package says of itself."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from typing import Any

import pytest

import bioqa_pipeline
from support.paths import ROOT


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def python(code: str) -> str:
    """Standard output of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_import_directions() -> None:
    python("import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))")


@pytest.mark.parametrize(
    "module",
    [
        "bioqa_pipeline",
        "bioqa_pipeline.records",
        "bioqa_pipeline.dataset.reader",
        "bioqa_pipeline.questions.files",
        "bioqa_pipeline.sources",
        "bioqa_pipeline.qa.spans",
        "bioqa_pipeline.qa.windows",
    ],
)
def test_readers_of_the_data_set_load_no_network_and_no_engine(module: str) -> None:
    heavy = "{'torch', 'transformers', 'prefect', 'ray', 'httpx', 'Bio'}"
    assert python(f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))").strip() == "[]"


def test_every_package_is_installed_and_has_the_projects_version(project: dict[str, Any]) -> None:
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("bioqa_pipeline", "flows")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == packages | {"bioqa_pipeline.data"}
    assert project["project"]["version"] == bioqa_pipeline.__version__


def test_every_direct_dependency_has_a_tested_version(project: dict[str, Any]) -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if not line.startswith("#")
    }
    extras = project["project"]["optional-dependencies"]
    asked = [*project["project"]["dependencies"], *extras["test"], *extras["train"]]
    names = {"".join(c if c.isalnum() or c in "-_" else " " for c in line).split()[0].lower() for line in asked}
    assert names - pinned == set()


def test_constraints_name_versions_only() -> None:
    lines = [
        line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and not line.startswith("#")
    ]
    for line in lines:
        name, version = line.split("==")
        assert name and version and not set("@/+") & set(line), line


def test_no_flow_module_hides_one_of_pythons() -> None:
    """Prefect puts the folder of a deployment's file in front of the module path, also of worker processes."""
    names = {path.stem for path in (ROOT / "flows").glob("*.py")} - {"__init__"}
    assert not names & sys.stdlib_module_names
