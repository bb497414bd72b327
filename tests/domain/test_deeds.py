"""Who acted: exactly what people did about an incident, or at its cluster while it lasted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.domain.deeds import deeds_of
from bot.domain.events import Actor, OperationKind, Verdict, Via
from bot.domain.incidents import Incident, Kind, Matter, Trouble
from bot.domain.mutes import Mute, Mutes
from bot.domain.operations import Operation, Operations, Phase
from tests.domain.reference import NOON

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
ROOT = Actor(id="root", name="root", via=Via.TERMINAL)
MINUTE = timedelta(minutes=1)
INCIDENT = Incident(
    id=42, kind=Kind.REAL_SERVER_DOWN, cluster="site", subject="web1", opened_at=NOON, hold_until=NOON,
    resolved_at=NOON + 10 * MINUTE, acknowledged_by=ALICE, acknowledged_at=NOON + 2 * MINUTE,
)  # fmt: skip


def operation(name: str, asked: int, ended: int | None, **more: object) -> Operation:
    """One that was asked for and ended so many minutes after the incident began."""
    made = Operation(
        id=name, kind=OperationKind.DRAIN, cluster="site", real_server="web2", by=ALICE, steps=(),
        requested_at=NOON + asked * MINUTE, ended_at=None if ended is None else NOON + ended * MINUTE,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def told(incident: Incident, *operations: Operation, mutes: Mutes | None = None) -> list[str]:
    folded = Operations(by_id={o.id: o for o in operations})
    return [f"{d.by.name} {d.what}" for d in deeds_of(incident, folded, mutes or Mutes())]


def test_the_acknowledgement_is_a_deed() -> None:
    assert told(INCIDENT) == ["alice acknowledged it"]
    assert told(replace(INCIDENT, acknowledged_by=None)) == []


def test_operations_that_ran_meanwhile_or_just_before_are_told_with_what_came_of_them() -> None:
    done = {"phase": Phase.FINISHED, "verdict": Verdict.DRAINED}
    assert told(
        INCIDENT,
        operation("op-1", -30, -6, **done),
        operation("op-2", -30, -4, **done),
        operation("op-3", 3, 4, **done, confirmed_by=ROOT),
        operation("op-4", 5, None, phase=Phase.WAITING),
        operation("op-5", 6, 7, phase=Phase.CANCELLED, detail="called off by alice"),
        operation("op-6", 11, 12, **done),
        operation("op-7", 3, 4, **done, cluster="west"),
        operation("op-8", 3, None, phase=Phase.PLANNED),
        operation("op-9", -10_000, None, phase=Phase.PLANNED),
    ) == [
        "alice drain web2 (op-2): drained",
        "alice acknowledged it",
        "alice drain web2 (op-3), confirmed by root: drained",
        "alice drain web2 (op-4): draining",
        "alice drain web2 (op-5): cancelled, called off by alice",
    ]


def test_only_maintenance_of_what_it_is_called_by_that_was_announced_before_makes_it_planned() -> None:
    lost = Trouble(matter=Matter.DIRECTOR, subject="sv1")
    along = Trouble(matter=Matter.REAL_SERVER, subject="web1")
    incident = replace(INCIDENT, subject="sv1", seen=frozenset({lost, along}), acknowledged_by=None)

    def planned(*mutes: Mute) -> list[bool]:
        found = Mutes(by_subject={(m.cluster, m.subject): m for m in mutes})
        return [d.planned for d in deeds_of(incident, Operations(), found)]

    assert planned(mute("sv1", -1, 60, maintenance=True)) == [True]
    assert planned(mute("sv1", -1, 60)) == [False]
    assert planned(mute("sv1", 1, 60, maintenance=True)) == [False]
    assert planned(mute("sv1", -3, -1, maintenance=True)) == [False]
    assert planned(mute("web1", -1, 60, maintenance=True)) == [False]


def mute(subject: str, since: int, until: int, **more: object) -> Mute:
    made = Mute(
        cluster="site", subject=subject, since=NOON + since * MINUTE, until=NOON + until * MINUTE, by=ROOT, reason="why"
    )
    return replace(made, **more)  # type: ignore[arg-type]


def test_mutes_of_it_or_of_its_cluster_count_also_those_that_are_over() -> None:
    mutes = Mutes(
        by_subject={
            ("site", "web1"): mute("web1", 1, 61),
            ("site", "web2"): mute("web2", 1, 61),
            ("west", "web1"): mute("web1", 1, 61, cluster="west"),
        },
        over=(
            mute("site", -60, 5, maintenance=True, reason=""),
            mute("web1", -60, -30),
            mute("web1", 2, 7 * 24 * 60),
        ),
    )
    incident = replace(INCIDENT, acknowledged_by=None)
    assert [d.planned for d in deeds_of(incident, Operations(), mutes)] == [True, False, False]
    assert told(incident, mutes=mutes) == [
        "root announced maintenance of site until 12:05:00",
        "root muted web1 until 13:01:00: why",
        "root muted web1 until 03-08 12:00:00: why",
    ]
