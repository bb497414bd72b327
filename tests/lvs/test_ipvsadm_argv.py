"""The commands: word by word what sudoers allows, and what the real ipvsadm took (captures/…/after-edits)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from bot.domain.fleet import Forwarding, Protocol
from bot.domain.observed import IpvsDestination, ServiceKey
from bot.lvs import ipvsadm
from tests.lvs.captured import captured

VIP = ip_address("10.100.5.11")


def destination(
    address: str = "10.100.0.11", port: int = 80, forwarding: Forwarding = Forwarding.MASQUERADING, weight: int = 1
) -> IpvsDestination:
    return IpvsDestination(address=ip_address(address), port=port, forwarding=forwarding, weight=weight)


def test_every_listing_asks_for_numbers_and_exact_counters() -> None:
    assert ipvsadm.list_table() == ("ipvsadm", "-Ln")
    assert ipvsadm.list_tunnels() == ("ipvsadm", "-Ln", "--tun-info")
    assert ipvsadm.list_thresholds() == ("ipvsadm", "-Ln", "--thresholds")
    assert ipvsadm.list_stats() == ("ipvsadm", "-Ln", "--stats", "--exact")
    assert ipvsadm.list_rate() == ("ipvsadm", "-Ln", "--rate", "--exact")
    assert ipvsadm.list_connections() == ("ipvsadm", "-Lnc")
    assert ipvsadm.save() == ("ipvsadm", "-Sn")


@pytest.mark.parametrize(
    ("key", "found", "command"),
    [
        (
            ServiceKey(protocol=Protocol.TCP, address=VIP, port=80),
            destination(),
            "ipvsadm -e -t 10.100.5.11:80 -r 10.100.0.11:80 -m -w 0",
        ),
        (
            ServiceKey(protocol=Protocol.UDP, address=VIP, port=53),
            destination(port=53, forwarding=Forwarding.DIRECT_ROUTING),
            "ipvsadm -e -u 10.100.5.11:53 -r 10.100.0.11:53 -g -w 0",
        ),
        (
            ServiceKey(protocol=Protocol.SCTP, address=VIP, port=3868),
            destination(port=3868),
            "ipvsadm -e --sctp-service 10.100.5.11:3868 -r 10.100.0.11:3868 -m -w 0",
        ),
        (
            ServiceKey(protocol=Protocol.TCP, address=ip_address("2001:db8:5::11"), port=80, family=6),
            destination("::1"),
            "ipvsadm -e -t [2001:db8:5::11]:80 -r [::1]:80 -m -w 0",
        ),
        (
            ServiceKey(fwmark=2**32 - 1),
            destination(port=0, forwarding=Forwarding.LOCAL),
            "ipvsadm -e -f 4294967295 -r 10.100.0.11:0 -g -w 0",
        ),
        (
            ServiceKey(fwmark=1, family=6),
            destination("2001:db8::11", forwarding=Forwarding.TUNNELLING),
            "ipvsadm -e -f 1 -6 -r [2001:db8::11]:80 -i -w 0",
        ),
    ],
)
def test_a_weight_is_set_in_words_that_ipvsadm_took(key: ServiceKey, found: IpvsDestination, command: str) -> None:
    assert " ".join(ipvsadm.set_weight(key, found, 0)) == command


def test_an_edit_carries_along_what_ipvsadm_would_otherwise_forget() -> None:
    before = ipvsadm.parse_thresholds(
        captured("ipvsadm-1.31/many-kinds.thresholds"),
        ipvsadm.parse_table(captured("ipvsadm-1.31/many-kinds.tunnels")),
    )
    commands = {
        " ".join(ipvsadm.set_weight(service.key, found, 0))
        for service in before.services
        for found in service.destinations
    }
    assert "ipvsadm -e -t 10.100.5.11:21 -r 10.100.0.11:21 -m -w 0 -x 200 -y 150" in commands
    assert (
        "ipvsadm -e -t 10.100.5.11:81 -r 10.100.0.32:81 -i -w 0 --tun-type gue --tun-port 6080 --tun-nocsum" in commands
    )
    assert "ipvsadm -e -t 10.100.5.11:81 -r 10.100.0.31:81 -i -w 0" in commands
    forgotten = captured("ipvsadm-1.31/after-careless-edits.excerpt")
    assert "10.100.0.11:21               0          0 " in forgotten
    assert "--tun-type ipip" in forgotten


def test_a_weight_that_is_no_weight_and_a_key_that_names_no_service_are_refused() -> None:
    key = ServiceKey(protocol=Protocol.TCP, address=VIP, port=80)
    with pytest.raises(ValueError, match="a weight is 0 to"):
        ipvsadm.set_weight(key, destination(), -1)
    with pytest.raises(ValueError, match="group web names no service"):
        ipvsadm.set_weight(ServiceKey(group="web", port=0), destination(), 0)
