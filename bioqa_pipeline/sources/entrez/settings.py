"""How E-utilities are called: address, patience, batch sizes, and who is calling."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator

from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.setting_values import Settings, one_address

TOOL = "bioqa"
ANONYMOUS_LIMIT = 3  # requests a second that NCBI allows, by address and by API key
KEY_LIMIT = 10
_LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


class EntrezSettings(Settings):
    """All that a user may have to change; the defaults keep to what NCBI asks of its users."""

    model_config = ConfigDict(hide_input_in_errors=True)

    base_url: str = Field("https://eutils.ncbi.nlm.nih.gov/entrez/eutils/", description="where the utilities answer")
    requests_per_second: int | None = Field(None, ge=1, le=100, description="None: 3, or 10 with an API key")
    lock_dir: Path | None = Field(None, description="folder of the file that keeps the rate; None: a temporary one")
    timeout_seconds: float = Field(30.0, gt=0, description="silence on a connection after which it is given up")
    try_seconds: float = Field(
        180.0, gt=0, le=240, description="time after which an answer that still drips in is given up"
    )
    max_tries: int = Field(6, ge=1, le=20, description="how often a request is sent at most")
    backoff_seconds: float = Field(
        1.0, ge=0, description="wait after the first failure; doubled after each further one"
    )
    max_backoff_seconds: float = Field(60.0, ge=0, description="longest wait of our own choice")
    max_retry_after_seconds: float = Field(300.0, ge=0, le=3600, description="longest wait that NCBI may ask for")
    max_body_bytes: int = Field(128 << 20, ge=1, description="longest answer, unpacked")
    batch_size: int = Field(200, ge=1, le=200, description="PMIDs fetched with one request")
    max_hits: int = Field(
        9999, ge=1, le=9999, description="hits that PubMed gives of one query; more are split by date"
    )
    enough_hits: int = Field(20, ge=1, description="hits at which a looser query is not sent any more")
    ttl_days: float = Field(7.0, ge=0, description="age at which a stored record is fetched again")

    @field_validator("base_url")
    @classmethod
    def _is_private(cls, url: str) -> str:
        # Not repeated where it holds more than an address: that may be a password or a key.
        if any(mark in url for mark in "@?#\\") or not url.isprintable():
            raise ValueError("give https://HOST/PATH/, without a user, a password or a query")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError("give https://HOST/PATH/") from None
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS):
            raise ValueError(f"{url} would send the API key in clear: https is needed")
        return url if url.endswith("/") else f"{url}/"


def settings_from_environment() -> EntrezSettings:
    """The defaults, with the address in BIOQA_EUTILS_URL where that is set: a mirror, or a server for tests."""
    url = os.environ.get("BIOQA_EUTILS_URL", "").strip()
    try:
        return EntrezSettings(base_url=url) if url else EntrezSettings()
    except ValidationError as exc:
        raise ConfigError(f"BIOQA_EUTILS_URL: {exc.errors()[0]['msg']}") from exc


def resolve_email(email: str | None) -> str:
    """The given address, else NCBI_EMAIL.

    Raises:
        ConfigError: there is none, or what is there is none.
    """
    found = (email or os.environ.get("NCBI_EMAIL", "")).strip()
    try:
        one_address(found)
    except ValueError as exc:
        raise ConfigError(f"NCBI_EMAIL: {exc}") from None
    if found and not re.fullmatch(r"[^@\s]+@[^@\s]+", found):
        where = f"`email {found}`" if email and email.strip() else "NCBI_EMAIL"
        raise ConfigError(f"{where}: {found!r} is not an e-mail address, which NCBI asks for with every request")
    if not found:
        raise ConfigError(
            "NCBI asks for an e-mail address with every request: set the environment variable NCBI_EMAIL or `email`"
        )
    return found


def resolve_api_key(api_key: SecretStr | None) -> SecretStr | None:
    """The given key, else NCBI_API_KEY; None where there is neither."""
    found = (api_key.get_secret_value() if api_key else os.environ.get("NCBI_API_KEY", "")).strip()
    return SecretStr(found) if found else None
