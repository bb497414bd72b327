"""The reference site, point by point, on real directors. These tests only look, so they share one settled site."""

from __future__ import annotations

import pytest

from bot.local.lab.lab import Lab
from bot.lvs import iptables, ipvsadm
from tests.lab.client import (
    EVERYBODY,
    VIP,
    as_the_bot,
    behind,
    holders,
    resolved,
    said,
    served_by,
    snat_packets,
)

LOOKS = (
    ipvsadm.list_table(),
    ipvsadm.list_tunnels(),
    ipvsadm.list_thresholds(),
    ipvsadm.list_stats(),
    ipvsadm.list_rate(),
    ipvsadm.list_connections(),
    ipvsadm.save(),
    iptables.list_postrouting(),
    iptables.list_prerouting(),
)

FORBIDDEN = (
    "ipvsadm -C",
    "ipvsadm -Z",
    "ipvsadm -Ln -Z",
    "ipvsadm -e -t 10.100.5.11:80 -r 10.100.0.99:80 -m -w 0",
    "ipvsadm -e -t 10.100.5.11:80 -r 10.100.0.11:80 -m -w 0 -C",
    "ipvsadm -e -t 10.100.5.11:80 -r 10.100.0.11:80 -m -w 123456",
    "ipvsadm -e -t 10a100.5.11:80 -r 10.100.0.11:80 -m -w 0",
    "ipvsadm -d -t 10.100.5.11:80 -r 10.100.0.11:80",
    "iptables -t nat -F POSTROUTING",
    "iptables -t raw -F PREROUTING",
    "systemctl stop keepalived",
    "cat /etc/keepalived/keepalived.conf",
    "sh",
)


@pytest.fixture(scope="module")
def settled(lab: Lab) -> Lab:
    lab.fresh()
    return lab


def test_the_directors_are_hosts_with_a_kernel_and_a_systemd_of_their_own(settled: Lab) -> None:
    for director in settled.site.directors:
        assert said(settled, director, "cat", "/proc/1/comm") == "systemd\n"
        assert "ip_vs" in said(settled, director, "lsmod")
        assert said(settled, director, "sh", "-c", "systemd-detect-virt --container || true") == "none\n"


def test_both_sysctls_are_set_on_both_directors(settled: Lab) -> None:
    for director in settled.site.directors:
        keys = ("net.ipv4.ip_forward", "net.ipv4.vs.conntrack")
        assert said(settled, director, "sysctl", "-n", *keys) == "1\n1\n"


def test_both_kernels_have_every_service_with_both_real_servers_by_masquerading(settled: Lab) -> None:
    for director in settled.site.directors:
        for service in settled.site.cluster.services:
            assert behind(settled, director, service.name) == EVERYBODY
        assert "Masq" in said(settled, director, "ipvsadm", "-Ln")


def test_the_vip_stands_on_the_preferred_director_only(settled: Lab) -> None:
    assert holders(settled) == ["sv1"]


def test_web_requests_to_the_vip_reach_both_real_servers_in_turn(settled: Lab) -> None:
    assert {served_by(settled) for _ in range(4)} == {"web1", "web2"}


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_dns_queries_to_the_vip_reach_both_real_servers(settled: Lab, tcp: bool) -> None:
    assert resolved(settled, "www.site.test", "A", tcp=tcp) == VIP
    assert {resolved(settled, "real-server.site.test", "TXT", tcp=tcp) for _ in range(4)} == {"web1", "web2"}


def test_what_goes_to_the_vip_leaves_with_the_directors_own_address(settled: Lab) -> None:
    before = snat_packets(settled, "sv1")
    assert served_by(settled) is not None
    assert snat_packets(settled, "sv1") > before


def test_the_files_on_the_directors_are_accepted_by_the_tools_that_read_them(settled: Lab) -> None:
    for director in settled.site.directors:
        assert "bad" not in said(settled, director, "visudo", "--check")
        checked = settled.exec(director, ["keepalived", "-t"], timeout=60)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_bots_account_may_look(settled: Lab) -> None:
    for status, words in as_the_bot(settled, "sv2", *LOOKS):
        assert status == 0, words


def test_the_bots_account_may_do_nothing_else(settled: Lab) -> None:
    for status, words in as_the_bot(settled, "sv2", *map(str.split, FORBIDDEN)):
        assert status != 0
        assert "password is required" in words
    assert behind(settled, "sv2", "http") == EVERYBODY
