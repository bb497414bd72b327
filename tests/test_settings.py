"""The example settings are what the program gets."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from types import ModuleType

import pytest

from bot.domain.fleet import CheckKind, Forwarding, ProbeKind, Protocol, SshAccess
from bot.domain.observed import ServiceKey, key_of
from bot.settings import (
    SettingsError,
    SlackMode,
    bot_shapes,
    check,
    fleet_shapes,
    load_fleet,
    load_settings,
    secret_variable,
)
from bot.settings.known_hosts import KnownHosts, host_of, jump_host
from bot.settings.reader import Shape
from tests.settings_site import ENVIRON, KEY, Site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def test_the_example_fleet_is_the_reference_site(site: Site) -> None:
    (cluster,) = load_fleet(site.fleet).clusters
    assert cluster.name == "site"
    assert [(d.name, d.address, d.interface, d.ssh) for d in cluster.directors] == [
        ("sv1", ip_address("10.100.0.10"), "br0", SshAccess(user="lvsbot", port=22)),
        ("sv2", ip_address("10.100.0.20"), "br0", SshAccess(user="lvsbot", port=22)),
    ]
    assert [(r.name, str(r.address), r.host) for r in cluster.real_servers] == [
        ("web1", "10.100.0.11", "sv1"),
        ("web2", "10.100.0.21", "sv2"),
    ]
    (instance,) = cluster.vrrp_instances
    assert instance.virtual_addresses == (ip_interface("10.100.5.11/21"),)
    assert instance.priorities == (("sv1", 100), ("sv2", 90))
    assert instance.auth_pass_env == "LVS_VRRP_VI_1"
    assert cluster.snat
    assert cluster.snat.vaddr == ip_network("10.100.5.0/24")
    http = cluster.service("http")
    assert (http.protocol, http.port, http.vrrp_instance) == (Protocol.TCP, 80, "VI_1")
    assert http.forwarding is Forwarding.MASQUERADING
    assert [(m.real_server, m.port, m.weight) for m in http.members] == [("web1", 80, 1), ("web2", 80, 1)]
    assert http.check
    assert (http.check.kind, http.check.retries) == (CheckKind.HTTP_GET, 2)


def test_a_probe_is_made_for_the_vip_and_for_each_real_server(site: Site) -> None:
    (cluster,) = load_fleet(site.fleet).clusters
    probes = {p.name: p for p in cluster.probes}
    assert sorted(probes) == sorted(
        f"{kind}{service}{server}"
        for service in ("http", "dns-udp", "dns-tcp")
        for kind, server in (("vip:", ""), ("rs:", "/web1"), ("rs:", "/web2"))
    )
    vip = probes["vip:http"]
    assert vip.of_vip
    assert (vip.kind, str(vip.address), vip.port, vip.every, vip.timeout) == (
        ProbeKind.HTTP,
        "10.100.5.11",
        80,
        0.25,
        0.9,
    )
    assert (vip.fall, vip.rise, vip.expect_status) == (3, 2, (200,))
    one = probes["rs:dns-udp/web2"]
    assert (one.kind, one.protocol, str(one.address), one.port) == (ProbeKind.DNS, Protocol.UDP, "10.100.0.21", 53)
    assert (one.query, one.expect_answer, one.real_server, one.cluster) == (
        "www.site.test",
        "10.100.5.11",
        "web2",
        "site",
    )


def test_the_example_settings_are_complete(site: Site) -> None:
    settings = load_settings(site.bot, ENVIRON)
    assert settings.slack.mode is SlackMode.SOCKET
    assert settings.slack.channels == {"site": "#lvs-site"}
    assert settings.roles.users == ("U0ALICE",)
    assert settings.roles.terminal == ("root",)
    assert settings.storage.keep_samples_s == 7 * 86400
    assert (str(settings.listen.host), settings.listen.port) == ("127.0.0.1", 8780)
    assert (settings.webhook.max_age_s, settings.webhook.max_body) == (300, 65536)
    assert settings.webhook.secrets["sv1"].get_secret_value() == ENVIRON["LVSBOT_SECRET_SV1"]
    assert settings.ssh.known_hosts == site.known_hosts
    assert settings.ssh.identity is None
    assert settings.intervals.drain_patience_s == 1800


def test_no_secret_shows_itself(site: Site) -> None:
    settings = load_settings(site.bot, {**ENVIRON, "LVSBOT_STORAGE_PASSWORD": "hunter2 hunter2"})
    shown = f"{settings!r} {settings} {settings.slack!r} {settings.webhook!r} {settings.storage!r}"
    for secret in (*ENVIRON.values(), "hunter2 hunter2"):
        assert secret not in shown


def test_http_mode_needs_the_signing_secret_and_socket_mode_the_app_token(site: Site) -> None:
    site.change("bot.yaml", "mode: socket ", "mode: http ")
    settings = load_settings(site.bot, {k: v for k, v in ENVIRON.items() if k != "SLACK_APP_TOKEN"})
    assert settings.slack.app_token is None
    assert settings.slack.signing_secret
    site.change("bot.yaml", "mode: http ", "mode: socket ")
    settings = load_settings(site.bot, {k: v for k, v in ENVIRON.items() if k != "SLACK_SIGNING_SECRET"})
    assert settings.slack.signing_secret is None
    assert settings.slack.app_token


def test_a_director_may_override_how_it_is_reached(site: Site) -> None:
    site.change(
        "fleet.yaml",
        "sv2: {address: 10.100.0.20, interface: br0}",
        "sv2: {address: 10.100.0.20, interface: br0, ssh: {port: 2222}}",
    )
    site.change("fleet.yaml", "# jump: ops@bastion.example.net:22", "jump: ops@bastion.example.net:2200")
    cluster = load_fleet(site.fleet).clusters[0]
    jump = "ops@bastion.example.net:2200"
    assert cluster.director("sv1").ssh == SshAccess(user="lvsbot", port=22, jump=jump)
    assert cluster.director("sv2").ssh == SshAccess(user="lvsbot", port=2222, jump=jump)


def test_a_firewall_mark_is_of_the_family_that_its_pool_is_of(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(
        """
