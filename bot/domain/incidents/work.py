"""An event's work on the incidents of a cluster: what it is folded into, and what is known while that is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import is_

from bot.domain.copies import replace
from bot.domain.events import (
    AgentSilenceChanged,
    HealthChanged,
    OutageMeasured,
    Recorded,
    RollCallTaken,
    VrrpStateChanged,
)
from bot.domain.fleet import Cluster, VrrpInstance
from bot.domain.incidents.kinds import OF_INSTANCES, named
from bot.domain.incidents.links import Links, links
from bot.domain.incidents.present import services_of
from bot.domain.incidents.story import Incident, Incidents, Note, Stage
from bot.domain.mutes import Mutes
from bot.domain.situation import ASIDE, Situation
from bot.domain.troubles import Matter, Trouble

KEPT = 100  # incidents that are over stay in memory until this many newer ones exist
UNTOLD = timedelta(hours=12)  # and what of them nobody could be told so far, for as long as it is news
MOST = 1000  # of all that
NOTES = 200  # lines of one incident's timeline
REMEMBERED = timedelta(seconds=60)  # how long a measured outage may wait for the incident that it belongs to


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What else a story depends on: what people announced and want, and whether its end was told where it has to be.

    ``drained`` are the real servers of the cluster that nobody has restored so far, each with who drained it.
    """

    mutes: Mutes = field(default_factory=Mutes)
    drained: Mapping[str, str] = field(default_factory=dict)
    told: Callable[[Incident], bool] = lambda _incident: True


class Work:
    """The incidents while one event is folded in. It lives for one call of the fold and is never shared.

    ``situation`` is what is known with the event, ``known`` what was known before it; ``at`` is when it was recorded.
    """

    def __init__(
        self,
        state: Incidents,
        known: Situation,
        situation: Situation,
        recorded: Recorded,
        cluster: Cluster,
        context: Context,
    ) -> None:
        self._before = state
        self.by_id = {i.id: i for i in state.all}
        self.outages = tuple(o for o in state.outages if o.first_good_at > recorded.recorded_at - REMEMBERED)
        self.known = known
        self.situation = situation
        self.recorded = recorded
        self.at: datetime = recorded.recorded_at
        self.cluster = cluster
        self.mutes = context.mutes
        self.drained = context.drained
        self._told = context.told
        self._links: dict[Trouble, Links] = {}

    def result(self) -> Incidents:
        """The state afterwards, with the oldest of what is over let go; the very same where nothing has changed."""
        if self._is_as_before():
            return self._before
        every = sorted(self.by_id.values(), key=lambda i: i.id)
        over = [i for i in every if not i.open]
        surplus, too_many = over[:-KEPT], len(over) - MOST
        gone = {i.id for place, i in enumerate(surplus) if place < too_many or not self._is_owed(i)}
        return Incidents(all=tuple(i for i in every if i.id not in gone), outages=self.outages)

    def _is_owed(self, incident: Incident) -> bool:
        """Whether people have still to be told of *incident*, which is over: Slack may be away for hours.

        One that is withdrawn is told to nobody; but where it stood in Slack before, that has to be corrected.
        """
        ended = incident.opened_at if incident.withdrawn else incident.resolved_at
        return ended is not None and self.at - ended <= UNTOLD and not self._told(incident)

    def _is_as_before(self) -> bool:
        # Most events change no incident; and whoever holds on to what was worked out from it sees that at a glance.
        if len(self.by_id) != len(self._before.all) or self.outages != self._before.outages:
            return False
        return all(map(is_, self.by_id.values(), self._before.all))

    def links(self, trouble: Trouble) -> Links:
        """The keys of *trouble*, by what is known with the event."""
        if trouble not in self._links:
            self._links[trouble] = links(trouble, self.situation, self.cluster)
        return self._links[trouble]

    def was(self, incident: Incident) -> Incident | None:
        """What *incident* was before the event; None for one that has just opened."""
        return next((i for i in self._before.all if i.id == incident.id), None)

    def opens(self) -> tuple[Incident, ...]:
        """Those that are not over."""
        # As Incident.open says, without the price of asking a hundred of them several times for each event.
        return tuple([i for i in self.by_id.values() if i.resolved_at is None and not i.withdrawn])

    def find(self, wanted: Callable[[Incident], bool]) -> Incident | None:
        """The first of those that are not over that is *wanted*."""
        return next((i for i in self.opens() if wanted(i)), None)

    def when(self, trouble: Trouble) -> tuple[datetime, datetime]:
        """From when to when *trouble* may have begun, where it begins with what was recorded just now."""
        event = self.recorded.event
        if isinstance(event, HealthChanged):
            return event.since, event.since
        if isinstance(event, AgentSilenceChanged):
            return event.last_heard or self.recorded.at_source, self.recorded.at_source
        if isinstance(event, VrrpStateChanged) and trouble.matter not in OF_INSTANCES:
            return self.recorded.at_source, self.at  # what that says of a service, say, it does not say itself
        if not isinstance(event, RollCallTaken):
            return self.recorded.at_source, self.recorded.at_source
        if trouble.matter is not Matter.ROLE:
            return event.asked_at, event.asked_at
        # It was found otherwise when that was looked at last: it moved at some time since then.
        old = self.known.answers.get(self.known.masters.get(trouble.subject, ""))
        return (old.asked_at if old is not None else event.asked_at), event.asked_at

    def recent(self, instance: VrrpInstance, moved_at: datetime) -> tuple[OutageMeasured, ...]:
        """What was measured of *instance* and may be of the move at *moved_at*, but for what other stories tell.

        One that was found by asking was some time before; one that was told ended an outage, and came after none.
        """
        since = self.at - timedelta(seconds=instance.takeover_s + 10)
        if isinstance(self.recorded.event, VrrpStateChanged):
            since = moved_at - 2 * ASIDE
        names = services_of(self.cluster, instance)
        told = {o for i in self.by_id.values() if not i.withdrawn for o in i.outages}
        return tuple(o for o in self.outages if o.service in names and o.first_good_at >= since and o not in told)

    def put(
        self, incident: Incident, note: str = "", *, at: datetime | None = None, stage: Stage | None = None
    ) -> Incident:
        """Keep *incident*, called by what is known of it now, with *note* in its timeline."""
        if note:
            line = Note(at=at or self.at, text=note, stage=stage)
            if line not in incident.timeline:
                incident = replace(incident, timeline=(*incident.timeline, line)[-NOTES:])
        # Its name follows its cause, which may just have become known.
        incident = named(incident, self.cluster)
        self.by_id[incident.id] = incident
        return incident
