"""What the documents say of the tree is true: paths, links, make targets, one line for every package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from bioqa_pipeline.dataset.schemas import TABLES
from flows.commands import run, train
from flows.server_settings import NO_TELEMETRY
from support.paths import ROOT

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "data/*/README.md", "tests/benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
# A whole word in code type that has a folder in it, or an ending that files of this project have.
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w.-]+\.(?:py|md|toml|txt|yaml))`")
MAPS = ("CONTRIBUTING.md", "docs/index.md")


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("name", MAPS)
def test_every_path_exists(name: str) -> None:
    text = read(name)
    paths = set(PATH.findall(text)) | set(re.findall(r"^([a-z_]+/[\w./]*) ", text, flags=re.MULTILINE))
    assert len(paths) >= 10
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_every_package_has_its_line_in_the_tree() -> None:
    packages = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        for top in ("bioqa_pipeline", "flows")
        for path in (ROOT / top).rglob("__init__.py")
    }
    lines = re.findall(r"^((?:bioqa_pipeline|flows)/\S*) +\S", read("CONTRIBUTING.md"), flags=re.MULTILINE)
    assert sorted(lines) == sorted(packages)


def test_every_page_is_linked_from_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", read("docs/index.md")))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", read(name))
    folder = (ROOT / name).parent
    assert [target for target in targets if "://" not in target and not (folder / target).exists()] == []


@pytest.mark.parametrize("name", [*DOCUMENTS, "Dockerfile", "prefect.yaml"])
def test_every_module_that_is_named_exists(name: str) -> None:
    modules = set(re.findall(r"\b(?:bioqa_pipeline|flows|tests)/[\w/]+\.py\b", read(name)))
    assert {module for module in modules if not (ROOT / module).is_file()} == set()
    commands = {Path(*command.split(".")) for command in re.findall(r"-m (flows[.\w]*\w)", read(name))}
    assert {command for command in commands if not (ROOT / command).with_suffix(".py").is_file()} == set()


def test_make_targets_and_marks_are_those_that_there_are() -> None:
    text = read("CONTRIBUTING.md")
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, flags=re.MULTILINE))
    assert {"run", "check", "fix", "test", "test-slow"} <= named <= targets
    marks = tomllib.loads(read("pyproject.toml"))["tool"]["pytest"]["ini_options"]["markers"]
    section = text.split("| mark | meaning |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE) == [mark.split(":")[0] for mark in marks]


# Without these, Prefect, the model hub's client and Ray report to their makers.
REPORTERS = {"DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED"}
# What starts a process of theirs, other than our own commands, which turn reports off themselves.
FOREIGN = re.compile(r"(?:^|[\s;&|/])(prefect|ray|hf|huggingface-cli|uvicorn|gunicorn) +[a-z]")
SOURCED = '. "$(.venv/bin/bioqa server --settings)"'


def shell_blocks(name: str) -> list[str]:
    """Every block of commands: those in fences, and in comments of YAML those that are set off by three blanks."""
    text = read(name)
    if name.endswith(".md"):
        # Every fence with its end, whatever its language, or the end of one is taken for the beginning of the next.
        fences = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text, flags=re.MULTILINE | re.DOTALL)
        return [dedent(block) for _, language, block in fences if language in {"", "sh", "bash", "shell"}]
    commented = re.findall(r"(?:^ *#   .+\n)+", text, flags=re.MULTILINE)
    return [re.sub(r"^ *#   ", "", block, flags=re.MULTILINE) for block in commented]


def test_every_block_of_commands_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [
        "```python\nx\n```",
        "prose",
        "```\na\n```",
        "  ```sh\n  b\n  c\n  ```",
        "```toml\ny\n```",
        "```bash\nd\n```",
        "",
    ]
    text = "\n".join(blocks)
    (tmp_path / "x.md").write_text(text)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert shell_blocks("x.md") == ["a\n", "b\nc\n", "d\n"]


@pytest.mark.parametrize("name", [*DOCUMENTS, "prefect.yaml"])
def test_no_command_reports_to_anyone(name: str) -> None:
    for block in shell_blocks(name):
        if block.startswith("[Service]"):
            assert {name for name in REPORTERS if re.search(rf"Environment=.*\b{name}=", block)} == REPORTERS
        elif found := FOREIGN.search(block):
            before = block[: found.start(1)]
            off = set(re.findall(r"(\w+)=(?:1|0|false)\b", before))
            assert SOURCED in before or off >= REPORTERS, f"{name}: {block}"
    if name.endswith(".md"):
        # Within a sentence there is no room for it: such commands belong into blocks.
        prose = re.sub(r"^( *)```.*?^\1```$", "", read(name), flags=re.MULTILINE | re.DOTALL)
        inline = [code for code in re.findall(r"`([^`\n]+)`", prose) if FOREIGN.search(code)]
        assert set(inline) <= {"prefect server start"} | {code for code in inline if code.startswith("RAY_USAGE")}


def test_no_cron_entry_or_unit_is_left_without_its_environment() -> None:
    units = [block for name in DOCUMENTS for block in shell_blocks(name) if "ExecStart=" in block]
    assert units and all(block.startswith("[Service]") for block in units)


def test_image_deployments_and_make_targets_report_to_nobody() -> None:
    environment = read("Dockerfile").split("\nENV ")[-1]
    assert set(re.findall(r"(\w+)=", environment)) >= REPORTERS
    assert set(re.findall(r"^export (\w+) :=", read("Makefile"), flags=re.MULTILINE)) >= REPORTERS
    deployments = yaml.safe_load(read("prefect.yaml"))["deployments"]
    variables = [deployment["work_pool"]["job_variables"] for deployment in deployments]
    assert all(set(found["env"]) >= REPORTERS for found in variables if "image" in found)
    assert set(NO_TELEMETRY) == REPORTERS


def test_columns_and_options_are_said_in_plain_words() -> None:
    """What the model's makers call windows, shards and spans is said in words, or explained where it is named."""
    said = [field.metadata[b"description"].decode() for table in TABLES for field in table.schema]
    said += [field.description or "" for command in (run, train) for field in command.SETTINGS.fields.values()]
    explained = re.compile(r"(?:\(|, )(?:a )?(?:windows?|shard)\b")
    jargon = re.compile(r"null score|\b(?:window|shard|span)s?\b")
    assert [text for text in said if jargon.search(explained.sub("", text))] == []


def test_what_the_image_copies_is_there_and_sent_to_the_builder() -> None:
    copied = [
        name for line in re.findall(r"^COPY (.+)$", read("Dockerfile"), re.MULTILINE) for name in line.split()[:-1]
    ]
    sent = set(re.findall(r"^!(\S+)$", read(".dockerignore"), re.MULTILINE))
    assert copied and set(copied) == sent
    assert all((ROOT / name).exists() for name in copied)
