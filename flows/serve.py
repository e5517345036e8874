"""`python -m flows.serve`: the main job on a schedule, on a single machine, without work pool and worker."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.inputs import STANDARD_INPUT, is_pipe
from bioqa_pipeline.storage.uri import place
from flows.commands.outcome import EXIT_DONE, run_command
from flows.commands.resolved import in_words
from flows.commands.run import SETTINGS, job_parser, parse_config, parse_options
from flows.commands.settings_file import serve_options
from flows.server import DEFAULT_PORT, running

if TYPE_CHECKING:
    from pathlib import Path

    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Schedule

    from bioqa_pipeline.config import RunConfig
    from bioqa_pipeline.storage.uri import ObjectUri

DESCRIPTION = """\
Run the main job on a schedule on this machine, until it is stopped. Takes the options of `python -m flows.run`, which
are checked now, and the schedule. Where PREFECT_API_URL names no server, it starts one here, on loopback, under a login
that only you can read. A run that is started by hand may name the files and folders of these options, and no others."""

EPILOG = """\
examples:
  python -m flows.serve --questions q.txt --source pubmed --since-last-run --out answers --cron "0 2 * * *"
  python -m flows.serve --questions q.txt --cron "30 5 * * 1-5" --timezone Europe/Zurich --name weekdays
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = job_parser("python -m flows.serve", DESCRIPTION, EPILOG)
    group = parser.add_argument_group("the schedule")
    group.add_argument("--cron", metavar="FIELDS", help='when to run, such as "0 2 * * *" (default: only by hand)')
    group.add_argument("--timezone", default="Etc/UTC", metavar="ZONE", help="of --cron (default: Etc/UTC)")
    group.add_argument("--name", default="served", help="the deployment's name in Prefect (default: served)")
    group.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        metavar="N",
        help=f"of the server that is started here (default: {DEFAULT_PORT})",
    )
    group.add_argument(
        "--root",
        action="append",
        default=[],
        metavar="DIR",
        help="folder or s3://bucket/prefix that runs started by hand may name, too; can be repeated (default: none)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until it is stopped; returns the exit code."""
    parser = build_parser()
    args = parse_options(parser, argv)
    return run_command(
        lambda: _work(args, parser, argv), in_options=partial(in_words, SETTINGS, args), log_level=logging.INFO
    )


def _work(args: argparse.Namespace, parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    from bioqa_pipeline.run.preflight import preflight

    # A line for each of the calls by which Prefect looks for runs.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    config = parse_config(args)
    # Once more, for the options that a file has defaults for.
    parser.set_defaults(**serve_options(args.given.file))
    args = parser.parse_args(argv)
    if config.questions == STANDARD_INPUT or is_pipe(config.questions):
        raise ConfigError(f"`questions {config.questions}` can be read once, and each run reads them: give a file")
    roots = _roots(args.root)
    preflight(config)
    deployment = _deployment(args, config)
    with server(args.port):
        return _serve(deployment, _declared(config, roots))


def _roots(named: Sequence[str]) -> tuple[Path | ObjectUri, ...]:
    try:
        return tuple(place(root) for root in named)
    except ValueError as exc:
        raise ConfigError(f"--root: {exc}") from exc


def _declared(config: RunConfig, roots: tuple[Path | ObjectUri, ...]) -> dict[str, str]:
    """The environment that tells runs what they may name: what is served, --root, and what was declared before."""
    from flows.declared import Declared, addresses_in_environment, roots_in_environment

    served = Declared.by(config)
    before = Declared(roots_in_environment() or (), addresses_in_environment() or frozenset())
    return Declared(served.roots + roots + before.roots, served.addresses | before.addresses).environment()


def _deployment(args: argparse.Namespace, config: RunConfig) -> RunnerDeployment:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.types.entrypoint import EntrypointType

    from flows.run import run

    schedule = _schedule(args.cron, args.timezone)
    try:
        # By name: `run.serve` would send the flow to its processes by value, where its annotations cannot be resolved.
        deployment = run.to_deployment(
            args.name,
            parameters={"config": config.model_dump(mode="json")},
            schedule=schedule,
            tags=["bioqa"],
            # As in prefect.yaml: what a night leaves, the next one asks for.
            concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
    except ValueError as exc:
        raise ConfigError(f"--name {args.name}: {exc}") from exc
    return cast("RunnerDeployment", deployment)  # a coroutine only inside an event loop


def _schedule(cron: str | None, timezone: str) -> Schedule | None:
    """When to run.

    Raises:
        ConfigError: there is no such zone, or no such time.
    """
    from prefect.schedules import Cron
    from prefect.server.schemas.schedules import CronSchedule

    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ConfigError(f"--timezone {timezone}: no such time zone; give one such as Europe/Zurich") from exc
    if cron is None:
        return None
    try:
        schedule = Cron(cron, timezone=timezone)
        # What the server will ask it: 31 February is well written and never comes.
        asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(1))
    except ValueError as exc:
        reason = " ".join(str(exc).split())
        raise ConfigError(
            f'--cron "{cron}": {reason}; give minute, hour, day, month and weekday, such as "0 2 * * *"'
        ) from exc
    return schedule


def _serve(deployment: RunnerDeployment, environment: dict[str, str]) -> int:
    from prefect import serve
    from prefect.settings import PREFECT_UI_URL

    by_hand = f"; to start a run by hand: {PREFECT_UI_URL.value()}/deployments" if PREFECT_UI_URL.value() else ""
    sys.stderr.write(f"serving bioqa/{deployment.name} until it is stopped (Ctrl-C){by_hand}\n")
    # The runs are processes of their own and ask the environment.
    with _environment(environment), warnings.catch_warnings():
        # Prefect's handler of SIGTERM does not await it; the exit that follows stops the runner.
        warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never awaited", RuntimeWarning)
        serve(deployment, print_starting_message=False)
    return EXIT_DONE


@contextmanager
def server(port: int) -> Iterator[None]:
    """The server that Prefect is set to use; else one of our own on loopback, for as long as this lasts.

    Raises:
        ConfigError: the set one does not answer or refuses us, or somebody else listens on the port.
        BioqaError: ours does not start.
    """
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from flows.prefect_server import check_server

    if PREFECT_API_URL.value():
        check_server()
        yield
        return
    with running(port) as settings:
        ours = {setting: settings[setting.name] for setting in (PREFECT_API_URL, PREFECT_API_AUTH_STRING)}
        with _environment({setting.name: value for setting, value in ours.items()}), temporary_settings(ours):
            yield


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """These, in the environment of processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


if __name__ == "__main__":
    sys.exit(main())
