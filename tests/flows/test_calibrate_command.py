"""The command flows.calibrate: arguments, messages, and a run that says "uncalibrated" until it was given."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from lxml import html

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.run.job import RunResult, run_job
from flows.artifacts import answer_table, summary_markdown
from flows.commands import calibrate as calibrate_cli
from flows.commands.console import print_answers, print_outcome
from support.checkpoints import make_checkpoint
from support.small_runs import small_config, write_records


@pytest.mark.parametrize(
    ("datasets", "weights", "found"),
    [
        (["a.json"], None, (["a.json"], None)),
        (["a.json=0.9", "b=x.json=.1"], None, (["a.json", "b=x.json"], [0.9, 0.1])),
        (["a.json", "b=c.json"], [9.0, 1.0], (["a.json", "b=c.json"], [9.0, 1.0])),
    ],
)
def test_weights_stand_behind_the_files_or_by_themselves(
    datasets: list[str], weights: list[float] | None, found: tuple[list[str], list[float] | None]
) -> None:
    assert calibrate_cli.weighed(datasets, weights) == ([Path(p) for p in found[0]], found[1])


def test_a_file_whose_name_ends_in_a_number_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a=1").touch()
    assert calibrate_cli.weighed([str(tmp_path / "a=1")], None) == ([tmp_path / "a=1"], None)


@pytest.mark.parametrize(("datasets", "weights"), [(["a=1", "b"], None), (["a=1"], [1.0])])
def test_weights_of_two_kinds(datasets: list[str], weights: list[float] | None) -> None:
    with pytest.raises(ConfigError, match="weight"):
        calibrate_cli.weighed(datasets, weights)


def test_what_cannot_be_calibrated_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate_cli.main(["--dataset", str(tmp_path / "absent.json"), "--in-place", "--no-prefect"]) == 2
    assert "absent.json: cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        calibrate_cli.main(["--dataset", "x"])
    assert caught.value.code == 2
    assert "one of the arguments --out --in-place is required" in capsys.readouterr().err


def outputs(result: RunResult, out: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    print_answers(result.answers)
    print_outcome(result, out)
    page = (out / "runs" / f"{result.manifest.run_id}.html").read_text("utf-8")
    return {
        "terminal": capsys.readouterr().out,
        "page": html.fromstring(page).text_content(),
        "table": str(answer_table(result.answers)),
        "summary": summary_markdown(result, "out", "page"),
    }


@pytest.mark.parametrize("threshold", [100.0, -100.0], ids=["answered", "unanswered"])
def test_without_a_calibration_nothing_is_called_a_probability(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], threshold: float
) -> None:
    model = make_checkpoint(tmp_path / "m o", layers=1)
    write_records(tmp_path / "records")
    result = run_job(small_config(tmp_path, model, threshold=threshold))
    dataset = Dataset(tmp_path / "out")
    for frame in (dataset.answers(), dataset.summary()):
        rows = frame.collect()
        assert rows.height and rows["answerability"].null_count() == rows.height
        assert rows["margin"].null_count() == 0
    margins = dataset.answers().select(pl.col("margin").max()).collect().item()
    assert result.answers[0].margin == pytest.approx(margins)
    shown = outputs(result, tmp_path / "out", capsys)
    command = f"python -m flows.calibrate --model '{model}' --dataset FILE --out DIR"
    for name in ("terminal", "page", "summary"):
        assert "ncalibrated: nobody fitted this model's probabilities" in shown[name], name
        assert ("python -m flows.calibrate" if name == "page" else command) in shown[name].replace("\\", ""), name
    assert ("'probability': 'uncalibrated'" in shown["table"]) == (threshold > 0)
    for name, text in shown.items():
        assert not re.search(r"probability:? ?\d|Probability: how likely", text), name


def test_with_a_calibration_there_are_probabilities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_checkpoint(tmp_path / "m", layers=1, settings={"calibration": {"slope": 0.5}})
    write_records(tmp_path / "records")
    result = run_job(small_config(tmp_path, model, threshold=100.0))
    assert all(a.answerability is not None and 0 < a.answerability < 1 for a in result.answers)
    shown = outputs(result, tmp_path / "out", capsys)
    assert not any("ncalibrated" in text for text in shown.values())
    assert f"{result.answers[0].answerability:.2f}" in shown["terminal"]
    assert "Probability: how likely" in shown["page"]
