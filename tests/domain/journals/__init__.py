"""Journals that were recorded in the lab, one for each scenario; README.md says what was done and seen in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.adapters.journal.codec import decode
from bot.domain.events import Recorded
from bot.domain.fleet import Fleet
from bot.settings import load_fleet

HERE = Path(__file__).parent
FLEET_FILE = HERE.parent.parent.parent / "config" / "fleet.yaml"
BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""When the first act of every recording is taken to have been done; what came before has earlier times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One scenario: what was done (seconds after BEGAN, in words) and what the undisturbed bot's journal then had."""

    name: str
    acts: tuple[tuple[float, str], ...]
    events: tuple[Recorded, ...]


def fleet() -> Fleet:
    """The fleet that all of them were recorded with."""
    return load_fleet(FLEET_FILE)


def names() -> tuple[str, ...]:
    """Every recording there is."""
    return tuple(sorted(path.stem for path in HERE.glob("*.jsonl")))


def recording(name: str) -> Recording:
    """The recording called *name*."""
    acts: list[tuple[float, str]] = []
    events: list[Recorded] = []
    for line in (HERE / f"{name}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "act" in entry:
            acts.append((entry["at"], entry["act"]))
            continue
        events.append(
            Recorded(
                sequence=len(events) + 1,
                recorded_at=BEGAN + timedelta(seconds=entry["at"]),
                at_source=BEGAN + timedelta(seconds=entry["source"]),
                event=decode(entry["kind"], json.dumps(entry["body"])),
            )
        )
    return Recording(name=name, acts=tuple(acts), events=tuple(events))
