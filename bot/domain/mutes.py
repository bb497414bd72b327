"""Mutes and maintenance windows: what is not to be told, of what, until when. A fold of the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.events import Actor, MuteCleared, MuteSet, Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """Nothing is told of ``subject`` from ``since`` until ``until``; under ``maintenance`` it is planned besides."""

    cluster: str
    subject: str
    since: datetime
    until: datetime
    by: Actor
    reason: str = ""
    maintenance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutes:
    """Every mute by (cluster, subject); one that is past its time counts for nothing and goes when the next is set."""

    by_subject: Mapping[tuple[str, str], Mute] = field(default_factory=dict)

    def in_force(self, now: datetime) -> tuple[Mute, ...]:
        """The mutes that hold at *now*, those that end first coming first."""
        return tuple(sorted((m for m in self.by_subject.values() if now < m.until), key=lambda m: (m.until, m.subject)))

    def of(self, cluster: str, subjects: Iterable[str], now: datetime) -> Mute | None:
        """The mute that covers one of *subjects*, or the whole *cluster*, at *now*: a maintenance if there is one."""
        wanted = {*subjects, cluster}
        found = [m for m in self.in_force(now) if m.cluster == cluster and m.subject in wanted]
        return max(found, key=lambda m: (m.maintenance, m.until), default=None)


def fold(state: Mutes, recorded: Recorded) -> Mutes:
    """*state* after *recorded*."""
    event = recorded.event
    match event:
        case MuteSet():
            left = {key: m for key, m in state.by_subject.items() if recorded.recorded_at < m.until}
            mute = Mute(
                cluster=event.cluster,
                subject=event.subject,
                since=recorded.recorded_at,
                until=event.until,
                by=event.by,
                reason=event.reason,
                maintenance=event.maintenance,
            )
            return replace(state, by_subject={**left, (event.cluster, event.subject): mute})
        case MuteCleared():
            left = {k: m for k, m in state.by_subject.items() if k != (event.cluster, event.subject)}
            return replace(state, by_subject=left)
        case _:
            return state
