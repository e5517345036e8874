"""An IP address into whether it leads out of this machine and its networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_CARRYING = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))


def is_global(address: _Address) -> bool:
    """Whether it, and each address that it carries within, is one of the whole internet."""
    return all(a.is_global and not a.is_multicast for a in (address, *_embedded(address)))


def _embedded(address: _Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to: mapped, 6to4, Teredo, NAT64 and the old compatible form."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    yield from (a for a in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if a)
    if any(address in network for network in _CARRYING):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
