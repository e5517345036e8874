"""What commands write to: nothing of somebody else's is written over or deleted, and that is said before any work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bioqa_pipeline.evaluation.evaluate import evaluate_predictions
from bioqa_pipeline.evaluation.files import write_evaluation
from bioqa_pipeline.evaluation.squad import GoldAnswer, SquadParagraph, SquadQuestion, read_squad
from bioqa_pipeline.storage.marker import mark
from bioqa_pipeline.training.output import check_out, mark_out
from bioqa_pipeline.training.recipe import TrainingConfig
from bioqa_pipeline.training.weights import keep_settings
from flows.commands import evaluate, run, train
from flows.report import main as report
from support.checkpoints import make_checkpoint
from support.small_runs import write_records
from support.squad_files import write_squad

PRECIOUS = "precious"


@pytest.fixture
def squad(tmp_path: Path) -> Path:
    """A file of one question, with predictions beside it."""
    question = SquadQuestion("q1", "which gene", (GoldAnswer("BRCA1", 0),))
    write_squad([SquadParagraph("T", "BRCA1 is a gene.", (question,))], tmp_path / "dev.json")
    (tmp_path / "predictions.json").write_text(json.dumps({"q1": "BRCA1"}))
    return tmp_path / "dev.json"


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write_all(folder: Path, *names: str) -> dict[str, str]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(PRECIOUS)
    return contents(folder)


def refused(
    main: Callable[[list[str]], int], arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]
) -> str:
    """What a command says that must leave `out` as it is."""
    before = contents(out)
    assert main(arguments) != 0
    assert contents(out) == before
    said = capsys.readouterr()
    assert "Traceback" not in said.err and said.out == ""
    return said.err


@pytest.mark.parametrize("names", [["metrics.json", "report.html"], ["thesis.docx"], [".git/config"]])
def test_an_evaluation_is_not_written_among_other_files(
    squad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    out = tmp_path / "out"
    write_all(out, *names)
    by_files = ["--dataset", str(squad), "--predictions", str(squad.with_name("predictions.json")), "--out", str(out)]
    # Before the model is looked for, which does not exist.
    by_model = ["--dataset", str(squad), "--model", "./nowhere", "--out", str(out), "--no-prefect"]
    for arguments in (by_files, by_model):
        assert f"error: {out}: holds {names[0].split('/')[0]!r} and bears no _bioqa.json" in refused(
            evaluate.main, arguments, out, capsys
        )


def test_an_evaluation_replaces_one_of_ours_and_follows_no_link(squad: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--dataset", str(squad), "--predictions", str(squad.with_name("predictions.json")), "--out", str(out)]
    assert evaluate.main(arguments) == 0
    # One of a version that made no marker, into which somebody has put a link.
    (out / "_bioqa.json").unlink()
    (out / "notes.txt").write_text(PRECIOUS)
    victim = tmp_path / "victim"
    victim.write_text(PRECIOUS)
    (out / "predictions.json").unlink()
    (out / "predictions.json").symlink_to(victim)
    assert evaluate.main(arguments) == 0
    assert json.loads((out / "_bioqa.json").read_text())["kind"] == "evaluation"
    assert (victim.read_text(), (out / "notes.txt").read_text()) == (PRECIOUS, PRECIOUS)
    assert json.loads((out / "predictions.json").read_text()) == {"q1": "BRCA1"}
    paragraphs = read_squad(squad)
    write_evaluation(evaluate_predictions(paragraphs, {"q1": ""}, None, dataset="d", model="m"), out)
    assert json.loads((out / "metrics.json").read_text())["metrics"]["exact"] == 0


@pytest.mark.parametrize("names", [["checkpoints/a", "base/b"], ["config.json", "model.safetensors"], ["main.c"]])
def test_a_training_is_not_begun_among_other_files(
    squad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    out = tmp_path / "out"
    write_all(out, *names)
    arguments = ["--train-file", str(squad), "--base-model", "./nowhere", "--out", str(out), "--no-prefect"]
    assert "bears no _bioqa.json, so it is not this program's" in refused(train.main, arguments, out, capsys)


def test_a_training_goes_on_in_folders_of_ours_alone(squad: Path, tmp_path: Path) -> None:
    config = TrainingConfig.model_validate({"base_model": "b", "data": [{"path": squad}]})
    old = tmp_path / "old"
    keep_settings(config, old, {})
    assert json.loads((old / "_bioqa.json").read_text())["kind"] == "checkpoint"
    (old / "_bioqa.json").unlink()
    check_out(old)
    mark_out(old)
    write_all(tmp_path / "victim", "checkpoint-1/trainer_state.json")
    for name in ("checkpoints", "base", "config.json", "made_first", "tokenizer.json"):
        (old / name).symlink_to(tmp_path / "victim")
        with pytest.raises(Exception, match=f"old/{name}: a symbolic link, which the training could write through"):
            check_out(old)
        (old / name).unlink()
    (old / "checkpoints").mkdir()
    (old / "checkpoints" / "checkpoint-1").symlink_to(tmp_path / "victim" / "checkpoint-1")
    with pytest.raises(Exception, match="checkpoint-1: a symbolic link"):
        check_out(old)
    mark(tmp_path / "evaluation", "evaluation")
    with pytest.raises(Exception, match=r"holds another thing \(evaluation\)"):
        check_out(tmp_path / "evaluation")


@pytest.mark.parametrize("kind", ["a page of somebody's", "not HTML", "a link to a file", "a folder"])
def test_a_page_is_written_over_pages_of_ours_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("bioqa_pipeline.report.page.make_run_page", lambda data_set, run_id: "<!doctype html>")
    place = tmp_path / "place"
    place.mkdir()
    out = place / "page.html"
    if kind == "a folder":
        out.mkdir()
    else:
        out.write_text('<!doctype html>\n<html lang="en">\n<p>' if "page" in kind else PRECIOUS)
    if kind == "a link to a file":
        out.rename(place / "thesis.txt")
        out.symlink_to(place / "thesis.txt")
    said = refused(report, ["--data-set", str(tmp_path), "--run", "r", "--out", str(out)], place, capsys)
    assert ("it is a folder" if kind == "a folder" else "is no page of a run and is not written over") in said


def test_pages_of_all_versions_are_known(tmp_path: Path, data_set_of_an_earlier_version: Path) -> None:
    pages = sorted((data_set_of_an_earlier_version / "runs").glob("*.html"))
    assert pages
    for number, page in enumerate(pages):
        copy = tmp_path / f"{number}.html"
        copy.write_bytes(page.read_bytes())
        again = ["--data-set", str(data_set_of_an_earlier_version), "--run", page.stem, "--out", str(copy)]
        assert (report(again), report(again)) == (0, 0)


def test_runs_of_a_broken_data_set_are_not_compared(
    tmp_path: Path, data_set_of_an_earlier_version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    shutil.copytree(data_set_of_an_earlier_version, root)
    runs = sorted(path.stem for path in (root / "runs").glob("*.json"))[:2]
    compared = ["--data-set", str(root), "--compare", *runs]
    assert report(compared) == 0
    (root / "summary" / f"{runs[0]}.parquet").write_bytes(b"PAR1 and no more")
    capsys.readouterr()
    assert report(compared) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {root}/summary/{runs[0]}.parquet: cannot be read: ") and error.count("\n") == 1


@pytest.fixture
def data_set_of_an_earlier_version() -> Path:
    return Path(__file__).parents[1] / "data" / "dataset_da5435d" / "dataset"


def test_links_in_a_data_set_are_refused_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_records(tmp_path / "records")
    (tmp_path / "q.txt").write_text("Which drug treats malaria?\n")
    model, out = make_checkpoint(tmp_path / "model", layers=1), tmp_path / "out"
    arguments = [
        *("--questions", str(tmp_path / "q.txt"), "--model", str(model), "--device", "cpu", "--no-prefect", "--quiet"),
        *("--source", "medline", "--medline-dir", str(tmp_path / "records"), "--out", str(out)),
    ]
    assert run.main(arguments) == 0
    victim = tmp_path / "victim"
    before = write_all(victim, "file", "sub/file")
    for name in ("_staging", ".lock"):
        path = out / name
        path.rename(tmp_path / "aside")
        path.symlink_to(victim / "file" if name == ".lock" else victim)
        assert run.main(arguments) == 1
        assert f"error: {path}: a symbolic link" in capsys.readouterr().err
        assert contents(victim) == before
        path.unlink()
        (tmp_path / "aside").rename(path)
    assert run.main(arguments) == 0
