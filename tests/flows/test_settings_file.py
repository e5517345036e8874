"""`bioqa.toml`: what it sets, what goes before it, where its paths lead, and what is refused on which line."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.errors import InputError
from flows import serve
from flows.commands import evaluate, run
from flows.commands.resolved import given
from flows.commands.settings_file import NAME, read_settings_file
from support.paths import ROOT

WHOLE = """\
# a comment with [ and "
questions = "q.txt"
threshold = inf   # ]
workers = 2

[source]
kind = 'medline'
medline_dir = "pubmed"
mindate = 2020-05-01

[scoring]
spans.n_best = 3
spans.whole_words = false
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NCBI_EMAIL", raising=False)
    return tmp_path


def settings(*arguments: str) -> RunConfig:
    return run.parse_config(run.build_parser().parse_args(arguments))


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run.main([*arguments, "--no-prefect", "--quiet"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ")


def test_it_says_what_options_say(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / NAME).write_text(WHOLE)
    options = "--questions q.txt --threshold inf --workers 2 --source medline --medline-dir pubmed --n-best 3"
    by_options = settings(*f"{options} --mindate 2020-05 --no-config".split())
    config = settings()
    assert config == by_options.changed(scoring=config.scoring)
    assert (config.scoring.spans.n_best, config.scoring.spans.whole_words) == (3, False)
    assert capsys.readouterr().err == "bioqa.toml: 8 settings taken from it\n"


def test_options_go_before_the_environment_and_that_before_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / NAME).write_text('questions = "q"\nout = "kept"\n[source]\nemail = "file@x.org"\nmax_abstracts = 3\n')
    assert (settings().source.email, settings().source.kind) == ("file@x.org", "pubmed")
    monkeypatch.setenv("NCBI_EMAIL", "environment@x.org")
    config = settings()
    assert (config.source.email, config.source.kind) == ("environment@x.org", "pubmed")
    assert (config.out, config.source.max_abstracts) == (Path("kept"), 3)
    config = settings("--email", "option@x.org", "--out", "answers", "--max-abstracts", "4")
    assert (config.source.email, config.out, config.source.max_abstracts) == ("option@x.org", Path("answers"), 4)
    # Without a file as before: the address is the source's to find.
    assert settings("--questions", "q", "--no-config").source == RunConfig(questions=Path("q"), out=Path("o")).source


def test_paths_start_at_the_file(folder: Path) -> None:
    (folder / "conf" / "mine").mkdir(parents=True)
    other = folder / "conf" / "other.toml"
    other.write_text('questions = "q.txt"\nout = "s3://bucket/x"\nmodel.name = "mine"\nsource.pmids_file = "~/p"\n')
    config = settings("--config", str(other))
    assert config.questions == folder / "conf" / "q.txt"
    assert str(config.out) == "s3://bucket/x" and config.model.name == str(folder / "conf" / "mine")
    assert config.source.pmids_file == Path("~/p").expanduser()
    for name in ("embedded", "lab/model", "/models/a"):
        other.write_text(f'questions = "-"\nout = "/abs"\nmodel.name = "{name}"\n')
        config = settings("--config", "conf/other.toml")
        assert (str(config.questions), str(config.out), config.model.name) == ("-", "/abs", name)
    other.write_text('questions = "q"\nmodel.name = "./none"\n')
    assert settings("--config", "conf/other.toml").model.name == "conf/./none"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "\n[source]\nmax_abstract = 3\n",
            ":3: source.max_abstract: there is no such setting; is source.max_abstracts",
        ),
        ("max-abstracts = 3\n", ":1: max-abstracts: there is no such setting; is source.max_abstracts meant?"),
        ("pmids = 'p'\n", ":1: pmids: there is no such setting; is source.pmids_file meant?"),
        ("no-wait = true\n", ":1: no-wait: there is no such setting; is wait_for_lock meant?"),
        ('workers = [\n 1, # ]\n]\n"y" = 2\n', ":4: y: there is no such setting"),
        ("[scoring]\n[sorce]\n", ":2: sorce: there is no such setting; is source"),
        ("[[source]]\nkind = 'pubmed'\n", ":1: source is a section"),
        ("source = 'pubmed'\n", ":1: source is a section: write [source]"),
        ('"source.kind" = "sample"\n', ":1: source.kind: there is no such setting; is source.kind meant?"),
        ("[scoring.windows]\ndoc_stride = 64\n", ":2: scoring.windows is the checkpoint's own"),
        ("[source]\n\napi_key = 'abc'\n", ":3: source.api_key cannot be set here"),
        ("[serve]\npassword = 'abc'\n", ":2: serve.password cannot be set here"),
        ("a = 1\nb = \n", ":2: is not TOML"),
        ("a = 1\na = 2\n", ":2: is not TOML"),
        ("a = " + "[" * 3000 + "\n", ": is not TOML that can be read"),
        ("[source]\nmax_abstracts = 0\n", ":2: source.max_abstracts: give at least 1, not 0"),
        ("threshold = 1e400\n", ":1: threshold: 1e400 is too large"),
        ("threshold = ''\n", ":1: threshold: it is empty"),
        ("[source]\nmesh = ['Asthma', '']\n", ":2: source.mesh: it is empty"),
        ("workers = 2\n[model]\ndevice = 'cuda:1'\n", ":3: model.device cuda:1 is one GPU"),
        ("source.kind = 'pmids'\n", "source pmids needs --pmids"),
        ("[source]\nmedline_dir = '/nowhere'\n", ":2: source.medline_dir /nowhere: no such folder"),
        ("[model]\nname = './none'\n", "no such folder: ./none"),
        ("questions = 3\n", ":1: questions: give a path, not 3"),
        ("[export]\nformat = 'csv'\n", ":2: there is no section [export]; bioqa export takes its own options from the"),
        ("[pubmed]\nretmax = 3\n", ":2: there is no section [pubmed]; the sections are model, scoring, serve, source"),
        (
            "[pubmed]\nmax_abstracts = 3\n",
            ":2: pubmed.max_abstracts: there is no such setting; is source.max_",
        ),
        ("[questions]\nx = 3\n", ":2: questions.x: there is no such setting"),
    ],
)
def test_what_cannot_be_used_is_one_line_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (folder / NAME).write_text(content)
    (folder / "q.txt").write_text("What causes scurvy?\n")
    line = refused([] if "questions" in content else ["--questions", "q.txt"], capsys)
    assert line.startswith(f"{NAME}{message}") if message.startswith(":") else message in line
    assert "abc" not in line and "`" not in line


