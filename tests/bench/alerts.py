"""From the POST of keepalived's event to the message in Slack; how many a second; and whether any of them is lost.

The event is RS DOWN of a real server that lives in no director: it is told at once. Slack's limit of a message a second
a channel (after a burst of four), which the bot keeps, would be what is measured: so each cluster has a channel of its
own. Real servers that fall together are one story and one message: the second one of a cluster falls when the first is
a story of its own. And an event is followed by a roll call, a second later, which is not part of the next one's way.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.journal import open_journal
from bot.domain.incidents.kinds import BURST as TOGETHER
from bot.entrypoints.webhook import sign
from bot.flows.alerting import AGAIN_AFTER
from bot.flows.chronicle import Chronicle
from bot.local.slack import Change, ChannelSetup, Config, StandIn
from bot.settings import load_fleet
from tests.bench.processes import CannotMeasure, health, running_bare, running_bot
from tests.bench.results import Result, Size, p50, p99
from tests.bench.site import SECRET, BotFiles, Cluster, play_master, show_table, write_bot
from tests.contracts.sshd import Sshd, free_port, new_key

RATIO = 2.0
TAIL = 5.0
SERVERS = 5
MOST_CLUSTERS = 51
SETTLE_S = 0.03
"""Before each: what the last one left to do (a second commit, for the message) is no part of it; all are as cold."""
AT_ONCE = 32
TURNS = 2
SLACK_TAKES = 5
REFUSALS = 20
QUIET_S = 3.0
LONGEST_HELD_S = 20.0
PATIENCE_S = 180.0


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

    def plain(self, *, short: bool = False) -> tuple[bytes, dict[str, str]]:
        """The same for the bare handler, which verifies nothing. *short*: its message is to be a single line."""
        body = json.dumps({"line": self.line, "channel": self.channel, "short": short}).encode()
        return body, {"Content-Type": "application/json"}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Everything that runs: the bot and the bare handler, both with *slack*, and the one host of all directors."""

    session: aiohttp.ClientSession
    slack: StandIn
    files: BotFiles
    bare_url: str
    sshd: Sshd
    clusters: tuple[Cluster, ...]

    @property
    def bot_url(self) -> str:
        return f"{self.files.origin}/events/keepalived"

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """POST an event. Raises CannotMeasure where it is not taken."""
        async with self.session.post(url, data=body, headers=headers) as answer:
            if answer.status != 202:
                raise CannotMeasure(f"{url} answered {answer.status}: {await answer.text()}")

    async def quiet(self, least_s: float = AGAIN_AFTER + 0.5) -> None:
        """Wait until nothing has been recorded for *least_s*: roll calls are over and everything is said."""
        began = since = time.perf_counter()
        before = None
        while time.perf_counter() - since < least_s:
            state = await health(self.session, self.files)
            now = (state and state["journal"], len(self.slack.calls))
            if now != before:
                before, since = now, time.perf_counter()
            if time.perf_counter() - began > PATIENCE_S:
                raise CannotMeasure(f"the bot does not come to rest: {state}")
            await asyncio.sleep(0.1)


async def measure(folder: Path, size: Size) -> list[Result]:
    """All figures."""
    async with AsyncExitStack() as stack:
        bench = await _started(stack, folder, size)
        await bench.quiet()
        results = [*await _latency(bench, size), await _burst(bench, size), await _lost(bench)]
        return [*results, await _sessions(bench.slack, channel_of(bench.clusters[0]), size.rounds)]


async def _started(stack: AsyncExitStack, folder: Path, size: Size) -> Bench:
    key = new_key(folder / "key")
    sshd = Sshd(folder / "sshd", key=key)
    stack.callback(sshd.stop)
    clusters = tuple(_cluster(number, sshd) for number in range(min(MOST_CLUSTERS, size.rounds + 1)))
    play_master(sshd, clusters)
    channels = tuple(ChannelSetup(id=channel_of(c), name=f"lvs-{c.name}") for c in clusters)
    slack = await stack.enter_async_context(StandIn(Config(channels=channels)))
    own = {c.name: channel_of(c) for c in clusters}
    files = write_bot(folder / "bot", clusters, slack=slack, key=key, channels=own)
    await stack.enter_async_context(running_bot(files, slack))
    port = free_port("127.0.0.1")
    bare = running_bare("alerts", slack.base_url, str(port), log=folder / "bare.log", environ=files.environ)
    await stack.enter_async_context(bare)
    return Bench(
        session=await stack.enter_async_context(aiohttp.ClientSession()),
        slack=slack,
        files=files,
        bare_url=f"http://127.0.0.1:{port}/events",
        sshd=sshd,
        clusters=clusters,
    )


