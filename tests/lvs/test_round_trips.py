"""Anything that the tools can say is read as it was meant; anything else is Unreadable and never another error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.events import QuorumChanged, RealServerChanged, VrrpState, VrrpStateChanged
from bot.domain.fleet import Forwarding, Protocol
from bot.domain.observed import (
    CountedTable,
    Counters,
    IpvsConnection,
    IpvsDestination,
    IpvsService,
    IpvsTable,
    ServiceKey,
)
from bot.lvs import iproute, ipvsadm, procfs, systemd
from bot.lvs.date import parse_now
from bot.lvs.errors import Unreadable
from bot.lvs.iptables import parse_rules
from bot.lvs.keepalived import read_event
from bot.lvs.processes import parse_processes
from bot.lvs.sysctl import parse_values
from tests.lvs import printing
from tests.lvs.captured import captured, captures

# A busy machine makes a test slow, not wrong.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
COUNT = st.integers(0, 2**32 - 1)
PORT = st.integers(0, 65535)
ADDRESS = st.ip_addresses()
WORD = st.text("abcdefghijklmnopqrstuvwxyz-_0123456789", min_size=1, max_size=15)
FLAGS = st.lists(st.sampled_from(["flag-1", "flag-2", "sh-port", "mh-fallback"]), max_size=3, unique=True).map(tuple)

addressed = st.builds(
    lambda protocol, address, port: ServiceKey(protocol=protocol, address=address, port=port, family=address.version),
    st.sampled_from(Protocol),
    ADDRESS,
    PORT,
)
marked = st.builds(ServiceKey, fwmark=st.integers(1, 2**32 - 1), family=st.sampled_from([4, 6]))
keys = addressed | marked


@st.composite
def destinations(draw: st.DrawFn) -> IpvsDestination:
    """A destination with everything that any listing shows."""
    forwarding = draw(st.sampled_from(Forwarding))
    tunnel: tuple[str | None, int | None, str | None] = (None, None, None)
    if forwarding is Forwarding.TUNNELLING:
        checksum = st.sampled_from(["nocsum", "csum", "remcsum"])
        tunnel = draw(
            st.just(("ipip", None, None))
            | st.tuples(st.just("gre"), st.none(), checksum)
            | st.tuples(st.just("gue"), PORT, checksum)
        )
    return IpvsDestination(
        address=draw(ADDRESS),
        port=draw(PORT),
        forwarding=forwarding,
        weight=draw(st.integers(0, 2**31 - 1)),
        active=draw(COUNT),
        inactive=draw(COUNT),
        upper_threshold=draw(COUNT),
        lower_threshold=draw(COUNT),
        tunnel_type=tunnel[0],
        tunnel_port=tunnel[1],
        tunnel_checksum=tunnel[2],
    )


@st.composite
def services(draw: st.DrawFn) -> IpvsService:
    key = draw(keys)
    persistent = draw(st.booleans())
    netmask = st.ip_addresses(v=4).map(str) if key.family == 4 else st.integers(1, 127).map(str)
    return IpvsService(
        key=key,
        scheduler=draw(WORD),
        scheduler_flags=draw(FLAGS),
        persistence_timeout=draw(COUNT) if persistent else None,
        persistence_netmask=draw(st.none() | netmask) if persistent else None,
        persistence_engine=draw(st.none() | WORD) if persistent else None,
        one_packet=draw(st.booleans()),
        destinations=tuple(draw(st.lists(destinations(), max_size=4, unique_by=lambda d: (d.address, d.port)))),
    )


tables = st.builds(IpvsTable, services=st.lists(services(), max_size=4, unique_by=lambda s: str(s.key)).map(tuple))
counters = st.builds(Counters, **dict.fromkeys(Counters.__slots__, st.integers(0, 2**64 - 1)))
counted_tables = st.builds(
    CountedTable,
    services=st.lists(
        st.tuples(keys, counters, st.lists(st.tuples(ADDRESS, PORT, counters), max_size=3).map(tuple)), max_size=3
    ).map(tuple),
)
connections = st.builds(
    IpvsConnection,
    protocol=st.sampled_from(["TCP", "UDP", "SCTP", "IP", "ICMP", "ICMPv6", "IP_47"]),
    expires_s=COUNT,
    state=st.sampled_from(["ESTABLISHED", "SYN_RECV", "FIN_WAIT", "NONE", "ERR!", "ASSURED"]),
    client=ADDRESS,
    client_port=PORT,
    virtual=ADDRESS,
    virtual_port=PORT,
    destination=ADDRESS,
    destination_port=PORT,
)


def without_thresholds(destination: IpvsDestination) -> IpvsDestination:
    return replace(destination, upper_threshold=None, lower_threshold=None)


def without_tunnel(destination: IpvsDestination) -> IpvsDestination:
    return replace(destination, tunnel_type=None, tunnel_port=None, tunnel_checksum=None)


def shown(table: IpvsTable, hide: Callable[[IpvsDestination], IpvsDestination]) -> IpvsTable:
    """*table* without what a listing hides of its destinations."""
    return IpvsTable(
        services=tuple(replace(s, destinations=tuple(hide(d) for d in s.destinations)) for s in table.services)
    )


@patient
@given(tables)
def test_a_table_is_read_as_it_was_printed(table: IpvsTable) -> None:
    assert ipvsadm.parse_table(printing.print_table(table)) == shown(
        table, lambda destination: without_thresholds(without_tunnel(destination))
    )


def kept_by_the_kernel(service: IpvsService) -> IpvsService:
    """*service* with what /proc/net/ip_vs shows of it."""
    six = any(d.address.version == 6 for d in service.destinations[:1])
    marked = service.key.fwmark is not None
    return replace(
        service,
        key=replace(service.key, family=6 if six else 4) if marked else service.key,
        scheduler_flags=(),
        persistence_timeout=None,
        persistence_netmask=None if service.persistence_netmask == "255.255.255.255" else service.persistence_netmask,
        persistence_engine=None,
        one_packet=service.one_packet and (marked or service.key.family == 4),
    )


@patient
@given(tables)
def test_the_kernels_own_listing_is_read_as_it_was_printed(table: IpvsTable) -> None:
    # Whose family a firewall mark has is not in the listing: its mask would be read by another one's rules.
    told = [s for s in table.services if s.key.fwmark is None or kept_by_the_kernel(s).key == s.key]
    table = IpvsTable(services=tuple(told))
    read = procfs.parse_table(printing.print_proc(table))
    expected = shown(table, lambda destination: without_thresholds(without_tunnel(destination)))
    assert read == IpvsTable(services=tuple(kept_by_the_kernel(s) for s in expected.services))


@patient
@given(tables)
def test_tunnels_and_thresholds_complete_it(table: IpvsTable) -> None:
    tunnels = ipvsadm.parse_table(printing.print_table(table, tunnels=True))
    assert tunnels == shown(table, without_thresholds)
    assert ipvsadm.parse_thresholds(printing.print_thresholds(table), tunnels) == table


@patient
@given(tables)
def test_saved_rules_are_read_as_they_were_printed(table: IpvsTable) -> None:
    saved = ipvsadm.parse_save(printing.print_save(table))
    assert printing.print_save(saved) == printing.print_save(table)
    assert [s.key for s in saved.services] == [s.key for s in table.services]


@patient
@given(tables)
def test_every_weight_can_be_set_for_whatever_a_table_shows(table: IpvsTable) -> None:
    for service in table.services:
        for destination in service.destinations:
            argv = ipvsadm.set_weight(service.key, destination, destination.weight)
            assert argv[argv.index("-w") + 1] == str(destination.weight)
            assert all(word.isascii() and word.isprintable() and " " not in word for word in argv)


@patient
@given(counted_tables)
def test_counters_are_read_as_they_were_printed(table: CountedTable) -> None:
    assert ipvsadm.parse_stats(printing.print_counted(table, printing.STATS)) == table
    assert ipvsadm.parse_rate(printing.print_counted(table, printing.RATE)) == table


@patient
@given(st.lists(connections, max_size=5).map(tuple))
def test_connections_are_read_as_they_were_printed(listed: tuple[IpvsConnection, ...]) -> None:
    assert ipvsadm.parse_connections(printing.print_connections(listed)) == listed


NAME = st.text(st.characters(exclude_characters='"[]\n', exclude_categories=["Cs"]), min_size=1, max_size=40)
group_keys = st.builds(ServiceKey, group=NAME, port=PORT)
mark_keys = st.builds(ServiceKey, fwmark=st.integers(0, 2**32 - 1))
event_keys = addressed | mark_keys | group_keys
HERE = {"cluster": st.just("site"), "director": st.just("sv1")}
events = (
    st.builds(VrrpStateChanged, **HERE, instance=NAME, state=st.sampled_from(VrrpState), priority=st.integers(0, 255))
    | st.builds(VrrpStateChanged, **HERE, instance=NAME, state=st.sampled_from(VrrpState), group=st.just(True))
    | st.builds(QuorumChanged, **HERE, service=event_keys, up=st.booleans())
    | st.builds(RealServerChanged, **HERE, service=event_keys, address=ADDRESS, port=PORT, up=st.booleans())
)


@patient
@given(events, st.sampled_from(["tcp", "udp", "sctp", "none"]))
def test_events_are_read_as_they_were_printed(
    event: VrrpStateChanged | RealServerChanged | QuorumChanged, protocol: str
) -> None:
    assert read_event(printing.print_event(event, protocol), cluster="site", director="sv1") == event


# --- junk -------------------------------------------------------------------------------------------------------------

PARSERS: dict[str, Callable[[str], object]] = {
    "table": ipvsadm.parse_table,
    "stats": ipvsadm.parse_stats,
    "rate": ipvsadm.parse_rate,
    "connections": ipvsadm.parse_connections,
    "save": ipvsadm.parse_save,
    "thresholds": lambda text: ipvsadm.parse_thresholds(text, IpvsTable()),
    "addresses": iproute.parse_addresses,
    "unit": systemd.parse_unit,
    "settings": parse_values,
    "rules": parse_rules,
    "processes": parse_processes,
    "now": parse_now,
    "proc": procfs.parse_table,
    "event": lambda text: read_event(text, cluster="site", director="sv1"),
}
EVERY_CAPTURE = tuple(captured(name) for name in captures("*/*"))


def reads_or_refuses(text: str) -> None:
    for parse in PARSERS.values():
        try:
            parse(text)
        except Unreadable as error:
            assert error.line_number >= 1
            assert error.why


@patient
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    reads_or_refuses(text)


@patient
@given(st.sampled_from(EVERY_CAPTURE), st.data())
def test_a_capture_with_a_piece_replaced_is_read_or_refused(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    piece = data.draw(st.text(max_size=10) | st.sampled_from(["-1", "9" * 30, "\n", "[", "]:", "%", '"', "\x00"]))
    reads_or_refuses(text[:start] + piece + text[end:])


@patient
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["ifname", "flags", "addr_info", "local", "prefixlen", "dadfailed"]), x)
        ),
    )
)
def test_any_json_is_read_or_refused(value: object) -> None:
    reads_or_refuses(json.dumps(value))


@pytest.mark.parametrize("name", captures("ipvsadm-1.31/*.table"))
def test_every_line_of_a_table_counts(name: str) -> None:
    """Whatever word of a table is lost, the rest is not read as the same table."""
    text = captured(name).replace(" ()\n", "\n")  # empty brackets stand for a flag that ipvsadm itself hides
    whole = ipvsadm.parse_table(text)
    for number, line in enumerate(lines := text.splitlines(keepends=True)):
        for word in line.split():
            spoilt = "".join([*lines[:number], line.replace(word, "", 1), *lines[number + 1 :]])
            try:
                assert ipvsadm.parse_table(spoilt) != whole, line
            except Unreadable:
                continue


def test_a_large_table_is_read_whole() -> None:
    """A thousand services with twenty destinations each: a listing of more than a megabyte."""
    pool = captured("ipvsadm-1.31/reference-site.table").splitlines(keepends=True)[4] * 20
    text = printing.VERSION + "".join(captured("ipvsadm-1.31/reference-site.table").splitlines(keepends=True)[1:3])
    text += "".join(f"TCP  10.{n // 250}.{n % 250}.1:80 rr\n{pool}" for n in range(1000))
    table = ipvsadm.parse_table(text)
    assert (len(table.services), sum(len(s.destinations) for s in table.services)) == (1000, 20_000)