def test_a_place_is_named_for_what_stands_in_the_file_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / NAME).write_text("questions = 'q.txt'\n[source]\nmax_abstracts = 0\nmedline_dir = 'd'\n")
    assert refused(["--max-abstracts", "-1"], capsys) == "--max-abstracts: give at least 1, not -1"
    line = refused(["--max-abstracts", "1", "--source", "pubmed"], capsys)
    assert line.startswith("bioqa.toml:4: source.medline_dir d is not used by source pubmed")


@pytest.mark.parametrize("kind", ["pipe", "folder", "away", "large", "latin"])
def test_a_file_that_cannot_be_read_is_refused_and_not_passed_over(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = folder / NAME
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "away":
            path.symlink_to(folder / "none")
        case "large":
            path.write_text("#" * (1 << 20) + "\n")
        case "latin":
            path.write_bytes('questions = "é"'.encode("latin-1"))
    assert refused(["--questions", "q.txt"], capsys).startswith("bioqa.toml: ")


def test_nothing_to_ask_is_said(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        run.main([])
    assert ended.value.code == 2 and "questions = ... in bioqa.toml" in capsys.readouterr().err
    (folder / NAME).write_text("workers = 1\n")
    assert refused([], capsys) == "give --questions, or questions = ... in bioqa.toml"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run.main([*arguments, "--show-config"]) == 0
    return capsys.readouterr().out


def test_the_resolved_settings_are_a_file_that_says_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / NAME).write_text(WHOLE)
    monkeypatch.setenv("NCBI_EMAIL", "me@x.org")
    odd = 'a "b" \\ é\x7f.txt'
    text = shown(capsys, "--questions", odd, "--max-answers", "7")
    before = settings("--questions", odd, "--max-answers", "7")
    for line in (
        "max_answers = 7  # option --max-answers",
        "n_best = 3  # bioqa.toml:12",
        'mindate = "2020-05-01"  # bioqa.toml:9',
        'passage = "abstract"  # default',
        'out = "answers"  # default',
        'email = "me@x.org"  # environment: NCBI_EMAIL',
        "# maxdate =  # not set",
        "threshold = inf  # bioqa.toml:3",
    ):
        assert line in text.splitlines()
    (folder / NAME).write_text(text)
    again = settings()
    assert again.changed(source=again.source.changed(email=None)) == before
    assert [line.split("  # ")[0] for line in shown(capsys).splitlines()[1:]] == [
        line.split("  # ")[0] for line in text.splitlines()[1:]
    ]


def test_settings_follow_from_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--pmids", "p")
    assert 'kind = "pmids"  # follows from what is given' in text and "# questions =  # has to be given" in text


def test_a_schedule_may_stand_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / NAME).write_text('questions = "q"\n[serve]\ncron = "0 2 * * *"\nport = 4300\nroot = ["more"]\n')
    seen: list[Any] = []
    monkeypatch.setattr(serve, "_deployment", lambda args, config: seen.append(args))
    monkeypatch.setattr("bioqa_pipeline.run.preflight.preflight", lambda config: None)
    monkeypatch.setattr(serve, "_serve", lambda deployment, environment: 0)
    monkeypatch.setattr(serve, "server", lambda port: nullcontext())
    assert serve.main(["--root", "given", "--timezone", "Europe/Zurich"]) == 0
    assert serve.main(["--port", "4200"]) == 0
    [first, second] = seen
    assert (first.cron, first.port, first.root, first.timezone) == (
        "0 2 * * *",
        4300,
        ["more", "given"],
        "Europe/Zurich",
    )
    assert second.port == 4200
    (folder / NAME).write_text('questions = "q"\n[serve]\nport = "x"\n')
    assert serve.main([]) == 2