def _cluster(number: int, sshd: Sshd) -> Cluster:
    net = f"127.{1 + number // 200}.{number % 200}"
    servers = tuple(f"{net}.{1 + server}" for server in range(SERVERS))
    return Cluster(name=f"k{number}", sshds=(sshd,), vip=f"{net}.100", servers=servers, ports=(80,))


# --- how soon -------------------------------------------------------------------------------------------------------


async def _latency(bench: Bench, size: Size) -> list[Result]:
    arrivals = Arrivals(bench.slack)
    bot: list[float] = []
    bare: list[float] = []
    short: list[float] = []
    disk: list[float] = []
    removed: set[str] = set()
    for batch in _batches(bench.clusters, size.rounds + 1):
        for event, server in batch:
            removed.add(server)
            show_table(bench.sshd, bench.clusters, removed)
            for samples, url, request in (
                (bot, bench.bot_url, event.signed()),
                (bare, bench.bare_url, event.plain()),
                (short, bench.bare_url, event.plain(short=True)),
            ):
                await asyncio.sleep(SETTLE_S)
                samples.append(await _told_s(bench, arrivals, event.channel, url, *request))
            disk.append(await asyncio.to_thread(_sync_s, bench.files.directory / "synced"))
        await bench.quiet()
    # The first is for warming up: the stand-in compiles its rules of what a message may be when it sees one.
    bot, bare = bot[1:], bare[1:]
    return [
        Result(
            what="event POST to message in Slack, durable commit included",
            unit="ms",
            ours=p50(bot) * 1000,
            bare=p50(bare) * 1000,
            goal=RATIO,
            note="medians; both send the same kind of message, with one of a single line the bare handler takes "
            f"{p50(short) * 1000:.2f} ms; the disk alone takes {p50(disk) * 1000:.2f} ms (p99 {p99(disk) * 1000:.1f}) "
            "to make 4 KiB durable",
        ),
        Result(
            what="the slowest of them (p99), against the median",
            unit="ms",
            ours=p99(bot) * 1000,
            bare=p50(bot) * 1000,
            goal=TAIL,
            note=f"both of the bot's; the bare handler's p99 {p99(bare) * 1000:.1f} ms",
        ),
    ]


