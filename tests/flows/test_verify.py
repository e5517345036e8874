"""`python -m flows.verify`, and what `flows.run` says of places that are no data sets."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.storage.places import storage_at
from flows.commands.run import main as run
from flows.verify import main as verify
from support.checkpoints import make_checkpoint
from support.dataset_rows import METADATA, answer_row, chunk_rows, manifest
from support.paths import TESTS
from support.s3_server import S3Server


def write(root: str) -> str:
    storage = storage_at(root)
    row = answer_row(1)
    shard = make_shard_id([row.pair_id])
    with Dataset(storage).writer("run") as writer:
        write_staged(storage, "run", shard, [row], chunk_rows([row]), METADATA)
        writer.commit_shard(shard)
        writer.finish(manifest("run", n_pairs=1, n_scored=1, n_windows=2))
    return f"answers/{shard}.parquet"


@pytest.fixture(params=["folder", "object store"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "set")
    server: S3Server = request.getfixturevalue("s3")
    return server.new_uri()


def test_whole_then_damaged_then_set_aside(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = write(root)
    storage = storage_at(root)
    assert verify(["--data-set", root]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{root}: whole; 3 files, ") and line.endswith("1 run, 1 answer, 2 pieces of text")

    data = storage.read(name)
    storage.write(name, data[:100] + bytes([data[100] ^ 1]) + data[101:])
    storage.write("answers/mine.parquet", b"mine")
    assert verify(["--data-set", root]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        f"{name}: its bytes are not those that were written; with --quarantine it is set aside, and the next run "
        "scores its pairs again"
    )
    assert lines[1].startswith("answers/mine.parquet: not of this data set") and "2 findings" in lines[2]
    assert verify(["--data-set", root, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["whole"] and [f["file"] for f in found["findings"]] == [name, "answers/mine.parquet"]
    assert found["findings"][0].keys() == {"file", "what", "mend"}

    assert verify(["--data-set", root, "--quarantine"]) == 1
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith("set aside: ")]) == 3
    assert verify(["--data-set", root]) == 0
    [note, line] = capsys.readouterr().out.splitlines()
    assert note.startswith("note: _quarantine: ") and "set aside" in note and "0 answers" in line
    assert Dataset(root).answers().collect().is_empty()
    assert write_again(root) == name
    assert verify(["--data-set", root]) == 0
    assert "set aside" not in capsys.readouterr().out


def test_names_that_are_no_text_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "set"
    write(str(root))
    Path(os.fsdecode(os.fsencode(root / "answers") + b"/\xff\x1b[31m\xe2\x80\xaeword.parquet")).write_bytes(b"mine")
    assert verify(["--data-set", str(root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("answers/\ufffd [31mword.parquet: not of this data set") and len(lines) == 2
    assert verify(["--data-set", str(root), "--quarantine"]) == 1
    assert verify(["--data-set", str(root)]) == 0


def write_again(root: str) -> str:
    """The same pair in another run: its file bears the name of the one that was set aside."""
    storage = storage_at(root)
    row = answer_row(1, run_id="again")
    shard = make_shard_id([row.pair_id])
    with Dataset(storage).writer("again") as writer:
        write_staged(storage, "again", shard, [row], chunk_rows([row]), METADATA)
        assert writer.commit_shard(shard)
        writer.finish(manifest("again", n_pairs=1, n_scored=1, n_windows=2))
    return f"answers/{shard}.parquet"


def test_an_early_data_set_is_mended_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no log to say what was set aside: what to move is said, and --quarantine moves nothing."""
    root = Path(shutil.copytree(TESTS / "data" / "dataset_da5435d" / "dataset", tmp_path / "old"))
    name = next(path.name for path in sorted((root / "chunks").glob("*.parquet")))
    table = pq.read_table(root / "chunks" / name)
    pairs = table["pair_id"].to_pylist()
    twice = next(i for i, pair in enumerate(pairs) if pairs.count(pair) > 1)
    pq.write_table(table.take([i for i in range(len(pairs)) if i != twice]), root / "chunks" / name)
    assert verify(["--data-set", str(root)]) == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith(f"chunks/{name}: ") and "quarantine" not in line
    assert line.endswith(f"; move answers/{name} and chunks/{name} away, and the next run writes anew what is missing")
    assert verify(["--data-set", str(root), "--quarantine"]) == 2
    error = capsys.readouterr().err
    assert "nothing was set aside" in error and "move away by hand" in error and error.count("\n") == 1
    for folder in ("answers", "chunks"):
        (root / folder / name).unlink()
    assert verify(["--data-set", str(root)]) == 0


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("link", "a symbolic link in the place of the lock file"),
        ("pipe", "a named pipe in the place of the lock file"),
        ("folder", "a folder in the place of the lock file"),
        ("file", "not a lock file of this program"),
        ("name", "this file has other names, too"),
    ],
)
def test_what_lies_in_the_place_of_the_lock_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, said: str
) -> None:
    root, lock, mine = tmp_path / "set", tmp_path / "set" / ".lock", tmp_path / "mine"
    write(str(root))
    assert lock.exists()
    lock.unlink()
    mine.write_text("precious" if what == "link" else "")
    make = {
        "link": lambda: lock.symlink_to(mine),
        "pipe": lambda: os.mkfifo(lock),
        "folder": lock.mkdir,
        "file": lambda: lock.write_text("precious"),
        "name": lambda: os.link(mine, lock),
    }
    make[what]()
    assert verify(["--data-set", str(root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f".lock: {said}; move it away: until then no run writes here, and nothing is set aside"
    assert "1 finding;" in lines[-1]
    assert verify(["--data-set", str(root), "--quarantine"]) == 1
    assert ".lock: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nothing here", "a file", "thesis"])
def test_what_is_no_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "a file").write_text("x")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.doc").write_text("x")
    for more in ([], ["--quarantine"]):
        assert verify(["--data-set", str(tmp_path / name), *more]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("error: ") and captured.err.count("\n") == 1
        assert name in captured.err
        assert name != "thesis" or more or "name the folder that python -m flows.run --out made" in captured.err


@pytest.mark.parametrize(
    ("out", "code", "said"),
    [
        ("project", 2, "not a data set: it holds 'src', which bioqa did not write; give a new or empty folder"),
        ("folders", 2, "not a data set: it holds 'chunks/data.bin', which bioqa did not write"),
        ("file", 2, "not a folder"),
        ("new\nline", 2, "a line break or another control character"),
        ("new\x7fline", 2, "a line break or another control character"),
    ],
)
def test_a_run_says_in_one_line_why_a_place_will_not_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, code: int, said: str
) -> None:
    for name in ("project/answers/a.txt", "project/src/main.c", "project/summary/exam.pdf", "file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("precious")
    for name in ("runs/report.html", "summary/thesis.docx", "chunks/data.bin"):
        (tmp_path / "folders" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folders" / name).write_text("precious")
    (tmp_path / "q.txt").write_text("What causes scurvy?\n")
    model = make_checkpoint(tmp_path / "model", layers=1)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    given = ["--questions", str(tmp_path / "q.txt"), "--out", str(tmp_path / out), "--model", str(model)]
    assert run([*given, "--no-prefect", "--quiet", "--max-abstracts", "3", "--device", "cpu"]) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
