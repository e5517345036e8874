"""Data sets in an object store, against a real S3 server that fails when told to."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl
import pyarrow.dataset as pads
import pyarrow.fs
import pytest

from bioqa_pipeline.dataset.reader import Dataset
from bioqa_pipeline.dataset.schemas import make_shard_id
from bioqa_pipeline.dataset.staging import write_staged
from bioqa_pipeline.errors import DatasetError, DatasetLockedError
from bioqa_pipeline.storage.filelock import Held
from bioqa_pipeline.storage.places import storage_at
from bioqa_pipeline.storage.s3 import ObjectStorage
from bioqa_pipeline.storage.uri import ObjectUri, place
from support.dataset_processes import pair, run_once
from support.dataset_rows import METADATA, chunk_rows, manifest, merged_answer
from support.s3_server import ACCESS_KEY, SECRET_KEY, Fault, S3Server
from support.waiting import wait_for

CONTEXT = multiprocessing.get_context("forkserver")


def storage_in(server: S3Server, uri: str | None = None, *, lease: float = 6.0, retry: float = 5.0) -> ObjectStorage:
    return ObjectStorage(ObjectUri(uri or server.new_uri()), lease_seconds=lease, retry_seconds=retry)


def first(n: int, method: str, suffix: str, fault: Fault) -> Callable[[str, str], Fault | None]:
    """The fault for the first n requests of this method for keys that end so."""
    left = [n]

    def choose(asked: str, path: str) -> Fault | None:
        if asked != method or not path.partition("?")[0].endswith(suffix) or not left[0]:
            return None
        left[0] -= 1
        return fault

    return choose


class TestUris:
    @pytest.mark.parametrize(
        "given", ["s3://bucket/a/b", "s3://bucket/a/b/", "S3://bucket/a/b", Path("s3://bucket/a/b")]
    )
    def test_a_uri_is_kept_as_one(self, given: str | Path) -> None:
        uri = place(given)
        assert isinstance(uri, ObjectUri)
        assert (uri, uri.bucket, uri.prefix, uri.name) == ("s3://bucket/a/b", "bucket", "a/b", "b")
        assert uri.absolute() == place(uri) == uri

    @pytest.mark.parametrize("given", ["out", "/x/s3", "C:", "a:b", Path("x/y")])
    def test_a_folder_stays_a_folder(self, given: str | Path) -> None:
        assert place(given) == Path(given)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("gs://bucket/x", "gs is not supported"),
            ("s3://bucket", "needs a prefix of its own"),
            ("s3://Bucket_1/x", "cannot be the name of a bucket"),
            ("s3://bucket/a//b", "in the prefix"),
            ("s3://bucket/a/../b", "in the prefix"),
            ("s3://bucket/a*b", "in the prefix"),
            ("s3://bucket/.x", "not starting with a dot"),
        ],
    )
    def test_other_uris_are_refused(self, given: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            place(given)

    @pytest.mark.parametrize(
        "given",
        [
            "s3://key:secret@bucket/x",
            "s3://bucket/x?X-Amz-Signature=secret",
            "https://bucket.s3.amazonaws.com/x?X-Amz-Security-Token=secret&X-Amz-Signature=secret",
            "s3:/bucket/x?AWSAccessKeyId=secret",
            "gs://bucket/x#secret",
            "https://u%3Asecret%40h/x",
        ],
    )
    def test_credentials_in_a_uri_are_refused_and_not_repeated(self, given: str) -> None:
        for value in (given, Path(given)):
            with pytest.raises(ValueError, match="AWS_ACCESS_KEY_ID") as caught:
                place(value)
            assert "secret" not in str(caught.value)


class TestConnection:
    def test_plain_http_is_for_loopback_or_asked_for(self, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.example.org:9000")
        with pytest.raises(DatasetError, match=r"store\.example\.org:9000 would be spoken to in the clear"):
            storage_at("s3://bucket/x")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        assert storage_at("s3://bucket/x").scan_options["storage_options"] == {
            "aws_endpoint_url": "http://store.example.org:9000",
            "aws_allow_http": "true",
        }

    def test_the_endpoint_for_s3_alone_goes_first(self, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
        assert not storage_in(s3).exists()

    @pytest.mark.parametrize(
        "endpoint",
        [
            "https://user:hidden@store.example.org",
            "https://hidden@store.example.org",
            "https://store.example.org/?X-Amz-Security-Token=hidden",
            "store.example.org",
            "ftp://hidden",
        ],
    )
    def test_odd_endpoints_are_refused_and_not_repeated(
        self, s3: S3Server, monkeypatch: pytest.MonkeyPatch, endpoint: str
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(DatasetError, match="give https://HOST") as caught:
            storage_at("s3://bucket/x")
        assert "hidden" not in str(caught.value)

    def test_the_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "obstore", None)
        for name in ("s3", "s3_client", "s3_lease"):
            monkeypatch.delitem(sys.modules, f"bioqa_pipeline.storage.{name}")
        with pytest.raises(DatasetError, match=r"s3://bucket/x: .*pip install 'bioqa\[s3\]'"):
            storage_at("s3://bucket/x")

    @pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
    def test_a_store_that_ignores_conditions_is_refused(self, s3: S3Server, header: str) -> None:
        storage = storage_in(s3)
        with (
            s3.failing(lambda method, path: Fault(drop_headers=(header,))),
            pytest.raises(DatasetError, match="does not keep to conditional requests"),
        ):
            storage.create()
        assert s3.keys(storage.location) == []
        storage.create()
        assert s3.keys(storage.location) == []


class TestFailingServer:
    CALLS: tuple[Callable[[ObjectStorage], object], ...] = (
        lambda storage: storage.exists(),
        lambda storage: storage.create(),
        lambda storage: storage.list("x"),
        lambda storage: storage.read("x/one"),
        lambda storage: storage.open("x/one"),
        lambda storage: storage.write("x/one", b"1"),
        lambda storage: storage.publish("x/one", "t/one"),
        lambda storage: storage.delete("x"),
        lambda storage: storage.lock("run", wait=False).__enter__(),
    )

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            (Fault(403, "AccessDenied"), r"the store refused this \(403( AccessDenied)?\); check AWS_ACCESS_KEY_ID"),
            (Fault(400, "AuthorizationHeaderMalformed"), r"set AWS_REGION|refused this \(400\)"),
            (Fault(500), r"the store at 127\.0\.0\.1:\d+ failed \(500( InternalError)?\).*run again"),
        ],
        ids=["403", "400", "500"],
    )
    def test_every_call_says_what_is_wrong_and_where(self, s3: S3Server, fault: Fault, message: str) -> None:
        storage = storage_in(s3, retry=0.2)
        storage.write("x/one", b"1")
        with s3.failing(lambda method, path: fault):
            for call in self.CALLS:
                with pytest.raises(DatasetError, match=message) as caught:
                    call(storage)
                text = f"{caught.value}{caught.value.__cause__}"
                assert storage.location in text
                assert ACCESS_KEY not in text and SECRET_KEY not in text

    @pytest.mark.parametrize("secret", [ACCESS_KEY, SECRET_KEY.replace("-", "_")])
    def test_a_code_that_is_a_secret_is_not_repeated(
        self, s3: S3Server, secret: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET_KEY.replace("-", "_"))
        storage = storage_in(s3, retry=0.2)
        for status in (400, 403, 500):
            with (
                s3.failing(lambda method, path, status=status: Fault(status, secret)),
                pytest.raises(DatasetError) as caught,
            ):
                storage.read("x/one")
            assert secret not in str(caught.value)

    def test_a_missing_bucket_is_named(self, s3: S3Server) -> None:
        for call in self.CALLS:
            with pytest.raises(DatasetError, match=r"there is no bucket no-such-bucket|no-such-bucket/x.* is gone"):
                call(storage_in(s3, "s3://no-such-bucket/x"))

    def test_a_server_that_is_not_there(self, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(DatasetError, match=r"the store at 127\.0\.0\.1:9 does not answer"):
            storage_in(s3, retry=0.3).list("")

    @pytest.mark.parametrize(
        "fault",
        [pytest.param(Fault(503, "SlowDown"), marks=pytest.mark.slow), Fault(500, after=True)],
        ids=["refused", "done unheard"],
    )
    def test_short_failures_are_waited_out(self, s3: S3Server, fault: Fault) -> None:
        storage = storage_in(s3)
        for call in self.CALLS[:-1]:
            storage.write("x/one", b"1")
            left = [2]

            def twice(method: str, path: str, left: list[int] = left) -> Fault | None:
                left[0] -= 1
                return fault if left[0] >= 0 else None

            with s3.failing(twice):
                call(storage)
            storage.delete("t", below=True)

    @pytest.mark.parametrize(
        "fault",
        [Fault(500, after=True), Fault(500), pytest.param(Fault(seconds=1.5), marks=pytest.mark.slow)],
        ids=["done unheard", "not done", "slow"],
    )
    def test_a_publication_knows_its_own_work(self, s3: S3Server, fault: Fault) -> None:
        # A lease of two seconds gives a commit one.
        storage = storage_in(s3, lease=2)
        storage.write("s/one", b"1")
        storage.write("s/two", b"2")
        with s3.failing(first(2, "PUT", "/t/x", fault)):
            assert storage.publish("s/one", "t/x")
        with s3.failing(first(2, "PUT", "/t/x", fault)):
            assert not storage.publish("s/two", "t/x")
        assert storage.read("t/x") == b"1"

    def test_a_conflict_with_nothing_is_tried_again(self, s3: S3Server) -> None:
        storage = storage_in(s3)
        storage.write("s/one", b"1")
        with s3.failing(first(2, "PUT", "/t/x", Fault(409, "ConditionalRequestConflict"))):
            assert storage.publish("s/one", "t/x")

    def test_one_of_many_publishes(self, s3: S3Server) -> None:
        places = [storage_in(s3, uri) for uri in [s3.new_uri()] for _ in range(8)]
        for number, storage in enumerate(places):
            storage.write(f"s/{number}", str(number).encode())
        together = threading.Barrier(len(places))

        def publish(number: int) -> bool:
            together.wait(30)
            return places[number].publish(f"s/{number}", "t/x")

        with ThreadPoolExecutor(len(places)) as pool:
            won = list(pool.map(publish, range(len(places))))
        assert sum(won) == 1
        assert places[0].read("t/x") == str(won.index(True)).encode()


def checked(lock: Held) -> str:
    """What the lock says that it lost, or nothing."""
    try:
        lock.check()
    except DatasetError as exc:
        return str(exc)
    return ""


def renewals(storage: ObjectStorage) -> int:
    number: int = json.loads(storage.read(".lock"))["renewal"]
    return number


class TestLease:
    @pytest.mark.slow
    def test_a_lock_is_renewed_for_as_long_as_it_is_held(self, s3: S3Server) -> None:
        storage = storage_in(s3, lease=1)
        other = storage_in(s3, storage.location, lease=1)
        with storage.lock("first", wait=False) as lock:
            # Long after the first lease and its margin.
            wait_for(lambda: renewals(storage) > 16, "renewals")
            lock.check()
            with pytest.raises(DatasetLockedError, match=r"run first .* within 2 seconds"):
                other.lock("second", wait=False).__enter__()
        with other.lock("second", wait=False) as lock:
            lock.check()

    @pytest.mark.slow
    @pytest.mark.parametrize("fault", [Fault(500), Fault(500, after=True), Fault(seconds=0.7)])
    def test_renewals_that_fail_for_a_while_lose_nothing(self, s3: S3Server, fault: Fault) -> None:
        storage = storage_in(s3, lease=1)
        storage.write("s/one", b"1")
        with storage.lock("first", wait=False) as lock, s3.failing(first(3, "PUT", "/.lock", fault)):
            before = renewals(storage)
            wait_for(lambda: renewals(storage) > before + 8, "renewals")
            lock.check()
            assert storage.publish("s/one", "t/x")

    def test_who_is_cut_off_commits_nothing_until_it_is_heard_again(self, s3: S3Server) -> None:
        storage = storage_in(s3, lease=1, retry=0.2)
        storage.write("s/one", b"1")
        with storage.lock("first", wait=False) as lock:
            with s3.failing(lambda method, path: Fault(500) if path.endswith("/.lock") else None):
                wait_for(lambda: "failed (500" in checked(lock), "the lock's refusal")
                with pytest.raises(DatasetError, match=r"\.lock: the store .* failed \(500"):
                    storage.publish("s/one", "t/x")
                assert storage.list("t") == []
            # Nobody took over meanwhile.
            assert storage.publish("s/one", "t/x")

    @pytest.mark.slow
    @pytest.mark.parametrize("taken_over", [True, False])
    def test_a_process_that_was_stopped_for_long(self, s3: S3Server, taken_over: bool) -> None:
        uri = s3.new_uri()
        ours, theirs = CONTEXT.Pipe()
        holder = CONTEXT.Process(target=publish_when_told, args=(uri, s3.environment(), theirs))
        holder.start()
        assert ours.poll(60) and ours.recv() == "holds"
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGSTOP)
        other = storage_in(s3, uri, lease=30)
        if taken_over:
            with other.lock("second", wait=True) as lock:
                os.kill(holder.pid, signal.SIGCONT)
                ours.send("go")
                assert ours.poll(60)
                assert "run stopped was not heard of for too long, and run second took over; run again" in ours.recv()
                lock.check()
        else:
            time.sleep(2)
            os.kill(holder.pid, signal.SIGCONT)
            ours.send("go")
            assert ours.poll(60)
            assert ours.recv() == "published"
        holder.join()
        assert other.list("t") == ([] if taken_over else ["x"])
        with other.lock("next", wait=False):
            pass

    def test_a_lock_that_was_deleted_ends_its_holder(self, s3: S3Server) -> None:
        storage = storage_in(s3, lease=1)
        with storage.lock("first", wait=False) as lock:
            storage.delete(".lock")
            wait_for(lambda: "the lock was deleted while run first wrote" in checked(lock), "its loss")

    @pytest.mark.slow
    def test_a_killed_holder_is_followed(self, s3: S3Server) -> None:
        uri = s3.new_uri()
        ours, theirs = CONTEXT.Pipe()
        holder = CONTEXT.Process(target=hold, args=(uri, s3.environment(), theirs))
        holder.start()
        assert ours.poll(60) and ours.recv() == "holds"
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        storage = storage_in(s3, uri, lease=1)
        dataset = Dataset(storage)
        with pytest.raises(DatasetLockedError, match="run killed"), dataset.writer("next", wait=False):
            pass
        rows = [pair(i) for i in range(3)]
        with dataset.writer("next") as writer:
            assert storage.list("_staging") == []
            shard = make_shard_id([row.pair_id for row in rows])
            write_staged(storage, "next", shard, rows, chunk_rows(rows), METADATA)
            assert writer.commit_shard(shard)
        assert dataset.done([row.pair_id for row in rows]).all()


def hold(uri: str, environment: dict[str, str], pipe: Connection) -> None:
    """A writer that staged something and is not heard of again."""
    os.environ.update(environment)
    storage = ObjectStorage(ObjectUri(uri), lease_seconds=1)
    rows = [pair(0)]
    with Dataset(storage).writer("killed"):
        write_staged(storage, "killed", make_shard_id([rows[0].pair_id]), rows, chunk_rows(rows), METADATA)
        pipe.send("holds")
        time.sleep(600)


def publish_when_told(uri: str, environment: dict[str, str], pipe: Connection) -> None:
    os.environ.update(environment)
    storage = ObjectStorage(ObjectUri(uri), lease_seconds=1)
    storage.write("s/one", b"1")
    with storage.lock("stopped", wait=False):
        pipe.send("holds")
        pipe.recv()
        try:
            assert storage.publish("s/one", "t/x")
            pipe.send("published")
        except DatasetError as exc:
            pipe.send(str(exc))


@pytest.fixture
def written(s3: S3Server) -> ObjectStorage:
    """A data set of three pairs in two shards, and a summary."""
    storage = storage_in(s3)
    rows = [pair(i) for i in range(3)]
    with Dataset(storage).writer("run") as writer:
        for part in (rows[:2], rows[2:]):
            shard = make_shard_id([row.pair_id for row in part])
            write_staged(storage, "run", shard, part, chunk_rows(part), METADATA)
            assert writer.commit_shard(shard)
        writer.write_summary([merged_answer(1)], METADATA)
        writer.finish(manifest("run"))
    return storage


class TestDataset:
    def test_it_is_read_by_polars_and_pyarrow_alone(self, s3: S3Server, written: ObjectStorage) -> None:
        expected = [pair(i).pair_id for i in range(3)]
        dataset = Dataset(written.location)
        assert sorted(dataset.answers().collect()["pair_id"]) == sorted(expected)
        assert dataset.chunks().collect().height == 6
        assert dataset.summary().collect()["run_id"].to_list() == ["run"]
        options = {"aws_endpoint_url": s3.url, "aws_allow_http": "true"}
        found = pl.read_parquet(
            f"{written.location}/answers/*.parquet", storage_options=options, credential_provider=None
        )
        assert sorted(found["pair_id"]) == sorted(expected)
        place = pyarrow.fs.S3FileSystem(
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            region="us-east-1",
            scheme="http",
            endpoint_override=s3.url.removeprefix("http://"),
        )
        folder = written.location.removeprefix("s3://") + "/answers"
        table = pads.dataset(folder, filesystem=place, format="parquet").to_table(columns=["pair_id"])
        assert sorted(table["pair_id"].to_pylist()) == sorted(expected)

    def test_nothing_is_left_behind(self, s3: S3Server, written: ObjectStorage) -> None:
        kept = s3.keys(written.location)
        assert [name.partition("/")[0] for name in kept] == [
            ".lock", "_bioqa.json", "_log", "answers", "answers", "chunks", "chunks", "runs", "summary"
        ]  # fmt: skip

    def test_the_prefix_of_another_thing_is_refused(self, s3: S3Server) -> None:
        storage = storage_in(s3)
        storage.write("photos/one.jpg", b"1")
        with pytest.raises(DatasetError, match=r"s3://.*: not a data set: it holds 'photos'"):
            Dataset(storage).answers()
        with pytest.raises(DatasetError, match=r"s3://.*: there is no data set here"):
            Dataset(s3.new_uri()).answers()

    def test_a_shard_costs_few_requests(self, s3: S3Server) -> None:
        storage = storage_in(s3, lease=600)
        rows = [pair(i) for i in range(2)]
        shard = make_shard_id([row.pair_id for row in rows])
        with Dataset(storage).writer("run") as writer:
            writer.done([row.pair_id for row in rows])
            s3.seen.clear()
            write_staged(storage, "run", shard, rows, chunk_rows(rows), METADATA)
            assert writer.commit_shard(shard)
            methods = sorted(method for method, _ in s3.seen)
        # Two files and their entry in the log, staged and published: 6 puts. Staged files are listed three times; the
        # two are read twice, the entry once; all are deleted together.
        assert methods == ["GET"] * 8 + ["POST"] + ["PUT"] * 6

    def test_two_writers_take_turns(self, s3: S3Server) -> None:
        uri = s3.new_uri()
        rows = [pair(i) for i in range(12)]

        def write(seed: int) -> None:
            run_once(storage_in(s3, uri, lease=2), rows[seed * 4 : seed * 4 + 8], random.Random(seed), nap_seconds=0)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(write, range(2)))
        dataset = Dataset(storage_in(s3, uri))
        assert sorted(dataset.answers().collect()["pair_id"]) == sorted(row.pair_id for row in rows)
        assert len(dataset.runs()) == 2
        assert s3.keys(f"{uri}/_staging") == []