def _batches(clusters: Sequence[Cluster], count: int) -> Iterator[list[tuple[Event, str]]]:
    """Events with the servers that they are about, going round the clusters.

    A batch is over before the roll calls that follow its first; a cluster has its next when the last is its own story.
    """
    at_once = int(0.7 * AGAIN_AFTER / (3 * SETTLE_S + 0.01))
    apart = int(TOGETHER.total_seconds() / (AGAIN_AFTER + 0.5)) + 1
    order = [(cluster, index) for index in range(SERVERS - 1) for cluster in clusters][:count]
    per_batch = min(at_once, max(1, len(clusters) // apart))
    batch: list[tuple[Event, str]] = []
    for number, (cluster, index) in enumerate(order, start=1):
        batch.append(
            (Event(cluster=cluster, line=_line(cluster, index, "DOWN"), number=number), cluster.servers[index])
        )
        if len(batch) == per_batch:
            yield batch
            batch = []
    if batch:
        yield batch


def _line(cluster: Cluster, index: int, state: str) -> str:
    return f"RS [{cluster.servers[index]}]:tcp:80 [{cluster.vip}]:tcp:80 {state}"


def _sync_s(path: Path) -> float:
    """The seconds that the disk takes for what a commit cannot do without (blocks)."""
    with path.open("ab") as file:
        file.write(bytes(4096))
        file.flush()
        began = time.perf_counter()
        os.fsync(file.fileno())
        return time.perf_counter() - began


async def _told_s(
    bench: Bench, arrivals: Arrivals, channel: str, url: str, body: bytes, headers: dict[str, str]
) -> float:
    """The seconds from the POST of an event to its message."""
    arrived = arrivals.next_in(channel)
    began = time.perf_counter()
    await bench.post(url, body, headers)
    async with asyncio.timeout(10):
        return await arrived - began


# --- how many, and whether any is lost ------------------------------------------------------------------------------


async def _burst(bench: Bench, size: Size) -> Result:
    """Real servers of every cluster going down and up, as many POSTs at once as there are directors in a big site.

    While the bot has its turn Slack takes no more than so many messages a second, and refuses some for no reason.
    """
    count = 10 * size.rounds
    numbers = iter(range(10_000_000, 20_000_000))
    bot = bare = 0.0
    for _ in range(TURNS):
        events = [_storm(bench.clusters, next(numbers)) for _ in range(count)]
        bench.slack.faults.rate(SLACK_TAKES)
        bench.slack.faults.rate_limited(REFUSALS, methods=frozenset({"chat.postMessage", "chat.update"}))
        bot += await _posted_s(bench, bench.bot_url, [event.signed() for event in events])
        await bench.quiet(QUIET_S)
        bench.slack.faults.clear()
        bare += await _posted_s(bench, bench.bare_url, [event.plain() for event in events])
    total = TURNS * count
    return Result(
        what=f"each of {count:,} events in a burst",
        unit="ms",
        ours=bot / total * 1000,
        bare=bare / total * 1000,
        goal=RATIO,
        note=f"{total / bot:.0f} a second, each answered once it is on the disk; the bare handler {total / bare:.0f} a "
        f"second, each once it is in Slack; {AT_ONCE} POSTs at once",
    )


def _storm(clusters: Sequence[Cluster], number: int) -> Event:
    place = number // len(clusters)
    cluster = clusters[number % len(clusters)]
    line = _line(cluster, place % SERVERS, "UP" if place // SERVERS % 2 else "DOWN")
    return Event(cluster=cluster, line=line, number=number)


async def _posted_s(bench: Bench, url: str, requests: Sequence[tuple[bytes, dict[str, str]]]) -> float:
    """The seconds until all *requests* are answered."""
    waiting = iter(requests)

    async def send() -> None:
        for body, headers in waiting:
            await bench.post(url, body, headers)

    began = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(AT_ONCE)))
    return time.perf_counter() - began


async def _lost(bench: Bench) -> Result:
    """What the journal says is told, and Slack does not show (or shows twice), after all of the above.

    Some stories are held back for a while in case that they explain themselves: none is lost before that is over.
    """
    end = time.perf_counter() + LONGEST_HELD_S
    while True:
        said = Counter(key for cluster in bench.clusters for key in _keys(bench.slack, channel_of(cluster)))
        due = await _due(bench)
        if due <= said.keys() or time.perf_counter() > end:
            break
        await asyncio.sleep(1)
    twice = sum(count - 1 for count in said.values())
    refused = sum(call.status == 429 for call in bench.slack.calls)
    return Result(
        what="incidents to be told after the burst, against those that Slack shows once",
        unit="",
        ours=len(due) + twice,
        bare=max(1, len(due & said.keys())),
        goal=1,
        note=f"lost {len(due - said.keys())}, told twice {twice}; Slack took {SLACK_TAKES} messages a second a channel "
        f"and refused {refused} calls",
    )


async def _due(bench: Bench) -> set[str]:
    """The keys of the incidents that are to be told, by the bot's journal."""
    journal = await open_journal(f"sqlite:///{bench.files.directory / 'journal.db'}")
    try:
        chronicle = Chronicle(journal, load_fleet(bench.files.directory / "fleet.yaml"))
        await chronicle.catch_up()
    finally:
        await journal.close()
    return {
        f"incident:{name}:{incident.id}"
        for name, incidents in chronicle.world.incidents.items()
        for incident in incidents.all
        if not incident.withdrawn
    }


def _keys(slack: StandIn, channel: str) -> Iterator[str]:
    """What each of the bot's messages in *channel* is about."""
    for message in slack.messages(channel):
        payload = (message.get("metadata") or {}).get("event_payload") or {}
        if key := payload.get("key"):
            yield from payload.get("covers") or (key,)


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
