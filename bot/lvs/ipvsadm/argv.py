"""The ipvsadm commands that the bot runs, each as an argv list. sudoers allows exactly these, word by word."""

from __future__ import annotations

from bot.domain.fleet import Address, Forwarding, Protocol
from bot.domain.observed import IpvsDestination, ServiceKey

SERVICE_OPTIONS = {Protocol.TCP: "-t", Protocol.UDP: "-u", Protocol.SCTP: "--sctp-service"}
# ipvsadm has no word for LOCAL: the kernel decides it by itself, and `-S` prints it as -g (ipvsadm.c, fwd_switch).
FORWARDING_OPTIONS = {
    Forwarding.MASQUERADING: "-m",
    Forwarding.DIRECT_ROUTING: "-g",
    Forwarding.TUNNELLING: "-i",
    Forwarding.LOCAL: "-g",
}
HIGHEST_WEIGHT = 2**31 - 1  # what the kernel holds; Debian's ipvsadm takes more than the 65535 of its man page


def list_table() -> tuple[str, ...]:
    """Services, destinations, weights and connections. ``-n``: names take long to look up and cut the ports off."""
    return ("ipvsadm", "-Ln")


def list_tunnels() -> tuple[str, ...]:
    """The same with the type and port of each tunnel (ipvsadm 1.31 and later): parse_table reads it too."""
    return ("ipvsadm", "-Ln", "--tun-info")


def list_thresholds() -> tuple[str, ...]:
    """Each destination's connection thresholds, which no other listing shows."""
    return ("ipvsadm", "-Ln", "--thresholds")


def list_stats() -> tuple[str, ...]:
    """Traffic counters, unrounded."""
    return ("ipvsadm", "-Ln", "--stats", "--exact")


def list_rate() -> tuple[str, ...]:
    """Traffic per second, unrounded: without ``--exact`` a rate above 100 million loses its last digits."""
    return ("ipvsadm", "-Ln", "--rate", "--exact")


def list_connections() -> tuple[str, ...]:
    """Every connection and persistence template."""
    return ("ipvsadm", "-Lnc")


def save() -> tuple[str, ...]:
    """The table as the commands that would build it (without thresholds)."""
    return ("ipvsadm", "-Sn")


def set_weight(key: ServiceKey, destination: IpvsDestination, weight: int) -> tuple[str, ...]:
    """Give *destination*, behind the service *key*, another *weight* (0: no new connections).

    An edit replaces *all* that the kernel holds of the destination: what is left out goes back to its default (the
    kernel's ip_vs_ctl.c, __ip_vs_update_dest). So the forwarding method always goes along, and so do thresholds and a
    tunnel's type where *destination* has them: read parse_thresholds and list_tunnels before you edit such a one.

    Raises ValueError for a weight that ipvsadm refuses.
    """
    if not 0 <= weight <= HIGHEST_WEIGHT:
        raise ValueError(f"a weight is 0 to {HIGHEST_WEIGHT}, not {weight}")
    return (
        *("ipvsadm", "-e", *service_words(key)),
        *("-r", endpoint(destination.address, destination.port)),
        *(FORWARDING_OPTIONS[destination.forwarding], "-w", str(weight)),
        *_threshold_words(destination),
        *_tunnel_words(destination),
    )


def service_words(key: ServiceKey) -> tuple[str, ...]:
    """The words that name a service. Raises ValueError for a key that names nothing in the kernel."""
    if key.fwmark is not None:
        return ("-f", str(key.fwmark), *(("-6",) if key.family == 6 else ()))
    if key.protocol is None or key.address is None or key.port is None:
        raise ValueError(f"{key} names no service of the kernel: it lacks protocol, address or port")
    return (SERVICE_OPTIONS[key.protocol], endpoint(key.address, key.port))


def endpoint(address: Address, port: int) -> str:
    """``10.0.0.1:80``, or ``[2001:db8::1]:80``."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _threshold_words(destination: IpvsDestination) -> tuple[str, ...]:
    upper, lower = destination.upper_threshold or 0, destination.lower_threshold or 0
    return ("-x", str(upper), "-y", str(lower)) if upper or lower else ()


def _tunnel_words(destination: IpvsDestination) -> tuple[str, ...]:
    words: list[str] = []
    if destination.tunnel_type is not None and destination.tunnel_type != "ipip":
        words += ["--tun-type", destination.tunnel_type]
    if destination.tunnel_port is not None:
        words += ["--tun-port", str(destination.tunnel_port)]
    if destination.tunnel_checksum is not None:
        words.append(f"--tun-{destination.tunnel_checksum}")
    return tuple(words)
