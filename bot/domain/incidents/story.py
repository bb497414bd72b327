"""What an incident is: the troubles that belong to one cause, what is known of it, and its timeline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.events import Actor, OutageMeasured
from bot.domain.troubles import OF_DIRECTORS, Matter, Trouble


class Kind(StrEnum):
    """What is wrong, by the cause that is known so far."""

    FAILOVER = "failover"
    FAILBACK = "failback"
    SPLIT_BRAIN = "split brain"
    NO_MASTER = "no master"
    DIRECTOR_LOST = "director lost"
    DIRECTORS_LOST = "every director lost"
    DIRECTOR_PAUSED = "director paused"
    KEEPALIVED_STOPPED = "keepalived stopped"
    KEEPALIVED_FAILED = "keepalived failed"
    KEEPALIVED_FROZEN = "keepalived frozen"
    KEEPALIVED_RESTARTING = "keepalived restarting"
    VIP_REMOVED = "VIP removed by hand"
    TABLE_REMOVED = "IPVS table removed by hand"
    CHECKER_STOPPED = "health checker stopped"
    VIP_UNREACHABLE = "VIP unreachable"
    NAT_BROKEN = "NAT path broken"
    SERVICE_DOWN = "no healthy real server"
    REAL_SERVER_DOWN = "real server down"
    WEIGHT_CHANGED = "wrong weight"
    TABLES_DIFFER = "directors differ"
    CERTIFICATE_EXPIRING = "certificate expiring"
    NO_WAY_IN = "no way in"
    AGENT_SILENT = "agent silent"
    AGENT_COMPLAINS = "agent complains"
    EVENTS_MISSED = "events missed"
    BOT_BLIND = "the bot is blind"


class Cause(StrEnum):
    """Why the MASTER moved, as far as a roll call could tell."""

    UNKNOWN = "not known"
    DIED = "director does not answer"
    AWAITED = "director has not answered so far"
    SILENT = "director did not answer for a while"
    PAUSED = "director was paused"
    CUT_OFF = "director was cut off"
    REBOOTED = "director rebooted"
    ANEW = "director booted anew"
    STOPPED = "keepalived was stopped"
    RESTARTED = "keepalived was restarted"
    FAILED = "keepalived failed"
    FROZEN = "keepalived is frozen"
    CHILD_DIED = "keepalived's VRRP process died"
    FAULT = "director reported FAULT"
    REMOVED = "the address was removed by hand"
    PREEMPTED = "director of higher priority took over"
    MAINTENANCE = "maintenance was announced"


PLANNED = frozenset({Cause.STOPPED, Cause.RESTARTED, Cause.REBOOTED, Cause.PREEMPTED, Cause.MAINTENANCE})


class Stage(StrEnum):
    """The measured stages of a failover, in the order in which they come."""

    LAST_GOOD_PROBE = "last good probe of the VIP"
    FIRST_BAD_PROBE = "first failed probe of the VIP"
    LAST_WORD = "last word of the old MASTER"
    NEW_MASTER = "new MASTER says so"
    VIP_SEEN = "VIP found on the new MASTER"
    FIRST_GOOD_PROBE = "first good probe again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A line of an incident's timeline. ``at`` is when it happened, by the clock of whoever saw it."""

    at: datetime
    text: str
    stage: Stage | None = None


