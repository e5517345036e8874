"""What the parameters of a deployed run may name: folders, files and addresses that whoever deployed it has declared.

Parameters come over the network from whoever may start a run. A run from the user's own shell or script is not bound.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from pydantic import BaseModel

from bioqa_pipeline.addresses import is_global
from bioqa_pipeline.config import EMBEDDED, RunConfig
from bioqa_pipeline.errors import ConfigError
from bioqa_pipeline.receivers import Receiver
from bioqa_pipeline.storage.uri import ObjectUri, place

ROOTS, ADDRESSES = "BIOQA_ROOTS", "BIOQA_ADDRESSES"

# Settings that name a model or a recipe, which can be a folder or a file.
_MODELS = {"name", "base_model", "teacher", "vocabulary"}
_HOST = re.compile(r"[0-9A-Za-z._-]+|[0-9A-Fa-f:.]+")
_LOCAL_NAMES = re.compile(r"(.*\.)?(localhost|local|internal|localdomain|lan|home\.arpa)\.?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Declared:
    """What may be named.

    Attributes:
        roots: folders with all below them, files, prefixes of object stores.
        addresses: of Ray clusters, URLs, and blocks of Prefect that are told.
    """

    roots: tuple[Path | ObjectUri, ...]
    addresses: frozenset[str] = frozenset()

    @classmethod
    def by(cls, config: RunConfig) -> Declared:
        """What these settings name."""
        told = (receiver.address if receiver.kind == "webhook" else str(receiver) for receiver in config.notify)
        named = (config.ray_address, config.public_url, *told)
        return cls(tuple(path for _, path in _places(config)), frozenset(filter(None, named)))

    def environment(self) -> dict[str, str]:
        """The same for processes that are started from here, wherever they run."""
        roots = [str(root if isinstance(root, ObjectUri) else root.expanduser().absolute()) for root in self.roots]
        return {ROOTS: ":".join(roots), ADDRESSES: ",".join(sorted(self.addresses))}

    def check(self, settings: BaseModel, **paths: Path | None) -> None:
        """Compares all that settings name, whatever links lead there, with what may be named.

        Raises:
            ConfigError: one of them, in one line.
        """
        given = ((name, path) for name, path in paths.items() if path is not None)
        for name, path in (*_places(settings), *given):
            self._check_place(name, path)
        if isinstance(settings, RunConfig):
            self._check_addresses(settings)

    def _check_place(self, name: str, path: Path | ObjectUri) -> None:
        if not all(any(_is_below(way, root) for root in self.roots) for way in _ways_to(path)):
            raise ConfigError(
                f"`{name} {path}` is outside of what this deployment may use; whoever serves it can allow it: "
                f"--root of python -m flows.serve, or {ROOTS} of the worker"
            )

    def _check_addresses(self, config: RunConfig) -> None:
        if config.runner == "ray" and config.ray_address and config.ray_address not in self.addresses:
            raise ConfigError(
                f"`ray_address {config.ray_address}` is not one that this deployment may use; whoever serves it can "
                f"name it in {ADDRESSES}"
            )
        if config.public_url and config.public_url not in self.addresses and not is_public_url(config.public_url):
            raise ConfigError(f"`public_url {config.public_url}` is no http(s) address of a public host")
        for receiver in config.notify:
            if not self._may_be_told(receiver.whole(self.addresses)):
                raise ConfigError(
                    f"`notify {receiver}` is not one that this deployment may tell; whoever serves it can name it in "
                    f"{ADDRESSES}"
                )

    def _may_be_told(self, receiver: Receiver) -> bool:
        if receiver.kind == "block":
            return str(receiver) in self.addresses
        return receiver.address in self.addresses or (not receiver.is_hidden and is_public_url(receiver.address))


def roots_in_environment() -> tuple[Path | ObjectUri, ...] | None:
    """What BIOQA_ROOTS names; None where it is not set."""
    named = os.environ.get(ROOTS)
    # A colon parts folders, as in PATH, and stands in s3://.
    return None if named is None else tuple(place(root) for root in re.split(r":(?!//)", named) if root)


def addresses_in_environment() -> frozenset[str] | None:
    """What BIOQA_ADDRESSES names; None where it is not set."""
    named = os.environ.get(ADDRESSES)
    return None if named is None else frozenset(filter(None, map(str.strip, named.split(","))))


def check_deployed(settings: BaseModel, **paths: Path | None) -> frozenset[str] | None:
    """Where a deployment runs: that its parameters name nothing but what was declared; gives the addresses declared.

    That is what BIOQA_ROOTS and BIOQA_ADDRESSES say; where one is not set, what the main job's deployment itself names,
    so that a single run cannot name other things than the deployment does.

    Raises:
        ConfigError: they do.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return None
    roots, addresses = roots_in_environment(), addresses_in_environment()
    deployed = Declared(())
    if (roots is None or addresses is None) and isinstance(settings, RunConfig):
        with get_client(sync_client=True) as client:
            parameters = client.read_deployment(run.deployment_id).parameters
        if config := parameters.get("config"):
            deployed = Declared.by(RunConfig.checked(config))
    declared = Declared(
        deployed.roots if roots is None else roots, deployed.addresses if addresses is None else addresses
    )
    declared.check(settings, **paths)
    return declared.addresses


def is_public_url(url: str) -> bool:
    """Whether it is http or https, has no credentials in it, and no host that only this machine or network knows."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.password:
        return False
    # A dot behind an address or a name leads to the same, and signs of other alphabets are read as these.
    host = host.removesuffix(".")
    return bool(_HOST.fullmatch(host)) and not _LOCAL_NAMES.fullmatch(host) and _is_global(host)


def _is_global(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    else:
        return is_global(address)
    try:
        # 127.1, 0x7f000001 and 2130706433 are addresses, too.
        return ipaddress.ip_address(socket.inet_aton(host)).is_global
    except OSError:
        return "." in host


def _places(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, Path | ObjectUri]]:
    """Every path in the settings, those of settings within them included, with the setting's name."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Path | ObjectUri):
                yield prefix + name, item
            elif isinstance(item, BaseModel):
                yield from _places(item, f"{prefix}{name}.")
            elif isinstance(item, str) and _is_local(name, item):
                yield prefix + name, Path(item)


def _is_local(name: str, text: str) -> bool:
    if text.startswith(("/", ".", "~")):
        return True
    return name in _MODELS and text != EMBEDDED and os.path.lexists(text)


def _ways_to(path: Path | ObjectUri) -> tuple[Path | ObjectUri, ...]:
    """The place as it stands, and as a program reads it that knows `~`."""
    return (path,) if isinstance(path, ObjectUri) else (path, path.expanduser())


def _is_below(path: Path | ObjectUri, root: Path | ObjectUri) -> bool:
    if isinstance(path, ObjectUri) or isinstance(root, ObjectUri):
        return isinstance(path, ObjectUri) and isinstance(root, ObjectUri) and f"{path}/".startswith(f"{root}/")
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root.expanduser()))
