"""From the POST of keepalived's event to the message in Slack, and how many events a second are made durable.

The event is RS DOWN of a real server that lives in no director: it is told at once. Each one goes down once. Slack's
limit of a message a second a channel (after a burst of four), which the bot keeps, would be what is measured: so each
cluster has a channel of its own and loses no more than four real servers. Those that fall together are one story and
one message: the second one of a cluster falls when the first is a story of its own.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.incidents.kinds import BURST as TOGETHER
from bot.entrypoints.webhook import sign
from bot.local.slack import Change, ChannelSetup, Config, StandIn
from tests.bench.processes import CannotMeasure, running_bare, running_bot
from tests.bench.results import Result, Size, p50, p99
from tests.bench.site import SECRET, BotFiles, Cluster, play_director, write_bot
from tests.contracts.sshd import Sshd, free_port, new_key

RATIO = 2.0
BURST = 4
MOST_CLUSTERS = 51
SETTLE_S = 0.04
"""Between two events: what the last one left to do (a second commit, for the message) is not part of the next."""
AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A line of keepalived's on a director of a cluster, and the channel in which it is told."""

    cluster: Cluster
    line: str
    number: int

    @property
    def channel(self) -> str:
        return channel_of(self.cluster)

    def signed(self) -> tuple[bytes, dict[str, str]]:
        """The body and the headers, as the agent sends them."""
        director = self.cluster.directors[0]
        record = {"boot": "bench", "counter": self.number, "at": time.time(), "line": self.line}
        body = json.dumps({"version": 1, "director": director, "records": [record]}).encode()
        timestamp = str(int(time.time()))
        signature = sign(SECRET.encode(), timestamp, body)
        headers = {"X-LVS-Director": director, "X-LVS-Timestamp": timestamp, "X-LVS-Signature": signature}
        return body, {"Content-Type": "application/json", **headers}


def channel_of(cluster: Cluster) -> str:
    """The id of its channel."""
    return f"C0{cluster.name.upper()}"


class Arrivals:
    """When a message arrived in each channel."""

    def __init__(self, slack: StandIn) -> None:
        self._next: dict[str, asyncio.Future[float]] = {}
        slack.on_change(self._changed)

    def next_in(self, channel: str) -> asyncio.Future[float]:
        """The time (``perf_counter``) of the next message in *channel*."""
        self._next[channel] = asyncio.get_running_loop().create_future()
        return self._next[channel]

    def _changed(self, change: Change) -> None:
        if change.kind == "message" and change.channel in self._next:
            self._next.pop(change.channel).set_result(time.perf_counter())


async def measure(folder: Path, size: Size) -> list[Result]:
    """All three figures."""
    async with AsyncExitStack() as stack:
        key = new_key(folder / "key")
        sshd = Sshd(folder / "sshd", key=key)
        stack.callback(sshd.stop)
        play_director(sshd)
        clusters = [_cluster(number, sshd) for number in range(min(MOST_CLUSTERS, size.rounds + 1))]
        channels = tuple(ChannelSetup(id=channel_of(c), name=f"lvs-{c.name}") for c in clusters)
        slack = await stack.enter_async_context(StandIn(Config(channels=channels)))
        files = write_bot(
            folder / "bot", clusters, slack=slack, key=key, channels={c.name: channel_of(c) for c in clusters}
        )
        await stack.enter_async_context(running_bot(files, slack))
        port = free_port("127.0.0.1")
        bare = running_bare("alerts", slack.base_url, str(port), log=folder / "bare.log", environ=files.environ)
        await stack.enter_async_context(bare)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await _until_called(session, files, len(clusters))
        events = _events(clusters, size.rounds + 1)
        latency = await _compare(session, slack, files, f"http://127.0.0.1:{port}/events", events)
        burst = await _burst(session, files, clusters, 10 * size.rounds)
        return [latency, burst, await _sessions(slack, channel_of(clusters[0]), size.rounds)]


def _cluster(number: int, sshd: Sshd) -> Cluster:
    net = f"127.{1 + number // 200}.{number % 200}"
    # One more than will go down: with none left it would be another story.
    servers = tuple(f"{net}.{1 + server}" for server in range(BURST + 1))
    return Cluster(name=f"k{number}", sshds=(sshd,), vip=f"{net}.100", servers=servers, ports=(80,))


def _events(clusters: Sequence[Cluster], count: int) -> list[Event]:
    """One for each real server, going round the clusters."""
    lines = [
        (cluster, f"RS [{cluster.servers[index]}]:tcp:80 [{cluster.vip}]:tcp:80 DOWN")
        for index in range(BURST)
        for cluster in clusters
    ]
    return [Event(cluster=cluster, line=line, number=n) for n, (cluster, line) in enumerate(lines[:count], start=1)]


