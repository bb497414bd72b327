"""The results as a table for people, as JSON for programs, and as the table that docs/speed.md keeps."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from tests.bench.results import Result, Verdict

PAGE = Path(__file__).parents[2] / "docs" / "speed.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
LIBRARIES = ("slack-bolt", "aiohttp", "uvloop", "fabric", "paramiko", "asyncssh", "SQLAlchemy")
COLUMNS = ("what", "the bot", "bare", "ratio", "goal", "verdict")
COLOURS = {Verdict.MET: "green", Verdict.MISSED: "bold red", Verdict.NOTED: "dim"}


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _cells(result: Result) -> tuple[str, ...]:
    ratio = "–" if result.bare is None else f"{result.figure:.2f}"
    goal = "–"
    if result.goal is not None:
        goal = f"≤ {result.goal:g}" if result.bare is not None else f"≤ {_number(result.goal, result.unit)}"
    ours, bare = _number(result.ours, result.unit), _number(result.bare, result.unit)
    return result.what, ours, bare, ratio, goal, result.verdict.value


def as_table(results: Sequence[Result]) -> Table:
    """For a terminal; the notes stand below each line."""
    table = Table(title=_machine(), title_justify="left", title_style="dim")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("what", "verdict") else "right")
    for result in results:
        what, *figures, verdict = _cells(result)
        colour = COLOURS[result.verdict]
        table.add_row(f"{what}\n[dim]{result.note}[/]", *figures, f"[{colour}]{verdict}[/]")
    return table


def as_json(results: Sequence[Result]) -> str:
    """For machines: the figures with their units, unrounded."""
    rows = [
        {
            "what": result.what,
            "unit": result.unit,
            "ours": result.ours,
            "bare": result.bare,
            "figure": result.figure,
            "goal": result.goal,
            "verdict": result.verdict.value,
            "note": result.note,
        }
        for result in results
    ]
    return json.dumps({"machine": _machine(), "results": rows}, indent=2, ensure_ascii=False)


def as_markdown(results: Sequence[Result]) -> str:
    """For docs/speed.md."""
    columns = (*COLUMNS, "seen besides")
    rows = [columns, tuple("---" for _ in columns), *((*_cells(result), result.note) for result in results)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{_machine()}\n\n{table}"


def keep(results: Sequence[Result], page: Path = PAGE) -> None:
    """Put the table between the two marks of *page*. Raises ValueError where they are missing."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page}: the marks {BEGIN} and {END} are missing: the table has no place")
    page.write_text(f"{before}{BEGIN}\n\n{as_markdown(results)}\n\n{END}{after}")


def _machine() -> str:
    """What it was measured on: day, processor, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} × {_processor()}, {memory:.0f} GiB, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}, {libraries}."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
