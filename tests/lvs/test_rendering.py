"""The files of a director: they say what the fleet says, and allow the bot what it runs and nothing else."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.fleet import Cluster, Director, Snat
from bot.domain.observed import IpvsDestination, key_of
from bot.lvs import ipvsadm
from bot.lvs.agent import emit_test
from bot.lvs.rendering import AgentTarget, CannotRender, Firewall, render_director
from bot.settings import load_fleet
from tests.lvs.exotic import EXOTIC

SITE = load_fleet(Path(__file__).parents[2] / "config" / "fleet.yaml").clusters[0]
SV1, SV2 = SITE.directors
PASSWORDS = {"VI_1": "lab-7890"}


def rendered(
    cluster: Cluster, director: Director, firewall: Firewall = Firewall.FIREWALLD, passwords: dict[str, str] = PASSWORDS
) -> dict[str, str]:
    files = render_director(
        cluster,
        director,
        auth_passes=passwords,
        firewall=firewall,
        agent=AgentTarget(url="http://10.100.0.5:8780/events/keepalived"),
    )
    return {file.path: file.content for file in files}


def keepalived(cluster: Cluster, director: Director) -> list[str]:
    """The words of keepalived.conf, line by line, without comments and layout."""
    text = rendered(cluster, director)["/etc/keepalived/keepalived.conf"]
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def allowed(cluster: Cluster, director: Director) -> list[re.Pattern[str]]:
    """The patterns of sudoers that allow a change."""
    text = rendered(cluster, director)["/etc/sudoers.d/lvsbot"]
    # A bracket in brackets is itself in POSIX (regex(7)); Python warns that it may not stay so.
    text = text.replace("[[]", r"\[").replace("[]]", r"\]")
    return [re.compile(found) for found in re.findall(r"/usr/sbin/ipvsadm (\^.*\$)", text)]


def test_a_director_of_the_reference_site_gets_these_files() -> None:
    files = render_director(SITE, SV1, auth_passes=PASSWORDS, agent=AgentTarget(url="http://10.100.0.5:8780/e"))
    assert {file.path: file.mode for file in files} == {
        "/etc/firewalld/direct.xml": 0o644,
        "/etc/keepalived/keepalived.conf": 0o600,
        "/etc/lvs-agent.json": 0o644,
        "/etc/modules-load.d/lvs.conf": 0o644,
        "/etc/sudoers.d/lvsbot": 0o440,
        "/etc/sysctl.d/90-lvs.conf": 0o644,
    }
    assert {file.owner for file in files} == {"root"}


def test_keepalived_says_what_the_fleet_says() -> None:
    lines = keepalived(SITE, SV1)
    assert lines[: lines.index("virtual_server 10.100.5.11 80 {")] == [
        *("global_defs {", "router_id LVS_DEVEL", "process_names", "script_user root", "enable_script_security"),
        *("notify_fifo /run/lvs-agent/notify.fifo", "fifo_write_vrrp_states_on_reload", "}"),
        *("vrrp_instance VI_1 {", "state MASTER", "interface br0", "virtual_router_id 100", "priority 100"),
        *("advert_int 1", "authentication {", "auth_type PASS", "auth_pass lab-7890", "}"),
        *("virtual_ipaddress {", "10.100.5.11/21", "}", "}"),
    ]
    start = lines.index("virtual_server 10.100.5.11 80 {")
    assert lines[start : start + 17] == [
        *("virtual_server 10.100.5.11 80 {", "delay_loop 6", "lb_algo rr", "lb_kind NAT", "protocol TCP"),
        *("real_server 10.100.0.11 80 {", "weight 1", "HTTP_GET {", "url {", "path /", "status_code 200", "}"),
        *("connect_timeout 1", "retry 2", "delay_before_retry 1", "}", "}"),
    ]
    assert "protocol UDP" in lines
    assert lines.count("name www.site.test") == 2


def test_the_fifo_stands_behind_script_user_or_keepalived_loses_it_at_a_reload() -> None:
    lines = keepalived(SITE, SV1)
    assert lines.index("script_user root") < lines.index("notify_fifo /run/lvs-agent/notify.fifo")


def test_the_two_directors_differ_in_state_priority_and_own_address_only() -> None:
    assert [pair for pair in zip(keepalived(SITE, SV1), keepalived(SITE, SV2), strict=True) if pair[0] != pair[1]] == [
        ("state MASTER", "state BACKUP"),
        ("priority 100", "priority 90"),
    ]
    one, two = rendered(SITE, SV1), rendered(SITE, SV2)
    assert "--to-source 10.100.0.10" in one["/etc/firewalld/direct.xml"]
    assert "--to-source 10.100.0.20" in two["/etc/firewalld/direct.xml"]


def test_ip_vs_is_loaded_before_the_sysctl_that_comes_with_it() -> None:
    files = rendered(SITE, SV1)
    assert "ip_vs\nip_vs_rr\n" in files["/etc/modules-load.d/lvs.conf"]
    assert "net.ipv4.ip_forward=1\nnet.ipv4.vs.conntrack=1\n" in files["/etc/sysctl.d/90-lvs.conf"]


def test_the_snat_rule_is_a_direct_rule_of_firewalld() -> None:
    rule, _ = ET.fromstring(rendered(SITE, SV1)["/etc/firewalld/direct.xml"].encode())
    assert rule.attrib == {"ipv": "ipv4", "table": "nat", "chain": "POSTROUTING", "priority": "0"}
    assert rule.text == "-m ipvs --vaddr 10.100.5.0/24 -j SNAT --to-source 10.100.0.10"


def test_without_firewalld_a_unit_adds_the_same_rule_before_keepalived_starts() -> None:
    files = rendered(SITE, SV1, Firewall.IPTABLES)
    unit = files["/etc/systemd/system/lvs-snat.service"]
    rule = "POSTROUTING -m ipvs --vaddr 10.100.5.0/24 -j SNAT --to-source 10.100.0.10"
    assert f"ExecStart=/usr/sbin/iptables --wait --table nat --append {rule}\n" in unit
    assert f"ExecStop=/usr/sbin/iptables --wait --table nat --delete {rule}\n" in unit
    assert "keepalived.service" in unit
    assert "/etc/firewalld/direct.xml" not in files


def test_what_is_for_a_vip_that_is_elsewhere_passes_untracked() -> None:
    rule = "-d 10.100.5.11 -m addrtype ! --dst-type LOCAL -j CT --notrack"
    _, direct = ET.fromstring(rendered(SITE, SV1)["/etc/firewalld/direct.xml"].encode())
    assert direct.attrib == {"ipv": "ipv4", "table": "raw", "chain": "PREROUTING", "priority": "0"}
    assert direct.text == rule
    unit = rendered(SITE, SV1, Firewall.IPTABLES)["/etc/systemd/system/lvs-snat.service"]
    assert f"ExecStart=/usr/sbin/iptables --wait --table raw --append PREROUTING {rule}\n" in unit
    assert f"ExecStop=/usr/sbin/iptables --wait --table raw --delete PREROUTING {rule}\n" in unit


def test_what_is_for_an_address_that_has_no_snat_is_left_alone() -> None:
    """A director may well be the router of others in the same network, and NAT their connections itself."""
    unit = rendered(EXOTIC, EXOTIC.directors[0], Firewall.IPTABLES)["/etc/systemd/system/lvs-snat.service"]
    assert re.findall(r"/usr/sbin/(\S+) --wait --table raw --append PREROUTING -d (\S+)", unit) == [
        ("ip6tables", "2001:db8::100"),
        ("ip6tables", "2001:db8::101"),
    ]
    elsewhere = replace(SITE, snat=Snat(vaddr=ip_network("10.200.0.0/24")))
    for firewall in Firewall:
        assert "notrack" not in str(rendered(elsewhere, SV1, firewall))


def test_the_agent_is_told_who_it_is_and_where_to_report() -> None:
    assert json.loads(rendered(SITE, SV2)["/etc/lvs-agent.json"]) == {
        "director": "sv2",
        "url": "http://10.100.0.5:8780/events/keepalived",
        "secret_file": "/etc/lvs-agent.secret",
        "fifo": "/run/lvs-agent/notify.fifo",
        "heartbeat_s": 5.0,
    }


@pytest.mark.parametrize("cluster", [SITE, EXOTIC], ids=lambda cluster: cluster.name)
@given(weight=st.integers(0, 65535), more=st.text(min_size=1))
def test_sudoers_allows_the_weight_commands_of_the_fleet_word_by_word(cluster: Cluster, weight: int, more: str) -> None:
    patterns = allowed(cluster, cluster.directors[0])
    for service in cluster.services:
        for member in service.members:
            destination = IpvsDestination(
                address=cluster.real_server(member.real_server).address,
                port=member.port,
                forwarding=service.forwarding,
                weight=1,
            )
            words = " ".join(ipvsadm.set_weight(key_of(service), destination, weight)[1:])
            assert sum(pattern.fullmatch(words) is not None for pattern in patterns) == 1
            longer = f"{words} {more}"
            assert not any(pattern.fullmatch(longer) for pattern in patterns)


def test_sudoers_allows_what_the_bot_reads_and_no_shell_or_edit() -> None:
    text = rendered(SITE, SV1)["/etc/sudoers.d/lvsbot"]
    commands = {line.strip().rstrip(", \\") for line in text.splitlines() if line.startswith("    ")}
    assert {command for command in commands if "^" not in command} == {
        "/usr/sbin/ipvsadm -Ln",
        "/usr/sbin/ipvsadm -Ln --tun-info",
        "/usr/sbin/ipvsadm -Ln --thresholds",
        "/usr/sbin/ipvsadm -Ln --stats --exact",
        "/usr/sbin/ipvsadm -Ln --rate --exact",
        "/usr/sbin/ipvsadm -Lnc",
        "/usr/sbin/ipvsadm -Sn",
        "/usr/sbin/iptables -t nat -S POSTROUTING -v",
        "/usr/sbin/iptables -t raw -S PREROUTING -v",
    }
    assert "lvsbot ALL=(root) NOPASSWD: LVS_READ, LVS_WEIGHT\n" in text


@given(more=st.text(min_size=1))
def test_sudoers_allows_the_self_tests_line_as_the_agents_own_account_and_no_other_command_of_it(more: str) -> None:
    text = rendered(SITE, SV1)["/etc/sudoers.d/lvsbot"]
    assert "lvsbot ALL=(lvs-agent) NOPASSWD: LVS_SELF_TEST\n" in text
    assert text.count("/usr/local/sbin/lvs-agent") == 1
    [pattern] = re.findall(r"^Cmnd_Alias LVS_SELF_TEST = /usr/local/sbin/lvs-agent (\^.*\$)$", text, re.MULTILINE)
    program, *words = emit_test("0123abcd")
    assert program == "/usr/local/sbin/lvs-agent"
    assert re.fullmatch(pattern, " ".join(words))
    assert not re.fullmatch(pattern, " ".join(words) + " " + more)
    for other in ("run", "test", "emit TEST 0123abcd", "emit --through-fifo INSTANCE VI_1 MASTER 100"):
        assert not re.fullmatch(pattern, other)


def test_where_the_virtual_addresses_are_ipv6_the_rules_of_ip6tables_may_be_read() -> None:
    text = rendered(EXOTIC, EXOTIC.directors[0])["/etc/sudoers.d/lvsbot"]
    assert "    /usr/sbin/ip6tables -t nat -S POSTROUTING -v, \\\n" in text
    assert "    /usr/sbin/ip6tables -t raw -S PREROUTING -v\n" in text
    assert "/usr/sbin/iptables" not in text


def test_everything_that_the_reference_site_lacks_is_said_in_keepalived_words() -> None:
    first, second, third = (keepalived(EXOTIC, director) for director in EXOTIC.directors)
    assert "state BACKUP" in first
    assert "state MASTER" in second
    assert not any(line.startswith("vrrp_instance") for line in third)
    assert not any("auth" in line for line in first)
    for line in ("advert_int 0.5", "2001:db8::101/64", "virtual_server 2001:db8::100 443 {", "persistence_timeout 300"):
        assert line in first
    for line in ("virtual_server fwmark 7 {", "lb_kind DR", "lb_kind TUN", "protocol SCTP", "lb_algo sh", "weight 0"):
        assert line in first
    assert "connect_timeout 1.5" in first


@pytest.mark.parametrize("password", ["", "nine-long", "a b", "x#y", "{", 'q"', "new\nline", "$x", "!x"])
def test_a_password_that_keepalived_would_read_otherwise_is_refused(password: str) -> None:
    with pytest.raises(CannotRender, match=r"VI_1.*LVS_VRRP_VI_1.*1 to 8"):
        rendered(SITE, SV1, passwords={"VI_1": password})


def test_a_port_that_only_masquerading_could_change_is_refused() -> None:
    https = EXOTIC.services[0]
    moved = replace(https, members=(replace(https.members[0], port=8443),))
    with pytest.raises(CannotRender, match=r"https.*a: direct routing cannot change the port to 8443: write port 443"):
        rendered(replace(EXOTIC, services=(moved,)), EXOTIC.directors[0])


def test_behind_a_firewall_mark_a_real_server_has_no_port() -> None:
    assert "real_server 2001:db8::a {" in keepalived(EXOTIC, EXOTIC.directors[0])
