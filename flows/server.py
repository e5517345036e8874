"""`python -m flows.server`: Prefect's server on loopback, for those who have its login, under its own address alone."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bioqa_pipeline.errors import BioqaError, ConfigError
from flows.commands.outcome import EXIT_DONE, command_parser, run_command
from flows.server_settings import (
    CLIENT_LOGIN,
    HOSTS,
    SERVER_LOGIN,
    address,
    ports_with_settings,
    read_settings,
    server_environment,
    settings_file,
)

if TYPE_CHECKING:
    from fastapi import Request, Response
    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.types import ASGIApp

DESCRIPTION = """\
Start a Prefect server on this machine's loopback. It asks for a login, which is made on the first use and kept in a
file that only you can read; the commands of this project find it there. It refuses web pages of other addresses."""

EPILOG = """\
other programs get the address and the login from the same file:
  set -a; . "$(python -m flows.server --settings)"; set +a
  prefect worker start --pool bioqa
"""

START_SECONDS = 120.0
STOP_SECONDS = 30.0
DEFAULT_PORT = 4200


def build_parser() -> argparse.ArgumentParser:
    """The command line; every option says its default."""
    parser = command_parser("python -m flows.server", DESCRIPTION, EPILOG)
    parser.add_argument("--port", type=int, metavar="N", help=f"port (default: {DEFAULT_PORT})")
    parser.add_argument(
        "--settings",
        action="store_true",
        help="say which file holds address and login, then stop; without --port, of the server of yours that runs",
    )
    # The listening socket, where `running` has it already.
    parser.add_argument("--descriptor", type=int, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until it is stopped; returns the exit code."""
    args = build_parser().parse_args(argv)
    return run_command(lambda: _work(args))


def _work(args: argparse.Namespace) -> int:
    if args.settings:
        path = settings_file(_running_port() if args.port is None else checked_port(args.port))
        read_settings(path)
        sys.stdout.write(f"{path}\n")
        return EXIT_DONE
    port = DEFAULT_PORT if args.port is None else args.port
    listener = listening(port) if args.descriptor is None else socket.socket(fileno=args.descriptor)
    environment = server_environment(port)
    if args.descriptor is None:
        say_address(port)
    os.environ.update(environment)
    # Prefect's database holds Secret blocks, and beside them what decrypts them.
    os.umask(0o077)
    _serve(listener)
    return EXIT_DONE


def _serve(listener: socket.socket) -> None:
    import uvicorn
    from prefect.settings import (
        PREFECT_SERVER_API_KEEPALIVE_TIMEOUT,
        PREFECT_SERVER_API_WEBSOCKET_PING_INTERVAL,
        PREFECT_SERVER_API_WEBSOCKET_PING_TIMEOUT,
    )

    config = uvicorn.Config(
        guarded_app(final=True),
        log_level="warning",
        timeout_keep_alive=PREFECT_SERVER_API_KEEPALIVE_TIMEOUT.value(),
        ws_ping_interval=PREFECT_SERVER_API_WEBSOCKET_PING_INTERVAL.value(),
        ws_ping_timeout=PREFECT_SERVER_API_WEBSOCKET_PING_TIMEOUT.value(),
    )
    uvicorn.Server(config).run(sockets=[listener])


def guarded_app(*, final: bool) -> ASGIApp:
    """Prefect's API and UI by its settings, under its own names alone and with a UI that speaks to nobody else.

    A page whose own name was made to lead here shares its origin with this server, as its browser sees it.
    """
    from prefect.server.api.server import create_app
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = create_app(final=final, ignore_cache=True)
    policy = _content_policy()

    @app.middleware("http")
    async def with_policy(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = policy
        return response

    # Around the application, not in it: the server asks itself under a name of its own, for an automation's action say.
    return TrustedHostMiddleware(app, allowed_hosts=HOSTS, www_redirect=False)


def _content_policy() -> str:
    """No page frames the UI, and it speaks to its API alone: the newer one asks a service that counts users how to."""
    from prefect.settings import PREFECT_UI_API_URL

    api = urlsplit(PREFECT_UI_API_URL.value() or "")
    own = f"{api.scheme}://{api.netloc} {api.scheme.replace('http', 'ws', 1)}://{api.netloc}" if api.netloc else ""
    return f"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval' {own}; frame-ancestors 'none'"


def _running_port() -> int:
    """Of this user's servers the one that runs; the default where none does.

    Raises:
        ConfigError: several do.
    """
    ports = [port for port in ports_with_settings() if _is_healthy(port)] or [DEFAULT_PORT]
    if len(ports) > 1:
        raise ConfigError(f"servers run on ports {', '.join(map(str, ports))}: say which with --port")
    return ports[0]


def checked_port(port: int) -> int:
    """The same.

    Raises:
        ConfigError: no port has this number.
    """
    if not 1 <= port <= 65_535:
        raise ConfigError(f"--port {port}: a port is a number from 1 to 65535")
    return port


def listening(port: int) -> socket.socket:
    """A socket on loopback, ours before anything is started or said that relies on it.

    Raises:
        ConfigError: somebody else listens there, or we may not.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", checked_port(port)))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise ConfigError(
            f"something listens on port {port} already, or it is not yours to listen on ({exc.strerror}): set "
            f"PREFECT_API_URL={address(port)}/api if it is your Prefect server, or give another --port"
        ) from exc
    except ConfigError:
        listener.close()
        raise
    return listener


def say_address(port: int) -> None:
    """Where the browser finds the server, and what it is asked for there."""
    given = next((name for name in (SERVER_LOGIN, CLIENT_LOGIN) if os.environ.get(name)), None)
    login = given or f"{CLIENT_LOGIN} in {settings_file(port)}"
    sys.stderr.write(
        f"Prefect's server: {address(port)}; to log in there, enter the value of {login} "
        '(the page says "Authentication failed" before that, too)\n'
    )


@contextmanager
def running(port: int) -> Iterator[dict[str, str]]:
    """A server of our own in a process of its own, for as long as this lasts; the environment of those who use it.

    Raises:
        ConfigError: the port is taken.
        BioqaError: it does not start.
    """
    with listening(port) as listener:
        environment = server_environment(port)
        say_address(port)
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "flows.server", "--port", str(port), "--descriptor", str(descriptor)]
        process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
        )
    try:
        end = time.monotonic() + START_SECONDS
        while not _is_healthy(port):
            if process.poll() is not None or time.monotonic() > end:
                raise BioqaError(f"Prefect's server did not start: python -m flows.server --port {port} says why")
            time.sleep(0.2)
        yield environment
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # All that it knows is in its database.
            process.kill()
            process.wait()


def _is_healthy(port: int) -> bool:
    # Not through a proxy, and for the process that we gave the port: nobody else can have it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError, ValueError), opener.open(f"{address(port)}/api/health", timeout=2) as answer:
        return bool(answer.read() == b"true")
    return False


if __name__ == "__main__":
    sys.exit(main())
