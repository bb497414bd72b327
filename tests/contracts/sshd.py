"""A real OpenSSH server on loopback, with its own host key and accounts' keys: what the shell is tried against."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from ipaddress import ip_address
from pathlib import Path

from bot.domain.fleet import Director, SshAccess


def free_port(address: str) -> int:
    """A port that nobody listens on at *address*."""
    with socket.socket() as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])


def new_key(path: Path, kind: str = "ed25519") -> Path:
    """A fresh key pair at *path* (and ``.pub``)."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path


def public(path: Path) -> str:
    """The type and the base64 of the public half of the key at *path*."""
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


class Sshd:
    """One sshd as the current user. ``key`` is a private key that it lets in; ``address``:``port`` where it listens."""

    def __init__(self, folder: Path, *, address: str = "127.0.0.1", key: Path, port: int | None = None) -> None:
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        self.folder = folder
        self.address = address
        self.port = port or free_port(address)
        folder.mkdir(parents=True)
        folder.chmod(0o700)
        self.host_key = new_key(folder / "host_key")
        (folder / "authorized_keys").write_text(public(key) + "\n")
        config = folder / "sshd_config"
        config.write_text(
            f"ListenAddress {address}:{self.port}\nHostKey {self.host_key}\nPidFile {folder}/pid\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nAllowTcpForwarding yes\n"
            "AcceptEnv LC_*\nLogLevel VERBOSE\n"
            # bash under sshd reads ~/.bashrc unless it believes itself nested: whose account it is must not matter.
            f"SetEnv SHLVL=2 PATH={folder}/bin:/usr/bin:/bin\n"
        )
        # sudo itself may be missing, or ask for a password: this one checks how it is called.
        sudo = folder / "bin" / "sudo"
        sudo.parent.mkdir()
        sudo.write_text(
            '#!/bin/sh\n[ "$1" = -n ] || exit 99\nshift\n'
            # It becomes nobody else: that takes root, and whose account this is must not matter.
            '[ "$1" != -u ] || shift 2\nexec "$@"\n'
        )
        sudo.chmod(0o755)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd as root insists on its privilege separation directory
        self.log = folder / "log"
        self._command = [program, "-D", "-f", str(config), "-E", str(self.log)]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start listening; returns once it answers."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
        for _ in range(500):
            with socket.socket() as sock:
                if sock.connect_ex((self.address, self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"sshd did not start: {self.log.read_text()}")

    def stop(self) -> None:
        """End the server and the connections that it serves."""
        assert self._process is not None
        self.drop_connections()
        self._process.terminate()
        self._process.wait()

    def drop_connections(self) -> None:
        """End every connection that is being served, as a host that is switched off would, but at once."""
        for pid in self.serving():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue

    def serving(self) -> list[int]:
        """The processes that serve connections: the children of the listener, and their children that are sshd."""
        assert self._process is not None
        found: list[int] = []
        parents = [self._process.pid]
        while parents:
            children = _children(parents.pop())
            sshds = [pid for pid in children if _name(pid) == "sshd"]
            found += sshds
            parents += sshds
        return found

    def accepted(self) -> int:
        """How many logins there were."""
        return self.log.read_text().count("Accepted publickey")

    @property
    def pin(self) -> str:
        """The line of known_hosts for it."""
        return f"[{self.address}]:{self.port} {public(self.host_key)}\n"

    def director(self, name: str = "sv1", *, jump: str | None = None) -> Director:
        """It as a director."""
        access = SshAccess(user=getpass.getuser(), port=self.port, jump=jump)
        return Director(name=name, address=ip_address(self.address), interface="br0", ssh=access)


def _children(pid: int) -> list[int]:
    return [int(child) for child in _told_of(pid, f"task/{pid}/children").split()]


def _name(pid: int) -> str:
    return _told_of(pid, "comm").strip()


def _told_of(pid: int, what: str) -> str:
    """A file of proc(5) on process *pid*, empty once it has ended: between the opening and the reading as well."""
    try:
        return Path(f"/proc/{pid}/{what}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
