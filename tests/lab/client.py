"""Clients of the site, all of them inside the lab's own namespace ``ops``, and waiting for what must come."""

from __future__ import annotations

import shlex
import socket
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import dns.message
import dns.query

from bot.domain.observed import IpvsTable, destination_of
from bot.local.lab import network
from bot.local.lab.lab import Lab
from bot.lvs import iptables
from bot.lvs.iproute import parse_addresses
from bot.lvs.ipvsadm import list_connections, parse_connections, parse_table

VIP = "10.100.5.11"
EVERYBODY = {"web1": 1, "web2": 1}  # each real server at its configured weight

T = TypeVar("T")


def eventually(look: Callable[[], T], *, within: float = 60.0) -> T:
    """The first true thing that *look* gives; fails with the last one after *within* seconds."""
    end = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < end, f"still {seen!r} after {within:g} s"
        time.sleep(0.2)
    return seen


def served_by(lab: Lab, address: str = VIP) -> str | None:
    """The real server that answers an HTTP request to *address* on a new connection; None if nobody does."""
    try:
        with lab.connect_in_ops(address, 80, 2.0) as channel:
            channel.sendall(b"GET / HTTP/1.0\r\nHost: www.site.test\r\n\r\n")
            answer = b"".join(iter(lambda: channel.recv(4096), b""))
    except OSError:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode().strip() if head.startswith(b"HTTP/1.1 200") else None


def resolved(lab: Lab, name: str, kind: str, *, tcp: bool, address: str = VIP) -> str:
    """What the name server behind *address* says of *name*."""

    def ask() -> str:
        query = dns.message.make_query(name, kind)
        answer = dns.query.tcp(query, address, timeout=5) if tcp else dns.query.udp(query, address, timeout=5)
        return str(answer.answer[0][0].to_text()).strip('"')

    return network.inside(lab.places.ops, ask)


def holders(lab: Lab) -> list[str]:
    """The running directors on which the VIP stands."""
    found = []
    for name, state in lab.status().hosts:
        if state == "running":
            addresses = parse_addresses(lab.exec(name, ["ip", "-j", "addr"], timeout=60).stdout)
            if any(str(held.address.ip) == VIP for held in addresses):
                found.append(name)
    return found


def table_of(lab: Lab, director: str) -> IpvsTable:
    """The kernel's table on *director*."""
    return parse_table(lab.exec(director, ["ipvsadm", "-Ln"], timeout=60).stdout)


def behind(lab: Lab, director: str, service: str) -> dict[str, int]:
    """The real servers that *director*'s kernel has behind *service*, with their weights."""
    cluster, table = lab.site.cluster, table_of(lab, director)
    found = {}
    for server in cluster.real_servers:
        destination = destination_of(table, cluster.service(service), server)
        if destination is not None:
            found[server.name] = destination.weight
    return found


def destination(lab: Lab, director: str, channel: socket.socket) -> str | None:
    """The address that *director*'s kernel forwards the connection *channel* to; None if it does not know it."""
    client, port = channel.getsockname()[:2]
    listed = parse_connections(said(lab, director, *list_connections()))
    mine = [c for c in listed if c.protocol == "TCP" and (str(c.client), c.client_port) == (client, port)]
    return str(mine[0].destination) if mine else None


def said(lab: Lab, host: str, *argv: str) -> str:
    """What root gets for *argv* on *host*, which must succeed."""
    done = lab.exec(host, argv, timeout=60)
    assert done.returncode == 0, f"{host}: {shlex.join(argv)}: {done.stderr}"
    return done.stdout


def as_the_bot(lab: Lab, director: str, *commands: Sequence[str]) -> list[tuple[int, str]]:
    """For each of *commands*, the exit status and the words that the bot's own account gets for it through sudo."""
    script = "\n".join(
        f"{{ said=$(runuser -u lvsbot -- sudo -n {shlex.join(command)} 2>&1); echo $? $said; }}" for command in commands
    )
    lines = said(lab, director, "sh", "-c", script).splitlines()
    return [(int(line.split(maxsplit=1)[0]), line.partition(" ")[2]) for line in lines]


def snat_packets(lab: Lab, director: str) -> int:
    """How many packets met *director*'s SNAT rule, which must be the one of the site."""
    [rule] = [r for r in iptables.parse_rules(said(lab, director, *iptables.list_postrouting())) if r.virtual_network]
    assert rule.source == str(lab.site.cluster.director(director).address)
    return rule.packets
