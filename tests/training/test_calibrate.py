"""Labelled questions and a checkpoint into threshold and calibration, by weights, and refusals before any scoring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bioqa_pipeline.config import ModelConfig
from bioqa_pipeline.errors import BioqaError, CheckpointError, ConfigError, InputError
from bioqa_pipeline.evaluation.job import evaluate_checkpoint
from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion
from bioqa_pipeline.qa.calibration import brier_score, fit_calibration
from bioqa_pipeline.qa.checkpoint import open_checkpoint
from bioqa_pipeline.training.calibrate import Calibrated, calibrate, format_calibration
from bioqa_pipeline.training.stored_settings import write_settings
from support.checkpoints import WORDS, make_checkpoint
from support.squad_files import labelled, write_squad


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Mostly answerable, and fewer that are mostly not; with the same ids."""
    folder = tmp_path_factory.mktemp("labelled")
    return [labelled(folder / "most.json", 260, 0.8, seed=1), labelled(folder / "few.json", 200, 0.3, seed=2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model") / "m", layers=1, settings={"score_diff_threshold": 0.25})


def small(folder: Path) -> ModelConfig:
    return ModelConfig(name=str(folder), device="cpu", precision="fp32", engine="torch")


def mean_probability(out: Path, file: Path) -> float:
    found = evaluate_checkpoint(file, small(out))
    assert "ece" in found.metrics
    return float(np.mean([q.answerability for q in found.questions]))


@pytest.mark.parametrize(
    ("weights", "shares"), [(None, (0.565217, 0.434783)), ((0.9, 0.1), (0.9, 0.1)), ((1, 1), (0.5, 0.5))]
)
def test_each_file_counts_for_its_weight_whatever_its_size(
    files: list[Path], folder: Path, tmp_path: Path, weights: Sequence[float] | None, shares: tuple[float, float]
) -> None:
    out = tmp_path / "calibrated"
    found = calibrate(files, small(folder), weights=weights, out=out)
    assert [x.weight for x in found.sets] == pytest.approx(shares, abs=1e-5)
    assert [(x.n_questions, x.n_answerable, x.before) for x in found.sets] == [(260, 208, None), (200, 60, None)]
    # What a logistic fit with a free intercept keeps: the weighted share of the answerable.
    means = [mean_probability(out, file) for file in files]
    assert np.dot(means, shares) == pytest.approx(np.dot((0.8, 0.3), shares), abs=1e-4)


def test_a_copy_gets_the_settings_and_the_model_stays_as_it_was(
    files: list[Path], folder: Path, tmp_path: Path
) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    out = tmp_path / "deep" / "calibrated"
    found = calibrate(files, small(folder), out=out)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in out.parent.iterdir()] == ["calibrated"]
    copy = open_checkpoint(str(out))
    assert copy.digest == found.checkpoint.digest != open_checkpoint(str(folder)).digest
    assert (copy.settings, found.before) == (found.after, open_checkpoint(str(folder)).settings)
    assert copy.settings.calibration and copy.settings.windows == found.before.windows
    assert (out / "model.safetensors").read_bytes() == before["model.safetensors"]

    again = calibrate(files, small(out), out=tmp_path / "again")
    assert again.after == found.after
    assert all(x.before and x.before != x.after for x in again.sets)
    text = format_calibration(again)
    assert "most.json" in text and "cross-fitting" in text and again.checkpoint.digest[:12] in text
    assert "none -> " in format_calibration(found) and "none -> " not in text


def test_in_place_changes_the_settings_alone(files: list[Path], folder: Path, tmp_path: Path) -> None:
    model = make_checkpoint(tmp_path / "m", layers=1)
    before = {p.name: p.read_bytes() for p in model.iterdir()}
    found = calibrate(files, small(model))
    assert {p.name: p.read_bytes() for p in model.iterdir() if p.name != "bioqa.json"} == before
    assert open_checkpoint(str(model)).settings == found.after
    assert json.loads((model / "bioqa.json").read_text("utf-8"))["schema_version"] == 1


def test_a_full_disk_leaves_the_old_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match=r"bioqa\.json cannot be written: No space left on device"):
        write_settings(folder, open_checkpoint(str(folder)).settings.changed(score_diff_threshold=9.0))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def refused(kind: type[BioqaError], message: str, files: Sequence[Path], model: Path | str, **rest: object) -> None:
    def scored(_: object) -> None:
        pytest.fail("scored")

    config = ModelConfig(name=str(model), device="cpu", precision="fp32", engine="torch")
    with pytest.raises(kind, match=message):
        calibrate(files, config, on_questions=scored, **rest)  # type: ignore[arg-type]


