"""The directors' pinned host keys, as OpenSSH's known_hosts(5) file."""

from __future__ import annotations

from bot.local.lab.keys import Keys
from bot.local.lab.site import Site


def known_hosts(site: Site, keys: Keys) -> str:
    """One line for each director, by address."""
    lines = []
    for director in site.cluster.directors:
        kind, key, *_ = keys.public(keys.hosts[director.name]).split()
        port = director.ssh.port
        where = str(director.address) if port == 22 else f"[{director.address}]:{port}"
        lines.append(f"{where} {kind} {key}\n")
    return "".join(lines)
