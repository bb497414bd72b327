"""How long the bot takes to start on a long journal: with a snapshot, after a death, and folding all of it anew."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from bot.adapters.journal import encode
from bot.domain.events import (
    Event,
    HealthChanged,
    MessagePosted,
    OutageMeasured,
    QuorumChanged,
    RealServerChanged,
    RollCallAnswer,
    RollCallTaken,
    VrrpState,
    VrrpStateChanged,
)
from bot.domain.fleet import Protocol
from bot.domain.health import Outcome
from bot.domain.observed import ServiceKey, UnitActive, UnitState
from bot.local.slack import StandIn
from tests.bench.processes import memory_mib, running_bot
from tests.bench.results import Result, Size, p50
from tests.bench.site import BotFiles, Cluster, play_director, start_sshds, write_bot
from tests.contracts.sshd import new_key

GOAL_S = 3.0
BOUND = 1.5
SERVERS = 8
STARTS = 5
PATIENCE_S = 1800.0
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ACTIVE = UnitState(unit="keepalived.service", active=UnitActive.ACTIVE, sub="running", result="success", main_pid=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of the bot: the seconds until it listens and is connected, and the most memory that it held (MiB)."""

    seconds: float
    most_mib: float


async def measure(folder: Path, size: Size) -> list[Result]:
    """The same bot on an empty journal and on a long one."""
    async with AsyncExitStack() as stack:
        key = new_key(folder / "key")
        sshds = start_sshds(folder, 2, key)
        for sshd in sshds:
            stack.callback(sshd.stop)
            play_director(sshd)
        servers = tuple(f"127.0.7.{1 + number}" for number in range(SERVERS))
        cluster = Cluster(name="site", sshds=sshds, vip="127.0.7.200", servers=servers, ports=(80,))
        slack = await stack.enter_async_context(StandIn())
        short, long = (write_bot(folder / name, [cluster], slack=slack, key=key) for name in ("short", "long"))
        for files in (short, long):
            await _start(files, slack)  # makes the journal
        await _fill(long.directory / "journal.db", cluster, size.journal)
        anew = await _start(long, slack)
        empty, with_one, killed = [], [], []
        for _ in range(min(STARTS, size.rounds)):
            empty.append(await _start(short, slack))
            with_one.append(await _start(long, slack))
            await _fill(long.directory / "journal.db", cluster, size.tail)
            killed.append(await _start(long, slack))
        return [_soon(empty, with_one, killed, size), _anew(anew, empty, size), _memory(anew, empty, size)]


def _soon(empty: list[Start], with_one: list[Start], killed: list[Start], size: Size) -> Result:
    return Result(
        what=f"start with a journal of {size.journal:,} events",
        unit="s",
        ours=p50([start.seconds for start in with_one]),
        goal=GOAL_S,
        note=f"median of {len(with_one)}, until it listens and Slack is connected; with an empty journal "
        f"{p50([start.seconds for start in empty]):.2f} s; after a death that left {size.tail:,} events to fold "
        f"{p50([start.seconds for start in killed]):.2f} s",
    )


def _anew(anew: Start, empty: list[Start], size: Size) -> Result:
    took = anew.seconds - p50([start.seconds for start in empty])
    if took <= 0:
        # Too few to be told from how long starts differ anyway: the whole start is then what they took at most.
        took = anew.seconds
    return Result(
        what="events folded anew, where no snapshot can be used",
        unit="/s",
        ours=size.journal / took,
        note=f"the first start after an upgrade or a change of the fleet: {took:.0f} s for {size.journal:,} events",
    )


def _memory(anew: Start, empty: list[Start], size: Size) -> Result:
    return Result(
        what=f"most memory while {size.journal:,} events are folded, against an empty journal",
        unit="MiB",
        ours=anew.most_mib,
        bare=p50([start.most_mib for start in empty]),
        goal=BOUND,
        note="resident, at its highest until the bot listens",
    )


async def _start(files: BotFiles, slack: StandIn) -> Start:
    began = time.perf_counter()
    async with running_bot(files, slack, patience_s=PATIENCE_S) as pid:
        return Start(seconds=time.perf_counter() - began, most_mib=memory_mib(pid, "VmHWM"))


