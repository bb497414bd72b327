"""What makes one guest different from another: its rendered files, its addresses, its keys."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from importlib.resources import files
from ipaddress import IPv4Address, IPv6Address

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bot.domain.fleet import Director, RealServer
from bot.local.lab.cpio import Member, archive
from bot.local.lab.image import AGENT_UID, BOT_UID
from bot.local.lab.keys import Keys
from bot.local.lab.site import Site
from bot.lvs.rendering import AGENT_SECRET_FILE, AgentTarget, Firewall, RenderedFile, render_director

UIDS = {"root": 0, "lvsbot": BOT_UID, "lvs-agent": AGENT_UID}

WANTED = "lab-network.service lab-wake.service lvs-snat.service lvs-agent.service dns.service"

SSHD = """\
UsePAM no
KexAlgorithms ecdh-sha2-nistp256
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
HostKey /etc/ssh/ssh_host_ed25519_key
MaxStartups 200
MaxSessions 100
AuthorizedKeysFile /etc/ssh/authorized_keys/%u
PrintMotd no
"""

AGENT_START = "[Service]\nExecStart=\nExecStart=/usr/bin/python3 -I /usr/local/sbin/lab-agent\n"
AFTER_NETWORK = "[Unit]\nAfter=lab-network.service\n"


def mac(address: IPv4Address | IPv6Address, end: str = "inner") -> str:
    """A hardware address that is fixed and unique in the lab.

    A random one leaves stale neighbours in a resumed guest; one that two devices share breaks everything.
    """
    prefix = {"inner": "52:54", "outer": "52:55"}[end]
    return ":".join([prefix, *(f"{byte:02x}" for byte in address.packed[-4:])])


def seed(site: Site, director: Director, keys: Keys, auth_passes: Mapping[str, str]) -> bytes:
    """The archive that the kernel unpacks after the image's own: all of *director*'s files, under ``seed/``."""
    rendered = render_director(
        site.cluster,
        director,
        auth_passes=auth_passes,
        # firewall-cmd takes 8 s under emulation; the rule itself is the same.
        firewall=Firewall.IPTABLES,
        agent=AgentTarget(url=site.webhook),
    )
    everything = (*rendered, *_lab_files(site, director, keys))
    return archive(sorted((_member(file) for file in everything), key=lambda member: member.path))


def _member(file: RenderedFile) -> Member:
    uid = UIDS[file.owner]
    return Member(path=f"seed{file.path}", content=file.content.encode(), mode=file.mode, uid=uid, gid=uid)


def _lab_files(site: Site, director: Director, keys: Keys) -> Iterator[RenderedFile]:
    server = site.inside(director.name)
    values = {"site": site, "director": director, "server": server, "mac": mac, "vip": site.service_on(53).address}
    machine_id = uuid.uuid5(uuid.NAMESPACE_DNS, f"{director.name}.{site.cluster.name}.lab").hex

    def file(path: str, content: str, mode: int = 0o644, owner: str = "root") -> RenderedFile:
        return RenderedFile(path=path, mode=mode, owner=owner, content=content)

    def template(path: str, name: str) -> RenderedFile:
        return file(path, _TEMPLATES.get_template(name).render(values))

    units = "/etc/systemd/system"
    in_container = f"[Unit]\nAfter=lab-network.service\n[Service]\nNetworkNamespacePath=/run/netns/{server.name}\n"
    yield file("/etc/hostname", f"{director.name}\n")
    things: tuple[Director | RealServer, ...] = (*site.cluster.directors, *site.cluster.real_servers)
    # Without its own name in it, sudo waits for a name server on each command.
    yield file("/etc/hosts", "".join(["127.0.0.1 localhost\n", *(f"{t.address} {t.name}\n" for t in things)]))
    yield file("/etc/machine-id", f"{machine_id}\n", 0o444)
    yield file(f"{units}/multi-user.target.d/lab.conf", f"[Unit]\nWants={WANTED}\n")
    yield template(f"{units}/lab-network.service", "network.service.j2")
    yield template("/etc/lab/host.ip", "host.ip.j2")
    yield template("/etc/lab/container.ip", "container.ip.j2")
    yield file(f"{units}/keepalived.service.d/lab.conf", AFTER_NETWORK)
    yield file(f"{units}/nginx.service.d/lab.conf", in_container)
    yield template(f"{units}/dns.service", "dns.service.j2")
    yield template("/etc/nginx/nginx.conf", "nginx.conf.j2")
    yield file("/srv/slow.txt", f"{server.name} takes its time\n".ljust(20479, ".") + "\n")
    yield file(f"{units}/lab-wake.service", "[Service]\nExecStart=/usr/local/sbin/lab-wake\n")
    yield file("/usr/local/sbin/lab-wake", _text("bot.local.lab", "guest/wake.sh"), 0o755)
    yield file("/usr/local/sbin/lab-sleep", _text("bot.local.lab", "guest/sleep.sh"), 0o755)
    yield file("/usr/local/sbin/lvs-agent", _text("bot.agent", "lvs_agent.py"), 0o755)
    yield file(f"{units}/lvs-agent.service", _text("bot.agent", "lvs-agent.service"))
    yield file(f"{units}/lvs-agent.service.d/lab.conf", AGENT_START)
    yield file("/usr/local/sbin/lab-agent", _text("bot.local.lab", "guest/agent.py"))
    yield file(AGENT_SECRET_FILE, keys.secrets[director.name] + "\n", 0o400, "lvs-agent")
    yield file("/etc/ssh/sshd_config.d/lab.conf", SSHD)
    yield file("/etc/ssh/ssh_host_ed25519_key", keys.hosts[director.name].read_text(), 0o600)
    yield file("/etc/ssh/authorized_keys/root", keys.public(keys.root) + "\n")
    yield file(f"/etc/ssh/authorized_keys/{director.ssh.user}", keys.public(keys.bot) + "\n")


def seed_key(seeds: Mapping[str, bytes]) -> str:
    """A hash of every guest's *seeds*."""
    whole = hashlib.sha256()
    for name, content in sorted(seeds.items()):
        whole.update(name.encode() + hashlib.sha256(content).digest())
    return whole.hexdigest()


def _text(package: str, path: str) -> str:
    return (files(package) / path).read_text()


_TEMPLATES = Environment(
    loader=PackageLoader("bot.local.lab", "guest"),
    autoescape=select_autoescape(()),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
)
