"""The table as commands: ``ipvsadm -Sn``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.domain.fleet import Forwarding, Protocol
from bot.domain.observed import IpvsDestination, IpvsService, IpvsTable, ServiceKey
from bot.lvs.ipvsadm.listing import TOOL, flags_in, grouped, mark_of, netmask_in
from bot.lvs.lines import Line, lines_of

SERVICE = r"(?:(?P<option>-t|-u|--sctp-service) (?P<at>\S+)|-f (?P<mark>-?[0-9]{1,10})(?P<six> -6)?)"
ADD_SERVICE = re.compile(
    r"-A " + SERVICE + r" -s (?P<scheduler>\S+)"
    r"(?: -p (?P<timeout>[0-9]+)(?: -M (?P<mask>\S+))?)?(?: --pe (?P<engine>\S+))?"
    r"(?P<ops> -o)?(?: -b ?(?P<flags>\S*))?",
    re.ASCII,
)
ADD_SERVER = re.compile(
    r"-a " + SERVICE + r" -r (?P<server>\S+) (?P<forward>-[mgi]) -w (?P<weight>[0-9]+)"
    r"(?: --tun-type (?P<type>ipip|gue|gre)(?: --tun-port (?P<port>[0-9]+))?"
    r"(?: --tun-(?P<checksum>nocsum|csum|remcsum))?)?",
    re.ASCII,
)
PROTOCOLS = {"-t": Protocol.TCP, "-u": Protocol.UDP, "--sctp-service": Protocol.SCTP}
# -g stands for LOCAL too: ipvsadm has no option for it.
FORWARDING = {"-m": Forwarding.MASQUERADING, "-g": Forwarding.DIRECT_ROUTING, "-i": Forwarding.TUNNELLING}


def parse_save(text: str) -> IpvsTable:
    """What ``ipvsadm -Sn`` printed, without connections and thresholds, which it omits. Raises Unreadable.

    An empty text is an empty table: this listing has no heading. Only an exit status of 0 makes that true.
    """
    return IpvsTable(
        services=tuple(_service(first, rest) for first, rest in grouped(lines_of(TOOL, text), destination="-a "))
    )


def _service(line: Line, servers: Sequence[Line]) -> IpvsService:
    match = line.matched(ADD_SERVICE, "an `-A` or `-a` command")
    key = _key(line, match)
    return IpvsService(
        key=key,
        scheduler=match["scheduler"],
        scheduler_flags=flags_in(match["flags"]),
        persistence_timeout=None if match["timeout"] is None else line.whole(match["timeout"], "timeout", 2**32 - 1),
        persistence_netmask=netmask_in(line, match["mask"], key.family),
        persistence_engine=match["engine"],
        one_packet=match["ops"] is not None,
        destinations=tuple(_server(server, key) for server in servers),
    )


def _server(line: Line, service: ServiceKey) -> IpvsDestination:
    match = line.matched(ADD_SERVER, "an `-a` command")
    if _key(line, match) != service:
        raise line.unreadable(f"a server of another service than {service}, which stands above it")
    address, port = line.endpoint(match["server"])
    return IpvsDestination(
        address=address,
        port=port,
        forwarding=FORWARDING[match["forward"]],
        weight=line.whole(match["weight"], "weight", 2**31 - 1),
        tunnel_type=match["type"],
        tunnel_port=None if match["port"] is None else line.whole(match["port"], "port", 65535),
        tunnel_checksum=match["checksum"],
    )


def _key(line: Line, match: re.Match[str]) -> ServiceKey:
    if match["mark"] is not None:
        return ServiceKey(fwmark=mark_of(line, match["mark"]), family=6 if match["six"] else 4)
    address, port = line.endpoint(match["at"])
    return ServiceKey(protocol=PROTOCOLS[match["option"]], address=address, port=port, family=address.version)
