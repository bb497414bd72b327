"""A director's files, rendered from the fleet: keepalived.conf, sysctls, modules, the SNAT rule, sudoers, the agent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bot.domain.fleet import CheckKind, Cluster, Director, Forwarding, PoolMember, VirtualService, VrrpInstance
from bot.domain.observed import IpvsDestination, key_of
from bot.lvs import agent as lvs_agent
from bot.lvs import iptables, ipvsadm

NOTIFY_FIFO = "/run/lvs-agent/notify.fifo"
AGENT_SECRET_FILE = "/etc/lvs-agent.secret"  # noqa: S105 - a path

LB_KIND = {Forwarding.MASQUERADING: "NAT", Forwarding.DIRECT_ROUTING: "DR", Forwarding.TUNNELLING: "TUN"}
CHECK_KEYWORD = {CheckKind.HTTP_GET: "HTTP_GET", CheckKind.TCP_CHECK: "TCP_CHECK", CheckKind.DNS_CHECK: "DNS_CHECK"}
READS = (
    ipvsadm.list_table(),
    ipvsadm.list_tunnels(),
    ipvsadm.list_thresholds(),
    ipvsadm.list_stats(),
    ipvsadm.list_rate(),
    ipvsadm.list_connections(),
    ipvsadm.save(),
)

# An edit forgets what it is not told: thresholds and a tunnel's kind go along where the destination has them.
KEPT_BY_AN_EDIT = "( -x [0-9]{1,10} -y [0-9]{1,10})?"
KEPT_BY_A_TUNNELS_EDIT = "( --tun-type [a-z]{1,8})?( --tun-port [0-9]{1,5})?( --tun-(nocsum|csum|remcsum))?"


class Firewall(StrEnum):
    """What keeps the SNAT rule on a director: firewalld's direct rules, or a small unit that calls iptables(8)."""

    FIREWALLD = "firewalld"
    IPTABLES = "iptables"


