"""The table itself: ``ipvsadm -Ln``, the same with ``--tun-info``, and the thresholds."""

from __future__ import annotations

import re
from dataclasses import replace

from bot.domain.fleet import Address, Forwarding
from bot.domain.observed import IpvsDestination, IpvsService, IpvsTable
from bot.lvs.ipvsadm.listing import SERVICE, body, flags_in, grouped, key_in, netmask_in
from bot.lvs.lines import Line

PLAIN = ("Prot LocalAddress:Port Scheduler Flags", "-> RemoteAddress:Port Forward Weight ActiveConn InActConn")
TUNNELS = (PLAIN[0], "-> RemoteAddress:Port Forward TunnelInfo Weight ActiveConn InActConn")
THRESHOLDS = ("Prot LocalAddress:Port Uthreshold Lthreshold ActiveConn InActConn", "-> RemoteAddress:Port")

SERVICE_LINE = re.compile(
    SERVICE + r" (?P<scheduler>[^\s()]+)"
    r"(?: \((?P<flags>[^\s()]*)\))?"
    r"(?: persistent (?P<timeout>[0-9]+)(?: mask (?P<mask>\S+))?(?: pe (?P<engine>\S+))?)?"
    r"(?P<ops> ops)?",
    re.ASCII,
)
COUNTS = r" +(?P<weight>[0-9]+) +(?P<active>[0-9]+) +(?P<inactive>[0-9]+)"
FORWARD = r"  -> (?P<at>\S+) +(?P<forward>Masq|Route|Tunnel|Local)"
TUNNEL = r"(?P<type>ipip|gue|gre)(?::(?P<port>[0-9]+))?(?::(?P<checksum>-c|\+c|r\+c))?"
PLAIN_LINE = re.compile(FORWARD + COUNTS, re.ASCII)
TUNNEL_LINE = re.compile(FORWARD + r" +(?:n/a|" + TUNNEL + ")" + COUNTS, re.ASCII)
THRESHOLD_LINE = re.compile(r"  -> (?P<at>\S+) +(?P<upper>[0-9]+) +(?P<lower>[0-9]+) +[0-9]+ +[0-9]+", re.ASCII)
BARE_SERVICE_LINE = re.compile(SERVICE + r" .*", re.ASCII)

FORWARDING = {
    "Masq": Forwarding.MASQUERADING,
    "Route": Forwarding.DIRECT_ROUTING,
    "Tunnel": Forwarding.TUNNELLING,
    "Local": Forwarding.LOCAL,
}
CHECKSUMS = {"-c": "nocsum", "+c": "csum", "r+c": "remcsum"}
COUNT = 2**32 - 1


def parse_table(text: str) -> IpvsTable:
    """What ``ipvsadm -Ln`` (with or without ``--tun-info``) printed. Raises Unreadable.

    A listing can be *torn*: while keepalived takes services away and adds them again, a service is shown without its
    destinations. That reads well and is true of its moment; whoever alarms on it looks a second time first.
    """
    form, lines = body(text, PLAIN, TUNNELS)
    pattern = (PLAIN_LINE, TUNNEL_LINE)[form]
    return IpvsTable(
        services=tuple(
            _service(first, tuple(_destination(line, pattern) for line in rest)) for first, rest in grouped(lines)
        )
    )


def _service(line: Line, destinations: tuple[IpvsDestination, ...]) -> IpvsService:
    match = line.matched(SERVICE_LINE, "a virtual service")
    key = key_in(line, match)
    return IpvsService(
        key=key,
        scheduler=match["scheduler"],
        scheduler_flags=flags_in(match["flags"]),
        persistence_timeout=None if match["timeout"] is None else line.whole(match["timeout"], "timeout", COUNT),
        persistence_netmask=netmask_in(line, match["mask"], key.family),
        persistence_engine=match["engine"],
        one_packet=match["ops"] is not None,
        destinations=destinations,
    )


def _destination(line: Line, pattern: re.Pattern[str]) -> IpvsDestination:
    match = line.matched(pattern, "a destination (address:port, forwarding, weight, connections)")
    address, port = line.endpoint(match["at"])
    tunnel = match.groupdict()
    return IpvsDestination(
        address=address,
        port=port,
        forwarding=FORWARDING[match["forward"]],
        weight=line.whole(match["weight"], "weight", 2**31 - 1),
        active=line.whole(match["active"], "count of connections", COUNT),
        inactive=line.whole(match["inactive"], "count of connections", COUNT),
        tunnel_type=tunnel.get("type"),
        tunnel_port=line.whole(tunnel["port"], "port", 65535) if tunnel.get("port") else None,
        tunnel_checksum=CHECKSUMS[tunnel["checksum"]] if tunnel.get("checksum") else None,
    )


def parse_thresholds(text: str, table: IpvsTable) -> IpvsTable:
    """*table* with the thresholds that ``ipvsadm -Ln --thresholds`` printed (0: none). Raises Unreadable.

    What the listing has and *table* has not is left out, and the other way round: they were read one after the other.
    """
    _, lines = body(text, THRESHOLDS)
    found: dict[tuple[object, Address, int], tuple[int, int]] = {}
    for first, rest in grouped(lines):
        key = key_in(first, first.matched(BARE_SERVICE_LINE, "a virtual service"))
        for line in rest:
            match = line.matched(THRESHOLD_LINE, "a destination (address:port, thresholds, connections)")
            upper, lower = (line.whole(match[side], "threshold", COUNT) for side in ("upper", "lower"))
            found[key, *line.endpoint(match["at"])] = (upper, lower)

    def known(service: IpvsService, destination: IpvsDestination) -> IpvsDestination:
        upper, lower = found.get((service.key, destination.address, destination.port), (None, None))
        return replace(destination, upper_threshold=upper, lower_threshold=lower)

    return IpvsTable(
        services=tuple(
            replace(service, destinations=tuple(known(service, d) for d in service.destinations))
            for service in table.services
        )
    )
