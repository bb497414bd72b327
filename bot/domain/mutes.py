"""Mutes and maintenance windows: what is not to be told, of what, until when. A fold of the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.domain.events import Actor, MuteCleared, MuteSet, Recorded

REMEMBERED = timedelta(hours=24)  # how long after its end a mute can still be asked for


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
    """Every mute by (cluster, subject); one that is past its time counts for nothing and goes when the next is set.

    ``over`` are those of the last day that went, each with the time at which it really ended: what came to its end
    under one of them is not news when it is gone.
    """

    by_subject: Mapping[tuple[str, str], Mute] = field(default_factory=dict)
    over: tuple[Mute, ...] = ()

    def in_force(self, now: datetime) -> tuple[Mute, ...]:
        """The mutes that hold at *now*, those that end first coming first."""
        return tuple(sorted((m for m in self.by_subject.values() if now < m.until), key=lambda m: (m.until, m.subject)))

    def of(self, cluster: str, subjects: Iterable[str], now: datetime) -> Mute | None:
        """The mute that covers one of *subjects*, or the whole *cluster*, at *now*: a maintenance if there is one."""
        wanted = {*subjects, cluster}
        found = [m for m in self.in_force(now) if m.cluster == cluster and m.subject in wanted]
        return max(found, key=lambda m: (m.maintenance, m.until), default=None)

    def held(self, cluster: str, subjects: Iterable[str], at: datetime, *, maintenance: bool = False) -> bool:
        """Whether a mute covered one of *subjects*, or the whole *cluster*, at *at*, which may be some time ago.

        With *maintenance*, only what was announced as that counts.
        """
        wanted = {*subjects, cluster}
        every = [m for m in (*self.by_subject.values(), *self.over) if m.maintenance or not maintenance]
        return any(m.cluster == cluster and m.subject in wanted and m.since <= at < m.until for m in every)


def fold(state: Mutes, recorded: Recorded) -> Mutes:
    """*state* after *recorded*."""
    event = recorded.event
    match event:
        case MuteSet():
            key = (event.cluster, event.subject)
            left = {k: m for k, m in state.by_subject.items() if recorded.recorded_at < m.until and k != key}
            mute = Mute(
                cluster=event.cluster,
                subject=event.subject,
                since=recorded.recorded_at,
                until=event.until,
                by=event.by,
                reason=event.reason,
                maintenance=event.maintenance,
            )
            return replace(state, by_subject={**left, key: mute}, over=_over(state, left, recorded.recorded_at))
        case MuteCleared():
            left = {k: m for k, m in state.by_subject.items() if k != (event.cluster, event.subject)}
            return replace(state, by_subject=left, over=_over(state, left, recorded.recorded_at))
        case _:
            return state


def _over(state: Mutes, left: Mapping[tuple[str, str], Mute], now: datetime) -> tuple[Mute, ...]:
    """The mutes of the last day that are over at *now*, when only those in *left* still stand."""
    gone = (replace(m, until=min(m.until, now)) for key, m in state.by_subject.items() if key not in left)
    return tuple(m for m in (*state.over, *gone) if now - m.until < REMEMBERED)
