"""TCP: whether a connection can be made."""

from __future__ import annotations

import asyncio
import socket

from bot.adapters.prober.stage import Stage
from bot.adapters.prober.verdict import Verdict, healthy


async def connect(address: str, port: int, stage: Stage) -> Verdict:
    """Connect and hang up. Raises OSError when that fails."""
    stage.doing = "connecting"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    return healthy("connected")
