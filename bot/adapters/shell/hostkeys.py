"""Pinned host keys: a known_hosts file in, a clear refusal out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paramiko import PKey, RejectPolicy, SSHClient
from paramiko.hostkeys import HostKeyEntry, HostKeys, InvalidHostKey
from paramiko.ssh_exception import SSHException


class KnownHostsUnreadable(Exception):
    """The known_hosts file cannot be used; the message says which line and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One key of one line of the file (``line`` counts from 1)."""

    line: int
    entry: HostKeyEntry


def known_hosts_name(host: str, port: int) -> str:
    """How sshd(8)'s known_hosts format names *host* on *port*."""
    return host if port == 22 else f"[{host}]:{port}"


class PinnedKeys:
    """The keys of one known_hosts file, with the lines that they stand in.

    Raises KnownHostsUnreadable for a missing file and for a line that cannot be honoured. OpenSSH and Paramiko skip
    such a line in silence; a revocation that is skipped is a hole, and so is a pin.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pins: list[Pin] = []
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise KnownHostsUnreadable(f"the known_hosts file {path} cannot be read: {error}") from error
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                self._pins.append(Pin(line=number, entry=self._entry(number, line.strip())))

    def _entry(self, number: int, line: str) -> HostKeyEntry:
        where = f"{self.path}, line {number}"
        if line.startswith("@"):
            raise KnownHostsUnreadable(
                f"{where}: {line.split()[0]} markers are not supported; remove the line, and pin each host's own key"
            )
        try:
            entry = HostKeyEntry.from_line(" ".join(line.split()), number)
        except (InvalidHostKey, SSHException) as error:
            raise KnownHostsUnreadable(f"{where}: not a host key: {error}") from error
        if entry is None:
            raise KnownHostsUnreadable(f"{where}: not a host key; write `host key-type base64-key`")
        names = [name for name in entry.hostnames if "*" in name or "?" in name or name.startswith("!")]
        if names:
            raise KnownHostsUnreadable(f"{where}: the pattern {names[0]} is not supported; name each host")
        return entry

    def load_into(self, client: SSHClient) -> None:
        """Make *client* accept these keys and no others."""
        keys = client.get_host_keys()
        keys.clear()
        for pin in self._pins:
            for name in pin.entry.hostnames:
                keys.add(name, pin.entry.key.get_name(), pin.entry.key)
        client.set_missing_host_key_policy(RefuseUnpinned())

    def refusal(self, host: str, port: int, shown: PKey) -> str:
        """Why *shown* is refused: both fingerprints, the line to look at and what to do."""
        name = known_hosts_name(host, port)
        pins = [pin for pin in self._pins if self._names(pin, name)]
        showed = f"{name} showed the {shown.get_name()} key {shown.fingerprint}"
        if not pins:
            return (
                f"{showed}, and {self.path} pins no key for {name}. If that fingerprint is what the host's console "
                f"shows, add the line `{name} {shown.get_name()} {shown.get_base64()}`"
            )
        pinned = " and ".join(
            f"{pin.entry.key.get_name()} {pin.entry.key.fingerprint} (line {pin.line})" for pin in pins
        )
        return (
            f"{showed}, but {self.path} pins {pinned}. Either the host was reinstalled or someone stands in between: "
            "compare the fingerprint on the host's own console before you replace the line"
        )

    @staticmethod
    def _names(pin: Pin, name: str) -> bool:
        """Whether the line of *pin* is for *name*, hashed host names included."""
        keys = HostKeys()
        for hostname in pin.entry.hostnames:
            keys.add(hostname, pin.entry.key.get_name(), pin.entry.key)
        return keys.lookup(name) is not None


class UnpinnedKey(SSHException):  # type: ignore[misc]  # Paramiko ships no types
    """The host showed a key, and no key is pinned for it."""

    def __init__(self, shown: PKey) -> None:
        super().__init__("no host key is pinned")
        self.shown = shown


class RefuseUnpinned(RejectPolicy):  # type: ignore[misc]  # Paramiko ships no types
    """Paramiko's RejectPolicy, which also hands over the key that was shown: the refusal names its fingerprint."""

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        """Refuse *key*."""
        raise UnpinnedKey(key)
