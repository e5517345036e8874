"""A Prefect server of a test's own, with its database and home, and the command line that talks to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from base64 import b64encode
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from flows.server_settings import new_login
from support import waiting
from support.paths import ROOT


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# What never comes is given up after so long; what has been on a busy machine has come after two minutes, too.
PATIENCE_SECONDS = 900.0
_ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


wait_for = partial(waiting.wait_for, seconds=PATIENCE_SECONDS, pause=0.3)


class PrefectBox:
    """Everything that is started in it is ended by `close`."""

    def __init__(self, folder: Path, *, database_url: str | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.login = new_login()
        self._csrf: dict[str, str] = {}
        self.env = {
            **os.environ,
            "PREFECT_HOME": str(folder / "home"),
            "XDG_STATE_HOME": str(folder / "state"),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_API_AUTH_STRING": self.login,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
            "BIOQA_CACHE": str(folder / "cache"),
        }
        if database_url:
            self.env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database_url
        self._processes: list[subprocess.Popen[bytes]] = []

    def start_server(self) -> None:
        self.start("server", "-m", "flows.server", "--port", str(self.port))
        wait_for(lambda: self.healthy(), "the server does not answer")

    def healthy(self) -> bool:
        with suppress(OSError):
            return urllib.request.urlopen(f"{self.env['PREFECT_API_URL']}/health", timeout=2).read() == b"true"
        return False

    def start(self, name: str, *arguments: str, cwd: Path = ROOT) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=cwd,
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def prefect(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def post(self, path: str, **body: Any) -> Any:
        return self.call("POST", path, body)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        if not self._csrf and not path.startswith("csrf-token"):
            client = str(uuid.uuid4())
            token = self.call("GET", f"csrf-token?client={client}")["token"]
            self._csrf = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client}
        login = b64encode(self.login.encode()).decode()
        request = urllib.request.Request(
            f"{self.env['PREFECT_API_URL']}/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Basic {login}", **self._csrf},
            method=method,
        )
        # A busy server on SQLite answers 503 now and then; Prefect's own client asks again, too.
        for seconds in (1, 2, 4, None):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as exc:
                if exc.code != 503 or seconds is None:
                    raise
                time.sleep(seconds)
        raise AssertionError

    def flow_runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.post("flow_runs/filter", sort="EXPECTED_START_TIME_ASC")
        return runs

    def flow_run(self, run_id: str) -> dict[str, Any]:
        [run] = self.post("flow_runs/filter", flow_runs={"id": {"any_": [run_id]}})
        found: dict[str, Any] = run
        return found

    def wait_until(self, run_id: str, *states: str) -> dict[str, Any]:
        """Waits for one of these states; another one in which a run ends is no reason to wait any longer."""

        def ended() -> dict[str, Any] | None:
            run = self.flow_run(run_id)
            if run["state_name"] in states:
                return run
            assert run["state_type"] not in _ENDED, f"{run_id} is {run['state']}, not {states}"
            return None

        found: dict[str, Any] = wait_for(ended, f"{run_id} does not come to {states}")
        return found

    def close(self) -> None:
        for process in reversed(self._processes):
            for sent in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, sent)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=10)
                    break
