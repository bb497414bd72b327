"""ipvsadm's listings, as version 1.31 printed them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from bot.domain.fleet import Forwarding, Protocol
from bot.domain.observed import Counters, IpvsDestination, IpvsService, IpvsTable, ServiceKey
from bot.lvs.errors import Unreadable
from bot.lvs.ipvsadm import (
    parse_connections,
    parse_rate,
    parse_save,
    parse_stats,
    parse_table,
    parse_thresholds,
)
from tests.lvs.captured import captured, captures
from tests.lvs.printing import (
    RATE,
    STATS,
    print_connections,
    print_counted,
    print_save,
    print_table,
    print_thresholds,
)

WEB1, WEB2 = ip_address("10.100.0.11"), ip_address("10.100.0.21")
VIP = ip_address("10.100.5.11")
MANY = "ipvsadm-1.31/many-kinds"


def tcp(port: int) -> ServiceKey:
    return ServiceKey(protocol=Protocol.TCP, address=VIP, port=port)


def udp(port: int) -> ServiceKey:
    return ServiceKey(protocol=Protocol.UDP, address=VIP, port=port)


def many() -> IpvsTable:
    return parse_table(captured(f"{MANY}.table"))


def service(key: ServiceKey) -> IpvsService:
    found = many().service(key)
    assert found is not None
    return found


def bare(key: ServiceKey) -> IpvsService:
    """The service with *key* without its destinations."""
    return replace(service(key), destinations=())


# --- the reference site -----------------------------------------------------------------------------------------------


def test_the_reference_sites_table_under_load() -> None:
    def masq(address: str, port: int, active: int, inactive: int) -> IpvsDestination:
        return IpvsDestination(
            address=ip_address(address),
            port=port,
            forwarding=Forwarding.MASQUERADING,
            weight=1,
            active=active,
            inactive=inactive,
        )

    table = parse_table(captured("ipvsadm-1.31/reference-site.table"))
    assert table == IpvsTable(
        services=(
            IpvsService(
                key=tcp(80),
                scheduler="rr",
                destinations=(masq("10.100.0.11", 80, 2, 2), masq("10.100.0.21", 80, 1, 3)),
            ),
            IpvsService(
                key=udp(53),
                scheduler="rr",
                destinations=(masq("10.100.0.11", 53, 0, 0), masq("10.100.0.21", 53, 0, 1)),
            ),
        )
    )


def test_a_real_server_that_keepalived_removed_is_not_in_the_table() -> None:
    table = parse_table(captured("ipvsadm-1.31/real-server-down.table"))
    http = table.service(tcp(80))
    assert http is not None
    assert http.destination(WEB1, 80) is None
    assert http.destination(WEB2, 80) is not None


def test_an_emptied_pool_is_a_service_without_destinations() -> None:
    table = parse_table(captured("ipvsadm-1.31/link-down.table"))
    assert [len(s.destinations) for s in table.services] == [0, 2]


def test_counters_of_services_and_of_their_destinations() -> None:
    (key, http, destinations), _dns = parse_stats(captured("ipvsadm-1.31/reference-site.stats")).services
    assert key == tcp(80)
    assert http == Counters(connections=8, packets_in=36, packets_out=33, bytes_in=2311, bytes_out=2720)
    assert [(address, port, c.connections) for address, port, c in destinations] == [(WEB1, 80, 4), (WEB2, 80, 4)]


def test_rates_have_the_same_form_under_other_titles() -> None:
    (_, http, _), _dns = parse_rate(captured("ipvsadm-1.31/reference-site.rate")).services
    assert http == Counters(connections=1, packets_in=4, packets_out=3, bytes_in=239, bytes_out=276)
    with pytest.raises(Unreadable, match="not the columns that were asked for"):
        parse_stats(captured("ipvsadm-1.31/reference-site.rate"))


def test_connections_with_their_state_and_expiry() -> None:
    connections = parse_connections(captured("ipvsadm-1.31/reference-site.connections"))
    assert len(connections) == 9
    assert sum(c.state == "ESTABLISHED" for c in connections) == 3
    first = connections[0]
    assert (first.protocol, first.expires_s, first.client_port) == ("UDP", 298, 40652)
    assert (first.client, first.virtual, first.destination) == (ip_address("10.100.0.50"), VIP, WEB2)
    assert not any(c.template for c in connections)


def test_persistence_templates_have_no_client_port_and_name_a_firewall_mark_as_an_address() -> None:
    connections = parse_connections(captured("ipvsadm-1.31/persistent.connections"))
    templates = {str(c.virtual): c for c in connections if c.template}
    assert set(templates) == {"0.0.0.7", "10.100.6.6"}
    assert templates["0.0.0.7"].protocol == "IP"
    assert str(templates["10.100.6.6"].client) == "10.100.0.0", "the client is masked by the persistence netmask"


def test_a_cleared_table_is_empty_while_its_connections_live_on() -> None:
    assert parse_table(captured("ipvsadm-1.31/cleared.table")) == IpvsTable()
    assert len(parse_connections(captured("ipvsadm-1.31/cleared.connections"))) == 5


# --- every kind of service --------------------------------------------------------------------------------------------


def test_scheduler_flags() -> None:
    assert service(tcp(443)).scheduler_flags == ("sh-fallback", "sh-port")
    assert service(tcp(8443)).scheduler_flags == ("mh-port",)
    assert service(tcp(8446)).scheduler_flags == ("flag-1", "flag-3")


def test_flags_that_ipvsadm_hides_behind_empty_brackets_are_no_flags() -> None:
    assert service(tcp(8445)).scheduler_flags == ()


def test_persistence_with_netmask_and_engine() -> None:
    assert bare(tcp(21)) == IpvsService(key=tcp(21), scheduler="wlc", persistence_timeout=360)
    assert bare(tcp(0)) == IpvsService(
        key=tcp(0), scheduler="lc", persistence_timeout=300, persistence_netmask="255.255.255.0"
    )
    assert bare(udp(5061)) == IpvsService(
        key=udp(5061),
        scheduler="wlc",
        persistence_timeout=3600,
        persistence_netmask="255.255.255.0",
        persistence_engine="sip",
        one_packet=True,
    )


def test_one_packet_scheduling() -> None:
    assert service(udp(514)).one_packet
    assert not service(udp(53)).one_packet


def test_one_firewall_mark_may_stand_in_both_families() -> None:
    four, six = service(ServiceKey(fwmark=1)), service(ServiceKey(fwmark=1, family=6))
    assert [d.forwarding for d in four.destinations] == [Forwarding.MASQUERADING, Forwarding.DIRECT_ROUTING]
    assert [str(d.address) for d in six.destinations] == ["2001:db8::11"]
    assert service(ServiceKey(fwmark=2, family=6)).persistence_netmask == "64"


def test_a_mark_above_two_to_the_31_is_printed_negative_and_read_as_what_it_is() -> None:
    assert service(ServiceKey(fwmark=2**32 - 1)).scheduler == "nq"
    assert service(ServiceKey(fwmark=2**31)).scheduler == "sed"


def test_ipv6_addresses_break_the_columns_but_not_the_reading() -> None:
    key = ServiceKey(protocol=Protocol.TCP, address=ip_address("2001:db8:5::11"), port=80, family=6)
    long = service(key).destinations[1]
    assert (str(long.address), long.port, long.weight) == ("2001:db8:1111:2222:3333:4444:5555:6666", 65535, 1)
    tunnelled = service(ServiceKey(protocol=Protocol.UDP, address=key.address, port=53, family=6)).destinations[0]
    assert tunnelled.address == WEB1, "a tunnel may lead from IPv6 to IPv4"


def test_tunnels_show_their_type_port_and_checksum_only_when_asked() -> None:
    assert {d.tunnel_type for d in service(tcp(81)).destinations} == {None}
    shown = parse_table(captured(f"{MANY}.tunnels")).service(tcp(81))
    assert shown is not None
    assert [(d.tunnel_type, d.tunnel_port, d.tunnel_checksum) for d in shown.destinations] == [
        ("ipip", None, None),
        ("gue", 6080, "nocsum"),
        ("gue", 6081, "csum"),
        ("gue", 6082, "remcsum"),
        ("gre", None, "csum"),
        ("gre", None, "nocsum"),
    ]


def test_thresholds_come_from_their_own_listing() -> None:
    table = parse_thresholds(captured(f"{MANY}.thresholds"), many())
    ftp = table.service(tcp(21))
    assert ftp is not None
    assert [(d.upper_threshold, d.lower_threshold) for d in ftp.destinations] == [(200, 150), (0, 0)]
    assert service(tcp(21)).destinations[0].upper_threshold is None


def test_thresholds_of_a_destination_that_came_later_stay_unknown() -> None:
    table = parse_thresholds(captured("ipvsadm-1.31/empty.thresholds"), many())
    assert table == many()


@pytest.mark.parametrize("what", ["many-kinds", "after-edits"])
def test_the_saved_rules_and_the_table_say_the_same(what: str) -> None:
    saved = parse_save(captured(f"ipvsadm-1.31/{what}.save"))
    assert saved == parse_table(
        captured(f"ipvsadm-1.31/{what}.tunnels") if what == "many-kinds" else print_table(saved, tunnels=True)
    )
    listed = parse_table(captured(f"ipvsadm-1.31/{what}.table"))
    assert [s.key for s in saved.services] == [s.key for s in listed.services]
    assert [[d.weight for d in s.destinations] for s in saved.services] == [
        [d.weight for d in s.destinations] for s in listed.services
    ]


# --- every capture, printed again -------------------------------------------------------------------------------------


def without_hidden_flags(text: str) -> str:
    """Without the marks that ipvsadm leaves where it hides a flag: nothing in a parsed table stands for them."""
    return text.replace(" ()\n", "\n").replace(" -b \n", "\n")


@pytest.mark.parametrize("name", captures("ipvsadm-1.31/*.table"))
def test_a_table_printed_again_is_the_capture(name: str) -> None:
    assert print_table(parse_table(captured(name))) == without_hidden_flags(captured(name))


@pytest.mark.parametrize("name", captures("ipvsadm-1.31/*.tunnels"))
def test_a_table_with_tunnels_printed_again_is_the_capture(name: str) -> None:
    assert print_table(parse_table(captured(name)), tunnels=True) == without_hidden_flags(captured(name))


@pytest.mark.parametrize("name", captures("ipvsadm-1.31/*.thresholds"))
def test_thresholds_printed_again_are_the_capture(name: str) -> None:
    table = parse_thresholds(captured(name), parse_table(captured(name.replace(".thresholds", ".table"))))
    assert print_thresholds(table) == without_hidden_flags(captured(name))


@pytest.mark.parametrize("name", captures("ipvsadm-1.31/*.save"))
def test_saved_rules_printed_again_are_the_capture(name: str) -> None:
    assert print_save(parse_save(captured(name))) == without_hidden_flags(captured(name))


@pytest.mark.parametrize("name", captures("ipvsadm-1.31/*.stats"))
def test_counters_printed_again_are_the_capture(name: str) -> None:
    assert print_counted(parse_stats(captured(name)), STATS) == captured(name)


@pytest.mark.parametrize("name", captures("ipvsadm-1.31/*.rate"))
def test_rates_printed_again_are_the_capture(name: str) -> None:
    assert print_counted(parse_rate(captured(name)), RATE) == captured(name)


@pytest.mark.parametrize("name", captures("ipvsadm-1.31/*.connections"))
def test_connections_printed_again_are_the_capture(name: str) -> None:
    assert print_connections(parse_connections(captured(name))) == captured(name)


# --- what cannot be read ----------------------------------------------------------------------------------------------


def spoilt(name: str, old: str, new: str) -> str:
    text = captured(name)
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "number", "why"),
    [
        ("Masq    1      2 ", "Masq    -1     2 ", 5, "not a destination"),
        ("Masq    1      2 ", "(null)  1      2 ", 5, "not a destination"),
        ("Masq    1      2 ", "Masq    1      ", 5, "not a destination"),
        ("10.100.0.11:80 ", "web1:http ", 5, "asked for numbers"),
        ("10.100.0.11:80 ", "10.100.0.311:80 ", 5, "no IP address"),
        ("10.100.0.11:80 ", "[10.100.0.11]:80 ", 5, "brackets are for IPv6"),
        ("10.100.0.11:80 ", "10.100.0.11:65536 ", 5, "no port"),
        ("10.100.0.11:80 ", "10.100.0.٣:80 ", 5, "no address:port"),
        ("TCP  10.100.5.11:80 rr", "?    10.100.5.11:80 rr", 4, "not a virtual service"),
        ("TCP  10.100.5.11:80 rr", "FWM  0 rr", 4, "no firewall mark"),
        ("TCP  10.100.5.11:80 rr", "FWM  4294967296 rr", 4, "no firewall mark"),
        ("TCP  10.100.5.11:80 rr", "FWM  -2147483649 rr", 4, "no firewall mark"),
        ("TCP  10.100.5.11:80 rr", "TCP  10.100.5.11:80 rr persistent 9 mask ffff", 4, "no IP address"),
        ("TCP  10.100.5.11:80 rr", "TCP  10.100.5.11:80 rr persistent 9 mask ::1", 4, "no IPv4 netmask"),
        ("TCP  10.100.5.11:80 rr", "TCP  [::1]:80 rr persistent 9 mask 129", 4, "no prefix length"),
        ("TCP  10.100.5.11:80 rr", "TCP  10.100.5.11:80 rr wobbly", 4, "not a virtual service"),
        ("TCP  10.100.5.11:80 rr\n", "", 4, "a destination before any service"),
        ("Weight", "Heft", 2, "not the columns"),
        ("IP Virtual Server", "Virtual", 1, "not the heading"),
    ],
)
def test_what_a_line_cannot_be_read_as_names_the_line(old: str, new: str, number: int, why: str) -> None:
    with pytest.raises(Unreadable, match=why) as caught:
        parse_table(spoilt("ipvsadm-1.31/reference-site.table", old, new))
    assert caught.value.tool == "ipvsadm"
    assert caught.value.line_number == number
    assert f"ipvsadm, line {number}: " in str(caught.value)


@pytest.mark.parametrize("parse", [parse_table, parse_stats, parse_rate, parse_connections])
def test_no_output_at_all_is_not_an_empty_table(parse: object) -> None:
    assert callable(parse)
    with pytest.raises(Unreadable, match="ends before its heading"):
        parse("")


def test_rounded_counters_are_refused_with_the_option_that_is_missing() -> None:
    with pytest.raises(Unreadable, match="--exact"):
        parse_stats(spoilt("ipvsadm-1.31/reference-site.stats", " 2720\n", "2720K\n".rjust(9)))


def test_a_server_of_another_service_than_the_one_above_it_is_refused() -> None:
    with pytest.raises(Unreadable, match=r"another service than tcp 10\.100\.5\.11:80"):
        parse_save(spoilt("ipvsadm-1.31/reference-site.save", "-a -t 10.100.5.11:80", "-a -t 10.100.5.11:81"))


def test_the_message_shows_no_more_of_a_line_than_fits_into_slack() -> None:
    line = "x" * 100_000
    error = Unreadable("ipvsadm", 7, line, "too long")
    assert len(str(error)) < 300
    assert error.line == line
