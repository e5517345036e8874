from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from bioqa_pipeline.config import RunConfig, SourceConfig, WindowConfig
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.storage.uri import ObjectUri


def test_changed_settings_are_checked_like_new_ones() -> None:
    with pytest.raises(ValidationError, match="leaves gaps"):
        WindowConfig().changed(doc_stride=1_000_000)
    with pytest.raises(ValidationError, match="Extra inputs"):
        WindowConfig().changed(stride=1)


@pytest.mark.parametrize("out", [Path("answers"), "s3://bucket/prefix"])
def test_what_is_not_changed_stays(out: Path | str) -> None:
    config = RunConfig(questions=Path("q.txt"), out=out, threshold=float("inf"), workers=2, shard_pairs=7)
    changed = config.changed(max_answers=3)
    assert changed == config.model_copy(update={"max_answers": 3})
    assert isinstance(changed.out, Path if isinstance(out, Path) else ObjectUri)


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ("2020", date(2020, 1, 1), date(2020, 12, 31)),
        (2020, date(2020, 1, 1), date(2020, 12, 31)),
        ("2020-02", date(2020, 2, 1), date(2020, 2, 29)),
        ("2020/5", date(2020, 5, 1), date(2020, 5, 31)),
        ("2020-05-07", date(2020, 5, 7), date(2020, 5, 7)),
        (date(2020, 5, 7), date(2020, 5, 7), date(2020, 5, 7)),
        (datetime(2020, 5, 7, 23), date(2020, 5, 7), date(2020, 5, 7)),
    ],
)
def test_a_date_may_be_a_year_a_month_or_a_day(given: object, first: date, last: date) -> None:
    config = SourceConfig.checked({"mindate": given, "maxdate": given})
    assert (config.mindate, config.maxdate) == (first, last)
    assert SourceConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("given", ["86400", 86400, "20", "2020-13", "2020-02-30", "0000", "1.5", True, 2020.0, [2020]])
def test_what_is_no_date_is_said(given: object) -> None:
    with pytest.raises(ConfigError, match=r"^`mindate`: .* is no date: give a year, month or day, as in 2020, 2020-05"):
        SourceConfig.checked({"mindate": given})


@pytest.mark.parametrize("values", [{"questions": "a\0b"}, {"source": {"files": ["a\0b"]}}])
def test_a_path_with_a_zero_byte_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="no path has a zero byte in it"):
        RunConfig.checked({"questions": "q", "out": "out", **values})


def test_paths_know_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    source = {"pmids_file": "~/p.txt", "medline_dir": "~/pubmed"}
    config = RunConfig.checked({"questions": "~/q.txt", "out": "~/x", "model": {"name": "~/m"}, "source": source})
    assert (config.questions, config.out, config.model.name) == (
        Path("/home/me/q.txt"),
        Path("/home/me/x"),
        "/home/me/m",
    )
    assert (config.source.pmids_file, config.source.medline_dir) == (Path("/home/me/p.txt"), Path("/home/me/pubmed"))
    assert RunConfig.checked({"questions": "q~", "out": "~nobody-of-that-name/x"}).out == Path("~nobody-of-that-name/x")


@pytest.mark.parametrize("threshold", [float("nan"), 1e39, -1e39, "nan"])
def test_a_threshold_that_no_row_can_hold_is_refused(threshold: object) -> None:
    with pytest.raises(ConfigError, match=r"`threshold`: .*inf, at which every abstract answers"):
        RunConfig.checked({"questions": "q", "out": "o", "threshold": threshold})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"workers": "many"}, "`workers`: give auto or a whole number, not many"),
        ({"workers": 5000}, "`workers`: give at most 1,024, not 5000"),
        ({"runner": "slurm"}, "`runner`: give local or ray, not slurm"),
        ({"max_answers": 1.5}, "`max_answers`: give a whole number, not 1.5"),
        ({"wait_for_lock": "perhaps"}, "`wait_for_lock`: give true or false, not perhaps"),
        ({"questions": 7}, "`questions`: give a path, not 7"),
        ({"source": {"max_abstract": 3}}, "`source.max_abstract`: there is no such setting; is max_abstracts meant?"),
        ({"colour": 3}, "`colour`: there is no such setting"),
        ({"model": 3}, "`model`: give settings by name, not 3"),
        ({"public_url": 3, "threshold": "x"}, "`threshold`: give a number, not x; `public_url`: give a text, not 3"),
    ],
)
def test_what_is_wrong_with_a_setting_is_said_plainly(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.checked({"questions": "q", "out": "o", **values})
    assert str(caught.value) == said


def test_a_setting_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^`questions`: is missing; `out`: is missing$"):
        RunConfig.checked({})


def test_endless_names_and_values_are_cut_and_the_first_problems_told() -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.checked({**{f"x{i}" * 5000: 1 for i in range(50)}, "max_answers": "9" * 5000})
    assert len(str(caught.value)) < 5000 and "and 43 more" in str(caught.value)
