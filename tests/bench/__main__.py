"""``make bench``: measures the bot against the least programs that do the same work, and keeps the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from rich.console import Console

from tests.bench import acks, alerts, directors, lab, memory, probes, start
from tests.bench.processes import CannotMeasure
from tests.bench.report import as_json, as_table, keep
from tests.bench.results import FULL, QUICK, Result, Size
from tests.bench.site import subfolder

MEASUREMENTS: dict[str, Callable[[Path, Size], Awaitable[list[Result]]]] = {
    "acks": acks.measure,
    "alerts": alerts.measure,
    "directors": directors.measure,
    "probes": probes.measure,
    "memory": memory.measure,
    "start": start.measure,
    "lab": lab.measure,
}


async def _measure(names: list[str], size: Size) -> list[Result]:
    err = Console(stderr=True)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="lvs-bench-") as folder, err.status("") as status:
        for name in names:
            status.update(f"measuring {name} …")
            results += await MEASUREMENTS[name](subfolder(Path(folder), name), size)
    return results


def main() -> int:
    """The program; exits with 0 whatever the speed is, and with 1 when something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; docs/speed.md stays as it is")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("names", nargs="*", choices=[*MEASUREMENTS, []], help="only these; docs/speed.md stays")
    given = parser.parse_args()
    names = given.names or list(MEASUREMENTS)
    try:
        results = uvloop.run(_measure(names, QUICK if given.quick else FULL))
    except CannotMeasure as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    if given.json:
        print(as_json(results))
    else:
        Console().print(as_table(results))
    if not given.quick and not given.names:
        keep(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
