"""What a command reads and writes: pipes that are read once, pipes that are closed, encodings that lack characters."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from bioqa_pipeline.dataset.reader import Dataset
from flows import serve
from flows.commands import front, outcome, run
from support.checkpoints import make_checkpoint
from support.small_runs import QUESTION, write_records


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """All of a small run but its questions."""
    write_records(tmp_path / "records")
    model = make_checkpoint(tmp_path / "model", layers=1)
    return [
        *("--model", str(model), "--device", "cpu", "--no-prefect", "--max-abstracts", "3"),
        *("--medline-dir", str(tmp_path / "records"), "--out", str(tmp_path / "out")),
    ]


def closed_pipe() -> TextIO:
    """A stream whose reader has gone."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    return os.fdopen(write_end, "w")


@contextmanager
def through_a_pipe(content: str, *, as_input: bool) -> Iterator[str]:
    """The content behind a name, as a shell gives it: `-`, or the path of a descriptor."""
    read_end, write_end = os.pipe()
    writer = threading.Thread(target=lambda: (os.write(write_end, content.encode()), os.close(write_end)))
    writer.start()
    kept = os.dup(0) if as_input else None
    if as_input:
        os.dup2(read_end, 0)
    try:
        yield "-" if as_input else f"/dev/fd/{read_end}"
    finally:
        writer.join()
        os.close(read_end)
        if kept is not None:
            os.dup2(kept, 0)
            os.close(kept)


@pytest.mark.parametrize("as_input", [True, False])
def test_questions_through_a_pipe_are_read_once(
    tmp_path: Path, options: list[str], as_input: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with through_a_pipe(f"# me\n{QUESTION}\n", as_input=as_input) as name:
        assert run.main(["--questions", name, *options]) == 0
    (manifest,) = Dataset(tmp_path / "out").runs()
    assert manifest.n_questions == 1 and manifest.n_scored == 3
    said = "standard input" if as_input else name
    assert manifest.config["questions"] == said
    assert f'{said}: left out as comments: 1 (line 1 "# me")' in capsys.readouterr().err


def test_what_is_wrong_with_standard_input_is_named_so(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with through_a_pipe("Who?\n???\n", as_input=True):
        assert run.main(["--questions", "-", *options]) == 2
    assert capsys.readouterr().err == "error: standard input:2: the question has no words: ???\n"


def test_a_schedule_takes_no_questions_that_can_be_read_once(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    served = [option for option in options if option != "--no-prefect"]
    assert serve.main(["--questions", "-", *served]) == 2
    assert "--questions - can be read once, and each run reads them: give a file" in capsys.readouterr().err


@pytest.mark.parametrize("both", [False, True])
def test_a_closed_pipe_ends_no_run(
    tmp_path: Path, options: list[str], both: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "q.txt").write_text(QUESTION)
    with closed_pipe() as out, closed_pipe() as err, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        if both:
            patch.setattr(sys, "stderr", err)
        assert run.main(["--questions", str(tmp_path / "q.txt"), *options]) == 0
        assert (sys.stdout is out) and (sys.stderr is err) is both
    (manifest,) = Dataset(tmp_path / "out").runs()
    assert manifest.status == "completed" and Dataset(tmp_path / "out").answers().collect().height == 3


def test_the_exit_code_stays_that_of_the_work_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> int:
        sys.stdout.write("x" * 100_000)
        sys.stdout.flush()
        sys.stdout.writelines(["y\n", "z\n"])
        return outcome.EXIT_FAILED

    with closed_pipe() as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert outcome.run_command(work) == outcome.EXIT_FAILED


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_an_encoding_lacks_is_replaced(
    tmp_path: Path, options: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "q.txt").write_text("Which drug treats malaria — TNF-α or Sjögren?\n", "utf-8")
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    assert run.main(["--questions", str(tmp_path / "q.txt"), *options]) == 0
    shown = out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert "Which drug treats malaria ? TNF-? or Sj" in shown and "data set: " in shown
    assert out.errors == "strict"


@pytest.mark.parametrize("is_flushed", [False, True])
def test_a_full_disk_behind_standard_output_is_said_in_one_line(
    is_flushed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        sys.stdout.write("x")
        if is_flushed:
            sys.stdout.flush()
        return outcome.EXIT_DONE

    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert outcome.run_command(work) == outcome.EXIT_FAILED
    assert capsys.readouterr().err == "error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_the_caller_has_closed_ends_no_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> int:
        getattr(sys, name).write("x")
        return outcome.EXIT_FAILED

    monkeypatch.setattr(sys, name, None)
    assert outcome.run_command(work) == outcome.EXIT_FAILED
    assert getattr(sys, name) is None


@pytest.mark.parametrize(
    "command",
    [
        "run --show-config", "run --dry-run --questions q", "export --data-set x --out -", "completion bash",
        "report --data-set x --out -", "report --data-set x --compare a b", "evaluate --dataset q", "--help",
        "--version", "verify --data-set x --json", "reproduce --data-set x --run a --json",
    ],
)  # fmt: skip
def test_what_can_be_written_nowhere_is_not_done(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert front.main(command.split()) == outcome.EXIT_FAILED
    if not command.startswith("--"):
        assert capsys.readouterr().err.startswith("error: standard output is closed")


@pytest.mark.parametrize(("threshold", "answers"), [("inf", 3), ("-inf", 0)])
def test_an_endless_threshold_answers_always_or_never(
    tmp_path: Path, options: list[str], threshold: str, answers: int
) -> None:
    (tmp_path / "q.txt").write_text(QUESTION)
    assert run.main(["--questions", str(tmp_path / "q.txt"), *options, f"--threshold={threshold}"]) == 0
    dataset = Dataset(tmp_path / "out")
    rows = dataset.answers().collect()
    assert rows["threshold"].to_list() == [float(threshold)] * 3
    assert rows["is_answerable"].sum() == answers
    (manifest,) = dataset.runs()
    assert manifest.config["threshold"] == ("Infinity" if threshold == "inf" else "-Infinity")
    text = json.dumps(manifest.config)
    assert "NaN" not in text and run.RunConfig.model_validate(manifest.config).threshold == float(threshold)


@pytest.mark.parametrize(
    ("options_", "kind"),
    [
        ([], "sample"),
        (["--email", "me@example.org"], "pubmed"),
        (["--medline-dir", "d"], "medline"),
        (["--pmids", "p"], "pmids"),
        (["--pmids", "p", "--medline-dir", "d"], "pmids"),
        (["--pmids", "p", "--email", "me@example.org"], "pmids"),
        (["--source", "sample", "--email", "me@example.org"], "sample"),
    ],
)
def test_the_source_is_what_the_other_options_are_for(options_: list[str], kind: str) -> None:
    parse: Callable[[list[str]], object] = run.build_parser().parse_args
    config = run.parse_config(parse(["--questions", "q", *options_]))  # type: ignore[arg-type]
    assert config.source.kind == kind