async def _until_called(session: aiohttp.ClientSession, files: BotFiles, clusters: int) -> None:
    """Wait for the roll calls that every bot begins with: one record for each cluster, and the bot's own start."""
    for _ in range(600):
        async with session.get(f"{files.origin}/healthz") as answer:
            if (await answer.json())["journal"] > clusters:
                return
        await asyncio.sleep(0.05)
    raise CannotMeasure("the roll calls at the start did not end")


async def _compare(
    session: aiohttp.ClientSession, slack: StandIn, files: BotFiles, bare_url: str, events: Sequence[Event]
) -> Result:
    arrivals = Arrivals(slack)
    bot, bare, disk = [], [], []
    began: dict[str, float] = {}
    for event in events:
        apart = began.get(event.channel, -math.inf) + TOGETHER.total_seconds() + 0.5 - time.perf_counter()
        await asyncio.sleep(max(0.0, apart))
        began[event.channel] = time.perf_counter()
        body, headers = event.signed()
        bot.append(await _told_s(session, arrivals, event.channel, f"{files.origin}/events/keepalived", body, headers))
        plain = json.dumps({"line": event.line, "channel": event.channel}).encode()
        bare.append(
            await _told_s(session, arrivals, event.channel, bare_url, plain, {"Content-Type": "application/json"})
        )
        disk.append(await asyncio.to_thread(_sync_s, files.directory / "synced"))
    # The first is for warming up: the stand-in compiles its rules of what a message may be when it sees one.
    bot, bare = bot[1:], bare[1:]
    return Result(
        what="event POST to message in Slack, durable commit included",
        unit="ms",
        ours=p50(bot) * 1000,
        bare=p50(bare) * 1000,
        goal=RATIO,
        note=f"medians; p99 {p99(bot) * 1000:.1f} and {p99(bare) * 1000:.1f} ms; the disk alone takes "
        f"{p50(disk) * 1000:.2f} ms (p99 {p99(disk) * 1000:.1f}) to make 4 KiB durable",
    )


def _sync_s(path: Path) -> float:
    """The seconds that the disk takes for what a commit cannot do without (blocks)."""
    with path.open("ab") as file:
        file.write(bytes(4096))
        file.flush()
        began = time.perf_counter()
        os.fsync(file.fileno())
        return time.perf_counter() - began


async def _told_s(
    session: aiohttp.ClientSession, arrivals: Arrivals, channel: str, url: str, body: bytes, headers: dict[str, str]
) -> float:
    """The seconds from the POST of an event to its message; then what it left to do is let be done."""
    arrived = arrivals.next_in(channel)
    began = time.perf_counter()
    async with session.post(url, data=body, headers=headers) as answer:
        if answer.status != 202:
            raise CannotMeasure(f"{url} answered {answer.status}: {await answer.text()}")
    async with asyncio.timeout(10):
        took = await arrived - began
    await asyncio.sleep(SETTLE_S)
    return took


async def _burst(session: aiohttp.ClientSession, files: BotFiles, clusters: Sequence[Cluster], count: int) -> Result:
    """Events that nobody is told of (a quorum that is there), as many at once as there are directors in a big site."""
    events = (
        Event(cluster=cluster, line=f"VS [{cluster.vip}]:tcp:80 UP", number=10_000_000 + number)
        for number, cluster in ((n, clusters[n % len(clusters)]) for n in range(count))
    )

    async def send() -> None:
        for event in events:
            body, headers = event.signed()
            async with session.post(f"{files.origin}/events/keepalived", data=body, headers=headers) as answer:
                if answer.status != 202:
                    raise CannotMeasure(f"the webhook answered {answer.status}: {await answer.text()}")

    began = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(AT_ONCE)))
    return Result(
        what="POSTs of events journalled in a burst",
        unit="/s",
        ours=count / (time.perf_counter() - began),
        note=f"{count} POSTs of one event each, {AT_ONCE} at once, each answered once it is on the disk",
    )


async def _sessions(slack: StandIn, channel: str, count: int) -> Result:
    """Why the bot's Slack client is given a session: without one it opens a connection for every call."""
    async with aiohttp.ClientSession() as session:
        clients = [
            AsyncWebClient(token=slack.bot_token, base_url=slack.base_url, session=each) for each in (None, session)
        ]
        took: list[list[float]] = [[], []]
        for _ in range(count):
            for client, samples in zip(clients, took, strict=True):
                began = time.perf_counter()
                await client.chat_postMessage(channel=channel, text="measured")
                samples.append(time.perf_counter() - began)
    own, shared = (p50(samples) * 1000 for samples in took)
    return Result(
        what="a Slack call without a shared HTTP session, against one with it",
        unit="ms",
        ours=own,
        bare=shared,
        note="medians; the bot shares one; over the Internet a TLS handshake comes on top",
    )
