"""What a web page, and whoever has no login, gets from the API of our server and of a plain `prefect server start`."""

from __future__ import annotations

import asyncio
import base64
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import prefect.settings
import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    Settings,
    get_current_settings,
    temporary_settings,
)

from bioqa_pipeline.errors import ConfigError
from flows import prefect_server, server
from flows.server_settings import CLIENT_LOGIN, SERVER_LOGIN, read_settings, server_environment, settings_file
from support.paths import ROOT

if TYPE_CHECKING:
    from fastapi import FastAPI

OWN, EVIL = "http://127.0.0.1:4200", "http://evil.example:4200"


def plain_app() -> FastAPI:
    # Of the processes that tests run in, one needs what takes three seconds to load.
    from prefect.server.api.server import create_app

    return create_app(ignore_cache=True)


APPS: dict[str, Callable[[], FastAPI]] = {
    "flows.server": lambda: server.guarded_app(final=False),
    "prefect server start": plain_app,
}
# What a page would want: the key, a token against forged requests, a run of its own, the settings.
WANTED = [
    ("POST", "/api/block_documents/filter", {"include_secrets": True}),
    ("GET", "/api/csrf-token?client=a-page", None),
    ("POST", "/api/deployments/6fbe0dbd-6f55-4d82-8a52-3e2f8ee0d5a4/create_flow_run", {"parameters": {}}),
    ("GET", "/api/admin/settings", None),
]