# --- a long journal -------------------------------------------------------------------------------------------------


async def _fill(file: Path, cluster: Cluster, count: int) -> None:
    """Append *count* events of *cluster*'s life to the journal *file*, in whole stories but for the last."""
    await asyncio.to_thread(_write, file, cluster, count)


def _write(file: Path, cluster: Cluster, count: int) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        last: int = connection.execute("SELECT max(sequence) FROM journal").fetchone()[0]
        connection.executemany(
            "INSERT INTO journal VALUES (?, ?, ?, NULL, ?, ?)", _rows(_life(cluster, last), last + 1, count)
        )


def _rows(life: Iterable[tuple[datetime, Event]], first: int, count: int) -> Iterator[tuple[int, str, str, str, str]]:
    for number, (at, event) in zip(range(first, first + count), life, strict=False):
        moment = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        yield number, moment, moment, *encode(event)


def _life(cluster: Cluster, before: int) -> Iterator[tuple[datetime, Event]]:
    """One real server after another goes down and comes back, and now and then the VIP moves: twenty events an hour.

    *before* is how many events there were already, by which the messages' keys are told apart.
    """
    at, story = BEGAN + timedelta(hours=before / 20), 0
    while True:
        events = [*_real_server(cluster, story, at), *(_failover(cluster, story, at) if story % 4 == 0 else ())]
        key = f"incident:{cluster.name}:{before}-{story}"
        events += [_posted(key), _posted(key), _posted(f"{key}:over")]
        for number, event in enumerate(events):
            yield at + timedelta(seconds=number), event
        at, story = at + timedelta(hours=1), story + 1


def _posted(key: str) -> MessagePosted:
    return MessagePosted(key=key, channel="C0SITE", ts="1767225600.000100", digest="0123456789abcdef")


def _real_server(cluster: Cluster, story: int, at: datetime) -> Iterator[Event]:
    server = story % SERVERS
    name, service = f"{cluster.name}-rs{server}", f"{cluster.name}-80"
    key = ServiceKey(protocol=Protocol.TCP, address=ip_address(cluster.vip), port=80, family=4)
    for up in (False, True):
        yield HealthChanged(
            cluster=cluster.name,
            service=service,
            real_server=name,
            outcome=Outcome.HEALTHY if up else Outcome.UNHEALTHY,
            reason="" if up else "no answer within 1 s",
            since=at,
        )
        for director in cluster.directors:
            yield RealServerChanged(
                cluster=cluster.name,
                director=director,
                service=key,
                address=ip_address(cluster.servers[server]),
                port=80,
                up=up,
            )
            yield QuorumChanged(cluster=cluster.name, director=director, service=key, up=True)
        yield _roll_call(cluster, at, holder=cluster.directors[0], without=None if up else name)


def _failover(cluster: Cluster, story: int, at: datetime) -> Iterator[Event]:
    first, second = cluster.directors
    for old, new in ((first, second), (second, first)):
        for director, state in ((old, VrrpState.BACKUP), (new, VrrpState.MASTER)):
            yield VrrpStateChanged(
                cluster=cluster.name, director=director, instance=f"{cluster.name}-VI", state=state, priority=100
            )
        yield _roll_call(cluster, at + timedelta(seconds=20), holder=new, without=None)
    yield OutageMeasured(
        cluster=cluster.name,
        service=f"{cluster.name}-80",
        real_server=None,
        last_good_at=at,
        first_bad_at=at,
        last_bad_at=at + timedelta(seconds=3),
        first_good_at=at + timedelta(seconds=3.25),
        failed=12,
    )


def _roll_call(cluster: Cluster, at: datetime, *, holder: str, without: str | None) -> RollCallTaken:
    names = [f"{cluster.name}-rs{number}" for number in range(SERVERS)]
    return RollCallTaken(
        cluster=cluster.name,
        reason="routine",
        asked_at=at,
        answers=tuple(
            RollCallAnswer(
                director=director,
                holds=(cluster.vip,) if director == holder else (),
                keepalived=ACTIVE,
                weights=tuple((f"{cluster.name}-80", name, 1) for name in names if name != without),
            )
            for director in cluster.directors
        ),
    )
