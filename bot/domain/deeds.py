"""What people did about an incident: who is on it, what they muted, which operations ran meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.events import Actor
from bot.domain.incidents import Incident
from bot.domain.incidents.muting import was_announced
from bot.domain.moments import moment
from bot.domain.mutes import Mute, Mutes
from bot.domain.operations import Operation, Operations, Phase

BEFORE = timedelta(minutes=5)
"""What was done so shortly before an incident may have to do with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Somebody did something. ``what`` may hold people's own words.

    ``planned``: it announced what happened, maintenance of what the incident is called by, before that began.
    """

    at: datetime
    by: Actor
    what: str
    planned: bool = False


def deeds_of(incident: Incident, operations: Operations, mutes: Mutes) -> tuple[Deed, ...]:
    """What people did about *incident*, or at its cluster while it lasted, oldest first."""
    every = (*_acknowledged(incident), *_operated(incident, operations), *_muted(incident, mutes))
    return tuple(sorted(every, key=lambda deed: deed.at))


def _acknowledged(incident: Incident) -> Iterator[Deed]:
    if incident.acknowledged_by is not None and incident.acknowledged_at is not None:
        yield Deed(at=incident.acknowledged_at, by=incident.acknowledged_by, what="acknowledged it")


def _meanwhile(incident: Incident, since: datetime, until: datetime | None) -> bool:
    begun = incident.resolved_at is None or since <= incident.resolved_at
    return begun and (until is None or until >= incident.began_at - BEFORE)


def _operated(incident: Incident, operations: Operations) -> Iterator[Deed]:
    for operation in operations.by_id.values():
        if operation.phase is Phase.PLANNED:
            continue  # a plan that nobody confirmed did nothing, and stays where it is for good
        if operation.cluster == incident.cluster and _meanwhile(incident, operation.requested_at, operation.ended_at):
            yield Deed(at=operation.requested_at, by=operation.by, what=_told(operation))


def _told(operation: Operation) -> str:
    words = f"{operation.kind.value} {operation.real_server} ({operation.id})"
    if operation.confirmed_by is not None and operation.confirmed_by != operation.by:
        words += f", confirmed by {operation.confirmed_by.name}"
    ended = operation.verdict.value if operation.verdict is not None else operation.phase.value
    return f"{words}: {ended}" + (f", {operation.detail}" if operation.detail else "")


def _muted(incident: Incident, mutes: Mutes) -> Iterator[Deed]:
    wanted = {*incident.subjects, incident.cluster}
    announced = was_announced(incident, mutes)
    for mute in (*mutes.by_subject.values(), *mutes.over):
        if mute.cluster == incident.cluster and mute.subject in wanted and _meanwhile(incident, mute.since, mute.until):
            planned = announced and mute.maintenance and mute.since <= incident.began_at < mute.until
            yield Deed(at=mute.since, by=mute.by, what=_announced(mute), planned=planned)


def _announced(mute: Mute) -> str:
    what = "announced maintenance of" if mute.maintenance else "muted"
    words = f"{what} {mute.subject} until {moment(mute.until, mute.since)}"
    return f"{words}: {mute.reason}" if mute.reason else words
