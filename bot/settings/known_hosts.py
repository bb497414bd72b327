"""Which hosts a known_hosts file has keys for (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from pathlib import Path


def host_of(host: str, port: int) -> str:
    """How known_hosts names *host* at *port*: bare at 22, ``[host]:port`` elsewhere."""
    return host if port == 22 else f"[{host}]:{port}"


def jump_host(jump: str) -> tuple[str, int]:
    """Host and port of a jump host written as ``user@host[:port]`` or ``user@[IPv6]:port``."""
    host = jump.partition("@")[2]
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, int(rest[1:] or 22)
    name, _, port = host.partition(":")
    return name, int(port or 22)


class KnownHosts:
    """The hosts of one file. Raises OSError if it cannot be read, ValueError naming a line that is not one."""

    def __init__(self, file: Path) -> None:
        self._patterns: list[str] = []
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            fields = line.split()
            if not fields or fields[0].startswith("#"):
                continue
            if fields[0].startswith("@"):
                if fields[0] == "@revoked":
                    continue
                del fields[0]
            if len(fields) < 3:
                raise ValueError(f"line {number} is not `host keytype key`")
            self._patterns.append(fields[0])

    def has(self, host: str) -> bool:
        """Whether there is a key for *host* (see :func:`host_of`)."""
        return any(_matches(patterns, host) for patterns in self._patterns)


def _matches(patterns: str, host: str) -> bool:
    if patterns.startswith("|1|"):
        return _matches_hash(patterns, host)
    matched = False
    for pattern in patterns.split(","):
        # Only * and ? are wildcards here; the brackets of [host]:port are not a set of characters.
        if fnmatch.fnmatchcase(host.lower(), pattern.removeprefix("!").lower().replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _matches_hash(pattern: str, host: str) -> bool:
    _, _, salt, digest = [*pattern.split("|"), "", ""][:4]
    try:
        expected = base64.b64decode(digest, validate=True)
        found = hmac.new(base64.b64decode(salt, validate=True), host.encode(), hashlib.sha1).digest()
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(found, expected)
