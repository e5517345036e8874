"""The file that holds a server's login: the user's alone, made once, found by those who may use it."""

from __future__ import annotations

import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bioqa_pipeline.errors import ConfigError
from flows.commands.outcome import run_command
from flows.environment import apply_defaults
from flows.server_settings import CLIENT_LOGIN, NO_TELEMETRY, SERVER_LOGIN, known_login, read_settings, settings_file

NAMES = {*NO_TELEMETRY, CLIENT_LOGIN, SERVER_LOGIN, "PREFECT_API_URL", "PREFECT_API_KEY"}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has set nothing, with an empty state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in NAMES:
        # Set first, so that what a test sets is taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path / "bioqa"


def test_the_login_is_made_once_for_its_owner_alone(state: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        logins = list(pool.map(lambda _: read_settings(settings_file(4200))[SERVER_LOGIN], range(16)))
    assert len(set(logins)) == 1 and len(logins[0]) > 40
    assert list(state.iterdir()) == [state / "prefect-4200.env"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (state, state / "prefect-4200.env")] == [0o700, 0o600]
    assert read_settings(settings_file(4201))[SERVER_LOGIN] != logins[0]


def test_a_shell_reads_what_we_read() -> None:
    path = settings_file(4200)
    shown = subprocess.run(
        ["bash", "-c", f'set -a; . "{path}"; env'], capture_output=True, text=True, check=True, env={}
    ).stdout
    settings = read_settings(path)
    assert settings.items() <= dict(line.split("=", 1) for line in shown.splitlines()).items()
    assert settings[CLIENT_LOGIN] == settings[SERVER_LOGIN]
    assert NO_TELEMETRY.items() <= settings.items()


def loosen(path: Path) -> None:
    path.chmod(0o640)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def open_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("change", [loosen, link, open_folder, pipe])
def test_a_login_that_others_can_read_or_replace_is_not_used(
    change: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = settings_file(4200)
    assert callable(change)
    change(path)
    with pytest.raises(ConfigError, match="delete it"):
        read_settings(path)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    assert run_command(lambda: pytest.fail("it was used")) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line(state: Path) -> None:
    state.write_text("a file")
    with pytest.raises(ConfigError, match="XDG_STATE_HOME"):
        settings_file(4200)


def test_the_login_is_sent_to_our_own_server_alone() -> None:
    login = read_settings(settings_file(4200))[CLIENT_LOGIN]
    assert known_login("http://127.0.0.1:4200/api") == known_login("http://localhost:4200/api") == login
    for elsewhere in (
        "http://127.0.0.1:4201/api",
        "https://127.0.0.1:4200/api",
        "http://127.0.0.1.example.org:4200/api",
        "http://example.org:4200/api",
        "http://127.0.0.1:4200@example.org/api",
        "http://127.0.0.1:x/api",
        "http://[::1/api",
        "",
    ):
        assert known_login(elsewhere) is None


def test_our_commands_find_it_and_leave_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    login = read_settings(settings_file(4200))[CLIENT_LOGIN]
    apply_defaults()
    assert CLIENT_LOGIN not in os.environ
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_API_KEY", "a key")
    apply_defaults()
    assert CLIENT_LOGIN not in os.environ
    monkeypatch.delenv("PREFECT_API_KEY")
    apply_defaults()
    assert os.environ[CLIENT_LOGIN] == login
    monkeypatch.setenv(CLIENT_LOGIN, "mine:own")
    apply_defaults()
    assert os.environ[CLIENT_LOGIN] == "mine:own"


def test_an_address_that_prefect_could_not_even_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://[::1/api")
    assert run_command(lambda: pytest.fail("it was used")) == 2
    assert capsys.readouterr().err == "error: PREFECT_API_URL=http://[::1/api: not an address (Invalid IPv6 URL)\n"


def test_nothing_is_reported_by_our_processes() -> None:
    apply_defaults()
    assert {name: os.environ[name] for name in NO_TELEMETRY} == NO_TELEMETRY
