"""The main job as a Prefect flow: `python -m flows.run`, or a deployment of `flows/run.py:run`."""

from __future__ import annotations

if __name__ == "__main__":
    # Before Prefect is imported: --help has to be quick, and tasks must not live in __main__, which other processes
    # cannot import.
    from flows.commands.run import leave, main

    leave(main())

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import flow
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from bioqa_pipeline.config import RunConfig
from bioqa_pipeline.dataset.manifest import RunManifest, shortened
from bioqa_pipeline.errors import BioqaError, ConfigError
from bioqa_pipeline.messages import shown
from bioqa_pipeline.notify.telling import tell
from bioqa_pipeline.run.job import run_job
from bioqa_pipeline.run.preflight import Preflight
from bioqa_pipeline.run.progress import Reporter
from bioqa_pipeline.run.records import RunResult
from bioqa_pipeline.run.workers import worker_count
from flows.artifacts import data_set_asset, show_result
from flows.blocks import tell_block
from flows.credentials import ncbi_api_key
from flows.declared import addresses_in_environment, check_deployed
from flows.prefect_server import (
    ServerLostError,
    interruption,
    is_server_lost,
    login_refusal,
    own_server,
    server_address,
    warn_if_unreachable,
)
from flows.reporting import flow_reporter
from flows.run_logs import library_logs_in_run, log_errors_in_one_line
from flows.tasks import PrefectExecutor

logger = logging.getLogger(__name__)


class PartialRunError(BioqaError):
    """A run came to its end and is committed, but parts of it failed; the next run tries them again."""


@dataclass(slots=True)
class Session:
    """What a command line gives to the flow that it calls, and gets back; a deployment has none."""

    reporter: Reporter
    ready: Preflight
    result: RunResult | None = None


_session: ContextVar[Session | None] = ContextVar("session", default=None)


# A thread waits for a worker process; how many shards are under way is the executor's to bound.
_RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=2048)


@flow(
    name="bioqa",
    flow_run_name="{config.questions.name} asked of {config.source.kind}, to {config.out.name}",
    task_runner=_RUNNER,
    persist_result=False,
)
def run(config: RunConfig) -> RunManifest:
    """Asks PubMed a file of questions and commits the answers.

    Raises:
        PartialRunError: parts of the run failed; the rest is committed.
        BioqaError: the run cannot start or go on; what it had committed stays.
    """
    log_errors_in_one_line()
    declared = check_deployed(config)
    session = _session.get()
    try:
        with (
            library_logs_in_run(),
            flow_reporter(config, session.reporter if session else None) as reporter,
            _executor(config) as executor,
        ):
            result = run_job(
                config,
                executor=executor,
                api_key=ncbi_api_key() if config.source.kind in {"pubmed", "pmids", "files"} else None,
                reporter=reporter,
                ready=session.ready if session else None,
            )
            show_result(result, config)
            known = addresses_in_environment() or ()
            tell(config, result.manifest, say=reporter.say, block=tell_block, addresses=known, declared=declared)
    finally:
        warn_if_unreachable()
    if session:
        session.result = result
    if result.failures:
        raise PartialRunError(f"{len(result.failures)} failures: " + "; ".join(map(shortened, result.failures[:5])))
    return result.manifest


@contextmanager
def _executor(config: RunConfig) -> Iterator[PrefectExecutor]:
    if config.runner == "local":
        yield PrefectExecutor(worker_count(config), data_set_asset(config))
        return
    from flows.on_ray.executor import ray_executor

    with ray_executor(config) as executor:
        yield executor


def run_for_command_line(config: RunConfig, reporter: Reporter, ready: Preflight) -> RunResult:
    """The same flow, with progress shown by `reporter`; failed parts are in the result and do not raise."""
    session = Session(reporter, ready)
    token = _session.set(session)
    try:
        with own_server():
            run(config)
    except PartialRunError:
        if session.result is None:
            raise
    except Exception as exc:
        if refusal := login_refusal(exc):
            raise ConfigError(refusal) from exc
        if not is_server_lost(exc):
            raise
        if (interrupt := interruption(exc)) is not None:
            raise interrupt from None
        if session.result is None:
            raise ServerLostError(
                f"{server_address()} cannot be reached ({shown(str(exc))}); start it, or run with --no-prefect; "
                "what was committed is kept, the same command goes on from there"
            ) from exc
        logger.warning("%s was lost: it does not know that this run has ended; the data set is whole", server_address())
    finally:
        _session.reset(token)
    assert session.result is not None
    return session.result
