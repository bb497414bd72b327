"""The tools' own print formats, from values: kept honest by printing every capture again, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from bot.domain.events import QuorumChanged, RealServerChanged, VrrpStateChanged
from bot.domain.fleet import Address, Forwarding, Protocol
from bot.domain.observed import (
    CountedTable,
    Counters,
    IpvsConnection,
    IpvsDestination,
    IpvsService,
    IpvsTable,
    ServiceKey,
)

VERSION = "IP Virtual Server version 1.2.1 (size=4096)\n"
FORWARD = {
    Forwarding.MASQUERADING: ("Masq", "-m"),
    Forwarding.DIRECT_ROUTING: ("Route", "-g"),
    Forwarding.TUNNELLING: ("Tunnel", "-i"),
    Forwarding.LOCAL: ("Local", "-g"),
}
OPTION = {Protocol.TCP: "-t", Protocol.UDP: "-u", Protocol.SCTP: "--sctp-service"}
CHECKSUM = {"nocsum": "-c", "csum": "+c", "remcsum": "r+c"}
STATS = ("Conns", "InPkts", "OutPkts", "InBytes", "OutBytes")
RATE = ("CPS", "InPPS", "OutPPS", "InBPS", "OutBPS")


def at(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def signed(mark: int) -> int:
    return mark - 2**32 if mark >= 2**31 else mark


def listed(key: ServiceKey) -> str:
    """The words that a listing names a service with."""
    if key.fwmark is not None:
        return f"FWM  {signed(key.fwmark)}" + (" IPv6" if key.family == 6 else "")
    assert key.protocol is not None and key.address is not None and key.port is not None
    return f"{key.protocol.upper():<4} {at(key.address, key.port)}"


def service_line(service: IpvsService) -> str:
    words = [listed(service.key), service.scheduler]
    if service.scheduler_flags:
        words.append(f"({','.join(service.scheduler_flags)})")
    if service.persistence_timeout is not None:
        words.append(f"persistent {service.persistence_timeout}")
        words += [f"mask {service.persistence_netmask}"] if service.persistence_netmask else []
        words += [f"pe {service.persistence_engine}"] if service.persistence_engine else []
    words += ["ops"] if service.one_packet else []
    return " ".join(words) + "\n"


def tunnel_info(destination: IpvsDestination) -> str:
    if destination.tunnel_type is None:
        return "n/a"
    words = [destination.tunnel_type]
    words += [str(destination.tunnel_port)] if destination.tunnel_port is not None else []
    words += [CHECKSUM[destination.tunnel_checksum]] if destination.tunnel_checksum else []
    return ":".join(words)


def print_table(table: IpvsTable, *, tunnels: bool = False) -> str:
    info = " TunnelInfo   " if tunnels else ""
    lines = [VERSION, "Prot LocalAddress:Port Scheduler Flags\n"]
    lines.append(f"  -> RemoteAddress:Port           Forward{info} Weight ActiveConn InActConn\n")
    for service in table.services:
        lines.append(service_line(service))
        for d in service.destinations:
            info = f" {tunnel_info(d):<13}" if tunnels else ""
            forward = f"{FORWARD[d.forwarding][0]:<7}{info}"
            lines.append(f"  -> {at(d.address, d.port):<28} {forward} {d.weight:<6} {d.active:<10} {d.inactive:<10}\n")
    return "".join(lines)


def in_hex(address: Address, port: int) -> str:
    return f"[{address.exploded}]:{port:04X}" if address.version == 6 else f"{int(address):08X}:{port:04X}"


def print_proc(table: IpvsTable) -> str:
    """/proc/net/ip_vs (the kernel's ip_vs_ctl.c, ip_vs_info_seq_show); it tells a timeout in ticks of 4 ms here."""
    lines = [VERSION, "Prot LocalAddress:Port Scheduler Flags\n"]
    lines.append("  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n")
    for service in table.services:
        key, ops = service.key, "ops " if service.one_packet else ""
        if key.fwmark is not None:
            line = f"FWM  {key.fwmark:08X} {service.scheduler} {ops}"
        else:
            assert key.protocol is not None and key.address is not None and key.port is not None
            six = key.address.version == 6  # the kernel forgets to print "ops" there
            line = f"{key.protocol.upper()}  {in_hex(key.address, key.port)} {service.scheduler} "
            line += "" if six else f"{ops} "
        if service.persistence_timeout is not None:
            if key.family == 6:
                mask = int(service.persistence_netmask or 128).to_bytes(4, "little").hex().upper()
            else:
                mask = f"{int(ip_address(service.persistence_netmask or '255.255.255.255')):08X}"
            line += f"persistent {service.persistence_timeout * 250} {mask}"
        lines.append(f"{line}\n")
        lines += [
            f"  -> {in_hex(d.address, d.port)}      {FORWARD[d.forwarding][0]:<7} {d.weight:<6} {d.active:<10} "
            f"{d.inactive:<10}\n"
            for d in service.destinations
        ]
    return "".join(lines)


def print_thresholds(table: IpvsTable) -> str:
    lines = [VERSION, "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n"]
    lines.append("  -> RemoteAddress:Port\n")
    for service in table.services:
        lines.append(service_line(service))
        for d in service.destinations:
            numbers = (d.upper_threshold or 0, d.lower_threshold or 0, d.active, d.inactive)
            lines.append(f"  -> {at(d.address, d.port):<28} " + " ".join(f"{n:<10}" for n in numbers) + "\n")
    return "".join(lines)


def print_save(table: IpvsTable) -> str:
    lines = []
    for service in table.services:
        key = service.key
        if key.fwmark is not None:
            name = f"-f {signed(key.fwmark)}" + (" -6" if key.family == 6 else "")
        else:
            assert key.protocol is not None and key.address is not None and key.port is not None
            name = f"{OPTION[key.protocol]} {at(key.address, key.port)}"
        words = [f"-A {name} -s {service.scheduler}"]
        words += [f"-p {service.persistence_timeout}"] if service.persistence_timeout is not None else []
        words += [f"-M {service.persistence_netmask}"] if service.persistence_netmask else []
        words += [f"--pe {service.persistence_engine}"] if service.persistence_engine else []
        words += ["-o"] if service.one_packet else []
        words += [f"-b {','.join(service.scheduler_flags)}"] if service.scheduler_flags else []
        lines.append(" ".join(words) + "\n")
        for d in service.destinations:
            words = [f"-a {name} -r {at(d.address, d.port)} {FORWARD[d.forwarding][1]} -w {d.weight}"]
            words += [f"--tun-type {d.tunnel_type}"] if d.tunnel_type else []
            words += [f"--tun-port {d.tunnel_port}"] if d.tunnel_port is not None else []
            words += [f"--tun-{d.tunnel_checksum}"] if d.tunnel_checksum else []
            lines.append(" ".join(words) + "\n")
    return "".join(lines)


def exact(numbers: Counters) -> str:
    """As ``--exact`` prints them: right-aligned, and always at least one blank before each."""
    counts = (numbers.connections, numbers.packets_in, numbers.packets_out, numbers.bytes_in, numbers.bytes_out)
    return "".join(f" {n:>8}" for n in counts)


def print_counted(table: CountedTable, titles: tuple[str, ...]) -> str:
    lines = [VERSION, f"{'Prot LocalAddress:Port':<33} " + " ".join(f"{t:>8}" for t in titles) + "\n"]
    lines.append("  -> RemoteAddress:Port\n")
    for key, counters, destinations in table.services:
        lines.append(f"{listed(key):<33}{exact(counters)}\n")
        lines += [f"  -> {at(address, port):<28}{exact(numbers)}\n" for address, port, numbers in destinations]
    return "".join(lines)


def print_connections(connections: Iterable[IpvsConnection]) -> str:
    lines = ["IPVS connection entries\n"]
    lines.append("pro expire state       source             virtual            destination\n")
    for c in connections:
        minutes, seconds = divmod(c.expires_s, 60)
        client, virtual = at(c.client, c.client_port), at(c.virtual, c.virtual_port)
        lines.append(
            f"{c.protocol:<3} {f'{minutes:02}:{seconds:02}':<6} {c.state:<11} {client:<18} {virtual:<18} "
            f"{at(c.destination, c.destination_port)}\n"
        )
    return "".join(lines)


def print_event(event: VrrpStateChanged | RealServerChanged | QuorumChanged, protocol: str = "tcp") -> str:
    """The line that keepalived writes for *event*; *protocol* is the real server's."""
    if isinstance(event, VrrpStateChanged):
        kind = "GROUP" if event.group else "INSTANCE"
        return f'{kind} "{event.instance}" {event.state} {event.priority or 0}\n'
    key = event.service
    if key.fwmark is not None:
        service = f"FWM {key.fwmark}"
    elif key.group is not None:
        service = f"[{key.group}]:{key.port}"
    else:
        service = f"[{key.address}]:{key.protocol}:{key.port}"
    state = "UP" if event.up else "DOWN"
    if isinstance(event, QuorumChanged):
        return f"VS {service} {state}\n"
    return f"RS [{event.address}]:{protocol}:{event.port} {service} {state}\n"
