"""A port into the settings of a Prefect server there, its login above all, in a file that only its owner reads.

The file is the user's own, is made on the first use, and can be sourced by a shell or named in a unit: it holds what
the server needs and what its clients need. Imports no Prefect, which reads the environment when it is imported.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from bioqa_pipeline.errors import ConfigError

SERVER_LOGIN, CLIENT_LOGIN = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
HOSTS = ("127.0.0.1", "localhost")

# No reports to anyone, whoever starts the process.
NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def new_login() -> str:
    """A user and a password that nobody can guess, in Prefect's form, of signs that no shell takes for its own."""
    return f"bioqa:{secrets.token_urlsafe(32)}"


def address(port: int) -> str:
    """Where a browser finds the server."""
    return f"http://127.0.0.1:{port}"


def state_folder() -> Path:
    """Where this user's programs keep what must survive a cache that is emptied."""
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".local" / "state") / "bioqa"


def settings_file(port: int) -> Path:
    """The file of the server on this port, made on the first use.

    Raises:
        ConfigError: it cannot be made.
    """
    path = _path(port)
    if not os.path.lexists(path):
        try:
            _create(path, _content(port))
        except OSError as exc:
            raise ConfigError(
                f"{path}: the login of Prefect's server cannot be kept there ({exc.strerror}); set XDG_STATE_HOME to a "
                f"folder of your own, or {SERVER_LOGIN} and {CLIENT_LOGIN} to one login"
            ) from exc
    return path


def read_settings(path: Path) -> dict[str, str]:
    """What a settings file says.

    Raises:
        ConfigError: it cannot be read, or others than its owner could read it or put another in its place.
    """
    try:
        folder = path.parent.stat()
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8") as file:
            found, text = os.fstat(file.fileno()), file.read(65_536)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: the login of Prefect's server cannot be read there ({exc}); delete it") from exc
    if not stat.S_ISREG(found.st_mode) or {found.st_uid, folder.st_uid} != {os.geteuid()}:
        raise ConfigError(f"{path}: not a file of yours in a folder of yours; delete it, and a new login is made")
    if found.st_mode & 0o077 or folder.st_mode & 0o022:
        raise ConfigError(
            f"{path}: others can read this login or replace it; delete it, and a new one is made, after "
            f"chmod 700 {path.parent}"
        )
    lines = [line.partition("=") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in lines}


def server_environment(port: int) -> dict[str, str]:
    """What a server on this port, and those who speak to it, have in their environment; the user's own goes before."""
    own = {name: value for name, value in os.environ.items() if value}
    login = own.get(SERVER_LOGIN) or own.get(CLIENT_LOGIN)
    settings = _settings(port, login) if login else read_settings(settings_file(port))
    kept = {name: own[name] for name in settings.keys() & own.keys() - {SERVER_LOGIN, CLIENT_LOGIN, "PREFECT_API_URL"}}
    return settings | kept


def known_login(api_url: str) -> str | None:
    """The login of this user's own server at this address, where there is one.

    Raises:
        ConfigError: others can read its file.
    """
    with suppress(ValueError):
        url = urlsplit(api_url)
        if url.scheme == "http" and url.hostname in HOSTS and url.port and os.path.lexists(path := _path(url.port)):
            return read_settings(path).get(CLIENT_LOGIN)
    return None


def ports_with_settings() -> list[int]:
    """Of the servers that this user has started once."""
    files = state_folder().glob("prefect-*.env")
    return sorted(int(number) for file in files if (number := file.stem.removeprefix("prefect-")).isdecimal())


def _path(port: int) -> Path:
    return state_folder() / f"prefect-{port}.env"


def _settings(port: int, login: str) -> dict[str, str]:
    origins = ",".join(f"http://{host}:{port}" for host in HOSTS)
    return {
        "PREFECT_API_URL": f"{address(port)}/api",
        CLIENT_LOGIN: login,
        SERVER_LOGIN: login,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": origins,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_UI_API_URL": f"{address(port)}/api",
        # The newer UI asks a service that counts users for its settings, whatever it is told.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        **NO_TELEMETRY,
    }


def _content(port: int) -> str:
    settings = _settings(port, new_login())
    lines = [f"# A Prefect server on port {port}. In the browser, log in with {CLIENT_LOGIN}; keep it to yourself."]
    return "\n".join([*lines, *(f"{name}={value}" for name, value in settings.items())]) + "\n"


def _create(path: Path, content: str) -> None:
    """The whole file or none, for its owner alone; of several that make it at once, one does."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Nobody else may read what mkstemp makes.
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