class CannotRender(ValueError):
    """The fleet asks for what these files cannot say; the message names the place and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """One file of a director. ``mode`` is its permission bits, ``owner`` the account that owns it."""

    path: str
    mode: int
    owner: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTarget:
    """Where a director's agent reports: the webhook's URL, and its heartbeat in seconds."""

    url: str
    heartbeat_s: float = 5.0


def render_director(
    cluster: Cluster,
    director: Director,
    *,
    auth_passes: Mapping[str, str],
    firewall: Firewall = Firewall.FIREWALLD,
    agent: AgentTarget | None = None,
    router_id: str = "LVS_DEVEL",
) -> tuple[RenderedFile, ...]:
    """Every file that makes *director* a director of *cluster*, by path.

    *auth_passes* maps the name of a VRRP instance to its PASS password (keepalived.conf(5): 1 to 8 characters count).
    Raises CannotRender.
    """
    _check_ports(cluster)
    values = {
        "cluster": cluster,
        "director": director,
        "instances": [v for v in cluster.vrrp_instances if director.name in dict(v.priorities)],
        "passwords": {v.name: _password(v, auth_passes) for v in cluster.vrrp_instances if v.auth_pass_env},
        "router_id": router_id,
        "fifo": NOTIFY_FIFO,
        "modules": ("ip_vs", *sorted({f"ip_vs_{s.scheduler}" for s in cluster.services})),
        "reads": [" ".join(words) for words in _reads(cluster)],
        "changes": _weight_commands(cluster),
        "agent": lvs_agent,
    }
    files = [
        # The password stands in it, so that nobody but root may read it.
        _file("/etc/keepalived/keepalived.conf", 0o600, "keepalived.conf.j2", values),
        _file("/etc/modules-load.d/lvs.conf", 0o644, "modules.conf.j2", values),
        _file("/etc/sudoers.d/lvsbot", 0o440, "sudoers.j2", values),
        _file("/etc/sysctl.d/90-lvs.conf", 0o644, "sysctl.conf.j2", values),
    ]
    if cluster.snat is not None and firewall is Firewall.FIREWALLD:
        files.append(_file("/etc/firewalld/direct.xml", 0o644, "direct.xml.j2", values))
    if cluster.snat is not None and firewall is Firewall.IPTABLES:
        files.append(_file("/etc/systemd/system/lvs-snat.service", 0o644, "lvs-snat.service.j2", values))
    if agent is not None:
        files.append(_agent_config(director, agent))
    return tuple(sorted(files, key=lambda file: file.path))


def _file(path: str, mode: int, template: str, values: Mapping[str, object]) -> RenderedFile:
    return RenderedFile(path=path, mode=mode, owner="root", content=_TEMPLATES.get_template(template).render(values))


def _agent_config(director: Director, agent: AgentTarget) -> RenderedFile:
    config = {
        "director": director.name,
        "url": agent.url,
        "secret_file": AGENT_SECRET_FILE,
        "fifo": NOTIFY_FIFO,
        "heartbeat_s": agent.heartbeat_s,
    }
    content = json.dumps(config, indent=2) + "\n"
    return RenderedFile(path="/etc/lvs-agent.json", mode=0o644, owner="root", content=content)


def _check_ports(cluster: Cluster) -> None:
    """Only masquerading can change a port; keepalived would silently correct the others (its check_data.c)."""
    for service in cluster.services:
        for member in service.members:
            if service.forwarding is not Forwarding.MASQUERADING and member.port != (service.port or 0):
                raise CannotRender(
                    f"virtual service {service.name}, real server {member.real_server}: {service.forwarding} cannot "
                    f"change the port to {member.port}: write port {service.port or 0}, or use masquerading"
                )


def _password(instance: VrrpInstance, auth_passes: Mapping[str, str]) -> str:
    password = auth_passes.get(instance.name, "")
    if re.fullmatch(r"[!-~]{1,8}", password) is None or set(password) & set("\"'#!{}$~@"):
        raise CannotRender(
            f"VRRP instance {instance.name}: the password in {instance.auth_pass_env} must be 1 to 8 letters, "
            "digits or simple signs (keepalived uses no more, and reads quotes, #, !, $, ~, @ and braces as its own)"
        )
    return password


def _reads(cluster: Cluster) -> tuple[tuple[str, ...], ...]:
    """What the bot reads as root. A fleet without a SNAT rule has those read too: by hand they are of use."""
    family = cluster.snat.vaddr.version if cluster.snat else 4
    return (*READS, iptables.list_postrouting(family), iptables.list_prerouting(family))


def _weight_commands(cluster: Cluster) -> list[str]:
    """The arguments of each ``ipvsadm -e`` that the bot may run, as extended regular expressions (sudoers(5))."""
    return [_weight_command(cluster, service, member) for service in cluster.services for member in service.members]


def _weight_command(cluster: Cluster, service: VirtualService, member: PoolMember) -> str:
    destination = IpvsDestination(
        address=cluster.real_server(member.real_server).address,
        port=member.port,
        forwarding=service.forwarding,
        weight=member.weight,
    )
    _, *words, weight = ipvsadm.set_weight(key_of(service), destination, member.weight)
    if weight != str(member.weight):
        raise CannotRender(f"virtual service {service.name}: the command that sets a weight must end in the weight")
    kept = KEPT_BY_AN_EDIT + (KEPT_BY_A_TUNNELS_EDIT if service.forwarding is Forwarding.TUNNELLING else "")
    return " ".join([*map(_literally, words), "[0-9]{1,5}"]) + kept


def _literally(text: str) -> str:
    """*text* as a regular expression without a backslash, which sudoers would read as its own."""
    return re.sub(r"[.\[\]]", lambda sign: f"[{sign.group()}]", text)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bot.lvs"),
        autoescape=select_autoescape(("xml.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = lambda value: f"{value:g}"
    environment.filters["lb_kind"] = LB_KIND.__getitem__
    environment.filters["keyword"] = CHECK_KEYWORD.__getitem__
    return environment


_TEMPLATES = _environment()
