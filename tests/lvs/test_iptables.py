"""The SNAT rule and its counter, and what is kept from conntrack, as iptables 1.8.9 printed them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from bot.lvs.errors import Unreadable
from bot.lvs.iptables import Rule, list_postrouting, list_prerouting, parse_rules, passes_untracked, snat_of
from tests.lvs.captured import captured, captures

VIPS = ip_network("10.100.5.0/24")


def rules(name: str) -> tuple[Rule, ...]:
    return parse_rules(captured(f"iptables-1.8.9/{name}"))


def test_the_command() -> None:
    assert list_postrouting() == ("iptables", "-t", "nat", "-S", "POSTROUTING", "-v")
    assert list_postrouting(6) == ("ip6tables", "-t", "nat", "-S", "POSTROUTING", "-v")
    assert list_prerouting() == ("iptables", "-t", "raw", "-S", "PREROUTING", "-v")
    assert list_prerouting(6) == ("ip6tables", "-t", "raw", "-S", "PREROUTING", "-v")


def test_the_rule_with_what_it_sets_and_how_many_packets_met_it() -> None:
    assert snat_of(rules("nft-used"), VIPS) == Rule(
        chain="POSTROUTING",
        matches=("-m", "ipvs", "--vaddr", "10.100.5.0/24"),
        target=("SNAT", "--to-source", "10.100.0.10"),
        packets=9,
        bytes=509,
    )
    found = snat_of(rules("nft-used"), VIPS)
    assert found is not None
    assert found.source == "10.100.0.10"


def test_a_rule_that_no_packet_met_says_so() -> None:
    found = snat_of(rules("nft-unused"), VIPS)
    assert found is not None
    assert found.packets == 0


def test_the_legacy_variant_prints_the_same() -> None:
    assert rules("legacy") == rules("nft-unused")


def test_the_rule_is_found_among_others_and_not_mistaken_for_them() -> None:
    many = rules("nft-many")
    assert [(rule.virtual_network, rule.source) for rule in many] == [
        (VIPS, "10.100.0.10"),
        (None, None),
        (None, None),
        (ip_network("10.100.5.12/32"), "10.100.0.10-10.100.0.12"),
        (None, None),
        (None, None),
    ]
    assert snat_of(many[1:], VIPS) is None, "`! --vaddr` is for everything else"
    assert parse_rules(captured("iptables-1.8.9/nft-whole-table")) == many


def test_a_comment_that_looks_like_counters_and_a_target_is_a_comment() -> None:
    comment = rules("nft-many")[1]
    assert comment.target == ("MASQUERADE",)
    assert comment.packets == 0
    assert '"NAT" -c 1 2 -j DROP' in comment.matches[-1]


def test_rules_without_a_target_and_with_a_goto() -> None:
    *_, aimless, goto = rules("nft-many")
    assert (aimless.matches, aimless.target) == (("-p", "tcp"), ())
    assert (goto.matches, goto.target) == ((), ("EXTRA",))


def test_an_ipv6_rule() -> None:
    found = snat_of(rules("nft-ipv6"), ip_network("2001:db8::6666/128"))
    assert found is not None
    assert found.source == "2001:db8::21"


@pytest.mark.parametrize(
    ("name", "address", "kept"),
    [
        ("nft-raw", "10.100.5.11", True),
        ("nft-raw", "10.100.6.7", True),
        ("nft-raw", "10.100.5.12", False),
        ("nft-raw", "10.100.5.13", False),
        ("nft-raw", "10.100.5.14", False),
        ("legacy-raw", "10.100.5.11", True),
        ("nft-raw-ipv6", "2001:db8::100", True),
        ("nft-raw-ipv6", "2001:db8::101", False),
    ],
)
def test_conntrack_is_kept_from_what_is_for_an_address_only_while_it_is_elsewhere(
    name: str, address: str, kept: bool
) -> None:
    assert passes_untracked(rules(name), ip_address(address)) is kept


def test_a_rule_for_a_name_is_for_no_address_that_is_known() -> None:
    printed = "-A PREROUTING -d vip.example -m addrtype ! --dst-type LOCAL -c 0 0 -j CT --notrack\n"
    assert not passes_untracked(parse_rules(printed), ip_address("10.100.5.11"))


def test_no_rule_is_no_rule() -> None:
    assert snat_of(parse_rules("-P POSTROUTING ACCEPT -c 0 0\n"), VIPS) is None


@pytest.mark.parametrize(
    "line",
    [
        "-A POSTROUTING -j SNAT --to-source 10.100.0.10",
        "-A POSTROUTING -c 1 -j ACCEPT",
        "-A POSTROUTING -c one two -j ACCEPT",
        '-A POSTROUTING -m comment --comment "open -c 0 0 -j ACCEPT',
        "Chain POSTROUTING (policy ACCEPT)",
        "-A",
    ],
)
def test_a_rule_that_cannot_be_read_is_an_error_that_names_it(line: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse_rules(f"-P POSTROUTING ACCEPT -c 0 0\n{line}\n")
    assert (caught.value.line_number, caught.value.line) == (2, line)


@pytest.mark.parametrize("name", captures("iptables-1.8.9/*"))
def test_every_captured_line_is_read(name: str) -> None:
    declared = [line for line in captured(name).splitlines() if line.startswith("-A")]
    assert len(parse_rules(captured(name))) == len(declared)
