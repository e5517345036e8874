"""The command flows.calibrate: arguments and messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioqa_pipeline.errors import ConfigError
from flows.commands import calibrate as calibrate_cli


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
