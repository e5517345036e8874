"""Real runs of the command line, started quickly, watched, and struck by signals.

Run as a script this is a fork server: it loads the libraries once, then every run is a fork of it that calls the
command line as `python -m flows.run` does and ends as that ends. A run is a session of its own, so a signal to its
process group reaches it and its workers, as Ctrl-C does in a terminal.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self

ROOT = Path(__file__).resolve().parents[2]

# What changes a data set's files; opening counts where it is for writing.
# Each with the place, among its arguments, of the descriptor of the folder that a relative name lies in.
STEPS = {"os.link": 2, "os.rename": 2, "os.mkdir": 2, "os.remove": 1, "os.rmdir": 1}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True, slots=True)
class Strike:
    """A signal that a run sends itself right before the `step`-th change below `root`, counted from 1."""

    root: Path
    step: int
    signal: int


class Counter:
    """Audit hook that counts the changes below a folder, and strikes at one of them."""

    def __init__(self, root: str, step: int, signum: int) -> None:
        self.root, self.step, self.signal = root, step, signum
        self.count = 0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            if not (isinstance(args[2], int) and args[2] & _WRITING):
                return
        elif event not in STEPS:
            return
        if not self._is_below(event, args):
            return
        self.count += 1
        if self.count == self.step:
            os.kill(os.getpid(), self.signal)

    def _is_below(self, event: str, args: tuple[Any, ...]) -> bool:
        if isinstance(args[0], int):
            # A descriptor, which was counted when it was opened.
            return False
        if Path(args[0]).is_absolute():
            return str(args[0]).startswith(self.root)
        # The event of an opening does not tell the folder's descriptor; only storage opens names in folders.
        own = Path("/proc/self/fd")
        fds = own.iterdir() if event == "open" else [own / str(args[STEPS[event]])]
        return any(_target(fd).startswith(self.root) for fd in fds)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


class Server:
    """The fork server, from outside; to be used with `with`.

    Args:
        env: added to this process's environment, for the server and all its runs.
        prefect: whether Prefect is loaded too.
        folder: where the logs go.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], *, prefect: bool = False) -> None:
        self._folder = folder
        self._n_runs = 0
        command = [sys.executable, __file__, "prefect" if prefect else ""]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}, cwd=ROOT
        )

    def __enter__(self) -> Self:
        assert self._read() == {"ready": True}
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]

    def start(
        self, arguments: Sequence[str], *, strike: Strike | None = None, env: Mapping[str, str] | None = None
    ) -> Run:
        """A run of the command line with these arguments."""
        return self._start({"arguments": list(arguments), "env": dict(env or {})}, strike)

    def read(self, root: Path) -> Run:
        """A process that reads the data set at `root` until `root.stop` appears; see `watch`."""
        return self._start({"watch": str(root)}, None)

    def _start(self, order: dict[str, Any], strike: Strike | None) -> Run:
        self._n_runs += 1
        log = self._folder / f"run-{self._n_runs}.log"
        order["log"] = str(log)
        if strike is not None:
            order["strike"] = [str(strike.root), strike.step, strike.signal]
        return Run(pid=self._ask(order)["pid"], log=log, server=self)

    def wait(self, pid: int, seconds: float) -> int | None:
        """Exit code, minus the signal's number for one that a signal ended; None where it still runs by then."""
        code: int | None = self._ask({"wait": pid, "seconds": seconds})["code"]
        return code

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the fork server died"
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(slots=True)
class Run:
    """One run, from outside."""

    pid: int
    log: Path
    server: Server
    code: int | None = field(default=None)

    def wait(self, seconds: float = 120) -> int:
        """Its exit code."""
        if self.code is None:
            self.code = self.server.wait(self.pid, seconds)
        assert self.code is not None, f"still running after {seconds} s: {self.output()}"
        return self.code

    def ended(self) -> bool:
        if self.code is None:
            self.code = self.server.wait(self.pid, 0)
        return self.code is not None

    def send(self, signum: int, *, group: bool = False) -> None:
        """A signal to it, or to its whole process group."""
        (os.killpg if group else os.kill)(self.pid, signum)

    def try_to_send(self, signum: int) -> bool:
        """Whether the process was still there."""
        try:
            self.send(signum)
        except ProcessLookupError:
            return False
        return True

    def output(self) -> str:
        return self.log.read_text(errors="replace")


