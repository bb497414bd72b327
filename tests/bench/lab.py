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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ruamel.yaml import YAML

from bot.domain.selftest import Apart, Exchange, Trace, apart
from bot.local.lab.errors import LabError
from bot.local.lab.lab import Lab
from bot.local.slack import Change
from bot.lvs.rendering import NOTIFY_FIFO
from bot.settings import load_fleet
from tests.bench.processes import ROOT, CannotMeasure
from tests.bench.results import Result, Size, at, p50
from tests.lab.work import CHANNEL, at_work

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
class Took:
    """One line's way: seconds, and how exactly they are known, either way."""

    seconds: float
    margin: float


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
    ways: list[Took] = []
    async with at_work(lab, folder / "bot", start=False) as work, writing(lab, DIRECTOR) as scribe:
        be_patient(work.config)
        await work.start(settled=False)
        await work.until(lambda: work.slack.connected, "the bot is connected")
        await work.until_recorded("RollCallTaken")
        arrivals = Arrivals()
        work.slack.on_change(arrivals.note)
        for number, (server, address) in enumerate(servers.items()):
            told = arrivals.of(f"{server} is down")
            clocks = await scribe.clocks()
            written = await scribe.exchange(f"RS [{address}]:tcp:{PORT} [{VIP}]:tcp:{PORT} DOWN")
            arrived = await arrival(told, f"{server} is down")
            ways.append(way(written, (*clocks, written), arrived))
            again = arrivals.of(f"{server} is up again")
            await scribe.exchange(f"RS [{address}]:tcp:{PORT} [{VIP}]:tcp:{PORT} UP")
            await arrival(again, f"{server} is up again")
            if number < rounds:
                await asyncio.sleep(PAUSE_S)
    ways = ways[1:]  # the first is for warming up
    took = [way.seconds for way in ways]
    margin = max(way.margin for way in ways)
    result = Result(
        what="line in a director's FIFO to message in Slack, in the lab (95 of 100 are quicker)",
        unit="ms",
        ours=at(took, 0.95) * 1000,
        goal=GOAL_MS,
        note=f"{len(took)} lines; the median is {p50(took) * 1000:.0f} ms, the slowest {max(took) * 1000:.0f} ms; "
        f"the director's clock is known to ± {margin * 1000:.1f} ms; emulated processors",
    )
    return [result]


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


def way(written: Exchange, clocks: tuple[Exchange, ...], arrived: datetime) -> Took:
    """How long it took from the line that was *written* to what *arrived*, by clocks that *clocks* tell apart."""
    found = apart(Trace(director=DIRECTOR, exchanges=clocks))
    if found is None:
        # A clock is being slewed while it is asked: the last word on it counts.
        last = written
        found = Apart(
            least=(last.theirs - last.answered_at).total_seconds(), most=(last.theirs - last.asked_at).total_seconds()
        )
    ahead = (found.least + found.most) / 2
    return Took(seconds=(arrived - written.theirs).total_seconds() + ahead, margin=(found.most - found.least) / 2)


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
