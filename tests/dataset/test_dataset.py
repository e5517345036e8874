from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from bioqa_pipeline.abstracts.store import AbstractStore
from bioqa_pipeline.dataset.manifest import FileRecord, RetrievalRecord
from bioqa_pipeline.dataset.marker import read_marker
from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import ANSWERS, CHUNKS, SCHEMA_VERSION, SUMMARY, AnswerRow, make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.dataset.table import Table
from bioqa_pipeline.dataset.tables import decode, summary_rows, to_table
from bioqa_pipeline.errors import DatasetError, DatasetLockedError
from bioqa_pipeline.records.texts import Abstract, FetchStatus, Hit, QueryAttempt, Retrieval, RetrievalOutcome
from bioqa_pipeline.storage.local import LocalStorage
from support.dataset_rows import METADATA, answer_row, chunk_rows, manifest, merged_answer, unanswered_row
from support.failing_links import fail_links_into
from support.waiting import exit_code

ROWS = [answer_row(1, rank=2), unanswered_row(2, rank=1), answer_row(3, question_id="q2", title="Ünïcode 🧬\x00")]


def stage(root: Path, rows: Sequence[AnswerRow], run_id: str = "run") -> str:
    shard_id = make_shard_id([row.pair_id for row in rows])
    write_staged(root, run_id, shard_id, rows, chunk_rows(rows), METADATA)
    return shard_id


def add(root: Path, rows: Sequence[AnswerRow], run_id: str = "run") -> None:
    with Dataset(root).writer(run_id) as writer:
        assert writer.commit_shard(stage(root, rows, run_id))
        writer.finish(manifest(run_id))


def files(root: Path) -> list[str]:
    """Everything below the root but lock, marker and log; empty folders are left out."""
    found = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    return [name for name in found if name not in {".lock", "_bioqa.json"} and not name.startswith("_log/")]


