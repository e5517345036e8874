"""Prefect and tokenizer defaults that suit one-off and offline runs; whatever the user has set stays as it is.

Must be imported before Prefect is.
"""

from __future__ import annotations

import os

from flows.server_settings import CLIENT_LOGIN, NO_TELEMETRY, known_login

_DEFAULTS = {
    **NO_TELEMETRY,
    # A fresh Prefect home needs 17 to 20 s for its database; Prefect's own limit is 20 s.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    # Two waits of 2 + 4 + 8 + 16 s outlast a restart of the server; one that is gone costs a run a minute, not two.
    "PREFECT_CLIENT_MAX_RETRIES": "4",
    # On the terminal the run speaks for itself; the server gets its whole log.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
    # The pipeline tokenises in large batches before workers start; the library's fork warning does not apply.
    "TOKENIZERS_PARALLELISM": "true",
}


def apply_defaults() -> None:
    """Sets the defaults in this process's environment, and the login of the user's own server, where that is meant.

    Raises:
        ConfigError: others can read the login.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    url = os.environ.get("PREFECT_API_URL")
    if url and not os.environ.get(CLIENT_LOGIN) and not os.environ.get("PREFECT_API_KEY"):
        login = known_login(url)
        if login:
            os.environ[CLIENT_LOGIN] = login
