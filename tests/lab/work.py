"""The whole main job in a test: the lab, the Slack stand-in and the bot as a process of its own in ``ops``."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bot.adapters.journal import open_journal
from bot.domain.events import Event, Recorded, RollCallTaken
from bot.local.lab.lab import Lab
from bot.local.slack import StandIn
from tests.lab.ready import Forked, Ready

T = TypeVar("T")
CHANNEL = "C0SITE"
PATIENCE = 90.0  # seconds until something that must come has to have come: emulated processors are slow


@dataclass
class Work:
    """A bot at work on a site; messages are looked at as people see them."""

    lab: Lab
    slack: StandIn
    directory: Path
    config: Path
    ready: Ready | None = None
    lives: int = 0
    bot: asyncio.subprocess.Process | Forked | None = None
    _log: Path = field(init=False)

    def __post_init__(self) -> None:
        self._log = self.directory / "bot.log"

    # --- the bot ---

    @property
    def environment(self) -> dict[str, str]:
        """What the bot's process finds in its environment."""
        return {
            **os.environ,
            **self.lab.bot_environment(),
            "SLACK_BOT_TOKEN": self.slack.bot_token,
            "SLACK_APP_TOKEN": self.slack.app_token,
            "SLACK_SIGNING_SECRET": self.slack.signing_secret,
        }

    async def start(self, *program: str, settled: bool = True) -> None:
        """Start the bot and wait until it is connected and, if wanted, has asked every director once."""
        module = program or ("bot", "run", "--config", str(self.config))
        if self.ready is not None and not program:
            self.bot = await self.ready.start(module, self.environment, self._log)
        else:
            argv = self.lab.ops_argv([sys.executable, "-m", *module])
            with self._log.open("ab") as log:
                self.bot = await asyncio.create_subprocess_exec(*argv, env=self.environment, stderr=log)
        self.lives += 1
        if settled:
            await self.until(lambda: self.slack.connected, "the bot is connected")
            for name in self.lab.site.directors:  # one that is slow is not in the first roll call
                await self.until_recorded("RollCallTaken", partial(_has_answer, name))
            await self.until_recorded("HealthChanged", lambda e: e.service == "http", at_least=3)

    async def kill(self) -> None:
        """kill -9."""
        assert self.bot is not None
        if self.bot.returncode is None:
            self.bot.kill()
        await self.bot.wait()

    async def stop(self) -> None:
        """Ask it to end."""
        if self.bot is not None and self.bot.returncode is None:
            self.bot.terminate()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.bot.wait()
            except TimeoutError:
                await self.kill()  # the next bot needs its port
                raise

    async def terminal(self, *words: str) -> tuple[int, str, str]:
        """``python -m bot …`` beside the running bot: exit status, standard output, standard error."""
        argv = self.lab.ops_argv([sys.executable, "-m", "bot", *words, "--config", str(self.config)])
        process = await asyncio.create_subprocess_exec(
            *argv, env=self.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    def log(self) -> list[dict[str, Any]]:
        """The bot's log so far."""
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    # --- the journal ---

    async def journal(self, *kinds: str) -> list[Recorded]:
        """What the journal has, of *kinds* (all if none is given), oldest first."""
        journal = await open_journal(f"sqlite:///{self.directory / 'lvsbot.db'}")
        try:
            return list(await journal.read(kinds=kinds, limit=100_000))
        finally:
            await journal.close()

    async def events(self, *kinds: str) -> list[Event]:
        """The events alone."""
        return [recorded.event for recorded in await self.journal(*kinds)]

    async def until_recorded(
        self, kind: str, wanted: Callable[[Any], bool] = lambda _event: True, *, at_least: int = 1
    ) -> Any:
        """Wait for *at_least* events of *kind* that are as *wanted*, and return the first of them."""

        async def found() -> list[Event]:
            if not (self.directory / "lvsbot.db").exists():
                return []
            events = [event for event in await self.events(kind) if wanted(event)]
            return events if len(events) >= at_least else []

        return (await self._until(found, f"{at_least} {kind} in the journal"))[0]

    # --- Slack ---

    def texts(self) -> list[str]:
        """The notification texts of the channel's messages that are no replies, oldest first."""
        return [m["text"] for m in self.slack.messages(CHANNEL) if m.get("thread_ts") in (None, m["ts"])]

    def alerts(self) -> list[str]:
        """Those that are incidents."""
        return [text for text in self.texts() if text.startswith((":red_circle:", ":large_"))]

    def shown(self, containing: str) -> str:
        """Everything that the newest message with *containing* in it shows, as one text."""
        for message in reversed(self.slack.messages(CHANNEL)):
            text = words_of(message)
            if containing in text:
                return text
        raise AssertionError(f"no message shows {containing!r}: {self.texts()}")

    async def command(self, text: str, user: str = "alice") -> None:
        """Type a slash command; it must have been acknowledged in time."""
        ack = await self.slack.command(user, CHANNEL, text)
        assert ack is not None
        assert ack.ok, ack

    async def press(self, action: str, *, containing: str, user: str = "alice") -> None:
        """Press the button *action* on the newest message that has it and shows *containing*."""

        def ts() -> str | None:
            for message in reversed(self.slack.messages(CHANNEL)):
                if containing in words_of(message) and f'"{action}"' in json.dumps(message.get("blocks", [])):
                    return str(message["ts"])
            return None

        found = await self.until(ts, f"a button {action} on {containing!r}")
        assert found is not None
        ack = await self.slack.click(user, found, action)
        assert ack.ok, ack

    # --- waiting ---

    async def until(self, look: Callable[[], T | Awaitable[T]], what: str, *, within: float = PATIENCE) -> T:
        """The first true thing that *look* gives; fails with what was there instead."""

        async def looked() -> T:
            found = look()
            return await found if isinstance(found, Awaitable) else found

        seen: T = await self._until(looked, what, within=within)
        return seen

    async def until_shown(self, containing: str, *, within: float = PATIENCE) -> str:
        """Wait until some message shows *containing*, and return all that it shows."""

        def found() -> str:
            return next((w for m in self.slack.messages(CHANNEL) if containing in (w := words_of(m))), "")

        return await self.until(found, f"a message that shows {containing!r}", within=within)

    async def _until(self, look: Callable[[], Any], what: str, *, within: float = PATIENCE) -> Any:
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while not (found := await look()):
            if self.bot is not None and self.bot.returncode not in (None, -9):
                raise AssertionError(f"the bot ended with {self.bot.returncode}: {self._log.read_text()[-3000:]}")
            if loop.time() > end:
                tail = self._log.read_text()[-3000:] if self._log.exists() else ""
                there = f"the channel has {self.texts()}; calls: {self.slack.calls[-8:]}; log: {tail}"
                raise AssertionError(f"waited {within:g} s for {what}; {there}")
            await asyncio.sleep(0.1)
        return found

    async def on(self, host: str, *argv: str) -> str:
        """What root gets for *argv* on *host*, which must succeed."""
        done = await asyncio.to_thread(self.lab.exec, host, list(argv), 60.0)
        assert done.returncode == 0, f"{host}: {argv}: {done.stderr}"
        return done.stdout


def _has_answer(director: str, call: RollCallTaken) -> bool:
    return call.answer(director) is not None


def words_of(message: dict[str, Any]) -> str:
    """Everything in *message* that a person reads, in order."""
    found = [str(message.get("text", ""))]

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("text"), str):
                found.append(value["text"])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for inner in value:
                walk(inner)

    walk(message.get("blocks", []))
    text = "\n".join(found).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return re.sub(r"<!date\^\d+\^[^|]*\|([^>]*)>", r"\1", text)


