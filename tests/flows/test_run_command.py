from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands.run import build_parser, main, parse_config
from support.checkpoints import make_checkpoint


def test_help_needs_neither_torch_nor_prefect() -> None:
    program = (
        "import sys, runpy; sys.argv = ['flows.run', '--help']\n"
        "try: runpy.run_module('flows.run', run_name='__main__')\n"
        "except SystemExit as exc: assert exc.code == 0, exc.code\n"
        "heavy = {'torch', 'prefect', 'polars', 'pyarrow', 'transformers', 'numpy', 'httpx', 'Bio'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "exit codes" in result.stdout


def test_every_option_has_help_and_says_its_default() -> None:
    for action in build_parser()._actions:
        if not action.option_strings or action.dest in {"help", "questions"} or action.nargs == 0:
            continue
        assert action.help and "(default" in action.help, action.dest


def test_defaults_are_those_of_the_settings() -> None:
    from bioqa_pipeline.config import RunConfig

    config = parse_config(build_parser().parse_args(["--questions", "q.txt"]))
    assert config == RunConfig(questions=Path("q.txt"), out=Path("answers"), model=config.model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "medline"], "--medline-dir"),
        (["--source", "pmids"], "--pmids"),
        (["--max-abstracts", "0"], "--max-abstracts: give at least 1, not 0"),
        (["--n-best", "0"], "--n-best"),
        (["--shard-pairs", "0"], "--shard-pairs"),
        (["--shard-pairs", "9" * 23], "--shard-pairs: give less than 2,147,483,648, not 9999"),
        (["--workers", "many"], "--workers: give auto or a whole number, not many"),
        (["--workers", "0"], "--workers: give at least 1, not 0"),
        (["--threshold", "nan"], "--threshold: nan is no number"),
        (["--threshold", "1e39"], "--threshold: 1e+39 is too large"),
        (["--threshold=-1e39"], "--threshold: -1e+39 is too large"),
        (["--threshold", "1e400"], "--threshold: 1e400 is too large"),
        (["--threshold", ""], "--threshold: it is empty: give a value, or leave it out"),
        (["--mindate", "\u200b"], "--mindate: it is empty"),
        (["--files", "a.nbib", " "], "--files: it is empty"),
        (["--mindate", "86400"], "--mindate: 86400 is no date: give a year, month or day"),
        (["--source", "sample", "--pmids", "p.txt"], "--pmids p.txt is not used by source sample"),
        (["--source", "pubmed", "--medline-dir", "d"], "--medline-dir d is not used by source pubmed"),
        (["--pmids", "none.txt"], "none.txt: cannot be read: there is no such file"),
        (["--pmids", "https://a.org/p.txt"], "https://a.org/p.txt: is an address, not a file: save what is there"),
        (["--files", "http://a.org/p.nbib"], "http://a.org/p.nbib: is an address, not a file"),
        (["--config", "http://x"], "http://x: is an address, not a file"),
        (["--medline-dir", "/nowhere"], "--medline-dir /nowhere: no such folder"),
        (["--email", "me"], "--email me: 'me' is not an e-mail address"),
        (["--out", "/dev/null"], "--out /dev/null: /dev/null is not a folder"),
        (["--out", "/dev/null/x"], "--out /dev/null/x: /dev/null is not a folder"),
        (["--out", ""], "--out: it is empty"),
        (["--mindate", "tomorrow"], "--mindate"),
        (["--mindate", "2024-02-01", "--maxdate", "2024-01-01"], "later than"),
        (["--model", "./nowhere"], "no such folder"),
        (["--device", "tpu"], "--device"),
        (["--precision", "fp16", "--device", "cpu"], "--precision fp16 needs a GPU; use --precision auto"),
        (["--engine", "openvino", "--device", "mps"], "--device mps"),
        (["--max-abstracts", "x"], "--max-abstracts: give a whole number, not x"),
        (["--threshold", "x"], "--threshold: give a number, not x"),
        (["--sort", "pub_date"], "--sort pub_date is done by PubMed itself"),
        (["--device", "cuda:1", "--workers", "2"], "--device cuda:1 is one GPU"),
        (["--ray-address", "auto"], "--ray-address auto needs --runner ray"),
        (["--runner", "ray"], "--runner ray scores in Prefect tasks"),
        (["--out", "gs://bucket/x"], "--out: gs://bucket/x: gs is not supported"),
        (["--source", "pubmed"], "NCBI_EMAIL or --email"),
        (["--source", "medline", "--medline-dir", "none"], "--medline-dir none: no such folder"),
        (["--source", "pmids", "--pmids", "none.txt"], "none.txt"),
    ],
)
def test_settings_that_cannot_be_used_exit_with_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.delenv("NCBI_EMAIL", raising=False)
    questions = tmp_path / "q.txt"
    questions.write_text("What causes scurvy?\n")
    model = make_checkpoint(tmp_path / "model")
    arguments = ["--questions", str(questions), "--model", str(model), "--no-prefect", "--out", str(tmp_path / "out")]
    # A dry run refuses what the run refuses.
    for more in ([], ["--dry-run"]):
        assert main([*arguments, *options, *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and "`" not in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [[], ["--questions", "q", "--source", "x"], ["--questions", "q", "--max-abs", "3"]])
def test_arguments_that_are_none_exit_with_2(capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert "usage: python -m flows.run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.txt", b"", "q.txt"),
        ("q.txt", b"\xff\xfeW\0h", "UTF-16"),
        ("q.csv", b"text\nWhat?\n", "question"),
        ("q.tsv", b"question\tquery\nWhat?\t(aspirin AND\n", "q.tsv:2"),
        ("q.jsonl", b'{"question": "What?"}\n{"question": 7}\n', "q.jsonl:2"),
    ],
)
def test_a_question_file_that_cannot_be_read_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    model = make_checkpoint(tmp_path / "model")
    assert main(["--questions", str(tmp_path / name), "--model", str(model), "--no-prefect"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("source", ["sample", "pubmed"])
def test_a_dry_run_shows_the_questions_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("NCBI_EMAIL", "someone@example.org")
    (tmp_path / "q.txt").write_text("What causes scurvy?\nwhat causes  scurvy?\n")
    out = tmp_path / "out"
    model = str(make_checkpoint(tmp_path / "model"))
    arguments = ["--questions", str(tmp_path / "q.txt"), "--model", model, "--source", source, "--out", str(out)]
    assert main([*arguments, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "1 question from" in shown and "What causes scurvy?" in shown and "more than once" in shown
    assert ("scurvy[" in shown or "scurvy*" in shown or "level 0" in shown) == (source == "pubmed")
    assert not out.exists()


def test_progress_lines_can_be_written_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bioqa_pipeline.run import progress as progress_module
    from flows.commands import console

    monkeypatch.setattr(console, "LINE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(progress_module, "SURE_SECONDS", 0.0)
    with console.TerminalReporter().stage("scoring", 4, "pairs") as progress:
        progress(0)  # what a shard that failed counts for
        progress(2)
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "scoring: 0 of 4 pairs, 0.0/s"
    assert second.startswith("scoring: 2 of 4 pairs, ") and second.endswith(" left")
    assert last.startswith("scoring: 2 pairs in ")


@pytest.mark.parametrize(
    ("done", "total", "seconds", "said"),
    [
        (3, 2000, 60.0, ""),
        (30, 2000, 3.0, ""),
        (20, 2000, 10.0, ", 16 min 30 s left"),
        (2, 4, 10.0, ", 10 s left"),
        (4, 4, 10.0, ""),
    ],
)
def test_what_is_left_is_said_when_it_means_something(done: float, total: int, seconds: float, said: str) -> None:
    from bioqa_pipeline.run.progress import progress_text

    assert progress_text("scoring", done, total, "pairs", seconds).endswith("/s" + said)


def test_a_run_without_prefect_says_options_for_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "q.txt").write_text("What causes scurvy?\n")
    model, out = make_checkpoint(tmp_path / "model", layers=1), tmp_path / "out"
    options = ["--questions", str(tmp_path / "q.txt"), "--model", str(model), "--out", str(out), "--max-abstracts", "1"]
    assert main([*options, "--device", "cpu", "--no-prefect"]) == 0
    said = capsys.readouterr().err
    assert "not searched; --passage title+abstract asks their titles" in said and "`" not in said
    # Nothing has changed.
    assert main([*options, "--device", "cpu", "--no-prefect", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
