"""Every way in which settings are wrong that we know of: the place, the words, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.settings import Problem, SettingsError, check, load_fleet, load_settings
from tests.settings_site import ENVIRON, KEY, Site, make_site

SITE = "clusters.site."
HTTP = SITE + "virtual_services.http."


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A problem that must be reported: ``line`` counts from the first line of the change."""

    where: str
    what: str
    instead: str
    line: int = 0


def said(where: str, what: str, instead: str, line: int = 0) -> Said:
    return Said(where=where, what=what, instead=instead, line=line)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def problems_of(site: Site) -> list[Problem]:
    return list(check(site.bot, ENVIRON).problems)


BROKEN: list[tuple[str, str, str, str, list[Said]]] = [
    # --- what stands in the fleet file
    (
        "an unknown key is named with the nearest one that exists",
        "fleet.yaml",
        "sv1: {address: 10.100.0.10, interface: br0}",
        "sv1: {adress: 10.100.0.10, interface: br0}",
        [
            said(SITE + "directors.sv1.adress", "unknown key 'adress'", "did you mean address?"),
            said(SITE + "directors.sv1.address", "address is missing", "`address: 10.100.0.10`"),
        ],
    ),
    (
        "a key that is like no other is answered with all that exist",
        "fleet.yaml",
        "        port: 80\n",
        "        port: 80\n        zzz: 1\n",
        [said(HTTP + "zzz", "unknown key 'zzz'", "one of: address, port, protocol, fwmark, vrrp_instance", 1)],
    ),
    (
        "a secret in a file is refused without being shown",
        "fleet.yaml",
        "auth_pass_env: LVS_VRRP_VI_1",
        "auth_pass: hunter2",
        [said(SITE + "vrrp_instances.VI_1.auth_pass", "unknown key", "secrets come from the environment only")],
    ),
    (
        "an address must be one",
        "fleet.yaml",
        "web1: {address: 10.100.0.11, host: sv1}",
        "web1: {address: 10.100.0.256, host: sv1}",
        [said(SITE + "real_servers.web1.address", "'10.100.0.256' is not an IP address", "for example 10.100.0.10")],
    ),
    (
        "a port must fit in sixteen bits",
        "fleet.yaml",
        "        port: 80\n",
        "        port: 80000\n",
        [said(HTTP + "port", "80000 is out of range", "a number from 1 to 65535")],
    ),
    (
        "a port in quotes is no number",
        "fleet.yaml",
        "        port: 80\n",
        '        port: "80"\n',
        [said(HTTP + "port", "'80' is not a whole number", "a whole number: for example 80")],
    ),
    (
        "true is no number",
        "fleet.yaml",
        "virtual_router_id: 100 ",
        "virtual_router_id: true ",
        [said(SITE + "vrrp_instances.VI_1.virtual_router_id", "true is not a whole number", "for example 100")],
    ),
    (
        "a virtual router id is one byte",
        "fleet.yaml",
        "virtual_router_id: 100 ",
        "virtual_router_id: 256 ",
        [said(SITE + "vrrp_instances.VI_1.virtual_router_id", "256 is out of range", "a number from 1 to 255")],
    ),
    (
        "a virtual address has a prefix length",
        "fleet.yaml",
        "virtual_addresses: [10.100.5.11/21]",
        "virtual_addresses: [10.100.5.11]",
        [
            said(
                SITE + "vrrp_instances.VI_1.virtual_addresses[0]", "has no prefix length", "10.100.5.11/24, for example"
            )
        ],
    ),
    (
        "a list is a list",
        "fleet.yaml",
        "virtual_addresses: [10.100.5.11/21]",
        "virtual_addresses: 10.100.5.11/21",
        [said(SITE + "vrrp_instances.VI_1.virtual_addresses", "is not a list", "a list: [10.100.5.11/21]")],
    ),
    (
        "a mapping is a mapping",
        "fleet.yaml",
        "sv2: {address: 10.100.0.20, interface: br0}",
        "sv2: 10.100.0.20",
        [said(SITE + "directors.sv2", "'10.100.0.20' is not a mapping", "config/ has an example")],
    ),
    (
        "a duration has a unit that we know",
        "fleet.yaml",
        "            every: 0.25 ",
        "            every: 4 fortnights ",
        [
            said(
                HTTP + "probes.vip.every",
                "'4 fortnights' is not a duration",
                "seconds, or a number with ms, s, m, h or d",
            )
        ],
    ),
    (
        "a word is one of those that LVS has",
        "fleet.yaml",
        "forwarding: masquerading          # masq",
        "forwarding: nat # masq",
        [said(HTTP + "forwarding", "'nat' is not one of the words", "masquerading, direct routing, tunnelling, local")],
    ),
    (
        "a network has no host bits",
        "fleet.yaml",
        "vaddr: 10.100.5.0/24 ",
        "vaddr: 10.100.5.11/24 ",
        [said(SITE + "snat.vaddr", "is an address inside of a network", "the network itself: 10.100.5.0/24")],
    ),
    (
        "a name can be typed in Slack and stands in no danger of a shell",
        "fleet.yaml",
        "web1: {address: 10.100.0.11, host: sv1}",
        'web1: {address: 10.100.0.11, host: sv1}\n      "web 3; reboot": {address: 10.100.0.31}',
        [said(SITE + "real_servers.web 3; reboot", "'web 3; reboot' is not a name", "letters, digits, _ . and -", 1)],
    ),
    # --- what does not fit together in the fleet file
    (
        "a pool has real servers that exist",
        "fleet.yaml",
        "          web2: {}\n",
        "          wbe2: {}\n",
        [said(HTTP + "pool.wbe2", "there is no real server 'wbe2'", "did you mean web2?")],
    ),
    (
        "a pool is not empty",
        "fleet.yaml",
        (
            "        pool:                             # port defaults to the service's, weight to 1\n"
            "          web1: {}\n          web2: {}\n"
        ),
        "        pool: {}\n",
        [said(HTTP + "pool", "the pool is empty", "at least one of: web1, web2")],
    ),
    (
        "priorities are those of directors that exist",
        "fleet.yaml",
        "priorities: {sv1: 100, sv2: 90}",
        "priorities: {sv1: 100, sv3: 90}",
        [said(SITE + "vrrp_instances.VI_1.priorities.sv3", "there is no director 'sv3'", "did you mean sv2?")],
    ),
    (
        "two directors never have the same priority",
        "fleet.yaml",
        "priorities: {sv1: 100, sv2: 90}",
        "priorities: {sv1: 100, sv2: 100}",
        [said(SITE + "vrrp_instances.VI_1.priorities.sv2", "sv2 has the same priority as sv1", "another number")],
    ),
    (
        "a virtual router id is used once on an interface, and a virtual address once",
        "fleet.yaml",
        "    real_servers:                         # `host`",
        (
            "      VI_2:\n        virtual_router_id: 100\n        interface: br0\n"
            "        virtual_addresses: [10.100.5.11/21]\n        priorities: {sv2: 100, sv1: 90}\n    real_servers: #"
        ),
        [
            said(SITE + "vrrp_instances.VI_2.virtual_router_id", "is taken (line 17)", "another virtual_router_id", 1),
            said(SITE + "vrrp_instances.VI_2.virtual_addresses[0]", "the address is taken", "another address", 3),
        ],
    ),
    (
        "a virtual address is nobody's own",
        "fleet.yaml",
        "web2: {address: 10.100.0.21, host: sv2}",
        "web2: {address: 10.100.5.11, host: sv2}",
        [
            said(
                SITE + "vrrp_instances.VI_1.virtual_addresses[0]",
                "the address is taken (line 26)",
                "another address",
                -6,
            )
        ],
    ),
    (
        "two directors never have the same address",
        "fleet.yaml",
        "sv2: {address: 10.100.0.20, interface: br0}",
        "sv2: {address: 10.100.0.10, interface: br0}",
        [said(SITE + "directors.sv2.address", "the address is taken (line 12)", "another address")],
    ),
    (
        "two real servers never have the same address",
        "fleet.yaml",
        "web2: {address: 10.100.0.21, host: sv2}",
        "web2: {address: 10.100.0.11, host: sv2}",
        [said(SITE + "real_servers.web2.address", "the address is taken", "another address")],
    ),
    (
        "a host is a director",
        "fleet.yaml",
        "web2: {address: 10.100.0.21, host: sv2}",
        "web2: {address: 10.100.0.21, host: web1}",
        [said(SITE + "real_servers.web2.host", "there is no director 'web1'", "one of: sv1, sv2")],
    ),
    (
        "a name means one thing",
        "fleet.yaml",
        "web2: {address: 10.100.0.21, host: sv2}",
        "web2: {address: 10.100.0.21, host: sv2}\n      SV1: {address: 10.100.0.31}",
        [said(SITE + "real_servers.SV1", "the name is taken (line 12)", "another name", 1)],
    ),
    (
        "a service's address is carried by a VRRP instance",
        "fleet.yaml",
        "address: 10.100.5.11              # or",
        "address: 10.100.5.12              # or",
        [said(HTTP + "address", "no VRRP instance has 10.100.5.12", "one of: 10.100.5.11, or add it there")],
    ),
    (
        "the VRRP instance that a service names exists",
        "fleet.yaml",
        "vrrp_instance: VI_1               # which",
        "vrrp_instance: VI_2               # which",
        [said(HTTP + "vrrp_instance", "there is no VRRP instance 'VI_2'", "did you mean VI_1?")],
    ),
    (
        "protocol, address and port belong to one service",
        "fleet.yaml",
        "        port: 53\n        protocol: udp\n",
        "        port: 53\n        protocol: tcp\n",
        [
            said(SITE + "virtual_services.dns-tcp.address", "protocol, address and port is taken", "another", 20),
        ],
    ),
    (
        "a service has an address or a firewall mark",
        "fleet.yaml",
        "        protocol: udp\n",
        "        protocol: udp\n        fwmark: 7\n",
        [
            said(SITE + f"virtual_services.dns-udp.{name}", "not both", "remove it, or remove fwmark", line)
            for name, line in (("address", -2), ("port", -1), ("protocol", 0))
        ],
    ),
    (
        "a service without an address says so",
        "fleet.yaml",
        "        address: 10.100.5.11              # or `fwmark: 7` instead of address, port and protocol\n",
        "",
        [
            said(HTTP + "address", "address is missing", "`address: 10.100.5.11`, or `fwmark:`"),
        ],
    ),
    (
        "direct routing cannot change the port",
        "fleet.yaml",
        (
            "forwarding: masquerading          # masquerading (NAT), direct routing, tunnelling\n"
            "        delay_loop: 6                     # seconds between keepalived's own checks\n"
            "        # persistence_timeout: 300        # seconds a client stays with its real server\n"
            "        pool:                             # port defaults to the service's, weight to 1\n"
            "          web1: {}\n"
        ),
        "forwarding: direct routing\n        pool:\n          web1: {port: 8080}\n",
        [
            said(
                HTTP + "pool.web1.port",
                "with direct routing the port cannot differ",
                "port: 80, or forwarding: masq",
                2,
            )
        ],
    ),
    (
        "a real server is of the VIP's family",
        "fleet.yaml",
        "web2: {address: 10.100.0.21, host: sv2}",
        'web2: {address: "2001:db8::21", host: sv2}',
        [
            said(
                SITE + f"virtual_services.{name}.pool.web2", "web2 is IPv6 and the VIP IPv4", "or forwarding: tun", line
            )
            for name, line in (("http", 17), ("dns-udp", 43), ("dns-tcp", 64))
        ],
    ),
    (
        "a SNAT rule matches some service",
        "fleet.yaml",
        "vaddr: 10.100.5.0/24 ",
        "vaddr: 10.100.6.0/24 ",
        [said(SITE + "snat.vaddr", "the rule would match nothing", "a network that contains 10.100.5.11")],
    ),
    (
        "probes of a target do not pile up",
        "fleet.yaml",
        "            timeout: 0.9                  # below",
        "            timeout: 3 # below",
        [said(HTTP + "probes.vip.timeout", "more than 10 would be under way at once", "a timeout of at most 2.5")],
    ),
    (
        "a jitter leaves probes in their order",
        "fleet.yaml",
        "jitter: 0.2 ",
        "jitter: 2 ",
        [said(HTTP + "probes.real_servers.jitter", "probes would overtake each other", "at most half of `every`: 1")],
    ),
    (
        "a probe asks one question",
        "fleet.yaml",
        "          vip:\n            tcp: {}\n",
        "          vip:\n            tcp: {}\n            icmp: {}\n",
        [
            said(
                SITE + "virtual_services.dns-tcp.probes.vip",
                "one question, not 2",
                "one of: http, tcp, dns, icmp, tls",
                1,
            )
        ],
    ),
    (
        "a probe asks something",
        "fleet.yaml",
        "          real_servers:\n            tcp: {}\n",
        "          real_servers:\n",
        [
            said(SITE + "virtual_services.dns-tcp.probes.real_servers", "the probe asks nothing", "exactly one of", 1),
        ],
    ),
    (
        "a UDP service is not asked over TCP",
        "fleet.yaml",
        "            dns: {query: www.site.test, type: A, expect_answer: 10.100.5.11}\n            every: 1\n",
        "            tcp: {}\n            every: 1\n",
        [said(SITE + "virtual_services.dns-udp.probes.vip.tcp", "a tcp probe cannot ask a udp service", "dns or icmp")],
    ),
    (
        "keepalived makes one check",
        "fleet.yaml",
        "          tcp_check: {connect_timeout: 1,",
        "          http_get: {}\n          tcp_check: {connect_timeout: 1,",
        [said(SITE + "virtual_services.dns-tcp.check", "one check here, not 2", "exactly one of: http_get, tcp_check")],
    ),
    # --- what stands in the bot's file
    (
        "a channel is an id or a #name",
        "bot.yaml",
        'site: "#lvs-site"',
        "site: lvs-site",
        [said("slack.channels.site", "'lvs-site' is not a channel's id or #name", 'for example "#lvs-site"')],
    ),
    (
        "a channel without quotes is a comment, and then the cluster has none",
        "bot.yaml",
        'site: "#lvs-site"',
        "site: #lvs-site",
        [said("slack.channels.site", "nothing is not a channel's id", "a bare # begins a comment")],
    ),
    (
        "every cluster has a channel, and every channel a cluster",
        "bot.yaml",
        'site: "#lvs-site"',
        'sight: "#lvs-site"',
        [
            said("slack.channels", "the cluster site has no channel", '`site: "#lvs-site"`'),
            said("slack.channels.sight", "there is no cluster 'sight'", "did you mean site?"),
        ],
    ),
    (
        "a mode is one of two",
        "bot.yaml",
        "mode: socket ",
        "mode: sockets ",
        [said("slack.mode", "'sockets' is not one of the words", "one of: socket, http")],
    ),
    (
        "a user is an id",
        "bot.yaml",
        "users: [U0ALICE]",
        'users: [U0ALICE, alice, "@bob"]',
        [
            said("roles.operator.users[1]", "'alice' is not a Slack user id", "for example U0ALICE"),
            said("roles.operator.users[2]", "'@bob' is not a Slack user id", "for example U0ALICE"),
        ],
    ),
    (
        "tokens do not travel in clear",
        "bot.yaml",
        "# base_url: https://slack.com/api/ ",
        "base_url: http://slack.example/api/ ",
        [said("slack.base_url", "tokens would travel in clear", "https://…")],
    ),
    (
        "a database's password stands in no file",
        "bot.yaml",
        "url: sqlite:///var/lvsbot.db ",
        "url: postgresql+psycopg://lvsbot:hunter2@db/lvsbot ",
        [said("storage.url", "a password stands in the file", "LVSBOT_STORAGE_PASSWORD")],
    ),
    (
        "a journal is kept on a disk",
        "bot.yaml",
        "url: sqlite:///var/lvsbot.db ",
        'url: "sqlite:///:memory:" ',
        [said("storage.url", "names no file", "sqlite:///relative/path.db")],
    ),
    (
        "a storage is one that the bot knows",
        "bot.yaml",
        "url: sqlite:///var/lvsbot.db ",
        "url: mysql://db/lvsbot ",
        [said("storage.url", "'mysql' is no storage that the bot knows", "postgresql+psycopg://user@host/database")],
    ),
    (
        "the listening host is an address",
        "bot.yaml",
        "host: 127.0.0.1",
        "host: localhost",
        [said("listen.host", "'localhost' is not an IP address", "an IP address: for example")],
    ),
    (
        "a size has a unit that we know",
        "bot.yaml",
        "max_body: 64KiB",
        "max_body: 64K",
        [said("webhook.max_body", "'64K' is not a size", "bytes, or a number with KiB or MiB: for example 64KiB")],
    ),
    (
        "a secret's variable is that of a director",
        "bot.yaml",
        "directors: {} ",
        "directors: {sv3: OTHER} ",
        [said("webhook.directors.sv3", "there is no director 'sv3'", "did you mean sv2?")],
    ),
    (
        "the key file is there",
        "bot.yaml",
        "identity: null ",
        "identity: no_such_key ",
        [said("ssh.identity", "there is no file", "a private key's path, or null for the agent")],
    ),
    (
        "the fleet file is there",
        "bot.yaml",
        "fleet: fleet.yaml ",
        "fleet: elsewhere.yaml ",
        [said("fleet", "there is no file", "the fleet file's path, relative to this file")],
    ),
    (
        "an interval is a duration in bounds",
        "bot.yaml",
        "heartbeat: 5s ",
        "heartbeat: 0 ",
        [said("intervals.heartbeat", "0 is out of range", "from 0.5 to 3600 seconds: for example 5s")],
    ),
    # --- YAML
    (
        "a tab is named as such",
        "fleet.yaml",
        "    real_servers:                         # `host`",
        "\treal_servers: # `host`",
        [said("", "a tab is used for indentation", "spaces: YAML forbids tabs there")],
    ),
    (
        "a key that is there twice is named with its first place",
        "bot.yaml",
        "  port: 8780\n",
        "  port: 8780\n  port: 8781\n",
        [said("listen.port", "the key is there twice (first in line 26)", "one of the two", 1)],
    ),
    (
        "a merge key is refused",
        "bot.yaml",
        "  port: 8780\n",
        "  port: 8780\n  <<: {a: 1}\n",
        [said("listen.<<", "merge keys (<<) are not supported", "the keys written out", 1)],
    ),
    (
        "a bracket that is not closed is found",
        "bot.yaml",
        "users: [U0ALICE] ",
        "users: [U0ALICE ",
        [said("", "not YAML: ", "valid YAML", 1)],
    ),
    (
        "there is one document in a file",
        "bot.yaml",
        "\nroles:\n",
        "\n---\nroles:\n",
        [said("", "more than one document", "one document", 1)],
    ),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_a_mistake_is_found_in_its_line_with_what_to_write_instead(
    name: str, old: str, new: str, expected: list[Said], site: Site
) -> None:
    first = site.change(name, old, new)
    found = sorted(problems_of(site), key=lambda p: (p.line or 0, p.where))
    wanted = sorted(expected, key=lambda s: (first + s.line, s.where))
    assert [(p.line, p.where) for p in found] == [(first + s.line, s.where) for s in wanted], "\n".join(map(str, found))
    for problem, said_ in zip(found, wanted, strict=True):
        assert problem.file == str(site.file(name))
        assert said_.what in problem.what
        assert said_.instead in problem.instead
        assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    ("changes", "where", "what", "instead"),
    [
        ({"SLACK_BOT_TOKEN": ""}, "SLACK_BOT_TOKEN", "is not set", "the bot token of the Slack app (xoxb-…)"),
        ({"SLACK_BOT_TOKEN": "xapp-hunter2"}, "SLACK_BOT_TOKEN", "does not begin with xoxb-", "the bot token"),
        ({"SLACK_APP_TOKEN": "xoxb-hunter2"}, "SLACK_APP_TOKEN", "does not begin with xapp-", "the app-level token"),
        ({"SLACK_APP_TOKEN": "xapp-hunter2\n"}, "SLACK_APP_TOKEN", "has blanks around it", "without blanks"),
        ({"LVSBOT_SECRET_SV2": ""}, "LVSBOT_SECRET_SV2", "is not set", "the secret that sv2's agent signs with"),
        ({"LVSBOT_SECRET_SV2": "hunter2"}, "LVSBOT_SECRET_SV2", "is shorter than 16 characters", "random characters"),
        ({"LVS_VRRP_VI_1": "hunter2hunter2"}, "LVS_VRRP_VI_1", "is longer than 8 characters", "keepalived ignores"),
    ],
)
def test_a_secret_that_cannot_be_right_is_named_and_not_shown(
    changes: dict[str, str], where: str, what: str, instead: str, site: Site
) -> None:
    (problem,) = check(site.bot, {**ENVIRON, **changes}).problems
    assert (problem.file, problem.line, problem.where) == ("environment", None, where)
    assert what in problem.what
    assert instead in problem.instead
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"# nothing but words\n", "the file is empty"),
        (b"- a\n- b\n", "the file is not a mapping"),
        (b"just text\n", "the file is not a mapping"),
        (b"a: \xff\n", "not UTF-8: byte 0xff"),
        (b"a: \x07\n", "character U+0007 is not allowed in YAML"),
        (b"a: " + b"[" * 5000, "the file is nested too deeply"),
        (b"a: &a [*a]\n", "an alias (*name) contains itself"),
        (b"? [a]\n: 1\n", "a key is a list or a mapping"),
        (
            (
                b"a: &a [1,2,3,4,5,6,7,8,9]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e]\n"
            ),
            "aliases (*name) multiply into too many values",
        ),
    ],
)
def test_a_file_that_is_no_settings_file_says_why(content: bytes, what: str, tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        load_fleet(file)
    assert any(what in problem.what for problem in raised.value.problems)


def test_the_place_of_a_byte_that_is_not_utf_8_is_exact(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_bytes("a: ä\nb: ".encode() + b"\xe4\n")
    with pytest.raises(SettingsError) as raised:
        load_fleet(tmp_path / "fleet.yaml")
    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (2, 4)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "none.yaml", "does not exist"), (tmp_path, "cannot be read: Is a directory")):
        with pytest.raises(SettingsError) as raised:
            load_settings(path, ENVIRON)
        (problem,) = raised.value.problems
        assert problem.file == str(path)
        assert what in problem.what


