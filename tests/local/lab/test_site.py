"""What the lab makes of a fleet, and which fleets it refuses with words that help."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from bot.domain.fleet import Cluster, Fleet
from bot.local.lab.errors import LabError
from bot.local.lab.places import Places
from bot.local.lab.seed import mac
from bot.local.lab.site import site_of
from bot.settings import load_fleet

CLUSTER = load_fleet(Path(__file__).parents[3] / "config" / "fleet.yaml").clusters[0]


def of(cluster: Cluster) -> Fleet:
    return Fleet(clusters=(cluster,))


def test_the_reference_site_is_one_network_with_a_place_for_the_bot() -> None:
    site = site_of(of(CLUSTER))
    assert str(site.network) == "10.100.0.0/21"
    assert str(site.ops) == "10.100.0.5"
    assert site.webhook == "http://10.100.0.5:8780/events/keepalived"
    assert site.inside("sv2").name == "web2"


def test_the_bots_address_is_nobody_elses() -> None:
    first = replace(CLUSTER.directors[0], address=ip_address("10.100.0.5"))
    assert str(site_of(of(replace(CLUSTER, directors=(first, CLUSTER.directors[1])))).ops) == "10.100.0.6"


def test_every_device_has_a_hardware_address_of_its_own() -> None:
    things = [*(d.address for d in CLUSTER.directors), *(r.address for r in CLUSTER.real_servers)]
    addresses = [mac(address, end) for address in things for end in ("inner", "outer")]
    assert len(set(addresses)) == len(addresses)
    assert all(int(address[:2], 16) & 0b11 == 0b10 for address in addresses)  # of one device, and locally given


@pytest.mark.parametrize(
    ("fleet", "words"),
    [
        (Fleet(clusters=()), "has no cluster"),
        (of(replace(CLUSTER, vrrp_instances=())), "IPv4 virtual address"),
        (of(replace(CLUSTER, real_servers=CLUSTER.real_servers[:1])), "site/sv2.*host: sv2"),
        (
            of(replace(CLUSTER, real_servers=(replace(CLUSTER.real_servers[0], host="sv2"), CLUSTER.real_servers[1]))),
            "site/sv1.*host: sv1",
        ),
        (
            of(
                replace(
                    CLUSTER,
                    directors=(replace(CLUSTER.directors[0], address=ip_address("192.0.2.1")), CLUSTER.directors[1]),
                )
            ),
            "site/sv1.*10.100.0.0/21.*192.0.2.1",
        ),
    ],
)
def test_a_fleet_that_the_lab_cannot_build_is_refused_with_what_to_change(fleet: Fleet, words: str) -> None:
    with pytest.raises(LabError, match=words):
        site_of(fleet)


@pytest.mark.parametrize("name", ["", "a/b", "Ä", "-x", "a" * 17, "..", "UP"])
def test_a_name_that_could_not_be_a_namespaces_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="cannot be a lab's name"):
        Places.of(name)
