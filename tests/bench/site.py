"""Settings files of sites that exist on loopback only, as the bot reads them."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from bot.domain.fleet import Forwarding, Protocol
from bot.domain.observed import IpvsDestination, IpvsService, IpvsTable, ServiceKey
from bot.local.slack import StandIn
from bot.settings import secret_variable
from tests.contracts.sshd import Sshd, free_port
from tests.lvs.captured import captured
from tests.lvs.printing import print_proc, print_table

SECRET = "the secret of every director here"
PRINTS = {
    "ip": "iproute2-6.1.0/master",
    "systemctl": "systemd-252/active",
    "cat": "linux-6.1/reference-site",
    "ipvsadm": "ipvsadm-1.31/reference-site.table",
}
"""What the directors' commands print, by the capture of the real tool's output."""


def subfolder(folder: Path, name: str) -> Path:
    """A new folder in *folder*."""
    made = folder / name
    made.mkdir(parents=True)
    return made


def start_sshds(folder: Path, count: int, key: Path) -> tuple[Sshd, ...]:
    """So many hosts, each with an address of its own; whoever starts them stops them."""
    return tuple(Sshd(folder / f"sshd{n}", address=f"127.0.0.{10 + n}", key=key) for n in range(count))


def play_director(sshd: Sshd, *, slow_s: float = 0.0, prints: Mapping[str, str] | None = None) -> None:
    """Put commands on the PATH of *sshd* that print what the tools printed on a real director, after *slow_s*.

    *prints* has other texts than those, and other programs.
    """
    texts = {program: captured(capture) for program, capture in PRINTS.items()} | dict(prints or {})
    for program, said in texts.items():
        text = sshd.folder / f"{program}.txt"
        text.write_text(said)
        script = sshd.folder / "bin" / program
        waits = f"sleep {slow_s:g}\n" if slow_s else ""
        script.write_text(f"#!/bin/sh\n{waits}exec /bin/cat {text}\n")
        script.chmod(0o755)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster whose directors are *sshds*: virtual services on ``vip``:``ports``, each with every real server."""

    name: str
    sshds: tuple[Sshd, ...]
    vip: str
    servers: tuple[str, ...]
    ports: tuple[int, ...]
    probe: Mapping[str, Any] | None = None

    @property
    def directors(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(f"{self.name}-d{number}" for number, _ in enumerate(self.sshds))

    def as_yaml(self) -> dict[str, Any]:
        """Its part of the fleet file."""
        names = {f"{self.name}-rs{number}": address for number, address in enumerate(self.servers)}
        probes = {"probes": {"vip": self.probe, "real_servers": self.probe}} if self.probe else {}
        return {
            "directors": {
                name: {"address": sshd.address, "interface": "lo", "ssh": _access(sshd)}
                for name, sshd in zip(self.directors, self.sshds, strict=True)
            },
            "vrrp_instances": {
                f"{self.name}-VI": {
                    "virtual_router_id": 1,
                    "interface": "lo",
                    "advert_int": 1,
                    "virtual_addresses": [f"{self.vip}/32"],
                    "priorities": {name: 100 - number for number, name in enumerate(self.directors)},
                }
            },
            "real_servers": {name: {"address": address} for name, address in names.items()},
            "virtual_services": {
                f"{self.name}-{port}": {
                    "address": self.vip,
                    "port": port,
                    "protocol": "tcp",
                    "vrrp_instance": f"{self.name}-VI",
                    "scheduler": "rr",
                    "forwarding": "masquerading",
                    "pool": {name: {} for name in names},
                    **probes,
                }
                for port in self.ports
            },
        }


def _access(sshd: Sshd) -> dict[str, Any]:
    found = sshd.director().ssh
    return {"user": found.user, "port": found.port}


def play_master(sshd: Sshd, clusters: Iterable[Cluster]) -> None:
    """Have *sshd* play the one director of each of *clusters*, and all be well there: no roll call finds anything."""
    clusters = tuple(clusters)
    addresses: Any = json.loads(captured(PRINTS["ip"]))
    addresses[0]["addr_info"] += [
        {"family": "inet", "local": cluster.vip, "prefixlen": 32, "scope": "global", "label": "lo"}
        for cluster in clusters
    ]
    prints = {
        "ip": json.dumps(addresses),
        "systemctl": captured("systemd-252/active").replace("MainPID=331", "MainPID=159"),
        "ps": captured("procps-4.0.2/keepalived-running"),
        "sysctl": captured("procps-4.0.2/with-boot-id"),
    }
    play_director(sshd, prints=prints)
    show_table(sshd, clusters, frozenset())


def show_table(sshd: Sshd, clusters: Iterable[Cluster], removed: Container[str]) -> None:
    """From now on the IPVS table of *sshd* has the services of *clusters*, without the servers that are *removed*."""
    table = IpvsTable(
        services=tuple(
            IpvsService(
                key=ServiceKey(protocol=Protocol.TCP, address=ip_address(cluster.vip), port=port),
                scheduler="rr",
                destinations=tuple(
                    IpvsDestination(address=ip_address(s), port=port, forwarding=Forwarding.MASQUERADING, weight=1)
                    for s in cluster.servers
                    if s not in removed
                ),
            )
            for cluster in clusters
            for port in cluster.ports
        )
    )
    for program, said in (("cat", print_proc(table)), ("ipvsadm", print_table(table))):
        fresh = sshd.folder / f"{program}.new"
        fresh.write_text(said)
        fresh.replace(sshd.folder / f"{program}.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class BotFiles:
    """A bot's settings in ``directory``, and the secrets that it needs in ``environ``."""

    directory: Path
    port: int
    environ: Mapping[str, str] = field(repr=False)

    @property
    def bot(self) -> Path:
        """Its bot.yaml."""
        return self.directory / "bot.yaml"

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


def write_bot(
    directory: Path,
    clusters: Iterable[Cluster],
    *,
    slack: StandIn,
    key: Path,
    mode: str = "socket",
    channels: Mapping[str, str] | None = None,
    port: int | None = None,
) -> BotFiles:
    """Write bot.yaml, fleet.yaml and known_hosts; nothing is asked unless it is told to (JSON is YAML too)."""
    directory.mkdir(parents=True)
    clusters = tuple(clusters)
    sshds = {sshd.pin for cluster in clusters for sshd in cluster.sshds}
    (directory / "known_hosts").write_text("".join(sorted(sshds)))
    fleet = {"clusters": {cluster.name: cluster.as_yaml() for cluster in clusters}}
    (directory / "fleet.yaml").write_text(json.dumps(fleet))
    port = port or free_port("127.0.0.1")
    settings = {
        "fleet": "fleet.yaml",
        "slack": {
            "mode": mode,
            "base_url": slack.base_url,
            "channels": dict(channels or {cluster.name: "C0SITE" for cluster in clusters}),
        },
        "roles": {"operator": {"users": ["U0ALICE"]}},
        "storage": {"url": f"sqlite:///{directory / 'journal.db'}"},
        "listen": {"host": "127.0.0.1", "port": port},
        "ssh": {"known_hosts": "known_hosts", "identity": str(key), "patience": "3s"},
        # Nobody's agent reports in here, and what a roll call finds stays as it is.
        "intervals": {"heartbeat": "1h", "roll_call": "1h"},
        "selftest": {"every": 0},
    }
    (directory / "bot.yaml").write_text(json.dumps(settings))
    environ = {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
        **{secret_variable(name): SECRET for cluster in clusters for name in cluster.directors},
    }
    return BotFiles(directory=directory, port=port, environ=environ)
