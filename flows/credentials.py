"""NCBI's API key from Prefect's Secret block, for deployments whose environment does not hold it."""

from __future__ import annotations

import logging
import os

from prefect.blocks.system import Secret
from prefect.settings import get_current_settings
from pydantic import SecretStr

from flows.prefect_server import server_address

API_KEY_BLOCK = "ncbi-api-key"


logger = logging.getLogger(__name__)


def ncbi_api_key() -> SecretStr | None:
    """NCBI_API_KEY, else the block `ncbi-api-key`, else None."""
    if key := os.environ.get("NCBI_API_KEY"):
        return SecretStr(key)
    try:
        block = Secret.load(API_KEY_BLOCK)
    except ValueError:
        # Prefect's way to say that there is no such block.
        return None
    assert isinstance(block, Secret)
    if not _asks_for_login():
        logger.warning(
            "the block %s can be read by all who reach %s, which asks for no login: delete the block and set "
            "NCBI_API_KEY, or start the server with python -m flows.server",
            API_KEY_BLOCK,
            server_address(),
        )
    return SecretStr(str(block.get()))


def _asks_for_login() -> bool:
    """Whether we give the server one, which is all that can be known here."""
    settings = get_current_settings()
    headers = {name.lower() for name in settings.client.custom_headers}
    return bool(settings.api.auth_string or settings.api.key or "authorization" in headers)
