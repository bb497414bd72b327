"""A shell whose directors live in memory: the same argv in, the tools' text out; a contract suite keeps it honest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from bot.adapters.shell.fabric_shell import quoted, through_sudo
from bot.domain.fleet import Cluster, Director, Forwarding, Protocol, VirtualService
from bot.domain.observed import CommandResult
from bot.flows.ports import OutcomeUnknown, ShellError, Unreachable

FORWARD_WORDS = {
    Forwarding.MASQUERADING: ("-m", "Masq"),
    Forwarding.DIRECT_ROUTING: ("-g", "Route"),
    Forwarding.TUNNELLING: ("-i", "Tunnel"),
}
SERVICE_OPTIONS = {Protocol.TCP: "-t", Protocol.UDP: "-u", Protocol.SCTP: "--sctp-service"}
PROTOCOL_WORDS = {"-t": "TCP", "-u": "UDP", "--sctp-service": "SCTP", "-f": "FWM"}


@dataclass(slots=True, kw_only=True)
class FakeDestination:
    """One real server in a table; tests move its connections by hand."""

    forward: str
    weight: int
    active: int = 0
    inactive: int = 0
    upper: int = 0
    lower: int = 0


@dataclass(slots=True, kw_only=True)
class FakeService:
    """One virtual service in a table, its destinations by ``address:port``."""

    scheduler: str
    destinations: dict[str, FakeDestination] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a program left behind."""

    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0


@dataclass(slots=True, kw_only=True)
class FakeProcess:
    """A process as ps(1) shows it: its parent's pid, its state (``Ss``, ``T``, ``Z``) and its name."""

    parent: int
    state: str
    name: str


@dataclass(slots=True, kw_only=True)
class FakeRule:
    """The SNAT rule of a director and what it has counted."""

    virtual: str
    source: str
    packets: int = 0
    bytes: int = 0


Program = Callable[["FakeHost", tuple[str, ...]], Awaitable[Reply]]


@dataclass(slots=True, kw_only=True)
class FakeHost:
    """One director. ``services`` is its IPVS table, keyed by option and address (``("-t", "10.100.5.11:80")``).

    ``processes`` is by pid, ``sysctls`` what /proc/sys has, ``untracked`` the
    addresses that conntrack is kept from while they are elsewhere, ``shows_table`` whether /proc has the table.
    ``behind_s`` is how far its clock is behind (FakeShell's).

    Faults: ``refuses`` is raised instead of running anything; ``loses_answers`` runs the command and then loses its
    answer; ``loses_commands`` loses the command on its way; ``hangs`` answers nothing until the deadline.
    """

    services: dict[tuple[str, str], FakeService] = field(default_factory=dict)
    addresses: dict[str, list[str]] = field(default_factory=dict)
    unit: dict[str, str] = field(default_factory=dict)
    processes: dict[int, FakeProcess] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    snat: FakeRule | None = None
    untracked: list[str] = field(default_factory=list)
    shows_table: bool = True
    behind_s: float = 0.0
    refuses: type[ShellError] | None = None
    loses_answers: bool = False
    loses_commands: bool = False
    hangs: bool = False
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def destination(self, service: VirtualService, address: str) -> FakeDestination:
        """The destination at *address* (``10.100.0.11:80``) behind *service*; raises KeyError."""
        return self.services[_service_words(service)].destinations[address]


def _service_words(service: VirtualService) -> tuple[str, str]:
    if service.fwmark is not None:
        return "-f", str(service.fwmark)
    assert service.protocol is not None
    return SERVICE_OPTIONS[service.protocol], _endpoint(str(service.address), service.port)


