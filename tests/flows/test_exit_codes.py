"""What each command tells the shell: 0 done, 1 something failed, 2 wrong usage or input; never a traceback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bioqa_pipeline.dataset.reader import Dataset
from flows import report, serve
from flows.commands import evaluate, run, train
from support.checkpoints import make_checkpoint
from support.small_runs import write_records

MAINS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run.main,
    "evaluate": evaluate.main,
    "train": train.main,
    "serve": serve.main,
    "report": report.main,
}


@pytest.mark.parametrize("name", MAINS)
def test_an_option_that_does_not_exist_is_wrong_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        MAINS[name](["--no-such-option"])
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "meant"),
    [("--file a.nbib", "--files"), ("--questions q --outt x", "--out"), ("--question q", "--questions")],
)
def test_the_nearest_option_is_named_and_the_others_are_not(
    options: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run.main(options.split())
    error = capsys.readouterr().err
    assert f"; is {meant} meant?" in error and error.count("\n") == 2


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("run", ["--questions", "none.txt", "--no-prefect"]),
        ("serve", ["--questions", "none.txt"]),
        ("evaluate", ["--dataset", "none.json", "--out", "out", "--no-prefect"]),
        ("evaluate", ["--dataset", "none.json", "--model", "./nowhere", "--out", "out", "--no-prefect"]),
        ("train", ["--train-file", "none.json", "--base-model", "./nowhere", "--out", "out", "--no-prefect"]),
    ],
)
def test_a_file_or_model_that_is_not_there_is_wrong_input(
    name: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert MAINS[name](arguments) == 2
    said = capsys.readouterr().err
    assert "error: " in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_a_data_set_that_cannot_be_written_is_a_failure_and_not_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(tmp_path / "records")
    (tmp_path / "q.txt").write_text("Which drug treats malaria?\n")
    model = make_checkpoint(tmp_path / "model", layers=1)
    out = tmp_path / "out"
    arguments = [
        *("--questions", str(tmp_path / "q.txt"), "--model", str(model), "--device", "cpu", "--no-prefect", "--quiet"),
        *("--source", "medline", "--medline-dir", str(tmp_path / "records"), "--out", str(out)),
    ]
    out.mkdir()
    (out / "photo.jpg").touch()
    assert run.main(arguments) == run.main([*arguments, "--dry-run"]) == 2
    assert "not a data set" in capsys.readouterr().err
    (out / "photo.jpg").unlink()
    with Dataset(out).writer("other"):
        assert run.main([*arguments, "--no-wait"]) == 1
        assert "another run writes this data set: run other" in capsys.readouterr().err
    assert run.main(arguments) == 0
