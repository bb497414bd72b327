"""Records the journals of scenarios: ``python -m tests.lab.scenarios.record [NAME …]``, as root; all without a name.

Each scenario is played on a fresh site with one bot, and its journal is written to tests/domain/journals, with every
moment moved so that the first act is done at noon. What the directors' own kernels saw (addresses come and go, tables
change) is written beside it as NAME.seen.txt into a directory of temporary files, for whoever describes the recording.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot import logs
from bot.adapters.journal.codec import encode
from bot.domain.events import FallbackSent, MessagePosted, OutageMeasured, Recorded, RollCallTaken
from bot.local.lab.lab import Lab
from bot.settings import load_fleet
from tests.domain import journals
from tests.lab.scenarios.catalogue import BY_NAME
from tests.lab.scenarios.stage import Stage, staged
from tests.lab.scenarios.timeline import Played, Scenario, play

LEFT_OUT = (MessagePosted, FallbackSent)
LOOKS = (RollCallTaken, OutageMeasured)
CALM_S = 15.0  # without anything new: it is over
MOST_S = 120.0

# Without a fork, so that an emulated processor does not feel it. A row is a service, or a destination and its weight.
WATCH_TABLE = """
exec 3<> <(:)
while mapfile -t rows </proc/net/ip_vs; do
  text=
  for row in "${rows[@]:3}"; do
    set -- $row
    if [ "$1" = "->" ]; then text+=" $2=$4"; else text+=" $1:$2"; fi
  done
  [ "$text" = "$last" ] || echo "table$text"
  last=$text
  read -r -t 1 -u 3
done"""
WATCH = (["ip", "-o", "monitor", "address"], ["bash", "-c", WATCH_TABLE])


async def record(lab: Lab, scenario: Scenario, seen: Path) -> None:
    """Play *scenario* on a fresh site and write down its journal."""
    await asyncio.to_thread(lab.fresh)
    with tempfile.TemporaryDirectory() as directory:
        async with staged(lab, Path(directory), both=False) as stage:
            async with watching(lab, seen / f"{scenario.name}.seen.txt"):
                began = datetime.now(UTC)
                played = await play(scenario, stage, blind=scenario.stories is None)
                await until_calm(stage, played)
            texts = stage.calm.alerts()
            events = await stage.calm.journal()
    write(scenario, played, began, events)
    print(f"{scenario.name}: {len(events)} events in {played.now:.0f} s; told: {texts}", flush=True)


async def until_calm(stage: Stage, played: Played) -> None:
    """Wait until nothing has happened for a while: roll calls and slow moments of the VIP are no more than looks."""
    count, since, end = 0, played.now, played.now + MOST_S
    while played.now < min(since + CALM_S, end):
        now = len([r for r in await stage.calm.journal() if not isinstance(r.event, (*LEFT_OUT, *LOOKS))])
        if now != count:
            count, since = now, played.now
        await asyncio.sleep(1)


def write(scenario: Scenario, played: Played, began: datetime, events: list[Recorded]) -> None:
    """Write the journal as the recordings' reader reads it."""
    shift = journals.BEGAN - began
    lines: list[dict[str, Any]] = [{"at": round(at, 3), "act": text} for at, text in played.done]
    for recorded in events:
        if isinstance(recorded.event, LEFT_OUT):
            continue
        kind, body = encode(moved(recorded.event, shift))
        at = (recorded.recorded_at - began).total_seconds()
        source = (recorded.at_source - began).total_seconds()
        lines.append({"at": round(at, 6), "source": round(source, 6), "kind": kind, "body": json.loads(body)})
    path = journals.HERE / f"{scenario.name}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def moved(value: Any, shift: timedelta) -> Any:
    """*value* with every moment in it moved by *shift*."""
    if isinstance(value, datetime):
        return value + shift
    if isinstance(value, tuple):
        return tuple(moved(inner, shift) for inner in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: moved(getattr(value, f.name), shift) for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **fields)
    return value


@asynccontextmanager
async def watching(lab: Lab, path: Path) -> AsyncIterator[None]:
    """Write down what both directors' kernels say about addresses and tables, for as long as the block lasts."""
    began = time.monotonic()
    with path.open("w") as file:

        async def watch(director: str, command: list[str]) -> None:
            argv = lab.ssh_argv(director, command)
            process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, limit=1 << 20)
            assert process.stdout is not None
            try:
                async for line in process.stdout:
                    file.write(f"{time.monotonic() - began:8.2f} {director} {line.decode().rstrip()}\n")
                    file.flush()
            finally:
                if process.returncode is None:
                    process.terminate()
                await process.wait()

        tasks = [asyncio.create_task(watch(d, command)) for d in lab.site.directors for command in WATCH]
        await asyncio.sleep(2)  # so that the watchers are there before the first act
        began = time.monotonic()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def main() -> None:
    """Record what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.scenarios.record", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BY_NAME, []], metavar="NAME", help=", ".join(BY_NAME))
    parser.add_argument("--lab", default="record", help="the name of the lab; one that is up is used and left up")
    parser.add_argument("--seen", type=Path, default=Path(tempfile.gettempdir()) / "lvs-seen")
    arguments = parser.parse_args()
    arguments.seen.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        lab = Lab(arguments.lab, fleet=load_fleet(journals.FLEET_FILE), fleet_file=journals.FLEET_FILE)
        if not lab.status().up:
            await asyncio.to_thread(lab.up)
            stack.callback(lab.down)
        for name in arguments.names or BY_NAME:
            await record(lab, BY_NAME[name], arguments.seen)


if __name__ == "__main__":
    logs.configure()
    asyncio.run(main())
