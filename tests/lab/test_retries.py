"""A client that tries again: whom an outage turned away is answered once it is over, from whichever port."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from bot.local.lab import network
from bot.local.lab.lab import Lab
from bot.lvs import iptables
from tests.lab.client import VIP, eventually, holders, said

PORTS = range(34001, 34004)
AT_ONCE = struct.pack("ii", 1, 0)  # linger: closed with a reset, so that the port is free again


@contextmanager
def a_try(lab: Lab, port: int) -> Iterator[socket.socket]:
    """A connection to the VIP from *port* of a client, still to be made."""
    with network.inside(lab.places.ops, socket.socket) as channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        channel.bind((str(lab.site.ops), port))
        channel.settimeout(3.0)
        yield channel


def turned_away(lab: Lab, port: int) -> bool:
    """Whether a client that asks from *port*, and waits for three seconds, gets no answer."""
    with a_try(lab, port) as channel:
        return channel.connect_ex((VIP, 80)) != 0


def passed_on(lab: Lab, director: str) -> int:
    """How many packets for the VIP came to *director* while it was elsewhere."""
    rules = iptables.parse_rules(said(lab, director, *iptables.list_prerouting()))
    return sum(rule.packets for rule in rules if rule.target == ("CT", "--notrack"))


def test_who_asked_during_an_outage_is_answered_after_it_from_the_same_port(site: Lab) -> None:
    assert not turned_away(site, PORTS[0])
    before = passed_on(site, "sv1")
    for director in ("sv2", "sv1"):
        said(site, director, "systemctl", "stop", "keepalived")
    assert holders(site) == []
    assert [port for port in PORTS if not turned_away(site, port)] == []
    # They came to sv1, whose hardware address the client still has for the VIP, and sv1 had to make something of them.
    assert passed_on(site, "sv1") >= before + len(PORTS)
    said(site, "sv1", "systemctl", "start", "keepalived")
    eventually(lambda: not turned_away(site, PORTS[-1] + 1))
    assert [port for port in PORTS if turned_away(site, port)] == []