def serve() -> list[str]:
    """Forks a run for each order on standard input; in the fork, returns the run's arguments."""
    orders, answers = sys.stdin, sys.stdout
    running: set[int] = set()
    _say(answers, {"ready": True})
    for line in orders:
        order = json.loads(line)
        if "wait" in order:
            code = _wait(order["wait"], order["seconds"])
            if code is not None:
                running.discard(order["wait"])
            _say(answers, {"code": code})
            continue
        pid = os.fork()
        if not pid:
            return _become(order)
        running.add(pid)
        _say(answers, {"pid": pid})
    for pid in running:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    os._exit(0)


def _say(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _wait(pid: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        # Not time.sleep, which libfaketime breaks.
        select.select([], [], [], 0.01)


def _become(order: dict[str, Any]) -> list[str]:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for fd, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(fd, target)
    # What a shell gives to a program in the foreground, whatever this process was started with.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    random.seed()
    if "watch" in order:
        from support.fault_reader import watch

        watch(Path(order["watch"]))
        sys.exit(0)
    os.environ.update(order["env"])
    break_records()
    if "strike" in order:
        counter = Counter(*order["strike"])
        sys.addaudithook(counter)
        if not counter.step:
            atexit.register(lambda: sys.stderr.write(f"steps: {counter.count}"))
    arguments: list[str] = order["arguments"]
    return arguments


def break_records() -> None:
    """No pair of a record in FAULT_PMIDS can be scored in this process."""
    broken = os.environ.get("FAULT_PMIDS", "").split()
    if not broken:
        return
    from bioqa_pipeline.qa.scoring import PairScorer

    intact = PairScorer.score

    def score(self: PairScorer, pairs: Any, **options: Any) -> Any:
        if any(passage.id in broken for _, passage in pairs):
            raise RuntimeError("this record is broken")
        return intact(self, pairs, **options)

    PairScorer.score = score  # type: ignore[method-assign]


def workers_of(pid: int) -> list[int]:
    """The worker processes of a run: its children that multiprocessing spawned to work."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _read(children).split():
            if "spawn_main" in _read(Path(f"/proc/{child}/cmdline")):
                found.append(int(child))
    return found


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    return _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[:1] not in ([], ["Z"])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


@contextmanager
def watched(server: Server, root: Path) -> Iterator[None]:
    """A process reads the data set all the while; what it saw wrong fails the test."""
    stop = root.with_name(f"{root.name}.stop")
    stop.unlink(missing_ok=True)
    reader = server.read(root)
    try:
        yield
    finally:
        stop.touch()
        assert reader.wait(60) == 0, reader.output()


def preload(prefect: bool) -> Callable[[Sequence[str]], NoReturn]:
    """Imports all that a run imports on its way, and starts no thread of Python; returns the command line."""
    import polars
    import pyarrow.parquet
    import torch
    import transformers.models.bert.modeling_bert
    from transformers import AutoModelForQuestionAnswering

    import bioqa_pipeline.run.job
    import bioqa_pipeline.run.workers
    import bioqa_pipeline.sources.sample
    import flows.commands.console
    from flows.commands.run import leave, main

    if prefect:
        import flows.run
    del polars, pyarrow, torch, transformers, AutoModelForQuestionAnswering, bioqa_pipeline, flows
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    return lambda arguments: leave(main(arguments))


def quick_exit(code: object) -> NoReturn:
    """Ends the process as the interpreter does, but for taking its thousands of modules apart, which takes seconds."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    command_line = preload(sys.argv[1] == "prefect")
    try:
        command_line(serve())
    except SystemExit as exc:
        quick_exit(exc.code)
elif __name__ == "__mp_main__":  # a worker process of a run
    break_records()
