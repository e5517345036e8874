"""Prefect and tokenizer defaults that suit one-off and offline runs; whatever the user has set stays as it is.

Must be imported before Prefect is.
"""

from __future__ import annotations

import os

_DEFAULTS = {
    # A fresh Prefect home needs 17 to 20 s for its database; Prefect's own limit is 20 s.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    # Two waits of 2 + 4 + 8 + 16 s outlast a restart of the server; one that is gone costs a run a minute, not two.
    "PREFECT_CLIENT_MAX_RETRIES": "4",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # On the terminal the run speaks for itself; the server gets its whole log.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
    "DO_NOT_TRACK": "1",
    # The pipeline tokenises in large batches before workers start; the library's fork warning does not apply.
    "TOKENIZERS_PARALLELISM": "true",
}


def apply_defaults() -> None:
    """Sets the defaults in this process's environment."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