def test_what_no_calibration_can_be_fitted_on(files: list[Path], folder: Path, tmp_path: Path) -> None:
    few = labelled(tmp_path / "few.json", 98, 0.5, seed=3)
    refused(InputError, r"few\.json: 49 answerable and 49 unanswerable .* at least 50 of either kind", [few], folder)
    one_kind = labelled(tmp_path / "one.json", 200, 1.0, seed=3)
    refused(InputError, "200 answerable and 0 unanswerable", [one_kind], folder)
    refused(InputError, r"one\.json: 200 answerable and 0 unanswerable", [files[1], one_kind], folder, weights=[1, 1])
    for weights, message in (
        ([1.0], "1 weights for 2 data sets"),
        ([1.0, 0.0], "each has to be above 0"),
        ([1.0, float("nan")], "each has to be above 0"),
        ([1.0, float("inf")], "each has to be above 0"),
    ):
        refused(ConfigError, message, files, folder, weights=weights)


def test_nothing_of_somebody_elses_is_overwritten(files: list[Path], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "file", "link"):
        refused(ConfigError, f"{name} is there already", files, folder, out=tmp_path / name)
    for model in ("embedded", "lab/model"):
        refused(ConfigError, "not a folder of yours", files, model)


def test_all_of_a_kind_in_one_passage(folder: Path, tmp_path: Path) -> None:
    """No fold without them can be fitted."""
    words = " ".join(WORDS[:6])
    answer = (GoldAnswer(WORDS[0], 0),)
    paragraphs = [SquadParagraph("T", words, tuple(SquadQuestion(f"n{i}", "what", ()) for i in range(60)))]
    paragraphs += [SquadParagraph("T", f"{words} {i}", (SquadQuestion(f"a{i}", "what", answer),)) for i in range(60)]
    write_squad(paragraphs, tmp_path / "s.json")
    with pytest.raises(InputError, match="needs answerable and unanswerable questions in each fifth"):
        calibrate([tmp_path / "s.json"], small(folder), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_one_kind_each_count_together(folder: Path, tmp_path: Path) -> None:
    files = [labelled(tmp_path / f"{share}.json", 60, share, seed=int(share)) for share in (0.0, 1.0)]
    found = calibrate(files, small(folder), out=tmp_path / "out")
    assert [row.split()[4] for row in format_calibration(found).splitlines()[1:3]] == ["-", "-"]


def test_a_weight_of_two_is_a_question_twice() -> None:
    rng = np.random.default_rng(5)
    margins = rng.normal(0, 2, 200)
    labels = margins + rng.normal(0, 2, 200) > 0
    counts = rng.integers(1, 3, 200)
    weighed = fit_calibration(margins.tolist(), labels.tolist(), counts.tolist())
    repeated = fit_calibration(*(np.repeat(x, counts).tolist() for x in (margins, labels)))
    # The ridge acts on margins that are standardised without the weights: alike to the third digit.
    assert dict(weighed) == pytest.approx(dict(repeated), abs=5e-3)


def test_brier_by_hand() -> None:
    assert brier_score([0.5, 1.0, 0.0], [True, True, True]) == pytest.approx(1.25 / 3)


def test_figures_are_a_table(files: list[Path], folder: Path, tmp_path: Path) -> None:
    found: Calibrated = calibrate(files[1:], small(folder), out=tmp_path / "out")
    head, row, *rest = format_calibration(found).splitlines()
    assert row.split()[:4] == ["few.json", "1", "200", "30%"]
    assert len(head) == len(row)
    assert rest[1] == "before  threshold 0.25, no calibration"
    assert rest[2].startswith(f"now     threshold {found.after.score_diff_threshold:g}, slope ")
