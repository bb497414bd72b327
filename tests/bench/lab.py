"""From a line in a director's FIFO to the message in Slack, on real directors: the whole of the alert path.

The line is RS DOWN of a real server that lives in no director: it is told at once. A shell on the director writes it
and notes its clock just before; this machine's clock notes the message's arrival at the stand-in. How far the two are
apart is asked over the same connection before each line, and the figure says how exactly it is known.

Emulated processors are slow: agent and SSH server take what they would not take elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ruamel.yaml import YAML

from bot.domain.events import RealServerChanged, Recorded
from bot.domain.selftest import Exchange, Trace, apart
from bot.local.lab.errors import LabError
from bot.local.lab.lab import Lab
from bot.local.slack import Change
from bot.lvs.rendering import NOTIFY_FIFO
from bot.settings import load_fleet
from tests.bench.processes import ROOT, CannotMeasure
from tests.bench.results import Result, Size, at, p50
from tests.lab.work import CHANNEL, Work, at_work

GOAL_MS = 250.0
ROUNDS = 40
"""At most: Slack's limit of a message a second a channel, which the bot keeps, makes each take five seconds."""
PAUSE_S = 4.0
DIRECTOR = "sv2"
FLEET = ROOT / "config" / "fleet.yaml"
VIP, PORT = "10.100.5.11", 80

