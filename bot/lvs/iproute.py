"""ip(8): which addresses stand on a director's interfaces. What says who holds a VIP."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from bot.domain.fleet import Address, Interface
from bot.domain.observed import HeldAddress
from bot.lvs.errors import Unreadable

TOOL = "ip"


def list_addresses(interface: str | None = None) -> tuple[str, ...]:
    """Every address as JSON, of one *interface* or of all."""
    return ("ip", "-j", "addr", "show", *(("dev", interface) if interface else ()))


def parse_addresses(text: str) -> tuple[HeldAddress, ...]:
    """What ``ip -j addr show`` printed. ``link_up`` is whether the interface is up and has its carrier.

    Raises Unreadable. An IPv6 address that failed duplicate address detection is left out: the kernel keeps it in the
    list but does not answer for it, because another host does (RFC 4862, 5.4.5).
    """
    try:
        links = json.loads(text)
        return tuple(_held(links))
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise Unreadable(
            TOOL, 1, text, f"not the JSON list of interfaces that `ip -j addr` prints ({error!r})"
        ) from error


def _held(links: object) -> Iterator[HeldAddress]:
    # iproute2 prints an empty object for every interface that a filter left out.
    for link in filter(None, _objects(links)):
        flags = link["flags"]
        if not isinstance(flags, list):
            raise TypeError(f"{flags!r} is not a list of flags")
        for entry in _objects(link["addr_info"]):
            if not entry.get("dadfailed"):
                yield HeldAddress(
                    interface=_text(link["ifname"]),
                    address=_interface(entry["local"], entry["prefixlen"]),
                    link_up="UP" in flags and "LOWER_UP" in flags,
                )


def _objects(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise TypeError(f"{value!r} is not a list of objects")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _interface(local: object, prefix: object) -> Interface:
    if not isinstance(prefix, int):
        raise TypeError(f"{prefix!r} is not a prefix length")
    return _standing(_text(local), prefix)


@lru_cache(maxsize=4096)  # a director has the same ones at each look, and reading one takes longer than all the rest
def _standing(local: str, prefix: int) -> Interface:
    return ip_interface(f"{ip_address(local)}/{prefix}")


def holds(addresses: Iterable[HeldAddress], vip: Address | Interface) -> bool:
    """Whether *vip* (its prefix length aside) stands among *addresses*, on an interface in any state."""
    # An interface is an address too, by its class, but never equal to one.
    wanted = vip.ip if isinstance(vip, IPv4Interface | IPv6Interface) else vip
    return any(held.address.ip == wanted for held in addresses)
