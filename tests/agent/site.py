"""A director's agent as a child process with a real FIFO, and the bot's webhook on loopback with a journal."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import sys
import termios
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from bot.domain.events import Recorded, VrrpStateChanged
from bot.entrypoints.webhook import DirectorAccess, Heartbeat, WebhookSettings, webhook_routes
from bot.flows.ports import Entry, JournalUnavailable

AGENT = Path(__file__).parents[2] / "bot/agent/lvs_agent.py"
SECRET = b"0123456789abcdef0123456789abcdef"
PATIENCE_S = 60.0  # until a test gives up waiting; never asserted on


async def until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*; the test fails when it never comes."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


class SetClock:
    """A clock that is ``ahead`` of this machine's by so many seconds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.ahead, UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ListJournal:
    """A journal in a list, with faults on demand: ``broken``, and ``lose_answer`` (records, then fails)."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.keys: set[str] = set()
        self.appends = 0
        self.broken = False
        self.lose_answer = False

    async def append(self, *entries: Entry) -> tuple[Recorded | None, ...]:
        if self.broken:
            raise JournalUnavailable("the test broke it")
        self.appends += 1
        recorded = tuple(self._one(entry) for entry in entries)
        if self.lose_answer:
            raise JournalUnavailable("recorded, but the test says otherwise")
        return recorded

    def _one(self, entry: Entry) -> Recorded | None:
        if entry.source_key is not None and entry.source_key in self.keys:
            return None
        assert entry.source_key is not None
        assert entry.at_source is not None
        self.keys.add(entry.source_key)
        self.entries.append(entry)
        return Recorded(
            sequence=len(self.entries),
            recorded_at=entry.at_source,
            at_source=entry.at_source,
            event=entry.event,
        )

    async def last_sequence(self) -> int:
        return len(self.entries)

    async def close(self) -> None:
        self.broken = True


class Bot:
    """The webhook on a port of 127.0.0.1, which can go away and come back on the same port."""

    def __init__(self, max_body: int = 64 * 1024) -> None:
        self.journal = ListJournal()
        self.clock = SetClock()
        self.max_body = max_body
        self.secrets = {"sv1": SECRET}
        self.events: list[Recorded] = []
        self.heartbeats: list[Heartbeat] = []
        self.answers: list[int] = []
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._listening: socket.socket | None = None

    async def __aenter__(self) -> Bot:
        await self.come()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events/keepalived"

    async def come(self) -> None:
        """Listen; with the secrets as they are now."""
        access = {name: DirectorAccess(cluster="site", secret=secret) for name, secret in self.secrets.items()}
        app = web.Application(middlewares=[self._count])
        app.add_routes(
            webhook_routes(
                WebhookSettings(directors=access, max_body=self.max_body),
                journal=self.journal,
                clock=self.clock,
                on_event=self.events.append,
                on_heartbeat=self.heartbeats.append,
            )
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        self._listening = socket.create_server(("127.0.0.1", self.port))
        await web.SockSite(self._runner, self._listening).start()
        self.port = self._runner.addresses[0][1]

    async def go(self) -> None:
        """Stop listening and hang up."""
        if self._runner is not None:
            # asyncio's Server.close() leaks a connection that it has accepted but not yet made a transport for (seen in
            # Python 3.11), and its client waits for ever: so stop accepting, let those come through, and then close.
            assert self._listening is not None
            asyncio.get_running_loop().remove_reader(self._listening)
            for _ in range(10):
                await asyncio.sleep(0)
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _count(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await handler(request)
        self.answers.append(response.status)
        return response


class Director:
    """The agent of sv1 with its files in *home*, and this process as its keepalived."""

    def __init__(self, home: Path, url: str, python: str = sys.executable) -> None:
        self.home = home
        self.python = python
        self.fifo = home / "notify.fifo"
        self.spool = home / "spool"
        self.spool.mkdir(exist_ok=True)
        self.secret_file = home / "secret"
        self.secret_file.write_bytes(SECRET + b"\n")
        self.config_file = home / "lvs-agent.json"
        self.config: dict[str, object] = {
            "director": "sv1",
            "url": url,
            "secret_file": str(self.secret_file),
            "fifo": str(self.fifo),
            "spool": str(self.spool),
            "heartbeat_s": 0.2,
        }
        self.configure()
        self.agent: asyncio.subprocess.Process | None = None
        self._keepalived = -1

    async def __aenter__(self) -> Director:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.agent is not None and self.agent.returncode is None:
            self.agent.kill()
            await self.agent.wait()
        self.keepalived_lets_go()

    async def start(self, *, ready: bool = True) -> None:
        """Start the agent; return once it says that it is *ready*, as the service manager hears it (sd_notify(3))."""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with manager:
            manager.setblocking(False)
            manager.bind("")  # an abstract address of the kernel's choice
            name = manager.getsockname().decode().replace("\0", "@")
            self.agent = await self._spawn("run", environ={"NOTIFY_SOCKET": name})
            async with asyncio.timeout(PATIENCE_S):
                while ready and await asyncio.get_running_loop().sock_recv(manager, 100) != b"READY=1":
                    pass
        if self._keepalived < 0 and self.fifo.is_fifo():
            self.keepalived_opens()

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the agent; its exit status."""
        assert self.agent is not None
        self.agent.send_signal(how)
        return await self.agent.wait()

    def configure(self, **changes: object) -> None:
        """Write the configuration, with *changes* to it."""
        self.config.update(changes)
        self.config_file.write_text(json.dumps(self.config))

    async def freeze(self) -> None:
        """Stop the agent where it stands (SIGSTOP), to look at what it has done so far."""
        assert self.agent is not None
        self.agent.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{self.agent.pid}/stat")
        await until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")

    def in_pipe(self) -> int:
        """How many bytes wait in the FIFO."""
        waiting = array("i", [0])
        fcntl.ioctl(self._keepalived, termios.FIONREAD, waiting)
        return waiting[0]

    def keepalived_opens(self) -> None:
        """Open the FIFO exactly as keepalived does (lib/notify.c, fifo_open)."""
        self._keepalived = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)

    def keepalived_lets_go(self) -> None:
        if self._keepalived >= 0:
            os.close(self._keepalived)
            self._keepalived = -1

    def says(self, *lines: str) -> None:
        """keepalived writes *lines*, each with a write of its own."""
        for line in lines:
            os.write(self._keepalived, line.encode("utf-8", "surrogateescape") + b"\n")

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run the agent's program with *arguments*; its exit status and everything it said."""
        process = await self._spawn(*arguments, capture=True)
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    async def _spawn(
        self, *arguments: str, capture: bool = False, environ: Mapping[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        log = asyncio.subprocess.PIPE if capture else (self.home / "log").open("ab")
        try:
            return await asyncio.create_subprocess_exec(
                self.python,
                "-I",
                str(AGENT),
                "--config",
                str(self.config_file),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env=environ or {},
            )
        finally:
            if not isinstance(log, int):
                log.close()

    @property
    def log(self) -> str:
        path = self.home / "log"
        return path.read_text() if path.exists() else ""

    def spooled(self) -> Iterator[dict[str, object]]:
        """The records in the spool file, as they stand."""
        path = self.spool / "events"
        for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
            yield json.loads(line)

    def unsent(self) -> list[dict[str, object]]:
        """The records that the agent does not know to be with the bot."""
        sent = int((self.spool / "sent").read_text())
        return [record for record in self.spooled() if int(str(record["counter"])) > sent]


def line(number: int) -> str:
    """A line that keepalived could write, told from the others by the instance's name."""
    return f'INSTANCE "VI_{number}" MASTER 100'


def heard(bot: Bot) -> list[str]:
    """What the journal has of :func:`line`, in its order: the instances' names."""
    return [entry.event.instance for entry in bot.journal.entries if isinstance(entry.event, VrrpStateChanged)]