@pytest.fixture(scope="module", params=list(APPS))
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """The server's application under the settings of its file; it opens no database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        values = read_settings(settings_file(4200))
    known = {getattr(prefect.settings, name): value for name, value in values.items() if name.startswith("PREFECT_")}
    with temporary_settings(known):
        yield APPS[request.param]()


@pytest.fixture
def is_ours(request: pytest.FixtureRequest) -> bool:
    """Whether it is the one that checks its own name."""
    return bool(request.node.callspec.params["app"] == "flows.server")


def ask(app: FastAPI, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=headers.pop("base", OWN)) as client:
            return await client.request(method, path, json=body, headers=headers)

    return asyncio.run(asked())


@pytest.mark.parametrize(("method", "path", "body"), WANTED)
def test_a_page_of_another_origin_gets_nothing(app: FastAPI, method: str, path: str, body: object) -> None:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
    before = ask(app, "OPTIONS", path, Origin=EVIL, **asked)
    assert before.status_code == 400 and "access-control-allow-origin" not in before.headers
    # Text, of which a browser asks nothing before.
    answer = ask(app, method, path, body, Origin=EVIL, **{"Content-Type": "text/plain"})
    assert answer.status_code in {401, 403} and "access-control-allow-origin" not in answer.headers
    assert ask(app, method, path, body, Origin="null").status_code in {401, 403}


@pytest.mark.parametrize(("method", "path", "body"), WANTED)
def test_a_page_whose_name_leads_here_gets_nothing(
    app: FastAPI, is_ours: bool, method: str, path: str, body: object
) -> None:
    for host in ("evil.example:4200", "127.0.0.1.evil.example", "0.0.0.0:4200", "127.0.0.1@evil.example"):
        answer = ask(app, method, path, body, Host=host, Origin=f"http://{host}")
        assert answer.status_code == 400 if is_ours else answer.status_code in {401, 403}, host


@pytest.mark.parametrize(("method", "path", "body"), WANTED)
def test_without_the_login_nothing_is_said(app: FastAPI, method: str, path: str, body: object) -> None:
    for login in ("", "Basic " + base64.b64encode(b"bioqa:").decode(), "Basic", "Bearer x"):
        # With a token, for which the database would be asked, the login still comes first or the token fails.
        assert ask(app, method, path, body, **({"Authorization": login} if login else {})).status_code in {401, 403}
    assert ask(app, "GET", "/api/health").json() is True


def test_with_the_login_what_is_not_asked_by_our_own_client_is_refused(app: FastAPI) -> None:
    login = prefect.settings.get_current_settings().server.api.auth_string
    assert login is not None
    basic = "Basic " + base64.b64encode(login.get_secret_value().encode()).decode()
    forged = ask(app, "POST", "/api/flows/filter", {}, Authorization=basic)
    assert forged.status_code == 403 and forged.json() == {"detail": "Missing CSRF token."}


def test_the_user_interface_is_its_own_origin_and_asks_for_the_login(app: FastAPI, is_ours: bool) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for origin in (OWN, "http://localhost:4200"):
        before = ask(app, "OPTIONS", "/api/flows/filter", Origin=origin, **asked)
        assert before.headers["access-control-allow-origin"] == origin
    settings = ask(app, "GET", "/ui-settings", base="http://localhost:4200").json()
    assert (settings["auth"], settings["csrf_enabled"], settings["api_url"]) == ("BASIC", True, f"{OWN}/api")
    assert settings["default_ui"] == "v1"
    policy = ask(app, "GET", "/").headers.get("content-security-policy", "")
    assert ("default-src 'self'" in policy and "frame-ancestors 'none'" in policy) == is_ours
    assert "amplitude" not in policy and "https:" not in policy and "*" not in policy


def test_no_socket_is_opened_for_a_page(app: FastAPI, is_ours: bool) -> None:
    def connect(path: str, host: str, *subprotocols: str) -> list[dict[str, Any]]:
        scope = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "scheme": "ws",
            "subprotocols": list(subprotocols),
            "headers": [
                (b"host", host.encode()),
                (b"origin", EVIL.encode()),
                *((b"sec-websocket-protocol", s.encode()) for s in subprotocols),
            ],
            "extensions": {"websocket.http.response": {}},
        }
        sent: list[dict[str, Any]] = []
        answers = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": '{"type": "auth"}'}])

        async def receive() -> Any:
            return next(answers)

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(app(scope, receive, send))
        return sent

    for path in ("/api/events/out", "/api/events/in", "/api/logs/out"):
        assert "websocket.accept" not in [m["type"] for m in connect(path, "127.0.0.1:4200")]
        # Our client's way to begin: it is heard, and let go for want of the login.
        assert connect(path, "127.0.0.1:4200", "prefect")[-1]["type"] == "websocket.close"
        foreign = connect(path, "evil.example:4200", "prefect")
        accepted = "websocket.accept" in [m["type"] for m in foreign]
        assert not (is_ours and accepted) and foreign[-1]["type"] != "websocket.send"


def test_in_this_folder_prefect_itself_is_closed_to_pages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    for name in server_environment(4200):
        if name.startswith("PREFECT_"):
            monkeypatch.delenv(name, raising=False)
    found = Settings()
    values = read_settings(settings_file(4200))
    api = found.server.api
    assert api.cors_allowed_origins == values["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"]
    assert api.csrf_protection_enabled and not found.server.analytics_enabled and not found.server.ui.v2_enabled


def test_the_server_may_ask_itself(app: FastAPI, is_ours: bool) -> None:
    # As an automation does for its action, by the application that is served, under a name that nobody else may use.
    inner = app.app if is_ours else app  # type: ignore[attr-defined]
    assert ask(inner, "GET", "/api/health", Host="prefect-in-memory").status_code == 200
    assert ask(app, "GET", "/api/health", Host="prefect-in-memory").status_code == (400 if is_ours else 200)


def test_a_port_that_is_taken_or_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port in (taken.getsockname()[1], 0, -1, 70_000):
            assert server.main(["--port", str(port)]) == 2
            assert capsys.readouterr().err.count("\n") == 1


def test_the_socket_is_on_loopback_and_nobody_elses() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with server.listening(port) as ours:
        # Before anything runs that answers on it.
        assert ours.getsockname() == ("127.0.0.1", port)
        with pytest.raises(ConfigError, match="something listens"):
            server.listening(port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_server_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    started: list[subprocess.Popen[bytes]] = []

    def start(*_: object, **__: object) -> subprocess.Popen[bytes]:
        started.append(Popen([sys.executable, "-S", "-c", stubborn], stdout=subprocess.PIPE))
        return started[0]

    Popen = subprocess.Popen
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(server.subprocess, "Popen", start)
    monkeypatch.setattr(server, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(server, "_is_healthy", lambda _: bool(started[0].stdout and started[0].stdout.readline()))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with server.running(port):
        started[0].stdout.close()  # type: ignore[union-attr]
    assert started[0].returncode == -signal.SIGKILL


def test_the_temporary_server_has_a_login_for_this_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found: list[Settings] = []

    def start(started: Future[None]) -> None:
        found.append(get_current_settings())
        started.set_result(None)

    monkeypatch.setattr(prefect_server, "_start_unreached", start)
    home = tmp_path / "home"
    temporary = {PREFECT_HOME: home, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: True}
    with temporary_settings(temporary, restore_defaults={PREFECT_API_URL}):
        for _ in range(2):
            with prefect_server.own_server():
                found.append(get_current_settings())
    logins = [(api.auth_string, s.server.api.auth_string) for s in found for api in [s.api]]
    [first, _, second, _] = [login.get_secret_value() for login, _ in logins if login]
    assert all(client == server for client, server in logins)
    assert first != second and len(first) > 40
    # What the process of the server is given.
    assert found[0].to_environment_variables(exclude_unset=True)[SERVER_LOGIN] == first
    assert home.stat().st_mode & 0o777 == 0o700 and list(home.iterdir()) == []


def test_the_file_of_the_settings_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert server.main(["--settings", "--port", "4300"]) == 0
    path = Path(capsys.readouterr().out.rstrip("\n"))
    assert path == tmp_path / "bioqa" / "prefect-4300.env"
    assert read_settings(path)["PREFECT_API_URL"] == "http://127.0.0.1:4300/api"


@pytest.mark.parametrize(("runs", "named"), [([], 4200), ([4300], 4300), ([4200], 4200), ([4200, 4300], None)])
def test_without_a_port_the_settings_are_those_of_the_server_that_runs(
    runs: list[int],
    named: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for port in (4200, 4300, 4400):
        settings_file(port)
    monkeypatch.setattr(server, "_is_healthy", lambda port: port in runs)
    assert server.main(["--settings"]) == (2 if named is None else 0)
    said = "".join(capsys.readouterr())
    assert ("ports 4200, 4300: say which with --port" if named is None else f"prefect-{named}.env") in said


def test_a_login_of_the_users_own_is_used_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVER_LOGIN, raising=False)
    monkeypatch.setenv(CLIENT_LOGIN, "me:mine")
    monkeypatch.setenv("PREFECT_SERVER_UI_API_URL", "https://prefect.example.org/api")
    found = server_environment(4200)
    assert found[SERVER_LOGIN] == found[CLIENT_LOGIN] == "me:mine"
    assert found["PREFECT_SERVER_UI_API_URL"] == "https://prefect.example.org/api"
    assert found["PREFECT_API_URL"] == f"{OWN}/api"