@dataclass(frozen=True, kw_only=True)  # no slots: copies.py
class Incident:
    """One story. ``id`` is the sequence of the event that opened it; ``hold_until`` is when it is told at the latest.

    ``troubles`` are what is wrong now, ``seen`` all that ever belonged to it, and ``began`` since when each of them was
    so the last time. ``outages`` are what the probes of the VIP measured during it; ``also_down`` are real servers that
    went with it, ``inside`` those of them that live inside a director, each with that. ``services`` are those that
    clients could not reach, ``emptied`` those that the probes found without any real server. ``said`` is what was found
    of the trouble that it is called by, in words, ``evidence`` all that was found, ``found`` what each trouble showed
    last, ``why`` the reasons for which the VIP does not answer, ``drained`` the real servers that could serve it if
    somebody restored them, each with who drained it, and ``unasked`` the directors that do not answer, while a restore
    has to be forced. One that is ``withdrawn`` was no story of its own: a mistake, or ``part_of`` the incident with
    that id.

    ``old_boot`` and ``old_behind_s`` are the old MASTER's boot and how far its clock was behind, from before the move:
    when it comes back, they tell whether it rebooted or stood still. Where they are not known, nothing tells that.

    ``explains`` and ``needs`` are what its troubles can be the cause and the effect of (:mod:`.links`).

    ``changes`` counts how often it began again; ``calm_from`` is when everything last became well and ``calm_until``
    when it may be called over: what flaps is held open for longer each time.

    ``back_in`` is the incident that tells what clients felt when the MASTER came back, where this one does not.

    ``unwatched``: the MASTER moved before the bot was started, so that nobody may have probed the VIP then.

    ``felt_since`` is since when a VIP is unreachable in a story that was told as a smaller one, ``worse`` how often
    that lasted for so long that it had to be told, and ``worse_at`` when it last was.
    """

    id: int
    kind: Kind
    cluster: str
    subject: str
    opened_at: datetime
    hold_until: datetime
    troubles: frozenset[Trouble] = frozenset()
    seen: frozenset[Trouble] = frozenset()
    began: tuple[tuple[Trouble, datetime], ...] = ()
    explains: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    settled: bool = False
    withdrawn: bool = False
    resolved_at: datetime | None = None
    instance: str | None = None
    old_master: str | None = None
    new_master: str | None = None
    moved_at: datetime | None = None
    returned_at: datetime | None = None
    back_in: int | None = None
    old_boot: str | None = None
    old_behind_s: float | None = None
    cause: Cause = Cause.UNKNOWN
    lost: str | None = None
    part_of: int | None = None
    also_down: tuple[str, ...] = ()
    inside: tuple[tuple[str, str], ...] = ()
    services: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()
    said: str = ""
    evidence: tuple[str, ...] = ()
    found: tuple[tuple[Trouble, tuple[str, ...]], ...] = ()
    why: tuple[str, ...] = ()
    drained: tuple[tuple[str, str], ...] = ()
    unasked: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    outages: tuple[OutageMeasured, ...] = ()
    timeline: tuple[Note, ...] = ()
    changes: int = 0
    calm_from: datetime | None = None
    calm_until: datetime | None = None
    acknowledged_by: Actor | None = None
    acknowledged_at: datetime | None = None
    reminders: int = 0
    reminded_at: datetime | None = None
    unwatched: bool = False
    felt_since: datetime | None = None
    worse: int = 0
    worse_at: datetime | None = None
    escalated_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether something of it is still wrong, or it is too early to call it over."""
        return self.resolved_at is None and not self.withdrawn

    @property
    def present(self) -> frozenset[str]:
        """What of the evidence is still so; of what was found on a director that is lost, nothing is known."""
        lost = {t.subject for t in self.troubles if t.matter is Matter.DIRECTOR}
        known = {t for t in self.troubles if t.matter not in OF_DIRECTORS or t.subject not in lost}
        return frozenset(words for trouble, found in self.found if trouble in known for words in found)

    @property
    def planned(self) -> bool:
        """Whether somebody meant the MASTER to move."""
        return self.cause in PLANNED

    @property
    def flapping(self) -> bool:
        """Whether it comes and goes."""
        return self.changes >= FLAPPING

    @property
    def subjects(self) -> frozenset[str]:
        """Every name that it has to do with, its effects included. What mutes it is another matter (:mod:`.muting`)."""
        return frozenset({self.subject, *(t.subject for t in self.seen), *(t.of for t in self.seen if t.of)})

    @property
    def began_at(self) -> datetime:
        """When users could first have felt it: the first failed probe, or the move, if it was noticed later."""
        # What came and went is no part of a move: every second client had failed before, say.
        felt = (o.first_bad_at for o in self.outages if self.old_master is None or not o.good)
        return min((self.opened_at, self.moved_at or self.opened_at, *felt))

    def due(self, now: datetime) -> bool:
        """Whether it is time to tell it: somebody was asked, or asking has taken too long, or it is over already."""
        return not self.withdrawn and (self.settled or now >= self.hold_until)


FLAPPING = 3
"""How often something has to begin anew, soon after it was over, to be called flapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidents:
    """The incidents of one cluster, oldest first: the open ones and the last that are over."""

    all: tuple[Incident, ...] = ()
    outages: tuple[OutageMeasured, ...] = ()

    @property
    def open(self) -> tuple[Incident, ...]:
        """Those that are not over."""
        return tuple(i for i in self.all if i.open)
