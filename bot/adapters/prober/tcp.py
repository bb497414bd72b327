"""TCP: whether a connection can be made."""

from __future__ import annotations

import socket

from bot.adapters.prober.stage import Stage
from bot.adapters.prober.verdict import Verdict, healthy
from bot.adapters.source_ports import SourcePorts


async def connect(address: str, port: int, stage: Stage, sources: SourcePorts) -> Verdict:
    """Connect and hang up. Raises OSError when that fails."""
    stage.doing = "connecting"
    with await sources.connected(address, port, socket.SOCK_STREAM):
        pass
    return healthy("connected")
