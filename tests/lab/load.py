"""A steady load of new connections through the VIP, from inside ``ops``: one line of JSON a request, until SIGTERM.

Run as ``python -m tests.lab.load ADDRESS RATE SECONDS [PATIENCE]``: RATE requests a second, SECONDS at the most; one
that takes longer than PATIENCE seconds (10) has failed.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time

from bot.adapters.source_ports import SourcePorts

PATIENCE = 10.0
OWN_PORTS = range(10_000, 32_000)
"""None that a bot on the same host may take: neither shall find the VIP dead by what the other one left there."""
REQUEST = b"GET / HTTP/1.0\r\nHost: www.site.test\r\n\r\n"


async def ask(address: str, patience: float, sources: SourcePorts) -> dict[str, object]:
    """One request on a connection of its own: when it began, who answered after how long, or what went wrong.

    ``at`` is by the clock on the wall, ``began`` by one that nobody sets: how far two requests are apart is known by
    that one only. The first differs from it by 7 s after the machine of the tests was made to stand still.
    """
    at, began = time.time(), time.monotonic()
    asked = {"at": at, "began": began}
    try:
        async with asyncio.timeout(patience):
            reader, writer = await sources.opened(asyncio.open_connection, address, 80)
            writer.write(REQUEST)
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError) as error:
        return {**asked, "server": None, "error": f"{type(error).__name__}: {error}"}
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return {**asked, "server": None, "error": head.decode(errors="replace").partition("\r\n")[0] or "empty"}
    return {**asked, "server": body.decode().strip(), "error": None, "took": time.monotonic() - began}


async def main(address: str, rate: float, seconds: float, patience: float = PATIENCE) -> None:
    """Ask until told to stop; every request that was begun is waited for and told."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    end = time.monotonic() + seconds
    asked: set[asyncio.Task[None]] = set()
    sources = SourcePorts(OWN_PORTS)

    async def tell() -> None:
        print(json.dumps(await ask(address, patience, sources)), flush=True)

    while not stop.is_set() and time.monotonic() < end:
        task = asyncio.create_task(tell())
        asked.add(task)
        task.add_done_callback(asked.discard)
        await asyncio.sleep(1 / rate)
    await asyncio.gather(*asked)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(float, sys.argv[2:])))
