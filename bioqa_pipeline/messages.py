"""A message into what a terminal, a log and a manifest may hold: no credentials, nothing that a terminal obeys.

What comes here has been through its own source's hands; this is for what nobody thought of: an exception of a library
that repeats an address, a header or a store's answer.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bioqa_pipeline.redaction import Redaction

# The environment's secrets, ours and those of the libraries that a run uses.
_SECRETS = (
    "NCBI_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "HF_TOKEN",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_API_KEY",
    "PREFECT_SERVER_API_AUTH_STRING",
)
_KEPT_CONTROLS = "\n\t"
# Joiners, which are spelling in several scripts.
_KEPT_FORMATS = "\u200c\u200d"

# Each may begin at one place only, and gives up nothing that it took: messages repeat what others wrote.
_UNBROKEN = re.compile(r"[^\s?#\"'<>]++")
_SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])(?=[0-9+.-]*+[A-Za-z])[A-Za-z0-9+.-]++:/{1,2}")
_HEADERS = r"x-amz-[a-z-]{1,60}|awsaccesskeyid|(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api[_-]?key"
_NAMES = rf"{_HEADERS}|token|secret|password|signature|sig|aws_[a-z_]{{0,40}}key[a-z_]{{0,40}}"
_NAMED = re.compile(
    # As in an address or a shell, in JSON, in XML, and of headers alone as in HTTP: "token: 5" is prose.
    rf"((?<![a-z0-9])(?:(?:{_NAMES})(?:\s?=\s?[\"']?|[\"']\s*:\s*[\"']?|>)|(?:{_HEADERS})\s*:\s*))"
    r"(?:(?:aws4-hmac-sha256|basic|bearer|digest)\s[^\r\n]*|[^\s&;,\"'<>#]+)",
    re.IGNORECASE,
)


def without_credentials(text: str) -> str:
    """A message without users and passwords of addresses, signatures of signed ones, and values of telling headers."""
    from bioqa_pipeline.redaction import REDACTED

    return _NAMED.sub(rf"\1{REDACTED}", _UNBROKEN.sub(_without_login, text))


def _without_login(match: re.Match[str]) -> str:
    from bioqa_pipeline.redaction import REDACTED

    text = match.group()
    end = text.rfind("@")
    scheme = _SCHEME.search(text, 0, end) if end > 0 else None
    return f"{text[: scheme.end()]}{REDACTED}{text[end:]}" if scheme else text


def shown(text: str) -> str:
    """A message as it may be shown: line breaks stay, control and direction characters become spaces or go."""
    text = _environment_redaction(_secrets(os.environ)).text(text)
    text = without_credentials(text)
    return text if text.isascii() and text.isprintable() else "".join(map(_shown_character, text))


def words_of(exc: BaseException) -> str:
    """What a library says of an error, which may repeat what it read, on one line; where it says nothing, its name."""
    return " ".join(shown(str(exc)).split()) or type(exc).__name__


def _shown_character(character: str) -> str:
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp":
            return character if character in _KEPT_CONTROLS else " "
        case "Cf":
            return character if character in _KEPT_FORMATS else ""
        case "Cs":
            return "\ufffd"
        case _:
            return character


def _secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(value.strip() for name in _SECRETS if (value := environment.get(name)))


@lru_cache(maxsize=16)
def _environment_redaction(secrets: tuple[str, ...]) -> Redaction:
    # A command that only shows its help shows no message.
    from bioqa_pipeline.redaction import Redaction

    return Redaction(secrets)


def counted(n: int, noun: str) -> str:
    """ "1 abstract", "2,000 abstracts"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def first_few(items: Sequence[object], most: int, joint: str = ", ") -> str:
    """ "a, b and 3 more", or with another joint "a; b; and 3 more"."""
    last = " " if joint == ", " else joint
    more = f"{last}and {len(items) - most:,} more" if len(items) > most else ""
    return joint.join(map(str, items[:most])) + more
