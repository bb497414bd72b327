"""The notify FIFO's lines, as keepalived 2.2.7 wrote them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from bot.domain.events import QuorumChanged, RealServerChanged, VrrpState, VrrpStateChanged
from bot.domain.fleet import Protocol
from bot.domain.observed import ServiceKey
from bot.lvs.errors import Unreadable
from bot.lvs.keepalived import read_event
from tests.lvs.captured import captured, captures
from tests.lvs.printing import print_event

HTTP = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.100.5.11"), port=80)


def read(line: str) -> VrrpStateChanged | RealServerChanged | QuorumChanged:
    return read_event(line, cluster="site", director="sv1")


def events(name: str) -> list[VrrpStateChanged | RealServerChanged | QuorumChanged]:
    return [read(line) for line in captured(f"keepalived-2.2.7/{name}").splitlines(keepends=True)]


def states(name: str) -> list[tuple[str, VrrpState, int | None]]:
    return [(e.instance, e.state, e.priority) for e in events(name) if isinstance(e, VrrpStateChanged)]


def test_a_start_claims_backup_before_master_and_services_up_before_any_check() -> None:
    def claimed(state: VrrpState) -> VrrpStateChanged:
        return VrrpStateChanged(cluster="site", director="sv1", instance="VI_1", state=state, priority=100)

    dns = ServiceKey(protocol=Protocol.UDP, address=HTTP.address, port=53)
    assert events("start.sv1") == [
        QuorumChanged(cluster="site", director="sv1", service=HTTP, up=True),
        QuorumChanged(cluster="site", director="sv1", service=dns, up=True),
        claimed(VrrpState.BACKUP),
        claimed(VrrpState.MASTER),
    ]


def test_a_stop_says_stop_and_no_service_down() -> None:
    assert states("stop.sv1") == [("VI_1", VrrpState.STOP, 100)]
    assert len(events("stop.sv1")) == 1


def test_a_real_server_goes_down_and_comes_up() -> None:
    web1 = ip_address("10.100.0.11")
    (down,) = events("real-server-down.sv1")
    (up,) = events("real-server-up.sv1")
    assert down == RealServerChanged(cluster="site", director="sv1", service=HTTP, address=web1, port=80, up=False)
    assert isinstance(up, RealServerChanged)
    assert up.up


def test_a_lost_link_is_fault_then_every_checked_real_server_then_the_quorum() -> None:
    first, *rest = events("link-down.sv1")
    assert isinstance(first, VrrpStateChanged)
    assert first.state is VrrpState.FAULT
    assert [type(event) for event in rest] == [RealServerChanged, RealServerChanged, QuorumChanged]


def test_a_master_that_hears_a_lower_priority_says_so_again_and_again() -> None:
    assert set(states("vrrp-blocked.sv1")) == {("VI_1", VrrpState.MASTER_RX_LOWER_PRI, 100)}
    assert len(states("vrrp-blocked.sv1")) == 6


def test_changes_of_priority() -> None:
    assert [(state, priority) for _, state, priority in states("priorities.sv1")] == [
        (VrrpState.BACKUP, 100),
        (VrrpState.MASTER, 100),
        (VrrpState.MASTER_PRIORITY, 105),
        (VrrpState.MASTER_PRIORITY, 80),
        (VrrpState.BACKUP, 80),
        (VrrpState.STOP, 80),
    ]
    assert ("VI_1", VrrpState.BACKUP_PRIORITY, 95) in states("priorities.sv2")


def test_a_deleted_instance_says_so() -> None:
    assert ("VI_GONE", VrrpState.DELETED, 50) in states("every-form-deleted.sv1")


def test_names_may_have_blanks_and_a_sync_group_has_no_priority() -> None:
    claims = [e for e in events("every-form-start.sv1") if isinstance(e, VrrpStateChanged)]
    assert {(e.instance, e.group) for e in claims} == {
        ("outer and inner", True),
        ("VI 1", False),
        ("VI_6", False),
        ("VI_GONE", False),
    }
    assert {e.priority for e in claims if e.group} == {None}


def test_services_are_named_by_address_by_firewall_mark_or_by_server_group() -> None:
    named = {e.service for e in events("every-form-start.sv1") if isinstance(e, QuorumChanged)}
    assert named == {
        ServiceKey(group="web", port=0),
        ServiceKey(group="two words", port=0),
        ServiceKey(fwmark=4294967294),
        ServiceKey(fwmark=8),
        ServiceKey(protocol=Protocol.TCP, address=ip_address("2001:db8::5:11"), port=80, family=6),
        ServiceKey(protocol=Protocol.SCTP, address=HTTP.address, port=3868),
    }


def test_real_servers_behind_marks_and_groups() -> None:
    gone = {
        (str(e.address), e.port, str(e.service))
        for e in events("every-form-real-server-down.sv1")
        if isinstance(e, RealServerChanged) and not e.up
    }
    assert gone == {
        ("10.100.0.11", 3868, "sctp 10.100.5.11:3868"),
        ("10.100.0.11", 80, "fwmark 4294967294"),
        ("10.100.0.11", 80, "group web"),
        ("10.100.0.11", 80, "group two words"),
    }


@pytest.mark.parametrize("name", captures("keepalived-2.2.7/*"))
def test_every_line_printed_again_is_the_captured_one(name: str) -> None:
    for line in captured(name).splitlines(keepends=True):
        protocol = line.partition("]:")[2].partition(":")[0] if line.startswith("RS ") else "tcp"
        assert print_event(read(line), protocol) == line


def test_a_line_may_come_without_its_line_feed() -> None:
    assert read("VS [10.100.5.11]:tcp:80 UP") == read("VS [10.100.5.11]:tcp:80 UP\n")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "not a line that keepalived writes"),
        ('INSTANCE "VI_1" MAS', "not a line that keepalived writes"),
        ('INSTANCE "VI_1" {UNKNOWN} 100', "no state that the bot knows"),
        ('INSTANCE "VI_1" MASTER 256', "no VRRP priority"),
        ('INSTANCE "VI_1" MASTER 100\n\n', "not a line that keepalived writes"),
        ('INSTANCE "VI_1" MASTER 100INSTANCE "VI_1" BACKUP 100', "not a line that keepalived writes"),
        ("VS [web]:0 UPVS [two words]:0 UP", "names no virtual server"),
        ("VS [10.100.5.11]:tcp:80 SIDEWAYS", "not a line that keepalived writes"),
        ("VS [10.100.5.311]:tcp:80 UP", "no IP address"),
        ("VS [10.100.5.11]:tcp:65536 UP", "no port"),
        ("VS 10.100.5.11:80 UP", "names no virtual server"),
        ("VS FWM 4294967296 UP", "no firewall mark"),
        ("VS FWM -2 UP", "names no virtual server"),
        ("RS [10.100.0.11]:tcp:80 UP", "not a line that keepalived writes"),
        ("RS [10.100.0.11]:icmp:80 [10.100.5.11]:tcp:80 UP", "not a line that keepalived writes"),
        ("RS [fe80::1%eth0]:tcp:80 [10.100.5.11]:tcp:80 UP", "carries a zone"),
        ("RS [web1]:tcp:80 [10.100.5.11]:tcp:80 UP", "no IP address"),
    ],
)
def test_what_is_no_line_of_keepalived_is_named_and_not_guessed(line: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why) as caught:
        read(line)
    assert caught.value.tool == "keepalived's FIFO"
