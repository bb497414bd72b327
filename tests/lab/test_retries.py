"""A client that tries again from the same port: whom an outage turned away, and who was sent to a dead real server."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from bot.local.lab import network
from bot.local.lab.lab import Lab
from bot.lvs import iptables, ipvsadm
from tests.lab.client import VIP, behind, eventually, holders, said

PORTS = range(34001, 34004)
AT_ONCE = struct.pack("ii", 1, 0)  # linger: closed with a reset, so that the port is free again


@contextmanager
def a_try(lab: Lab, port: int, patience: float) -> Iterator[socket.socket]:
    """A connection to the VIP from *port* of a client, still to be made."""
    with network.inside(lab.places.ops, socket.socket) as channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        channel.bind((str(lab.site.ops), port))
        channel.settimeout(patience)
        yield channel


def turned_away(lab: Lab, port: int, patience: float = 3.0) -> bool:
    """Whether a client that asks from *port*, and waits for *patience* seconds, gets no answer."""
    with a_try(lab, port, patience) as channel:
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


def unanswered(lab: Lab, director: str) -> set[int]:
    """The ports of clients whose connection *director*'s kernel knows, and no real server has answered."""
    listed = ipvsadm.parse_connections(said(lab, director, *ipvsadm.list_connections()))
    return {c.client_port for c in listed if c.state == "SYN_RECV"}


def test_who_was_sent_to_a_dead_real_server_is_sent_there_again_from_the_same_port(site: Lab) -> None:
    """Why no two probes come from one port (:mod:`bot.adapters.source_ports`): a VIP that is well would look dead."""
    site.kill("sv2")
    ports = set(range(34101, 34107))
    turned = {port for port in ports if turned_away(site, port, 1.0)}
    eventually(lambda: behind(site, "sv1", "http") == {"web1": 1})
    assert [port for port in range(34201, 34207) if turned_away(site, port)] == []
    before = unanswered(site, "sv1")
    again = {port for port in ports if turned_away(site, port, 1.0)}
    after = unanswered(site, "sv1")
    assert turned & before & after  # the kernel forgets them after a minute
    assert turned & before & after <= again <= turned & before
