"""Real runs under Prefect: the run dies, its server dies, both are told to end; the data set needs neither."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fault_bench import Bench, check_committed, make_bench, manifests, recover, show
from support.fault_processes import ROOT, Server, Strike, wait_for, watched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class PrefectServer:
    """A real `prefect server start` on loopback, with a home of its own."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.env = {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            # Waits of 2 s, not of half a minute, before a lost server is given up.
            "PREFECT_CLIENT_MAX_RETRIES": "1",
        }
        self._log = home.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it unless it runs."""
        if self._process is not None:
            return
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **self.env}, stdout=log, stderr=log, start_new_session=True
            )
        assert wait_for(self._answers, 120), self._log.read_text()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                return True
        except OSError:
            time.sleep(0.2)
            return False

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    server = PrefectServer(tmp_path_factory.mktemp("prefect") / "home")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def bench(
    prefect: PrefectServer, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("faults")
    env = {"BIOQA_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", **prefect.env}
    with Server(folder, env, prefect=True) as server:
        yield (bench := make_bench(server, folder))
    show(request.config, bench.counts)


@pytest.mark.parametrize("seed", range(8))
def test_the_server_dies_during_a_run(bench: Bench, prefect: PrefectServer, seed: int) -> None:
    kind = "Prefect server: SIGKILL"
    rng = random.Random(seed)
    root = bench.root()
    prefect.start()
    with watched(bench.server, root):
        run = bench.start(root)
        time.sleep(rng.uniform(0.3, bench.seconds))
        struck = not run.ended()
        prefect.kill()
        run.wait(180)
        bench.count(kind, "injected")
        bench.count(kind, "struck", struck)
        assert run.code in {0, 1}, run.output()
        if run.code:
            assert f"error: the Prefect server at {prefect.url} cannot be reached" in run.output(), run.output()
            assert [m.status for m in manifests(root).values()] in ([], ["failed"])
        else:
            assert "data set: " in run.output()
            assert [m.status for m in manifests(root).values()] == ["completed"]
        check_committed(bench, root, kind)
        prefect.start()
        recover(bench, root, kind)
    shutil.rmtree(root)


def test_a_server_that_is_not_there_is_said_at_once(bench: Bench) -> None:
    command = [sys.executable, "-m", "flows.run", *bench.job, "--out", str(bench.root())]
    env = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_HOME": str(bench.folder / "home")}
    found = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert found.returncode == 1
    assert "error: the Prefect server at http://127.0.0.1:9/api cannot be reached" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("seed", range(10))
def test_a_run_under_prefect_is_killed(bench: Bench, seed: int) -> None:
    kind = "flow under Prefect: SIGKILL"
    rng = random.Random(seed)
    root = bench.root()
    with watched(bench.server, root):
        run = bench.start(root, strike=Strike(root, rng.randint(1, bench.steps), signal.SIGKILL))
        assert run.wait() in {-signal.SIGKILL, 0}, run.output()
        bench.count(kind, "injected")
        bench.count(kind, "struck", run.code != 0)
        recover(bench, root, kind)
    shutil.rmtree(root)


@pytest.mark.parametrize("seed", range(10))
def test_a_run_under_prefect_is_told_to_end(bench: Bench, seed: int) -> None:
    rng = random.Random(seed)
    signum, code, name = rng.choice(((signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")))
    kind = f"flow under Prefect: {name}"
    root = bench.root()
    with watched(bench.server, root):
        run = bench.start(root, strike=Strike(root, rng.randint(10, bench.steps - 10), signum))
        assert run.wait() == code, run.output()
        bench.count(kind, "injected")
        bench.count(kind, "struck")
        assert "the same command goes on from there" in run.output()
        assert [m.status for m in manifests(root).values()] == ["failed"]
        recover(bench, root, kind)
    shutil.rmtree(root)


@pytest.mark.parametrize("everything", [True, False], ids=["terminal", "process"])
def test_ctrl_c_with_prefects_own_server(bench: Bench, everything: bool) -> None:
    """In a terminal Ctrl-C reaches the temporary server, too; the run still ends as it should."""
    kind = "flow with own server: SIGINT"
    root = bench.root()
    command = [sys.executable, "-m", "flows.run", *bench.job, "--out", str(root)]
    env = {**os.environ, "PREFECT_HOME": str(bench.folder / "home"), "BIOQA_CACHE": str(bench.folder / "cache")}
    log = bench.folder / f"own-{everything}.log"
    with log.open("wb") as output:
        run = subprocess.Popen(
            command,
            **{"cwd": ROOT, "env": env, "stdout": output, "stderr": output, "start_new_session": True},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    assert wait_for(lambda: (root / "_staging").is_dir() or run.poll() is not None, 180)
    (os.killpg if everything else os.kill)(run.pid, signal.SIGINT)
    assert run.wait(120) == 130, log.read_text()
    bench.count(kind, "injected")
    bench.count(kind, "struck")
    assert "the same command goes on from there" in log.read_text()
    assert [m.status for m in manifests(root).values()] == ["failed"]
    recover(bench, root, kind)
