"""What `notify` says into whom a run tells what is new: webhook:https://…, or block:TYPE/NAME of Prefect.

A webhook's path is its password, so only the host of its address is ever shown or stored. What is stored is enough to
know the address again where somebody names it in full.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

WAYS = "webhook:https://HOST/PATH or block:TYPE/NAME, as in block:slack-webhook/alerts"

_URL = re.compile(
    r"(?P<origin>(?i:https?)://(?P<host>[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?)(?P<rest>[/?][!-~]*)?"
)
_HIDDEN = re.compile(r"https?://[^/\s]+/\[redacted:[0-9a-f]{8}\]")
_BLOCK = re.compile(r"[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*")
_MAX_URL_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Receiver:
    """One of them; `str` gives it without its secret.

    Attributes:
        address: of a webhook, whole or as it is stored; of a block, TYPE/NAME.
    """

    kind: Literal["webhook", "block"]
    address: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.kind}:{self.shown}"

    @property
    def shown(self) -> str:
        """The address as it may be shown and stored."""
        if self.kind == "block" or self.is_hidden:
            return self.address
        url = _URL.match(self.address)
        digest = hashlib.sha256(self.address.encode()).hexdigest()[:8]
        return f"{url['origin'] if url else 'https://'}/[redacted:{digest}]"

    @property
    def is_hidden(self) -> bool:
        """Whether the address is as it is stored, so that nothing can be sent to it."""
        return self.kind == "webhook" and bool(_HIDDEN.fullmatch(self.address))

    def whole(self, addresses: Iterable[str]) -> Self:
        """The same with its address in full, where that is among these."""
        if self.is_hidden:
            for address in addresses:
                if address.startswith(("http://", "https://")) and type(self)("webhook", address).shown == self.address:
                    return type(self)("webhook", address)
        return self


def receiver(value: Any) -> Receiver:
    """A receiver as it is written; no message repeats an address.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, Receiver):
        return value
    kind, _, address = value.strip().partition(":") if isinstance(value, str) else ("", "", "")
    if kind == "block" and _BLOCK.fullmatch(address):
        return Receiver("block", address)
    if kind == "webhook":
        if fault := _fault(address):
            raise ValueError(f"the address of a webhook {fault}; give {WAYS}")
        return Receiver("webhook", address)
    raise ValueError(f"give {WAYS}")


def _fault(address: str) -> str:
    if len(address) > _MAX_URL_CHARS:
        return f"has at most {_MAX_URL_CHARS:,} signs"
    if not _URL.fullmatch(address):
        return "is http:// or https:// and a host, without a user and a password, and a path in plain signs"
    return "has signs that belong quoted, as in %2C" if any(sign in address for sign in ",\\\"'<>`#") else ""


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str | Receiver) else value


_Receiver = Annotated[
    Receiver, PlainValidator(receiver), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]
Receivers = Annotated[tuple[_Receiver, ...], BeforeValidator(_one_or_several)]
