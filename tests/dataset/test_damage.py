"""Damaged and hand-edited data sets: one line that names the file, no row of it, and a way out that keeps the rest."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from bioqa_pipeline.dataset import contents
from bioqa_pipeline.dataset.manifest import RunManifest
from bioqa_pipeline.dataset.quarantine import quarantine
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import ANSWERS, make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.dataset.tables import decode, encode, to_table
from bioqa_pipeline.dataset.verify import verify
from bioqa_pipeline.errors import DatasetError, OtherVersionError
from bioqa_pipeline.storage.local import LocalStorage
from support.dataset_rows import METADATA, answer_row, chunk_rows, current_file, manifest, merged_answer

FLIPS = 200


def write(root: Path, run_id: str, *pmids: int) -> None:
    with Dataset(root).writer(run_id) as writer:
        n = 0
        for pmid in pmids:
            row = answer_row(pmid, run_id=run_id)
            shard = make_shard_id([row.pair_id])
            write_staged(root, run_id, shard, [row], chunk_rows([row]), METADATA)
            n += writer.commit_shard(shard)
        writer.write_summary([merged_answer(1)], METADATA)
        writer.write_page("<p>")
        writer.finish(
            manifest(run_id, n_pairs=len(pmids), n_scored=n, n_windows=2 * n, n_reused=len(pmids) - n),
            [current_file(run_id)],
        )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damage") / "set"
    write(root, "run", 1, 2)
    # An entry of a run that was killed after its commit stands in the log as well.
    with Dataset(root).writer("dead") as writer:
        row = answer_row(3, run_id="dead")
        shard = make_shard_id([row.pair_id])
        write_staged(root, "dead", shard, [row], chunk_rows([row]), METADATA)
        writer.commit_shard(shard)
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "a set"))


def a_file(root: Path, folder: str) -> Path:
    return sorted((root / folder).glob("*"))[0]


def rewrite(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        path = a_file(root, "answers")
        pq.write_table(change(pq.read_table(path)), path)

    return damage


def column(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    changed = table.set_column(table.schema.get_field_index(name), name, values)
    return changed.replace_schema_metadata(table.schema.metadata)


def edit(root: Path, old: str, new: str) -> None:
    path = root / "runs" / "run.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def edit_entry(root: Path, old: str, new: str) -> None:
    """An entry of the log that says something else, by the name that it then has."""
    path = a_file(root, "_log")
    data = path.read_text().replace(old, new).encode()
    path.unlink()
    (root / "_log" / f"done-{hashlib.sha256(data).hexdigest()}.json").write_bytes(data)


def link(root: Path) -> None:
    shutil.move(root / "answers", root.with_name("elsewhere"))
    (root / "answers").symlink_to("../elsewhere")


def link_file(folder: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        path = root / folder if folder == "_bioqa.json" else a_file(root, folder)
        shutil.move(path, root.with_name("elsewhere"))
        path.symlink_to(root.with_name("elsewhere"))

    return damage


def pipe_for_file(root: Path) -> None:
    path = a_file(root, "runs")
    path.unlink()
    os.mkfifo(path)


def folder_for_file(folder: str, *inside: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        path = root / folder if folder == "_bioqa.json" else a_file(root, folder)
        path.unlink()
        path.mkdir()
        for name in inside:
            (path / name).write_text("precious")

    return damage


HUGE = {b"bioqa.config": b'{"x":' * 100_000, b"pandas": b"\x80\x04evil"}
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "types": (rewrite(lambda t: column(t, "score_diff", t["score_diff"].cast(pa.string()))), "answers/"),
    "dropped column": (rewrite(lambda t: t.drop_columns(["pair_id"])), "answers/"),
    "null keys": (rewrite(lambda t: column(t, "pair_id", pa.nulls(len(t), pa.string()))), "answers/"),
    "forged answers": (rewrite(lambda t: column(t, "answer", pa.array(["FORGED"] * len(t)))), "answers/"),
    "huge metadata": (rewrite(lambda t: t.replace_schema_metadata({**t.schema.metadata, **HUGE})), "answers/"),
    "truncated": (lambda r: a_file(r, "answers").write_bytes(a_file(r, "answers").read_bytes()[:-100]), "answers/"),
    "garbage": (lambda r: a_file(r, "chunks").write_bytes(b"garbage"), "chunks/"),
    "empty": (lambda r: a_file(r, "summary").write_bytes(b""), "summary/run.parquet"),
    "folder linked": (link, "answers"),
    "answers linked": (link_file("answers"), "answers/"),
    "windows linked": (link_file("chunks"), "chunks/"),
    "entry linked": (link_file("_log"), "_log/"),
    "marker linked": (link_file("_bioqa.json"), "_bioqa.json"),
    "page a pipe": (pipe_for_file, "runs/run.html"),
    "answers a folder": (folder_for_file("answers", "thesis.doc"), "answers/"),
    "windows a folder": (folder_for_file("chunks"), "chunks/"),
    "marker a folder": (folder_for_file("_bioqa.json", "thesis.doc"), "_bioqa.json"),
    "answers and windows gone": (lambda r: (a_file(r, "answers").unlink(), a_file(r, "chunks").unlink()), "answers/"),
    "missing answers": (lambda r: a_file(r, "answers").unlink(), "answers/"),
    "missing chunks": (lambda r: a_file(r, "chunks").unlink(), "chunks/"),
    "missing manifest": (lambda r: (r / "runs" / "run.json").unlink(), "runs/run.json"),
    "garbage manifest": (lambda r: (r / "runs" / "run.json").write_text("{"), "runs/run.json"),
    "year 9999": (lambda r: edit(r, "2026-11-23T06:31:30Z", "9999-12-31T23:59:59.9Z"), "runs/run.json"),
    "year 2099": (lambda r: edit(r, "2026-11-23T06:31:30Z", "2099-11-23T06:31:30Z"), "runs/run.json"),
    "not a number": (lambda r: edit(r, '"score": 1.5', '"score": NaN'), "runs/run.json"),
    "huge number": (lambda r: edit(r, '"n_pairs": 2', '"n_pairs": 1e400'), "runs/run.json"),
    "log gone": (lambda r: shutil.rmtree(r / "_log"), "the log of this data set is gone"),
    "entry of elsewhere": (lambda r: edit_entry(r, "answers/", "../answers/"), "_log/"),
    "entry of no name": (lambda r: edit_entry(r, "answers/", "answers/\\u0000"), "_log/"),
    "garbage entry": (lambda r: a_file(r, "_log").write_text("{"), "_log/"),
    "flipped marker": (
        lambda r: (r / "_bioqa.json").write_text((r / "_bioqa.json").read_text().replace('"format": 1', '"format": 3')),
        "_bioqa.json: not the marker of a bioqa data set, or damaged",
    ),
    "garbage marker": (lambda r: (r / "_bioqa.json").write_text("{"), "_bioqa.json"),
    "no marker": (lambda r: (r / "_bioqa.json").unlink(), "_bioqa.json: the marker of this data set is gone"),
}


def whole_rows(root: Path) -> dict[int, str]:
    """The answers of the data set by PMID, each of which is as it was written."""
    found = Dataset(root).answers().select("pmid", "answer").collect()
    assert found["pmid"].is_unique().all() and set(found["answer"]) <= {"BRCA1"}
    return dict(found.iter_rows())


def use(root: Path) -> None:
    """What a run does, and a reader."""
    with Dataset(root).writer("next") as writer:
        writer.done(["x"])
    Dataset(root).chunks()
    Dataset(root).summary()


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_run_takes_it_and_the_way_out_keeps_the_rest(root: Path, damage: str) -> None:
    change, named = DAMAGES[damage]
    change(root)
    with pytest.raises(DatasetError) as caught:
        use(root)
    assert named in str(caught.value) and "\n" not in str(caught.value), caught.value
    report = verify(LocalStorage(root))
    if damage == "folder linked":
        assert "symbolic link" in report.findings[0].what
        return
    assert report.findings and all("\n" not in f.what + f.mend for f in report.findings)
    before = sorted(path.name for path in root.rglob("*.doc"))
    _, moved = quarantine(LocalStorage(root))
    assert all(os.path.lexists(root / path) for path in moved)
    assert sorted(path.name for path in root.rglob("*.doc")) == before
    assert verify(LocalStorage(root)).findings == []
    kept = whole_rows(root)
    write(root, "after", 1, 2, 3)
    assert whole_rows(root).keys() == {1, 2, 3} >= kept.keys()
    assert len(kept) >= 1 and verify(LocalStorage(root)).findings == []
    assert Dataset(root).chunks().collect().height == 6


def later_entry(root: Path) -> None:
    edit_entry(root, '"format":1', '"format":99')


def later_marker(root: Path) -> None:
    marker = json.loads((root / "_bioqa.json").read_text())
    (root / "_bioqa.json").write_text(json.dumps(marker | {"format": 99, "more": "than this version knows"}, indent=1))


@pytest.mark.parametrize("make_later", [later_entry, later_marker])
def test_what_a_later_version_wrote_is_not_taken_for_damage(root: Path, make_later: Callable[[Path], None]) -> None:
    make_later(root)
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != ".lock"}
    for try_it in (use, lambda r: verify(LocalStorage(r)), lambda r: quarantine(LocalStorage(r))):
        with pytest.raises(OtherVersionError, match="format 99, this program knows 1; use a newer bioqa"):
            try_it(root)
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != ".lock"} == before


def test_nothing_but_what_is_wrong_is_set_aside(root: Path) -> None:
    path = a_file(root, "answers")
    path.write_bytes(b"x")
    (root / "answers" / "zz.parquet").write_bytes(b"mine")
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    _, moved = quarantine(LocalStorage(root))
    gone = {p for p in before if not p.exists()}
    assert {p.relative_to(root).as_posix() for p in gone} == {
        *(f"answers/{path.name}", f"chunks/{path.name}", "answers/zz.parquet"),
    }
    assert sorted((root / name).read_bytes() for name in moved) == sorted(before[p] for p in gone)


def test_a_manifest_brings_back_what_a_damaged_entry_named(root: Path) -> None:
    entries = sorted((root / "_log").glob("done-*"))
    assert len(entries) == 1
    entries[0].write_text("{}")
    with pytest.raises(DatasetError, match=r"_log/done-.*: this entry of the log is damaged"):
        Dataset(root).answers()
    quarantine(LocalStorage(root))
    assert whole_rows(root).keys() == {1, 2, 3}
    assert [run.run_id for run in Dataset(root).runs()] == ["run"]


@pytest.mark.parametrize("odd", ["a file", "a link"])
def test_nothing_is_said_to_be_set_aside_that_cannot_be(root: Path, odd: str) -> None:
    place, elsewhere = root / "_quarantine", root.with_name("elsewhere")
    elsewhere.mkdir()
    place.write_text("precious") if odd == "a file" else place.symlink_to(elsewhere)
    a_file(root, "answers").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"_quarantine: a (file|symbolic link)"):
        quarantine(LocalStorage(root))
    assert len(verify(LocalStorage(root)).findings) == 1 and not list(elsewhere.iterdir())
    place.unlink()
    quarantine(LocalStorage(root))
    assert verify(LocalStorage(root)).findings == []


@pytest.mark.parametrize("lost", ["marker damaged and log gone", "marker gone and log damaged"])
def test_without_marker_and_log_there_is_a_way_out(root: Path, lost: str) -> None:
    marker, log = root / "_bioqa.json", root / "_log"
    if lost == "marker damaged and log gone":
        marker.write_text("{}")
        shutil.rmtree(log)
    else:
        marker.unlink()
        for entry in log.iterdir():
            entry.write_text("x")
    with pytest.raises(DatasetError, match=r"nothing was set aside\. Move .* away: the next run takes up"):
        quarantine(LocalStorage(root))
    marker.unlink(missing_ok=True)
    shutil.rmtree(log, ignore_errors=True)
    for folder in ("runs", "summary"):
        # Its run's name is none that a version without marker and log gave.
        shutil.rmtree(root / folder)
    use(root)
    assert whole_rows(root).keys() == {1, 2, 3}


@pytest.mark.parametrize(
    "changes",
    [
        {"started_at": "0001-01-01T00:00:00Z"},
        {"started_at": "0001-01-01T00:00:00+23:59"},
        {"finished_at": "9999-12-31T23:59:59-23:59"},
        {"timings_seconds": {"search": float("nan")}},
        {"timings_seconds": {"search": float("inf")}},
    ],
)
def test_a_manifest_without_digest_says_nothing_that_cannot_be_shown(changes: dict[str, object]) -> None:
    values = manifest("run").model_dump(mode="json")
    RunManifest.model_validate_json(json.dumps(values))
    with pytest.raises(ValidationError, match="1 validation error"):
        RunManifest.model_validate_json(json.dumps(values | changes))


def test_quarantine_is_for_data_sets_only(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "thesis.parquet").write_bytes(b"x")
    with pytest.raises(DatasetError, match="no data set with a marker"):
        quarantine(LocalStorage(tmp_path))
    assert (tmp_path / "answers" / "thesis.parquet").read_bytes() == b"x"


def everything(root: Path) -> list[pl.DataFrame | object]:
    dataset = Dataset(root)
    keys = ["question_id", "pmid", "window_index", "rank"]
    tables = [frame.collect() for frame in (dataset.answers(), dataset.chunks(), dataset.summary(), dataset.current())]
    ordered = [table.sort([name for name in keys if name in table.columns]) for table in tables]
    return [*ordered, dataset.runs(), dataset.run_summary("run")]


def same(found: list[pl.DataFrame | object], expected: list[pl.DataFrame | object]) -> bool:
    return all(
        ours.equals(theirs) if isinstance(ours, pl.DataFrame) and isinstance(theirs, pl.DataFrame) else ours == theirs
        for ours, theirs in zip(found, expected, strict=True)
    )


def test_no_flipped_bit_is_read_as_other_data(root: Path) -> None:
    """In files of every kind: each flip is an error that names the file."""
    rng = random.Random(3)
    expected = everything(root)
    paths = [p for p in sorted(root.rglob("*")) if p.is_file() and p.name != ".lock" and p.suffix != ".html"]
    assert {p.relative_to(root).parts[0] for p in paths} == {
        *("_bioqa.json", "_log", "answers", "chunks", "current", "summary", "runs"),
    }
    for number in range(FLIPS):
        path = paths[number % len(paths)]
        data = path.read_bytes()
        at = rng.randrange(len(data))
        flipped = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        path.write_bytes(flipped)
        with pytest.raises(DatasetError, match=re.escape(path.name)):
            everything(root)
        path.write_bytes(data)
    assert same(everything(root), expected)


def test_a_file_is_read_whole_once_in_a_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    look = contents.Contents.digest
    monkeypatch.setattr(contents.Contents, "digest", lambda self, path: (opened.append(path), look(self, path))[1])
    for _ in range(3):
        Dataset(root).answers()
    assert len(opened) == len(set(opened)) == 3


def test_pages_bear_checksums_that_readers_can_verify() -> None:
    rows = [answer_row(number, title=f"Title {number} " * 20) for number in range(1, 50)]
    data = bytearray(encode(to_table(rows, ANSWERS), ANSWERS, METADATA))
    at = pq.read_metadata(pa.BufferReader(bytes(data))).row_group(0).column(0)
    data[at.data_page_offset + at.total_compressed_size // 2] ^= 1
    with pytest.raises(OSError, match="CRC"):
        decode(bytes(data))


def test_files_without_a_column_that_can_be_null_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a version wrote them before the column came; and as one wrote them that knows one more."""
    root = tmp_path / "set"
    schema = ANSWERS.schema
    older = pa.schema([field for field in schema if field.name != "doi"], metadata=schema.metadata)
    newer = schema.append(pa.field("added", pa.string()))
    for number, written in enumerate((older, newer, schema), start=1):
        row = answer_row(number)
        shard = make_shard_id([row.pair_id])
        with Dataset(root).writer(f"run-{number}") as writer:
            write_staged(root, writer.run_id, shard, [row], chunk_rows([row]), METADATA)
            [staged] = (root / "_staging" / writer.run_id / shard).glob("*.answers.parquet")
            table = pq.read_table(staged)
            full = table.append_column("added", pa.array(["x"]))
            pq.write_table(full.select(written.names).replace_schema_metadata(table.schema.metadata), staged)
            assert writer.commit_shard(shard)
    found = Dataset(root).answers().sort("pmid").collect()
    assert found.columns == schema.names
    assert found["doi"].to_list() == [None, "10.1/x", "10.1/x"]
    assert Dataset(root).answers(current=True).select("doi").collect().height == 3
    assert verify(LocalStorage(root)).findings == []


def test_a_manifest_says_the_digest_of_every_file(root: Path) -> None:
    files = json.loads((root / "runs" / "run.json").read_text())["files"]
    assert sorted(f["path"].partition("/")[0] for f in files) == ["answers"] * 2 + ["chunks"] * 2 + ["runs", "summary"]
    for file in files:
        assert len((root / file["path"]).read_bytes()) == file["bytes"]
        assert len(file["sha256"]) == 64
