"""NCBI's API key from Prefect's Secret block, for deployments whose environment does not hold it."""

from __future__ import annotations

import os

from prefect.blocks.system import Secret
from pydantic import SecretStr

API_KEY_BLOCK = "ncbi-api-key"


def ncbi_api_key() -> SecretStr | None:
    """NCBI_API_KEY, else the block `ncbi-api-key`, else None."""
    if key := os.environ.get("NCBI_API_KEY", "").strip():
        return SecretStr(key)
    try:
        block = Secret.load(API_KEY_BLOCK)
    except ValueError:
        # Prefect's way to say that there is no such block.
        return None
    assert isinstance(block, Secret)
    return SecretStr(str(block.get()))
