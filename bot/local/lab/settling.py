"""When a site has settled: the preferred directors hold the VIPs, every table is full, and the VIP answers."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bot.domain.observed import destination_of
from bot.local.lab.errors import LabError
from bot.local.lab.site import Site
from bot.lvs.iproute import parse_addresses
from bot.lvs.ipvsadm import parse_table

Connect = Callable[[str, int, float], socket.socket]


class Exec(Protocol):
    """Runs a command on a host of the lab."""

    def __call__(self, host: str, argv: Sequence[str], timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """What the command returned; *timeout* is in seconds."""
        ...


def settle(site: Site, execute: Exec, connect: Connect, *, deadline: float) -> None:
    """Wait until *site* has settled. Raises LabError, with what is still missing, after *deadline* seconds."""
    _until(lambda: unsettled(site, execute), deadline)
    vip_answers(site, connect, deadline=deadline)


def unsettled(site: Site, execute: Exec) -> str:
    """What is still missing, in words; empty when the directors have settled."""
    for director in site.cluster.directors:
        held = {address.address.ip for address in parse_addresses(execute(director.name, ["ip", "-j", "addr"]).stdout)}
        for instance in site.cluster.vrrp_instances:
            vips = {vip.ip for vip in instance.virtual_addresses}
            if instance.preferred == director.name and not vips <= held:
                return f"{director.name} does not hold the VIP of {instance.name} yet"
            if instance.preferred != director.name and vips & held:
                return f"{director.name} holds the VIP of {instance.name}, but should not"
        table = parse_table(execute(director.name, ["ipvsadm", "-Ln"]).stdout)
        for service in site.cluster.services:
            for member in service.members:
                if destination_of(table, service, site.cluster.real_server(member.real_server)) is None:
                    return f"{director.name} has {member.real_server} not behind {service.name} yet"
        for unit in ("keepalived.service", "lvs-agent.service"):
            if execute(director.name, ["systemctl", "is-active", unit]).returncode != 0:
                return f"{director.name}: {unit} is not active"
    return ""


def vip_answers(site: Site, connect: Connect, *, deadline: float) -> None:
    """Wait until a client gets an answer from the VIP. Raises LabError after *deadline* seconds."""
    address = str(site.service_on(80).address)

    def silent() -> str:
        try:
            with connect(address, 80, 1.0) as channel:
                channel.sendall(b"GET / HTTP/1.0\r\nHost: lab\r\n\r\n")
                return "" if channel.recv(64).startswith(b"HTTP/1.1 200") else f"{address}:80 does not answer 200"
        except OSError as error:
            return f"{address}:80 does not answer ({error})"

    _until(silent, deadline)


def _until(missing: Callable[[], str], deadline: float) -> None:
    end = time.monotonic() + deadline
    while problem := missing():
        if time.monotonic() > end:
            raise LabError(f"the site has not settled after {deadline:g} s: {problem}")
        time.sleep(0.1)