def test_a_director_without_a_pinned_key_is_named_with_how_to_get_it(site: Site) -> None:
    site.known_hosts.write_text(f"10.100.0.10 {KEY}\n")
    (problem,) = problems_of(site)
    assert problem.where == "ssh.known_hosts"
    assert "has no key for sv2 (10.100.0.20)" in problem.what
    assert "`ssh-keyscan 10.100.0.20 >> " in problem.instead


def test_a_jump_host_is_pinned_too(site: Site) -> None:
    site.change("fleet.yaml", "# jump: ops@bastion.example.net:22", "jump: ops@bastion.example.net:2200")
    (problem,) = problems_of(site)
    assert "[bastion.example.net]:2200" in problem.what
    assert "`ssh-keyscan -p 2200 bastion.example.net >> " in problem.instead


@pytest.mark.parametrize("content", [None, "garbage\n"])
def test_known_hosts_that_cannot_be_read_are_named(content: str | None, site: Site) -> None:
    site.known_hosts.unlink()
    if content:
        site.known_hosts.write_text(content)
    (problem,) = problems_of(site)
    assert problem.where == "ssh.known_hosts"
    assert f"{site.known_hosts}{': line 1 is not' if content else ' cannot be read: No such file'}" in problem.what


def test_directors_of_different_clusters_have_different_names(site: Site) -> None:
    fleet = site.fleet.read_text()
    second = fleet[fleet.index("  site:") :].replace("  site:", "  other:", 1)
    site.fleet.write_text(fleet + second)
    site.change("bot.yaml", 'site: "#lvs-site"', 'site: "#a"\n    other: "#b"')
    found = problems_of(site)
    assert [p.where for p in found] == ["clusters.other.directors.sv1", "clusters.other.directors.sv2"]
    assert all("director's name (in any cluster) is taken" in p.what for p in found)


def test_everything_wrong_is_reported_at_once(site: Site) -> None:
    changes = [
        ("fleet.yaml", "virtual_router_id: 100 ", "virtual_router_id: 0 "),
        ("fleet.yaml", "web1: {address: 10.100.0.11, host: sv1}", "web1: {address: x, host: sv9}"),
        ("fleet.yaml", "          web2: {}\n", "          web9: {}\n"),
        ("fleet.yaml", "jitter: 0.2 ", "jitter: lots "),
        ("bot.yaml", "mode: socket ", "mode: sock "),
        ("bot.yaml", "heartbeat: 5s", "heart_beat: 5s"),
    ]
    for name, old, new in changes:
        site.change(name, old, new)
    found = check(site.bot, {}).problems
    assert [p.where for p in found] == [
        "slack.mode",
        "intervals.heart_beat",
        SITE + "vrrp_instances.VI_1.virtual_router_id",
        SITE + "real_servers.web1.address",
        HTTP + "pool.web9",
        HTTP + "probes.real_servers.jitter",
        "SLACK_BOT_TOKEN",
        "SLACK_APP_TOKEN",
        "LVSBOT_SECRET_SV1",
        "LVSBOT_SECRET_SV2",
    ]