# bash notes the time and writes the line without another process; the FIFO is opened as keepalived opens it.
SCRIBE = f"""
exec 3<>{NOTIFY_FIFO}
while read -r line; do
    at=$EPOCHREALTIME
    [ "$line" = time ] || printf '%s\\n' "$line" >&3
    echo "$at"
done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """About the real server at ``address``: when it was written, what tells the clocks apart, when it was told."""

    address: str
    written: Exchange
    clocks: tuple[Exchange, ...]
    arrived: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """A line's way: seconds, and how exactly they are known, either way.

    ``read_s`` is until the agent had read it (by the director's clock), ``told_s`` from the journal to the message.
    """

    seconds: float
    margin: float
    read_s: float
    told_s: float


class Scribe:
    """The shell on the director."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def exchange(self, line: str = "time") -> Exchange:
        """Have *line* written (``time``: nothing), and what its clock showed just before."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked_at = datetime.now(UTC)
        self._process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(30):
            seconds = await self._process.stdout.readline()
        return Exchange(
            asked_at=asked_at, theirs=datetime.fromtimestamp(float(seconds), UTC), answered_at=datetime.now(UTC)
        )

    async def clocks(self) -> tuple[Exchange, ...]:
        """Some questions about its clock."""
        return tuple([await self.exchange() for _ in range(8)])


@asynccontextmanager
async def writing(lab: Lab, host: str) -> AsyncIterator[Scribe]:
    """The shell, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *lab.ssh_argv(host, ["bash", "-c", SCRIBE]), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Scribe(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def measure(folder: Path, size: Size) -> list[Result]:
    """In a lab of its own, taken down afterwards."""
    lab = Lab(f"bench-{os.getpid()}", fleet=load_fleet(FLEET))
    try:
        await asyncio.to_thread(lab.up)
    except LabError as error:
        raise CannotMeasure(f"the lab: {error}") from error
    try:
        return await measure_in(lab.places.name, folder, min(size.rounds, ROUNDS))
    finally:
        await asyncio.to_thread(lab.down)


async def measure_in(name: str, folder: Path, rounds: int) -> list[Result]:
    """In the lab *name*, which is up, settled and untouched."""
    servers = {f"x{number}": f"10.100.1.{1 + number}" for number in range(rounds + 1)}
    lab = Lab(name, fleet=load_fleet(FLEET), fleet_file=write_fleet(folder / "fleet.yaml", servers))
    for host in lab.site.directors:
        # As if keepalived had put them there: what a roll call finds then contradicts nothing.
        adding = "; ".join(f"ipvsadm -a -t {VIP}:{PORT} -r {address}:{PORT} -m -w 1" for address in servers.values())
        done = await asyncio.to_thread(lab.exec, host, ["sh", "-c", adding], 60.0)
        assert done.returncode == 0, done.stderr
    async with at_work(lab, folder / "bot", start=False) as work, writing(lab, DIRECTOR) as scribe:
        be_patient(work.config)
        await work.start(settled=False)
        await work.until(lambda: work.slack.connected, "the bot is connected")
        await work.until_recorded("RollCallTaken")
        lines = await write_lines(work, scribe, servers)
        journal = await work.journal("RealServerChanged")
    ways = [way(line, next(r for r in journal if is_about(r, line))) for line in lines]
    return [summed_up(ways[1:])]  # the first is for warming up


async def write_lines(work: Work, scribe: Scribe, servers: Mapping[str, str]) -> list[Line]:
    """Have each of *servers* go down and come back, one after the other."""
    arrivals, lines = Arrivals(), []
    work.slack.on_change(arrivals.note)
    for server, address in servers.items():
        down, up = f"{server} is down", f"{server} is up again"
        told = arrivals.of(down)
        clocks = await scribe.clocks()
        written = await scribe.exchange(f"RS [{address}]:tcp:{PORT} [{VIP}]:tcp:{PORT} DOWN")
        arrived = await arrival(told, down)
        lines.append(Line(address=address, written=written, clocks=clocks, arrived=arrived))
        told = arrivals.of(up)
        await scribe.exchange(f"RS [{address}]:tcp:{PORT} [{VIP}]:tcp:{PORT} UP")
        await arrival(told, up)
        await asyncio.sleep(PAUSE_S)
    return lines


def is_about(recorded: Recorded, line: Line) -> bool:
    """Whether *recorded* is what became of *line*."""
    event = recorded.event
    return isinstance(event, RealServerChanged) and not event.up and str(event.address) == line.address


def summed_up(ways: Sequence[Took]) -> Result:
    """The figure, and what it is made of."""
    took = [way.seconds for way in ways]
    read, told = p50([way.read_s for way in ways]) * 1000, p50([way.told_s for way in ways]) * 1000
    between = p50([way.seconds - way.read_s - way.told_s for way in ways]) * 1000
    margin = max(way.margin for way in ways) * 1000
    return Result(
        what="line in a director's FIFO to message in Slack, in the lab (95 of 100 are quicker)",
        unit="ms",
        ours=at(took, 0.95) * 1000,
        goal=GOAL_MS,
        note=f"{len(took)} lines, all emulated; median {p50(took) * 1000:.0f}, slowest {max(took) * 1000:.0f} ms; "
        f"medians of the parts: {read:.0f} until the agent has read it, {between:.0f} over its disk and the webhook "
        f"into the journal, {told:.0f} from there; the director's clock is known to ± {margin:.1f} ms",
    )


def be_patient(config: Path) -> None:
    """Nothing is asked but what an event asks for, and a director that is slow to answer is no story of its own."""
    settings = json.loads(config.read_text())
    settings["ssh"]["patience"] = "60s"
    settings["intervals"] = {"roll_call": "1h"}
    config.write_text(json.dumps(settings))


async def arrival(told: asyncio.Future[datetime], text: str) -> datetime:
    """When it came. Raises CannotMeasure."""
    try:
        async with asyncio.timeout(60):
            return await told
    except TimeoutError as error:
        raise CannotMeasure(f"the lab: no message said {text!r} within 60 s: is this machine busy?") from error


def way(line: Line, recorded: Recorded) -> Took:
    """How long *line* took; *recorded* is what the journal has of it."""
    clocks = apart(Trace(director=DIRECTOR, exchanges=(*line.clocks, line.written)))
    if clocks is None:
        # A clock was being slewed while it was asked: the last word on it counts.
        clocks = apart(Trace(director=DIRECTOR, exchanges=(line.written,)))
        assert clocks is not None
    ahead = (clocks.least + clocks.most) / 2
    return Took(
        seconds=(line.arrived - line.written.theirs).total_seconds() + ahead,
        margin=(clocks.most - clocks.least) / 2,
        read_s=(recorded.at_source - line.written.theirs).total_seconds(),
        told_s=(line.arrived - recorded.recorded_at).total_seconds(),
    )


class Arrivals:
    """When messages that say something came to the channel, by this machine's clock."""

    def __init__(self) -> None:
        self._wanted: dict[str, asyncio.Future[datetime]] = {}

    def of(self, text: str) -> asyncio.Future[datetime]:
        """The arrival of the first message, or edit of one, with *text* in it from now on."""
        self._wanted[text] = asyncio.get_running_loop().create_future()
        return self._wanted[text]

    def note(self, change: Change) -> None:
        """A message came or was edited."""
        now = datetime.fromtimestamp(time.time(), UTC)
        if change.channel != CHANNEL or change.kind not in ("message", "message_changed"):
            return
        said = str(change.data["message"].get("text", ""))
        for text in [text for text in self._wanted if text in said]:
            self._wanted.pop(text).set_result(now)


def write_fleet(path: Path, servers: dict[str, str]) -> Path:
    """The reference site with *servers* besides, which live in no director; nothing is probed."""
    yaml = YAML(typ="safe")
    fleet = yaml.load(FLEET.read_text())
    site = fleet["clusters"]["site"]
    site["real_servers"] |= {name: {"address": address} for name, address in servers.items()}
    site["virtual_services"]["http"]["pool"] |= {name: {} for name in servers}
    for service in site["virtual_services"].values():
        service.pop("probes", None)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        yaml.dump(fleet, file)
    return path
