"""`python -m flows.serve`: the main job on a schedule, on a single machine, without work pool and worker."""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from bioqa_pipeline.errors import BioqaError, ConfigError
from flows.commands.outcome import EXIT_DONE, run_command
from flows.commands.run import SETTINGS, job_parser, parse_config

DESCRIPTION = """\
Run the main job on a schedule on this machine, until it is stopped. Takes the options of `python -m flows.run`, which
are checked now, and the schedule. Where PREFECT_API_URL names no server, it starts one here, on loopback."""

EPILOG = """\
examples:
  python -m flows.serve --questions q.txt --source pubmed --since-last-run --out answers --cron "0 2 * * *"
  python -m flows.serve --questions q.txt --cron "30 5 * * 1-5" --timezone Europe/Zurich --name weekdays
"""

SERVER_SECONDS = 120.0


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = job_parser("python -m flows.serve", DESCRIPTION, EPILOG)
    group = parser.add_argument_group("the schedule")
    group.add_argument("--cron", metavar="FIELDS", help='when to run, such as "0 2 * * *" (default: only by hand)')
    group.add_argument("--timezone", default="Etc/UTC", metavar="ZONE", help="of --cron (default: Etc/UTC)")
    group.add_argument("--name", default="served", help="the deployment's name in Prefect (default: served)")
    group.add_argument(
        "--port", type=int, default=4200, metavar="N", help="of the server that is started here (default: 4200)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until it is stopped; returns the exit code."""
    args = build_parser().parse_args(argv)
    return run_command(lambda: _work(args), in_options=SETTINGS.in_options, log_level=logging.INFO)


def _work(args: argparse.Namespace) -> int:
    from bioqa_pipeline.run.preflight import preflight

    config = parse_config(args)
    preflight(config)
    with server(args.port):
        return _serve(args, config.model_dump(mode="json"))


def _serve(args: argparse.Namespace, config: dict[str, object]) -> int:
    from prefect import serve
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows.run import run

    # By name: `run.serve` would send the flow to its processes by value, where its annotations cannot be resolved.
    deployment = run.to_deployment(
        args.name,
        parameters={"config": config},
        schedule=Cron(args.cron, timezone=args.timezone) if args.cron else None,
        tags=["bioqa"],
        # As in prefect.yaml: what a night leaves, the next one asks for.
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    serve(deployment)  # type: ignore[arg-type]  # a coroutine only inside an event loop
    return EXIT_DONE


@contextmanager
def server(port: int) -> Iterator[None]:
    """The server that Prefect is set to use; else one of our own on loopback, for as long as this lasts.

    Raises:
        ConfigError: somebody else listens on its port.
        BioqaError: it does not start.
    """
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        yield
        return
    if _answers(port):
        raise ConfigError(
            f"something listens on port {port} already: set PREFECT_API_URL=http://127.0.0.1:{port}/api if it is a "
            "Prefect server, or give another --port"
        )
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + SERVER_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise BioqaError(f"Prefect's server did not start: {' '.join(command)} says why")
            time.sleep(0.2)
        url = f"http://127.0.0.1:{port}/api"
        sys.stderr.write(f"Prefect's server: http://127.0.0.1:{port}\n")
        # The runs are processes of their own and ask the environment.
        os.environ["PREFECT_API_URL"] = url
        from prefect.settings import temporary_settings

        with temporary_settings({PREFECT_API_URL: url}):
            yield
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        process.terminate()
        process.wait(timeout=30)


def _answers(port: int) -> bool:
    import urllib.request

    with suppress(OSError, ValueError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2) as got:
        return json.load(got) is True
    return False


if __name__ == "__main__":
    sys.exit(main())
