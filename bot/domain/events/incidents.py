"""What time brought, and what people said of incidents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.events.actors import Actor


class Due(StrEnum):
    """What time alone makes due for an incident."""

    CALM = "calm for as long as was asked for"
    REMINDER = "reminder"
    ESCALATION = "escalation"
    WORSE = "it has become worse for long enough"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCame:
    """It became time for something about an incident."""

    cluster: str
    incident: int
    due: Due


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentAcknowledged:
    """Somebody said that they are on it."""

    cluster: str
    incident: int
    by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentExported:
    """Somebody asked for the draft of a post-mortem."""

    cluster: str
    incident: int
    by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteSet:
    """Nothing is to be told of ``subject`` (a name of the fleet, or the cluster) before ``until``.

    ``maintenance``: work is planned on it, and what happens to it meanwhile is planned too.
    """

    cluster: str
    subject: str
    until: datetime
    by: Actor
    reason: str = ""
    maintenance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteCleared:
    """Somebody ended a mute or a maintenance before its time."""

    cluster: str
    subject: str
    by: Actor