def test_a_model_is_taken_for_evaluation(folder: Path) -> None:
    (folder / NAME).write_text('questions = "q"\n[model]\nname = "lab/model"\ndevice = "cpu"\n')
    args = evaluate.build_parser().parse_args(["--dataset", "d", "--device", "cuda"])
    assert given(evaluate.SETTINGS, args, section="model").tree() == {"name": "lab/model", "device": "cuda"}


def test_lines_of_a_long_file_are_found_in_linear_time(folder: Path) -> None:
    path = folder / NAME
    items = "".join(f'  "{i}", # ]\n' for i in range(10_000))
    path.write_text(f"questions = [\n{items}]\nthreshold = 1\n")
    begun = time.process_time()
    file = read_settings_file(path, {})
    assert file.place("threshold") == f"{path}:10003" and time.process_time() - begun < 3
    path.write_text(path.read_text() + "out_ = 1\n")
    with pytest.raises(InputError, match=r":10004: out_: "):
        read_settings_file(path, {})


def test_the_example_of_the_documents_is_taken(folder: Path) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    (folder / NAME).write_text(text.split("```toml\n")[1].split("```")[0])
    config = settings()
    assert (config.source.since_last_run, config.scoring.spans.n_best, config.model.device) == (True, 10, "cuda")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('out = ["a"]', "out"),
        ("[source]\nmax_abstracts = true", "source.max_abstracts: true is no value of it"),
        ("a." * 20_000 + "b = 1", f"{NAME}:1: no setting has a name of so many parts"),
        ("questions = 'q'\n" * 100_000, NAME),
    ],
    ids=["list", "truth", "dots", "long"],
)
def test_what_no_setting_takes_is_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], written: str, said: str
) -> None:
    (folder / NAME).write_text(written)
    assert said in refused(["--questions", "q.txt"], capsys)