def pmids(dataset: Dataset) -> list[int]:
    return sorted(dataset.answers().collect()["pmid"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder whose name would be a pattern, were it taken for one."""
    return tmp_path / "out [a-z] *"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "set"
    with Dataset(root).writer("run") as writer:
        for part in (ROWS[:2], ROWS[2:]):
            writer.commit_shard(stage(root, part))
        writer.write_summary([merged_answer(1), merged_answer(2, answer=None, margin=float("-inf"))], METADATA)
        writer.finish(manifest("run"))
    return root


@pytest.fixture(scope="module")
def expected() -> dict[str, pa.Table]:
    merged = [merged_answer(1), merged_answer(2, answer=None, margin=float("-inf"))]
    return {
        "answers": to_table(ROWS, ANSWERS),
        "chunks": to_table(chunk_rows(ROWS), CHUNKS),
        "summary": to_table(summary_rows(merged, "run"), SUMMARY),
    }


@pytest.fixture(scope="module", params=[ANSWERS, CHUNKS, SUMMARY], ids=lambda table: table.name)
def table(request: pytest.FixtureRequest) -> Table:
    table: Table = request.param
    return table


class TestReadBack:
    """Four readers see what was written, without knowing this package."""

    def order(self, table: Table) -> str:
        return ", ".join(table.sorted_by)

    def test_pyarrow(self, written: Path, expected: dict[str, pa.Table], table: Table) -> None:
        found = pads.dataset(written / table.name, format="parquet").to_table()
        ordered = found.sort_by([(name, "ascending") for name in table.sorted_by])
        assert ordered.schema.equals(table.schema)
        assert ordered.to_pylist() == expected[table.name].to_pylist()

    def test_polars(self, written: Path, expected: dict[str, pa.Table], table: Table) -> None:
        found = pl.read_parquet(written / table.name / "*.parquet").sort(table.sorted_by)
        assert found.equals(pl.DataFrame(pl.from_arrow(expected[table.name])))
        assert found.schema == pl.DataFrame(pl.from_arrow(expected[table.name])).schema

    def test_duckdb(self, written: Path, expected: dict[str, pa.Table], table: Table) -> None:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            query = f"SELECT * FROM read_parquet('{written}/{table.name}/*.parquet') ORDER BY {self.order(table)}"
            found: pa.Table = connection.sql(query).to_arrow_table()
        assert [_base(field.type) for field in found.schema] == [_base(field.type) for field in table.schema]
        assert found.to_pylist() == expected[table.name].to_pylist()

    def test_pandas(self, written: Path, expected: dict[str, pa.Table], table: Table) -> None:
        found = pd.read_parquet(written / table.name, dtype_backend="pyarrow").sort_values(list(table.sorted_by))
        types = [_base(dtype.pyarrow_dtype) for dtype in found.dtypes]
        assert types == [_base(field.type) for field in table.schema]
        back = pa.Table.from_pandas(found, schema=table.schema, preserve_index=False)
        assert back.to_pylist() == expected[table.name].to_pylist()

    def test_the_dataset_itself(self, written: Path, expected: dict[str, pa.Table], table: Table) -> None:
        frame: pl.LazyFrame = getattr(Dataset(written), table.name)()
        assert frame.sort(table.sorted_by).collect().equals(pl.DataFrame(pl.from_arrow(expected[table.name])))


def _base(dtype: pa.DataType) -> pa.DataType:
    """A type without the names and nullability of list elements, which readers do not keep."""
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        return pa.list_(_base(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([pa.field(field.name, _base(field.type)) for field in dtype])
    return pa.string() if pa.types.is_large_string(dtype) else dtype


class TestCommit:
    def test_a_run_leaves_the_tables_and_the_manifest_only(self, root: Path) -> None:
        with Dataset(root).writer("run") as writer:
            shard = stage(root, ROWS)
            assert writer.commit_shard(shard)
            assert writer.write_summary([merged_answer(1)], METADATA)
            full = writer.finish(manifest("run"))
        names = [f"chunks/{shard}.parquet", f"answers/{shard}.parquet", "summary/run.parquet"]
        assert files(root) == sorted([*names, "runs/run.json"])
        assert full.files == tuple(
            FileRecord.of(name, (root / name).read_bytes(), rows) for name, rows in zip(names, (6, 3, 1), strict=True)
        )
        assert Dataset(root).runs() == [full]

    def test_a_doubled_commit_commits_once(self, root: Path) -> None:
        with Dataset(root).writer("run") as writer:
            shard = stage(root, ROWS)
            assert stage(root, ROWS) == shard
            assert [writer.commit_shard(shard), writer.commit_shard(shard)] == [True, False]
            stage(root, ROWS)
            assert not writer.commit_shard(shard)
            assert len(writer.finish(manifest("run")).files) == 2
        with Dataset(root).writer("again") as writer:
            stage(root, ROWS, "again")
            assert not writer.commit_shard(shard)
        assert len(Dataset(root).answers().collect()) == 3
        assert len(files(root)) == 3

    def test_pairs_committed_since_the_plan_are_left_out(self, root: Path) -> None:
        add(root, ROWS[:2])
        with Dataset(root).writer("late") as writer:
            assert writer.commit_shard(stage(root, ROWS[1:], "late"))
        found = Dataset(root).answers().collect()
        assert sorted(found["pair_id"]) == sorted(row.pair_id for row in ROWS)
        assert dict(zip(found["pmid"], found["run_id"], strict=True)) == {1: "run", 2: "run", 3: "run"}
        assert Dataset(root).chunks().collect().group_by("pair_id").len()["len"].to_list() == [2, 2, 2]
        for table in (ANSWERS, CHUNKS):
            for path in (root / table.name).iterdir():
                data = path.read_bytes()
                assert path.stem == make_shard_id(sorted(set(decode(data)["pair_id"].to_pylist())))
                assert decode(data).schema.metadata[b"bioqa.config"].decode() == METADATA["config"]

    def test_planned_pairs_are_committed_without_another_look(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(root, ROWS[:1])
        asked = [row.pair_id for row in ROWS]
        with Dataset(root).writer("next") as writer:
            assert writer.done(asked).to_list() == [True, False, False]
            monkeypatch.setattr(pl, "scan_parquet", None)
            assert writer.commit_shard(stage(root, ROWS[1:], "next"))
        monkeypatch.undo()
        assert Dataset(root).done([*asked, "other", asked[0]]).to_list() == [True, True, True, False, True]

    def test_shards_of_one_run_may_overlap(self, root: Path) -> None:
        with Dataset(root).writer("run") as writer:
            writer.done([row.pair_id for row in ROWS])
            assert [writer.commit_shard(stage(root, part)) for part in (ROWS[:2], ROWS[1:], ROWS)] == [
                True,
                True,
                False,
            ]
            assert [record.rows for record in writer.finish(manifest("run")).files] == [4, 2, 2, 1]
        assert pmids(Dataset(root)) == [1, 2, 3]

    def test_a_commit_that_broke_off_is_repeated(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with Dataset(root).writer("run") as writer:
            writer.done([row.pair_id for row in ROWS])
            shard = stage(root, ROWS)
            fail_links_into(monkeypatch, "answers", OSError(errno.ENOSPC, "No space left on device"))
            with pytest.raises(DatasetError, match="no room to write"):
                writer.commit_shard(shard)
            assert len(Dataset(root).chunks().collect()) == 0
            monkeypatch.undo()
            assert writer.commit_shard(shard)
            assert not writer.commit_shard(shard)
        assert pmids(Dataset(root)) == [1, 2, 3]
        assert len(Dataset(root).chunks().collect()) == 6

    def test_windows_are_those_of_their_answers(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also where a commit broke off between the two files of one attempt and the next takes another."""
        again = [replace(row, run_id="second") for row in ROWS]
        with Dataset(root).writer("run") as writer:
            shard = stage(root, ROWS)
            fail_links_into(monkeypatch, "answers", OSError(errno.EIO, "Input/output error"))
            with pytest.raises(DatasetError, match="Input/output error"):
                writer.commit_shard(shard)
            monkeypatch.undo()
            shutil.rmtree(root / "_staging" / "run" / shard)
            stage(root, again)
            assert writer.commit_shard(shard)
        assert set(Dataset(root).chunks().collect()["run_id"]) == {"second"}

    def test_a_shard_that_is_not_staged_whole_is_not_there(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write, names = LocalStorage.write, []

        def fail_second(storage: LocalStorage, name: str, data: bytes) -> None:
            names.append(name)
            if len(names) == 2:
                raise DatasetError("no room to write")
            write(storage, name, data)

        with Dataset(root).writer("run") as writer:
            monkeypatch.setattr(LocalStorage, "write", fail_second)
            with pytest.raises(DatasetError, match="no room"):
                stage(root, ROWS)
            assert files(root) == []
            with pytest.raises(DatasetError, match="nothing was staged"):
                writer.commit_shard(make_shard_id([row.pair_id for row in ROWS]))

    def test_nothing_staged(self, root: Path) -> None:
        with Dataset(root).writer("run") as writer, pytest.raises(DatasetError, match="nothing was staged"):
            writer.commit_shard("0" * 32)

    def test_half_staged_is_not_staged(self, root: Path) -> None:
        with Dataset(root).writer("run") as writer:
            shard = stage(root, ROWS)
            for path in (root / "_staging" / "run" / shard).glob("*.answers.parquet"):
                path.rename(path.with_suffix(".parquet.part"))
            with pytest.raises(DatasetError, match="nothing was staged"):
                writer.commit_shard(shard)

    def test_a_damaged_staged_file_is_not_committed(self, root: Path) -> None:
        with Dataset(root).writer("run") as writer:
            shard = stage(root, ROWS)
            for path in (root / "_staging" / "run" / shard).glob("*.chunks.parquet"):
                path.write_bytes(path.read_bytes()[:-20])
            with pytest.raises(DatasetError, match=f"shard {shard}: the staged files cannot be read"):
                writer.commit_shard(shard)
            assert writer.commit_shard(stage(root, ROWS))

    def test_rows_of_a_shard_belong_together(self, root: Path) -> None:
        chunks = chunk_rows(ROWS)
        for answers, windows in (([], []), ([*ROWS, ROWS[0]], chunks), (ROWS[:2], chunks), (ROWS, chunks[:2])):
            with pytest.raises(DatasetError, match="shard x: "):
                write_staged(root, "run", "x", answers, windows, METADATA)
        assert not root.exists()

    @pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "-x", "a b", "x" * 201])
    def test_names_stay_inside_the_folder(self, root: Path, name: str) -> None:
        with pytest.raises(DatasetError, match="run id"), Dataset(root).writer(name):
            pass
        with pytest.raises(DatasetError, match="shard id"):
            write_staged(root, "run", name, ROWS, chunk_rows(ROWS), METADATA)

    def test_a_forked_child_cannot_commit_or_clean_up(self, root: Path) -> None:
        with Dataset(root).writer("run") as writer:
            shard = stage(root, ROWS)
            child = os.fork()
            if child == 0:
                try:
                    writer.close()
                    writer.commit_shard(shard)
                except DatasetError:
                    os._exit(7)
                os._exit(0)
            assert exit_code(child) == 7
            assert writer.commit_shard(shard)


class TestManifest:
    def test_round_trip(self, root: Path) -> None:
        retrievals = (
            Retrieval("q1", (Hit(1, 1), Hit(2, 2)), (QueryAttempt(0, "a b", "a AND b", 2, ("w",)),)),
            Retrieval("q\ud800", (), outcome=RetrievalOutcome.FAILED, error="no answer"),
        )
        statuses = {FetchStatus.SCORED: 2, FetchStatus.NO_ABSTRACT: 1}
        full = manifest("run", retrievals=[RetrievalRecord.of(r) for r in retrievals], statuses=statuses)
        with Dataset(root).writer("run") as writer:
            writer.finish(full)
        (found,) = Dataset(root).runs()
        assert found.statuses == statuses
        assert found.retrievals[0].attempts == retrievals[0].attempts
        assert (found.retrievals[0].hits, found.retrievals[1].error) == (2, "no answer")
        assert found.retrievals[1].question_id == "q\ufffd"

    def test_runs_come_oldest_first(self, root: Path) -> None:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        for run_id, day in (("b", 1), ("a", 3), ("c", 2)):
            with Dataset(root).writer(run_id) as writer:
                writer.finish(manifest(run_id, started_at=start + timedelta(days=day)))
        assert [m.run_id for m in Dataset(root).runs()] == ["b", "c", "a"]

    def test_written_once_for_its_own_run(self, root: Path) -> None:
        with Dataset(root).writer("run") as writer:
            with pytest.raises(DatasetError, match="manifest of run other"):
                writer.finish(manifest("other"))
            writer.finish(manifest("run"))
            with pytest.raises(DatasetError, match="has its manifest already"):
                writer.finish(manifest("run", status="failed", error="x"))
        with pytest.raises(DatasetError, match="run id run is taken"), Dataset(root).writer("run"):
            pass
        assert [m.status for m in Dataset(root).runs()] == ["completed"]

    def test_a_failed_run_can_say_so(self, root: Path) -> None:
        with Dataset(root).writer("run") as writer:
            writer.commit_shard(stage(root, ROWS))
            writer.finish(manifest("run", status="failed", error="boom"))
        assert [(m.status, m.error, len(m.files)) for m in Dataset(root).runs()] == [("failed", "boom", 2)]

    def test_an_unreadable_manifest_is_named(self, root: Path) -> None:
        add(root, ROWS)
        (root / "runs" / "run.json").write_text("{}")
        with pytest.raises(DatasetError, match=r"runs/run\.json: damaged or changed by hand: .* flows\.verify"):
            Dataset(root).runs()

    def test_summary_is_seen_once_its_run_has_a_manifest(self, root: Path) -> None:
        with Dataset(root).writer("run") as writer:
            assert writer.write_summary([merged_answer(1)], METADATA)
            assert not writer.write_summary([merged_answer(1)], METADATA)
            assert Dataset(root).summary().collect().is_empty()
            writer.finish(manifest("run"))
        assert Dataset(root).summary().collect()["support_pmids"].to_list() == [[3, 1]]


class TestSweep:
    def test_leftovers_of_dead_runs_go_and_data_stays(self, root: Path) -> None:
        add(root, ROWS[:1])
        before = files(root)
        shutil.copytree(root, copy := root.with_name("copy"))
        with Dataset(copy).writer("dead") as writer:
            shard = stage(copy, ROWS[1:], "dead")
            writer.commit_shard(shard)
            writer.write_summary([merged_answer(1)], METADATA)
            writer.write_page("<p>")
            write_staged(copy, "dead", "x", ROWS, chunk_rows(ROWS), METADATA)
            (copy / "answers" / f"{shard}.parquet").unlink()
            (copy / "_staging" / "dead" / "x" / f"{'0' * 32}.answers.parquet.part").write_bytes(b"PAR1")
            shutil.copytree(copy, root, dirs_exist_ok=True)
        assert len(files(root)) == len(before) + 10
        assert len(Dataset(root).chunks().collect()) == 2
        assert Dataset(root).summary().collect().is_empty()
        with Dataset(root).writer("next"):
            pass
        assert files(root) == before

    def test_a_writer_takes_its_own_staging_along(self, root: Path) -> None:
        def run() -> None:
            with Dataset(root).writer("run") as writer:
                writer.commit_shard(stage(root, ROWS[:1]))
                stage(root, ROWS[1:])
                raise RuntimeError

        with pytest.raises(RuntimeError):
            run()
        assert [name.split("/")[0] for name in files(root)] == ["answers", "chunks"]

    def test_a_worker_that_outlives_its_run_changes_nothing(self, root: Path) -> None:
        with Dataset(root).writer("dead"):
            pass
        with Dataset(root).writer("next") as writer:
            stage(root, ROWS, "dead")
            with pytest.raises(DatasetError, match="nothing was staged"):
                writer.commit_shard(make_shard_id([row.pair_id for row in ROWS]))
            assert writer.commit_shard(stage(root, ROWS, "next"))
        assert pmids(Dataset(root)) == [1, 2, 3]
        with Dataset(root).writer("last"):
            assert not list((root / "_staging").iterdir())

    def test_a_second_writer_leaves_the_first_alone(self, root: Path) -> None:
        with Dataset(root).writer("first") as writer:
            shard = stage(root, ROWS, "first")
            with pytest.raises(DatasetLockedError, match="run first"), Dataset(root).writer("second", wait=False):
                pass
            assert writer.commit_shard(shard)


class TestReading:
    def test_current_keeps_the_newest_content_of_each_pair(self, root: Path) -> None:
        late = datetime(2027, 1, 1, tzinfo=UTC)
        revised = answer_row(1, content_hash="revised", scored_at=late, run_id="second")
        other_key = answer_row(1, scoring_key="other")
        other_question = answer_row(1, question="Which genes?", scored_at=late)
        add(root, [answer_row(1), answer_row(2)], "first")
        add(root, [revised, other_key, other_question], "second")
        assert len(Dataset(root).answers().collect()) == 5
        current = Dataset(root).answers(current=True).collect()
        expected = [answer_row(2), revised, other_key, other_question]
        assert sorted(current["pair_id"]) == sorted(row.pair_id for row in expected)
        assert current.schema == Dataset(root).answers().collect_schema()

    def test_an_empty_data_set_gives_empty_frames(self, root: Path) -> None:
        with Dataset(root).writer("run"):
            pass
        for table in (ANSWERS, CHUNKS, SUMMARY):
            frame: pl.DataFrame = getattr(Dataset(root), table.name)().collect()
            assert frame.is_empty()
            assert frame.columns == table.schema.names
        assert Dataset(root).answers(current=True).collect().is_empty()
        assert Dataset(root).runs() == []
        assert Dataset(root).done(["x"]).to_list() == [False]
        assert Dataset(root).done([]).to_list() == []

    def test_no_data_set(self, root: Path) -> None:
        assert Dataset(root).done(["x", "y"]).to_list() == [False, False]
        for read in (Dataset(root).answers, Dataset(root).chunks, Dataset(root).summary, Dataset(root).runs):
            with pytest.raises(DatasetError, match="there is no data set here"):
                read()
        assert not root.exists()

    def test_another_folder_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.doc").write_text("x")
        with pytest.raises(DatasetError, match=r"not a data set: it holds 'thesis.doc'"):
            Dataset(tmp_path).answers()
        with pytest.raises(DatasetError, match="not a data set"), Dataset(tmp_path).writer("run"):
            pass
        assert files(tmp_path) == ["thesis.doc"]

    def test_a_store_of_abstracts_is_another_folder(self, tmp_path: Path) -> None:
        AbstractStore(tmp_path).add([Abstract(pmid=1, title="T", text="Text.")], origin="test")
        before = files(tmp_path)
        with pytest.raises(DatasetError, match="not the marker of a bioqa data set"), Dataset(tmp_path).writer("run"):
            pass
        assert files(tmp_path) == before

    def test_the_first_run_may_have_been_killed(self, root: Path) -> None:
        with Dataset(root).writer("dead"):
            stage(root, ROWS, "dead")
            shutil.copytree(root, root.with_name("copy"))
        assert Dataset(root.with_name("copy")).answers().collect().is_empty()
        add(root.with_name("copy"), ROWS)
        assert len(files(root.with_name("copy"))) == 3

    def test_a_fresh_volume_is_a_good_place(self, tmp_path: Path) -> None:
        (tmp_path / "lost+found").mkdir()
        (tmp_path / ".snapshot").mkdir()
        add(tmp_path, ROWS)
        assert pmids(Dataset(tmp_path)) == [1, 2, 3]

    def test_foreign_and_damaged_files_are_named(self, root: Path) -> None:
        (root / "answers").mkdir(parents=True)
        path = root / "answers" / f"{'0' * 32}.parquet"
        pq.write_table(pa.table({"a": [1]}), path)
        with pytest.raises(DatasetError, match=r"0\.parquet: not written by bioqa"):
            Dataset(root).answers()
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(DatasetError, match=r"0\.parquet: not a readable Parquet file"):
            Dataset(root).answers()

    def test_another_schema_version_is_refused(self, root: Path) -> None:
        add(root, ROWS)
        marker = read_marker(LocalStorage(root)).changed(schema_version=99)
        changed = marker.changed(sha256=marker.digest()).model_dump(mode="json")
        (root / "_bioqa.json").write_text(json.dumps(changed, indent=1))
        with pytest.raises(DatasetError, match=f"schema version 99, this program has {SCHEMA_VERSION}"):
            Dataset(root).answers()
        with pytest.raises(DatasetError, match="schema version 99"), Dataset(root).writer("next"):
            pass


def test_a_full_disk_harms_nothing(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    root = tmp_path / "set"
    try:
        big = [answer_row(i, title=os.urandom(2_000).hex()) for i in range(1, 400)]
        with Dataset(root).writer("run") as writer:
            writer.commit_shard(stage(root, ROWS))
            before = files(root)
            with pytest.raises(DatasetError, match=r"_staging/.*: no room to write \(No space left on device\)"):
                stage(root, big)
            (root / "ballast").write_bytes(bytes(free_bytes(root)))
            with pytest.raises(DatasetError, match="no room to write"):
                writer.finish(manifest("run"))
            (root / "ballast").unlink()
            assert files(root) == before
            writer.finish(manifest("run"))
        assert pmids(Dataset(root)) == [1, 2, 3]
        assert [m.run_id for m in Dataset(root).runs()] == ["run"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