clusters:
  six:
    directors: {sv1: {address: 10.100.0.10, interface: br0}}
    real_servers: {web1: {address: "2001:db8::21"}}
    virtual_services:
      web: {fwmark: 1, scheduler: rr, forwarding: masquerading, pool: {web1: {port: 80}}}
"""
    )
    service = load_fleet(fleet).clusters[0].service("web")
    assert (service.family, key_of(service)) == (6, ServiceKey(fwmark=1, family=6))


def test_a_firewall_mark_is_a_service_without_an_address(site: Site) -> None:
    site.change(
        "fleet.yaml",
        "        address: 10.100.5.11\n        port: 53\n        protocol: udp\n        vrrp_instance: VI_1\n",
        "        fwmark: 7\n",
    )
    site.change(
        "fleet.yaml",
        "          vip:\n            dns: {",
        "          vip:\n            address: 10.100.5.11\n            port: 53\n            dns: {",
    )
    site.change(
        "fleet.yaml",
        "          real_servers:\n            dns: {",
        "          real_servers:\n            port: 53\n            dns: {",
    )
    cluster = load_fleet(site.fleet).clusters[0]
    service = cluster.service("dns-udp")
    assert (service.fwmark, service.address, service.port, service.vrrp_instance) == (7, None, None, None)
    assert (service.family, key_of(service)) == (4, ServiceKey(fwmark=7))
    assert {p.name: (p.port, p.protocol) for p in cluster.probes if p.service == "dns-udp"} == {
        "vip:dns-udp": (53, Protocol.UDP),
        "rs:dns-udp/web1": (53, Protocol.UDP),
        "rs:dns-udp/web2": (53, Protocol.UDP),
    }


def test_a_service_that_names_no_instance_is_carried_by_the_one_with_its_address(site: Site) -> None:
    site.change("fleet.yaml", "        vrrp_instance: VI_1               # which instance carries the address\n", "")
    assert load_fleet(site.fleet).clusters[0].service("http").vrrp_instance == "VI_1"


def test_a_port_of_its_own_is_fine_under_masquerading(site: Site) -> None:
    site.change("fleet.yaml", "          web1: {}\n", "          web1: {port: 8080, weight: 3}\n")
    member = load_fleet(site.fleet).clusters[0].service("http").member("web1")
    assert member
    assert (member.port, member.weight) == (8080, 3)


def test_a_key_without_a_value_is_as_if_it_were_not_there(site: Site) -> None:
    site.change("fleet.yaml", "          web1: {}\n", "          web1:\n")
    site.change("fleet.yaml", "          vip:\n            tcp: {}\n", "          vip:\n            tcp:\n")
    site.change("bot.yaml", "  directors: {} ", "  directors: ")
    assert load_settings(site.bot, ENVIRON).fleet == load_fleet(make_site(site.directory).fleet)


def test_a_check_says_what_the_settings_amount_to(site: Site) -> None:
    report = check(site.bot, ENVIRON)
    assert report.exit_code == 0
    assert report.settings
    amount = "1 cluster, 2 directors, 3 virtual services, 2 real servers, 9 probes"
    assert report.text() == f"{site.bot}: no problem: {amount}"
    assert json.loads(report.json()) == {"file": str(site.bot), "ok": True, "problems": []}


def test_a_check_reports_the_problems_of_both_files_and_of_the_environment_at_once(site: Site) -> None:
    in_bot = site.change("bot.yaml", "port: 8780", "port: 87800")
    in_fleet = site.change("fleet.yaml", "scheduler: rr                     #", "scheduler: fastest #")
    report = check(site.bot, {k: v for k, v in ENVIRON.items() if k != "SLACK_BOT_TOKEN"})
    assert report.exit_code == 2
    assert report.settings is None
    assert [(p.file, p.line, p.where) for p in report.problems] == [
        (str(site.bot), in_bot, "listen.port"),
        (str(site.fleet), in_fleet, "clusters.site.virtual_services.http.scheduler"),
        ("environment", None, "SLACK_BOT_TOKEN"),
    ]
    text = report.text()
    assert f"{site.bot}:{in_bot}:9: listen.port: 87800 is out of range\n    instead: a number from 1 to 65535" in text
    assert text.endswith("3 problems; nothing was started or changed")
    data = json.loads(report.json())
    assert data["ok"] is False
    assert data["problems"][0]["what"] == "87800 is out of range"


def test_an_error_lists_every_problem(site: Site) -> None:
    site.change("fleet.yaml", "virtual_router_id: 100 ", "virtual_router_id: 0 ")
    site.change("fleet.yaml", "advert_int: 1 ", "advert_int: soon ")
    with pytest.raises(SettingsError) as raised:
        load_fleet(site.fleet)
    assert len(raised.value.problems) == 2
    assert str(raised.value).startswith("2 problems in the settings\n")


def test_the_variable_of_a_director_s_secret_is_its_name_in_capitals() -> None:
    assert secret_variable("sv1") == "LVSBOT_SECRET_SV1"
    assert secret_variable("lb-1.example") == "LVSBOT_SECRET_LB_1_EXAMPLE"


@pytest.mark.parametrize(
    ("line", "host", "known"),
    [
        (f"10.0.0.1 {KEY}", "10.0.0.1", True),
        (f"10.0.0.1 {KEY}", "10.0.0.11", False),
        (f"10.0.0.* {KEY}", "10.0.0.11", True),
        (f"lb?.example,!lb9.example {KEY}", "lb9.example", False),
        (f"lb?.example,!lb9.example {KEY}", "LB1.example", True),
        (f"[10.0.0.1]:2222 {KEY}", "[10.0.0.1]:2222", True),
        (f"10.0.0.1 {KEY}", "[10.0.0.1]:2222", False),
        (f"@revoked 10.0.0.1 {KEY}", "10.0.0.1", False),
        (f"@cert-authority *.example {KEY}", "lb1.example", True),
        (f"# 10.0.0.1 {KEY}", "10.0.0.1", False),
        # Made by OpenSSH 9.2's `ssh-keygen -H`.
        ("HASHED", "10.0.0.1", True),
        ("HASHED", "10.0.0.2", False),
        (f"|1|not base64|either {KEY}", "10.0.0.1", False),
    ],
)
def test_known_hosts_is_read_as_openssh_reads_it(line: str, host: str, known: bool, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line.replace("HASHED", f"{HASHED} {KEY}") + "\n")
    assert KnownHosts(file).has(host) is known


HASHED = "|1|at4sZQxyFIX1SNkV5wMIaNKAqyk=|FHGS+5feObyOZg4fpaMtBvt8V34="


def test_hosts_are_named_as_known_hosts_names_them() -> None:
    assert host_of("10.0.0.1", 22) == "10.0.0.1"
    assert host_of("2001:db8::1", 2222) == "[2001:db8::1]:2222"
    assert jump_host("ops@bastion") == ("bastion", 22)
    assert jump_host("ops@bastion:2200") == ("bastion", 2200)
    assert jump_host("ops@[2001:db8::1]:2200") == ("2001:db8::1", 2200)
    assert jump_host("ops@[2001:db8::1]") == ("2001:db8::1", 22)


@pytest.mark.parametrize(("name", "shapes"), [("bot.yaml", bot_shapes), ("fleet.yaml", fleet_shapes)])
def test_every_key_that_can_be_written_is_in_the_examples(name: str, shapes: ModuleType, site: Site) -> None:
    text = site.file(name).read_text()
    classes = [c for c in vars(shapes).values() if isinstance(c, type) and issubclass(c, Shape)]
    keys = {key for c in classes for key in c.model_fields}
    assert len(keys) > 20
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}:", text)] == []
