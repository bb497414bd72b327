"""Opening an SSH connection: every hop's key pinned, every stage under a timeout, every failure told apart."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fabric import Config
from paramiko import Agent, PKey, SSHConfig
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import AuthenticationException, BadHostKeyException, ChannelException, SSHException

from bot.adapters.shell.hostkeys import KnownHostsUnreadable, PinnedKeys, UnpinnedKey
from bot.adapters.shell.link import Link, WarmConnection, said
from bot.domain.fleet import Director
from bot.flows.ports import AuthenticationRefused, HostKeyRefused, ShellError, Unreachable

# Paramiko logs a traceback for each failed connection; every one of them is reported as an error of ours.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

KEEPALIVE_S = 5
UNACKNOWLEDGED_MS = 12_000
"""How long sent data may stay unacknowledged before the kernel ends a connection (tcp(7), TCP_USER_TIMEOUT)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshLogin:
    """What the bot shows and expects: its private key file (None: the ssh agent) and the pinned host keys."""

    known_hosts: Path
    identity: Path | None = None
    connect_timeout: float = 3.0


class CannotOpen(Exception):
    """No connection; ``error`` is the ShellError to raise, with ``reason``."""

    def __init__(self, error: type[ShellError], reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason


def open_link(director: Director, login: SshLogin) -> Link:
    """Connect to *director*, through its jump host if it has one (blocks). Raises CannotOpen."""
    try:
        pins = PinnedKeys(login.known_hosts)
    except KnownHostsUnreadable as error:
        raise CannotOpen(HostKeyRefused, str(error)) from error
    key = _identity(login)
    gateway = None
    if director.ssh.jump is not None:
        at = urlsplit(f"ssh://{director.ssh.jump}")  # user@host:port, an IPv6 address in brackets
        user = at.username or director.ssh.user
        gateway = _connection(at.hostname or "", at.port or 22, user, login, key, pins, None)
    connection = _connection(str(director.address), director.ssh.port, director.ssh.user, login, key, pins, gateway)
    link = Link(connection, gateway)
    try:
        if gateway is not None:
            _open_hop(gateway, f"jump host {director.ssh.jump}", pins)
        _open_hop(connection, f"{director.address} port {director.ssh.port}", pins)
    except BaseException:
        link.close()
        raise
    return link


def _identity(login: SshLogin) -> PKey | None:
    """The private key to show, read anew for each connection so that a corrected file is used at once."""
    if login.identity is None:
        agent = Agent()
        keys = agent.get_keys()
        agent.close()
        if not keys:
            raise CannotOpen(
                AuthenticationRefused,
                "the ssh agent offers no key: run ssh-add where the bot is started, or name a key file in ssh.identity",
            )
        return None
    try:
        return PKey.from_path(login.identity)
    except (OSError, SSHException, UnknownKeyType, ValueError, TypeError) as error:
        raise CannotOpen(
            AuthenticationRefused,
            f"the private key {login.identity} (ssh.identity) cannot be used: {said(error)}. "
            "It must be an OpenSSH private key without a passphrase, readable by the bot",
        ) from error


def _connection(
    host: str,
    port: int,
    user: str,
    login: SshLogin,
    key: PKey | None,
    pins: PinnedKeys,
    gateway: WarmConnection | None,
) -> WarmConnection:
    connection = WarmConnection(
        host,
        user=user,
        port=port,
        # Neither ~/.ssh/config nor Fabric's own files: what the fleet file says is what happens.
        config=Config(lazy=True, ssh_config=SSHConfig()),
        gateway=gateway,
        connect_kwargs={
            # Here and not as connect_timeout, which Fabric cuts to whole seconds: 0.5 would mean no timeout.
            "timeout": login.connect_timeout,
            "banner_timeout": login.connect_timeout,
            "auth_timeout": login.connect_timeout,
            "channel_timeout": login.connect_timeout,
            "pkey": key,
            "allow_agent": key is None,
            "look_for_keys": False,
        },
    )
    # Fabric sets AutoAddPolicy and loads no known_hosts, on the gateway's connection as well.
    pins.load_into(connection.client)
    return connection


def _open_hop(connection: WarmConnection, where: str, pins: PinnedKeys) -> None:
    try:
        connection.open()
    except BadHostKeyException as error:
        raise CannotOpen(HostKeyRefused, pins.refusal(connection.host, connection.port, error.key)) from error
    except UnpinnedKey as error:
        raise CannotOpen(HostKeyRefused, pins.refusal(connection.host, connection.port, error.shown)) from error
    except AuthenticationException as error:
        raise _unauthenticated(connection, where, error) from error
    except ChannelException as error:
        raise CannotOpen(Unreachable, f"the jump host cannot reach {where}: {said(error)}") from error
    except (SSHException, EOFError, OSError) as error:
        raise CannotOpen(Unreachable, f"no SSH connection to {where}: {said(error)}") from error
    connection.transport.set_keepalive(KEEPALIVE_S)
    sock = connection.transport.sock
    if isinstance(sock, socket.socket):
        # A command is several small packets: without this the second waits 40 ms for the first's delayed ACK (tcp(7)).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A host that vanished acknowledges nothing: the connection ends by itself and the next command opens another.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)


def _unauthenticated(connection: WarmConnection, where: str, error: AuthenticationException) -> CannotOpen:
    if str(error) == "Authentication timeout.":  # Paramiko has no type of its own for a host that fell silent here
        return CannotOpen(Unreachable, f"no SSH connection to {where}: no answer while authenticating")
    return CannotOpen(
        AuthenticationRefused,
        f"{where} refused the bot's key for user {connection.user}: {said(error)}. "
        f"Is the public key in {connection.user}'s authorized_keys there?",
    )