@asynccontextmanager
async def at_work(
    lab: Lab,
    directory: Path,
    *,
    mode: str = "socket",
    start: bool = True,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    ready: Ready | None = None,
) -> AsyncIterator[Work]:
    """A bot at work on *lab* until the block ends. *settings*: what is to be different in its bot.yaml, by section.

    *ready*: what it is started by; without it, as people start it.
    """
    inside = lab.socket_in_ops("127.0.0.1", 0)
    async with StandIn(port=inside.getsockname()[1], sockets=[inside]) as slack:
        config = lab.write_bot_config(directory, slack_base_url=slack.base_url)
        written = json.loads(config.read_text())
        for section, keys in {"slack": {"mode": mode}, **(settings or {})}.items():
            written[section] = {**written.get(section, {}), **keys}
        config.write_text(json.dumps(written))
        work = Work(lab=lab, slack=slack, directory=directory, config=config, ready=ready)
        try:
            if start:
                await work.start()
            yield work
        finally:
            await work.stop()


@asynccontextmanager
async def loaded(
    work: Work, address: str, *, rate: float = 20.0, patience: float = 10.0
) -> AsyncIterator[list[dict[str, Any]]]:
    """A steady load on *address* for as long as the block lasts; afterwards every request is in the list."""
    arguments = (address, f"{rate:g}", "180", f"{patience:g}")
    argv = work.lab.ops_argv([sys.executable, "-m", "tests.lab.load", *arguments])
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    requests: list[dict[str, Any]] = []
    assert process.stdout is not None

    async def read(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            requests.append(json.loads(line))  # noqa: PERF401 - others look at the list while it grows

    reading = asyncio.create_task(read(process.stdout))
    try:
        yield requests
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await reading