def _endpoint(address: str, port: int | None) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def host_of(cluster: Cluster, director: Director, *, master: bool) -> FakeHost:
    """*director* as keepalived sets it up; a *master* holds every virtual address."""
    host = FakeHost()
    for service in cluster.services:
        table = host.services[_service_words(service)] = FakeService(scheduler=service.scheduler)
        for member in service.members:
            at = _endpoint(str(cluster.real_server(member.real_server).address), member.port)
            forward = FORWARD_WORDS[service.forwarding][1]
            table.destinations[at] = FakeDestination(forward=forward, weight=member.weight)
    held = [str(a) for vrrp in cluster.vrrp_instances for a in vrrp.virtual_addresses] if master else []
    host.addresses = {"lo": ["127.0.0.1/8"], director.interface: [f"{director.address}/21", *held]}
    host.unit = {
        "Id": "keepalived.service",
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
        "Result": "success",
        "MainPID": "612",
    }
    host.processes = {
        612: FakeProcess(parent=1, state="Ss", name="keepalived"),
        613: FakeProcess(parent=612, state="S", name="keepalived_lvs"),
        614: FakeProcess(parent=612, state="S", name="keepalived_vrrp"),
    }
    host.sysctls = {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.vs.conntrack": "1",
        "kernel.random.boot_id": f"00000000-0000-4000-8000-{int(director.address) % 16**12:012x}",
    }
    if cluster.snat is not None:
        host.snat = FakeRule(virtual=str(cluster.snat.vaddr), source=str(director.address))
        host.untracked = [str(address) for address in cluster.snat_addresses]
    return host


class FakeShell:
    """Implements ``RemoteShell`` over :class:`FakeHost`; ``hosts`` by director name, ``programs`` by argv[0].

    *now* is the clock that the directors' clocks follow; without one they have no ``date``.
    """

    def __init__(self, hosts: Mapping[str, FakeHost], now: Callable[[], datetime] | None = None) -> None:
        self.hosts = dict(hosts)
        self.patience = 0.1
        self.programs: dict[str, Program] = {
            "ipvsadm": ipvsadm,
            "systemctl": systemctl,
            "ip": ip,
            "cat": cat,
            "ps": ps,
            "/sbin/sysctl": sysctl,
            "iptables": iptables,
            "ip6tables": iptables,
        }
        if now is not None:
            self.programs["date"] = _date(now)
        self._locks: dict[str, asyncio.Lock] = {}

    @classmethod
    def of(cls, cluster: Cluster, now: Callable[[], datetime] | None = None) -> FakeShell:
        """The whole *cluster* as it is when all is well."""
        master = cluster.vrrp_instances[0].preferred
        return cls({d.name: host_of(cluster, d, master=d.name == master) for d in cluster.directors}, now)

    async def run(
        self,
        director: Director,
        argv: Sequence[str],
        *,
        deadline: float = 10.0,
        sudo: bool = False,
        user: str | None = None,
    ) -> CommandResult:
        """As ``RemoteShell.run``."""
        full = through_sudo(argv, user) if sudo else tuple(argv)
        results: list[CommandResult] = []
        try:
            await self._run(director, [full], results, deadline)
        except TimeoutError as error:
            raise _unknown(director, full, deadline) from error
        return results[0]

    async def ask(
        self, director: Director, commands: Sequence[Sequence[str]], *, deadline: float = 10.0
    ) -> tuple[CommandResult, ...]:
        """As ``RemoteShell.ask``."""
        results: list[CommandResult] = []
        try:
            await self._run(director, [tuple(argv) for argv in commands], results, deadline)
        except TimeoutError as error:
            if not results:
                raise _unknown(director, tuple(commands[0]), deadline) from error
        return tuple(results)

    async def _run(
        self, director: Director, commands: Sequence[tuple[str, ...]], results: list[CommandResult], deadline: float
    ) -> None:
        """Run *commands* one after the other and put what they leave behind into *results*. Raises TimeoutError."""
        for full in commands:
            quoted(full)
        full = commands[0]
        host = self.hosts.get(director.name)
        if host is None:
            raise Unreachable(director.name, full, f"no SSH connection to {director.address}: no route to host")
        if host.refuses is not None:
            raise host.refuses(director.name, full, "as the test wishes")
        async with asyncio.timeout(deadline):
            for full in commands:
                if host.hangs or host.loses_commands:
                    await self._lose(host)
                reply = await self._execute(host, full)
                if host.loses_answers:
                    raise TimeoutError
                results.append(
                    CommandResult(
                        director=director.name,
                        argv=full,
                        exit_status=reply.exit_status,
                        stdout=reply.stdout,
                        stderr=reply.stderr,
                        duration_s=0.003,
                    )
                )

    async def _lose(self, host: FakeHost) -> None:
        if host.hangs:
            await asyncio.Event().wait()
        raise TimeoutError

    async def _execute(self, host: FakeHost, argv: tuple[str, ...]) -> Reply:
        as_user = argv[:3] == ("sudo", "-n", "-u")
        root = argv[:2] == ("sudo", "-n") and not as_user
        command = argv[4:] if as_user else argv[2:] if root else argv
        program = self.programs.get(command[0])
        host.ran.append(command)
        if program is None:
            return Reply(stderr=f"bash: line 1: {command[0]}: command not found\n", exit_status=127)
        if program is ipvsadm and not root:
            return Reply(stderr="Can't initialize ipvs: Permission denied (you must be root)\n", exit_status=255)
        if program is iptables and not root:
            said = "Could not fetch rule set generation id: Permission denied (you must be root)"
            return Reply(stderr=f"{command[0]} v1.8.9 (nf_tables): {said}\n", exit_status=4)
        return await program(host, command)

    @asynccontextmanager
    async def changing(self, director: Director) -> AsyncIterator[None]:
        """As ``RemoteShell.changing``."""
        async with self._locks.setdefault(director.name, asyncio.Lock()):
            yield

    async def close(self) -> None:
        """Nothing is open."""


