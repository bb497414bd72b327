"""/proc/net/ip_vs, as Linux 6.1 shows it, beside what ipvsadm says of the same table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.observed import IpvsTable, ServiceKey
from bot.lvs import ipvsadm, procfs
from bot.lvs.errors import Unreadable
from tests.lvs.captured import captured, captures
from tests.lvs.printing import print_proc

HEADING = captured("linux-6.1/cleared")


def comparable(table: IpvsTable) -> IpvsTable:
    """*table* with what both listings say, in an order of its own: each tool has its own."""
    services = [
        replace(
            service,
            scheduler_flags=(),
            persistence_timeout=None,
            persistence_engine=None,
            destinations=tuple(sorted(service.destinations, key=str)),
        )
        for service in table.services
    ]
    return IpvsTable(services=tuple(sorted(services, key=str)))


def test_it_says_what_ipvsadm_says_of_every_kind_of_service() -> None:
    kernels = procfs.parse_table(captured("linux-6.1/many-kinds"))
    assert len(kernels.services) == 8
    assert comparable(kernels) == comparable(ipvsadm.parse_table(captured("linux-6.1/many-kinds.ipvsadm")))


def test_the_reference_sites_table() -> None:
    table = procfs.parse_table(captured("linux-6.1/reference-site"))
    assert [(str(s.key), s.scheduler) for s in table.services] == [
        ("tcp 10.100.5.11:80", "rr"),
        ("tcp 10.100.5.11:53", "rr"),
        ("udp 10.100.5.11:53", "rr"),
    ]
    assert [(str(d.address), d.port, d.weight) for d in table.services[0].destinations] == [
        ("10.100.0.21", 80, 1),
        ("10.100.0.11", 80, 1),
    ]


def test_a_firewall_mark_of_ipv6_is_found_with_its_destinations_and_without_any() -> None:
    line = "FWM  00000001 rr \n"
    there = "  -> [2001:0db8:0000:0000:0000:0000:0000:0021]:0050      Masq    1      0          0         \n"
    key = ServiceKey(fwmark=1, family=6)
    for text in (line + there, line):
        found = procfs.parse_table(HEADING + text).service(key)
        assert found is not None
        assert len(found.destinations) == text.count("->")
    four = procfs.parse_table(HEADING + line + "  -> 0A640015:0050      Masq    1      0          0         \n")
    assert four.service(key) is None
    assert four.service(ServiceKey(fwmark=1)) is not None


def test_an_empty_table_is_empty() -> None:
    assert procfs.parse_table(HEADING) == IpvsTable()


@pytest.mark.parametrize("name", [n for n in captures("linux-6.1/*") if not n.endswith("ipvsadm")])
def test_the_printer_of_the_tests_prints_as_the_kernel_does(name: str) -> None:
    text = captured(name)
    table = procfs.parse_table(text)
    ticks = [line.partition("persistent ")[2].split(" ")[0] for line in text.splitlines() if line[0].isalpha()][2:]
    services = [
        replace(service, persistence_timeout=int(t) // 250 if t else None)
        for service, t in zip(table.services, ticks, strict=True)
    ]
    assert print_proc(IpvsTable(services=tuple(services))) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "ends before its heading"),
        ("\n".join(HEADING.splitlines()[:2]), "ends before its heading"),
        ("cat: bananas\n", "heading"),
        (HEADING + "  -> 0A640015:0050      Masq    1      0          0\n", "before any service"),
        (HEADING + "TCP  10.0.0.1:80 rr\n", "not a virtual service"),
        (HEADING + "TCP  0A64050B:0050 rr\n  -> 0A640015:0050      Bypass  1      0          0\n", "bypasses"),
        (HEADING + "TCP  0A64050B:0050 rr\n  -> 0A640015:0050      Masq    4294967296 0 0\n", "no weight"),
        (HEADING + "TCP  [" + ":" * 39 + "]:0050 rr\n", "no IP address"),
    ],
)
def test_what_is_no_table_is_refused(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        procfs.parse_table(text)
