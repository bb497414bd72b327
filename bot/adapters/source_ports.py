"""Source ports: connections that ask for a port no other one had for as long as possible.

IPVS remembers a connection that its real server never answered: for 60 seconds (TCP, in SYN_RECV) or 300 (UDP).
Whatever comes from the same address and port meanwhile goes to that real server again, or nowhere, once that has been
taken out of the table. So a client that comes again from such a port finds a VIP dead that is well for everybody else.
Left to itself, Linux gives ports in rising order and begins again at a random place every 10 seconds (RFC 6056, 3.3.4):
whoever asks four times a second comes back to many of them within that minute, one after the other.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PROC = Path("/proc/sys/net/ipv4")
DYNAMIC = (49152, 65535)
"""RFC 6335, 6: what is left where the kernel does not tell which ports it takes for connections."""
TRIES = 100
"""How many ports may be taken by others before the choice is left to the kernel, which knows when there is none."""


class SourcePorts:
    """Makes connections, each from the next one of *ports*, in an order that begins again when all were used.

    By default the ports are those that the kernel takes for connections (``ip_local_port_range`` without
    ``ip_local_reserved_ports``, ip(7)): 28,000, which last for half an hour of 15 probes a second.

    The order is a random one, so that two programs on one host meet each other's forgotten ports one by one, if at all.
    """

    def __init__(self, ports: Sequence[int] | None = None) -> None:
        # Two bytes a port, and not the 36 of a list: this is kept for good.
        self._order = array("H", (usable(PROC) if ports is None else ports) or (0,))  # 0: any that the kernel likes
        random.Random().shuffle(self._order)  # noqa: S311 - no secret; seeded anew, also where a process was forked
        self._turn = 0

    async def opened(self, opening: Callable[..., Awaitable[T]], address: str, port: int) -> T:
        """What *opening* gives for *port* at *address*, an IP address, and a ``local_addr``.

        *opening* is the loop's ``create_connection``, with its protocol, or ``asyncio.open_connection``: they cost less
        than a socket that is handed to them. Raises OSError where that fails.
        """
        for source in self._turns(port):
            try:
                return await opening(address, port, local_addr=(_anywhere(address), source))
            except OSError as error:
                _pass_over(error)
        return await opening(address, port)

    async def connected(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
        """A socket that is connected to *port* at *address*, an IP address; raises OSError where that fails."""
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        try:
            sock.setblocking(False)
            for source in self._turns(port):
                try:
                    sock.bind((_anywhere(address), source))
                    break
                except OSError as error:
                    _pass_over(error)
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:  # cancelled, too: a timeout is
            sock.close()
            raise
        return sock

    def _turns(self, to: int) -> Iterator[int]:
        """The ports whose turn it is, as many as are tried for one connection to the port *to*."""
        for _ in range(TRIES):
            source = self._order[self._turn]
            self._turn = (self._turn + 1) % len(self._order)
            if source != to:  # on one host that would meet itself (RFC 9293, 3.5: simultaneous open)
                yield source


def _anywhere(address: str) -> str:
    return "::" if ":" in address else "0.0.0.0"  # noqa: S104 - it does not listen


def _pass_over(error: OSError) -> None:
    """Go on with the next port if *error* says that somebody else has this one; raise it otherwise."""
    if error.errno != errno.EADDRINUSE:
        raise error


def usable(proc: Path) -> tuple[int, ...]:
    """The ports that may be taken for connections, by the kernel's settings under *proc*."""
    try:
        low, high = (int(word) for word in (proc / "ip_local_port_range").read_text().split())
        reserved = _listed((proc / "ip_local_reserved_ports").read_text())
    except (OSError, ValueError):
        (low, high), reserved = DYNAMIC, frozenset()
    return tuple(port for port in range(low, high + 1) if port not in reserved)


def _listed(text: str) -> frozenset[int]:
    """The ports of a list like ``8080,9148-9150``; raises ValueError for any other."""
    ports: set[int] = set()
    for word in text.split(","):
        low, _, high = word.strip().partition("-")
        if low:
            ports.update(range(int(low), int(high or low) + 1))
    return frozenset(ports)