def _unknown(director: Director, argv: tuple[str, ...], deadline: float) -> OutcomeUnknown:
    return OutcomeUnknown(
        director.name, argv, f"`{quoted(argv)}` was sent, but no answer came", f"no answer within {deadline:g} s"
    )


async def ipvsadm(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    """ipvsadm 1.31: ``-Ln`` and ``-e SERVICE -r DESTINATION FORWARDING -w WEIGHT``."""
    match argv[1:]:
        case ("-Ln",):
            return Reply(stdout=_listing(host))
        case ("-Ln", "--thresholds"):
            return Reply(stdout=_thresholds(host))
        case ("-e", option, service, "-r", destination, forward, "-w", weight, *kept):
            return _edit(host, (option, service), destination, forward, weight, kept)
        case _:
            return Reply(stderr=f"ipvsadm: the fake does not know {argv[1:]}\n", exit_status=2)


def _listing(host: FakeHost) -> str:
    lines = [
        "IP Virtual Server version 1.2.1 (size=4096)",
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
    ]
    for (option, address), service in sorted(host.services.items()):
        lines.append(f"{PROTOCOL_WORDS[option]:<4} {address} {service.scheduler}")
        lines += [
            f"  -> {at:<28} {d.forward:<7} {d.weight:<6} {d.active:<10} {d.inactive:<10}"
            for at, d in sorted(service.destinations.items())
        ]
    return "\n".join(lines) + "\n"


KERNEL_WORDS = {"-t": "TCP", "-u": "UDP", "--sctp-service": "SCTP"}


async def cat(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    """``cat /proc/net/ip_vs``; no other file is there."""
    if argv[1:] != ("/proc/net/ip_vs",) or not host.shows_table:
        return Reply(stderr=f"cat: {argv[1]}: No such file or directory\n", exit_status=1)
    lines = [
        "IP Virtual Server version 1.2.1 (size=4096)",
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn",
    ]
    for (option, address), service in sorted(host.services.items()):
        at = f"FWM  {int(address):08X}" if option == "-f" else f"{KERNEL_WORDS[option]}  {_in_hex(address)}"
        lines.append(f"{at} {service.scheduler} ")
        lines += [
            f"  -> {_in_hex(at)}      {d.forward:<7} {d.weight:<6} {d.active:<10} {d.inactive:<10}"
            for at, d in sorted(service.destinations.items())
        ]
    return Reply(stdout="\n".join(lines) + "\n")


def _in_hex(at: str) -> str:
    address, _, port = at.rpartition(":")
    found = ip_address(address.strip("[]"))
    return f"[{found.exploded}]:{int(port):04X}" if found.version == 6 else f"{int(found):08X}:{int(port):04X}"


def _thresholds(host: FakeHost) -> str:
    lines = [
        "IP Virtual Server version 1.2.1 (size=4096)",
        "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn ",
        "  -> RemoteAddress:Port",
    ]
    for (option, address), service in sorted(host.services.items()):
        lines.append(f"{PROTOCOL_WORDS[option]:<4} {address} {service.scheduler}")
        lines += [
            f"  -> {at:<28} {d.upper:<10} {d.lower:<10} {d.active:<10} {d.inactive:<10}"
            for at, d in sorted(service.destinations.items())
        ]
    return "\n".join(lines) + "\n"


def _edit(
    host: FakeHost, key: tuple[str, str], destination: str, forward: str, weight: str, kept: Sequence[str]
) -> Reply:
    service = host.services.get(key)
    if service is None:
        return Reply(stderr="Service not defined\n", exit_status=255)
    found = service.destinations.get(destination)
    if found is None:
        return Reply(stderr="No such destination\n", exit_status=255)
    found.forward = dict(FORWARD_WORDS.values())[forward]
    found.weight = int(weight)
    # As the kernel does: what an edit does not name goes back to its default.
    words = dict(zip(kept[::2], kept[1::2], strict=True))
    found.upper, found.lower = int(words.get("-x", 0)), int(words.get("-y", 0))
    return Reply()


async def systemctl(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    """``systemctl show UNIT --property=A,B``: the properties in systemd's own order, as it prints them."""
    asked = next((word.removeprefix("--property=").split(",") for word in argv if word.startswith("--property=")), None)
    known = host.unit.items()
    return Reply(stdout="".join(f"{name}={value}\n" for name, value in known if asked is None or name in asked))


async def ip(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    """``ip -j addr show``."""
    links = [
        {
            "ifindex": number,
            "ifname": name,
            "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
            "mtu": 1500,
            "operstate": "UP",
            "link_type": "ether",
            "addr_info": [
                {
                    "family": "inet6" if ":" in address else "inet",
                    "local": address.partition("/")[0],
                    "prefixlen": int(address.partition("/")[2]),
                    "scope": "global",
                }
                for address in addresses
            ],
        }
        for number, (name, addresses) in enumerate(host.addresses.items(), 1)
    ]
    return Reply(stdout=json.dumps(links))


async def ps(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    """``ps -C NAME,NAME -o pid=,ppid=,stat=,comm=``: procps-ng says nothing and exits with 1 where it finds none."""
    asked = argv[argv.index("-C") + 1].split(",")
    found = [(pid, process) for pid, process in sorted(host.processes.items()) if process.name in asked]
    lines = [f"{pid:>7} {process.parent:>7} {process.state:<4} {process.name}\n" for pid, process in found]
    return Reply(stdout="".join(lines), exit_status=0 if found else 1)


async def sysctl(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    """``sysctl -e KEY…``: keys that do not exist are passed over."""
    return Reply(stdout="".join(f"{key} = {host.sysctls[key]}\n" for key in argv[2:] if key in host.sysctls))


async def iptables(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    """``iptables -t TABLE -S CHAIN -v``: the policy, then the rules with their counters before the target."""
    if "raw" in argv:
        elsewhere = [
            f"-A PREROUTING -d {ip_network(address)} -m addrtype ! --dst-type LOCAL -c 0 0 -j CT --notrack"
            for address in host.untracked
        ]
        return Reply(stdout="\n".join(["-P PREROUTING ACCEPT -c 0 0", *elsewhere]) + "\n")
    lines = ["-P POSTROUTING ACCEPT -c 0 0"]
    if (rule := host.snat) is not None:
        matches = f"-m ipvs --vaddr {rule.virtual} -c {rule.packets} {rule.bytes}"
        lines.append(f"-A POSTROUTING {matches} -j SNAT --to-source {rule.source}")
    return Reply(stdout="\n".join(lines) + "\n")


def _date(now: Callable[[], datetime]) -> Program:
    async def date(host: FakeHost, argv: tuple[str, ...]) -> Reply:
        """``date +%s.%N``."""
        theirs = now() - timedelta(seconds=host.behind_s)
        return Reply(stdout=f"{int(theirs.timestamp())}.{theirs.microsecond:06d}000\n")

    return date
