"""Who holds an address, as iproute2 6.1.0 printed it."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_interface

import pytest

from bot.domain.observed import HeldAddress
from bot.lvs.errors import Unreadable
from bot.lvs.iproute import holds, list_addresses, parse_addresses
from tests.lvs.captured import captured, captures

VIP = ip_interface("10.100.5.11/21")


def addresses(name: str) -> tuple[HeldAddress, ...]:
    return parse_addresses(captured(f"iproute2-6.1.0/{name}"))


def test_the_commands() -> None:
    assert list_addresses() == ("ip", "-j", "addr", "show")
    assert list_addresses("br0") == ("ip", "-j", "addr", "show", "dev", "br0")


def test_the_master_holds_the_vip_and_the_backup_does_not() -> None:
    assert HeldAddress(interface="br0", address=VIP, link_up=True) in addresses("master")
    assert holds(addresses("master"), VIP)
    assert holds(addresses("master"), VIP.ip), "a prefix length makes no difference"
    assert not holds(addresses("backup"), VIP)
    assert not holds(addresses("stopped"), VIP)


def test_every_address_of_every_interface_is_read() -> None:
    held = {(a.interface, str(a.address)) for a in addresses("backup") if not a.address.is_link_local}
    assert held == {("lo", "127.0.0.1/8"), ("lo", "::1/128"), ("eth0", "10.100.0.20/16")}


def test_ipv6_vips() -> None:
    held = addresses("ipv6-vips")
    assert holds(held, ip_address("2001:db8::5:11"))
    assert holds(held, ip_address("fe80::5:11"))
    assert not holds(held, ip_address("::a64:50b")), "10.100.5.11 is another address than ::10.100.5.11"


def test_an_interface_without_its_link_is_told_apart() -> None:
    assert [a.link_up for a in addresses("link-down")] == [False]


def test_an_address_that_another_host_answers_for_is_not_held() -> None:
    disputed = ip_address("2001:db8::77")
    assert holds(addresses("tentative"), disputed), "not known to be a duplicate yet"
    assert not holds(addresses("duplicate"), disputed)


@pytest.mark.parametrize("name", captures("iproute2-6.1.0/*"))
def test_a_listing_cut_short_anywhere_is_never_read(name: str) -> None:
    text = captured(name).rstrip()
    for end in range(0, len(text), 97):
        with pytest.raises(Unreadable, match="not the JSON list of interfaces"):
            parse_addresses(text[:end])


def test_an_interface_that_a_filter_left_out_is_an_empty_object() -> None:
    assert parse_addresses("[{}]") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "[1]",
        '[{"ifname": "br0"}]',
        '[{"ifname": "br0", "flags": {}, "addr_info": []}]',
        '[{"ifname": "br0", "flags": [], "addr_info": [[]]}]',
        '[{"ifname": 7, "flags": [], "addr_info": [{"local": "10.0.0.1", "prefixlen": 8}]}]',
        '[{"ifname": "br0", "flags": [], "addr_info": [{"local": "10.0.0.1", "prefixlen": 33}]}]',
        '[{"ifname": "br0", "flags": [], "addr_info": [{"local": "10.0.0.1", "prefixlen": "8"}]}]',
        '[{"ifname": "br0", "flags": [], "addr_info": [{"local": "10.0.0", "prefixlen": 8}]}]',
        '[{"ifname": "br0", "flags": [], "addr_info": [{"local": 167772161, "prefixlen": 8}]}]',
        "[" * 100_000,
    ],
)
def test_what_is_not_the_list_is_refused(text: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse_addresses(text)
    assert caught.value.tool == "ip"


def test_a_field_that_a_newer_iproute2_adds_does_no_harm() -> None:
    links = json.loads(captured("iproute2-6.1.0/br0"))
    for link in links:
        link["colour"] = "blue"
        for entry in link["addr_info"]:
            entry["proto"] = "keepalived"
    assert parse_addresses(json.dumps(links)) == addresses("br0")
