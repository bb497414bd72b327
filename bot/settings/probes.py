"""From the probes that a service asks for to one Probe per target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bot.domain.fleet import Address, Probe, ProbeKind, Protocol, RealServer, VirtualService
from bot.settings.fleet_shapes import ProbeShape, ProbesShape
from bot.settings.problems import Key
from bot.settings.reader import Reader

AT_ONCE = 10  # probes of one target that may be under way together: more would say nothing that the first did not


def expand(
    reader: Reader,
    key: Key,
    shape: ProbesShape,
    cluster: str,
    service: VirtualService,
    real_servers: dict[str, RealServer],
) -> Iterator[Probe]:
    """The probes of *service* (``vip:<service>``, ``rs:<service>/<real server>``); what is wrong is reported."""
    if shape.vip is not None:
        at = (*key, "vip")
        address = shape.vip.address or service.address
        if address is None and service.fwmark is not None:
            reader.report(at, "a firewall mark has no address to probe", "`address:` of the VIP, in this probe")
        elif address is not None and (asks := _question(reader, at, shape.vip, service, service.port)):
            yield Probe(
                name=f"vip:{service.name}",
                cluster=cluster,
                service=service.name,
                real_server=None,
                address=address,
                **asks,
            )
    if shape.real_servers is not None:
        yield from _of_each(reader, (*key, "real_servers"), shape.real_servers, cluster, service, real_servers)


def _of_each(
    reader: Reader,
    key: Key,
    shape: ProbeShape,
    cluster: str,
    service: VirtualService,
    real_servers: dict[str, RealServer],
) -> Iterator[Probe]:
    if shape.address is not None:
        reader.report((*key, "address"), "each real server has its own address", "remove it", at_key=True)
    for number, member in enumerate(service.members):
        found = real_servers.get(member.real_server)
        if found is None:
            continue
        port = member.port or service.port
        asks = _question(reader, key, shape, service, port) if number == 0 else _asks(shape, service, port)
        if asks is None:
            return
        address: Address = found.address
        name = f"rs:{service.name}/{found.name}"
        yield Probe(name=name, cluster=cluster, service=service.name, real_server=found.name, address=address, **asks)


def _question(
    reader: Reader, key: Key, shape: ProbeShape, service: VirtualService, port: int | None
) -> dict[str, Any] | None:
    """What the probe asks, once it is found to make sense; None if it does not."""
    kinds = [kind for kind in ProbeKind if getattr(shape, kind.value) is not None]
    if len(kinds) != 1:
        what = f"a probe asks one question, not {len(kinds)}" if kinds else "the probe asks nothing"
        reader.report(key, what, f"exactly one of: {', '.join(ProbeKind)}")
        return None
    kind = kinds[0]
    spoken = service.protocol
    fits = (
        kind is ProbeKind.ICMP or spoken is None or spoken is Protocol.TCP or (kind, spoken) == (ProbeKind.DNS, "udp")
    )
    if not fits:
        instead = "dns or icmp" if spoken is Protocol.UDP else "icmp"
        reader.report((*key, kind.value), f"a {kind} probe cannot ask a {spoken} service", instead, at_key=True)
        return None
    if kind is not ProbeKind.ICMP and not (shape.port or port):
        if service.fwmark is not None:  # the missing port of any other service has been reported there
            reader.report(key, "it is not known which port to probe", "`port:` in this probe")
        return None
    if shape.timeout > AT_ONCE * shape.every:
        reader.report(
            (*key, "timeout"),
            f"with {shape.every:g} s between probes more than {AT_ONCE} would be under way at once",
            f"a timeout of at most {AT_ONCE * shape.every:g}, or a longer `every`",
        )
    if shape.jitter > shape.every / 2:
        reader.report(
            (*key, "jitter"), "probes would overtake each other", f"at most half of `every`: {shape.every / 2:g}"
        )
    return _asks(shape, service, port)


def _asks(shape: ProbeShape, service: VirtualService, port: int | None) -> dict[str, Any]:
    kind = next(kind for kind in ProbeKind if getattr(shape, kind.value) is not None)
    asks: dict[str, Any] = {
        "kind": kind,
        "port": None if kind is ProbeKind.ICMP else shape.port or port,
        "protocol": service.protocol or (Protocol.UDP if kind is ProbeKind.DNS else Protocol.TCP),
        "every": shape.every,
        "timeout": shape.timeout,
        "jitter": shape.jitter,
        "rise": shape.rise,
        "fall": shape.fall,
    }
    if shape.http is not None:
        asks |= {
            "path": shape.http.path,
            "host_header": shape.http.host,
            "expect_status": tuple(shape.http.expect_status),
            "expect_body": shape.http.expect_body,
        }
    if shape.dns is not None:
        asks |= {"query": shape.dns.query, "query_type": shape.dns.type, "expect_answer": shape.dns.expect_answer}
    if shape.tls is not None:
        asks |= {"server_name": shape.tls.server_name, "expiry_days": shape.tls.expiry_days}
    return asks
