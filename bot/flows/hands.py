"""What people can do about incidents: look at them, acknowledge, mute, announce maintenance, export."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.commands import Command, Verb, as_word
from bot.domain.deeds import deeds_of
from bot.domain.events import IncidentAcknowledged, IncidentExported, MuteCleared, MuteSet, OperationDenied
from bot.domain.fleet import Cluster, Found, NotFound
from bot.domain.incidents import Incident
from bot.domain.incidents.muting import mute_of
from bot.domain.moments import moment
from bot.domain.mutes import Mute
from bot.domain.policy import Denied, Roles, decide
from bot.domain.wording import listed
from bot.flows.chronicle import Chronicle, key_of
from bot.flows.operating import Answer, Request
from bot.flows.ports import Clock, Entry, MessageRef
from bot.views.incident import headline
from bot.views.incident_actions import reference
from bot.views.incident_list import Shown
from bot.views.postmortem import file_name, postmortem

A_DAY = "24h"
MUTED_BY_BUTTON = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteSaid:
    """A mute that was set, or ended, just now.

    A new one was ``asked`` for that long, and takes the place of the one ``before``. What was unmuted may still be
    muted, with all of its cluster: ``covering``.
    """

    mute: Mute
    asked: timedelta = timedelta(0)
    before: Mute | None = None
    covering: Mute | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A post-mortem to be written on, in Markdown."""

    incident: Incident
    file_name: str
    title: str
    content: str


class Hands:
    """Looking is for everybody; whatever is written down needs an operator, and refusals are journalled too."""

    def __init__(self, chronicle: Chronicle, clock: Clock, roles: Callable[[], Awaitable[Roles]]) -> None:
        self._chronicle = chronicle
        self._clock = clock
        self._roles = roles

    # --- looking --------------------------------------------------------------------------------------------------

    def incidents(self, choice: str | None, name: str | None) -> tuple[Shown, ...] | NotFound:
        """The open incidents, the newest first, or with ``24h`` those too that were over within a day.

        *name* is a cluster's (None: of all).
        """
        clusters = self._chronicle.fleet.clusters
        if name is not None:
            found = self._chronicle.fleet.find(name, Cluster)
            if isinstance(found, NotFound):
                return found
            clusters = (found.cluster,)
        since = self._clock.now() - timedelta(hours=24)
        wanted = [
            incident
            for cluster in clusters
            for incident in self._chronicle.world.incidents[cluster.name].all
            if incident.open or (choice == A_DAY and incident.resolved_at is not None and incident.resolved_at >= since)
        ]
        wanted.sort(key=lambda i: (i.opened_at, i.id), reverse=True)
        return tuple(self.shown(incident) for incident in wanted if not incident.withdrawn)

    def incident(self, number: str) -> Shown | Answer:
        """The incident called *number* (``42``, ``site/42``), or why there is none."""
        cluster, _, digits = number.rpartition("/")
        world = self._chronicle.world
        names = [name for name in world.incidents if not cluster or name.casefold() == cluster.casefold()]
        if not names:
            known = listed(c.name for c in self._chronicle.fleet.clusters)
            return Answer(text=f"There is no cluster called {cluster} in the fleet file: it has {known}.")
        found = [i for name in names for i in world.incidents[name].all if i.id == int(digits)]
        if len(found) > 1:
            which = listed(reference(i) for i in found)
            return Answer(
                text=f"More than one cluster has an incident {digits}: {which}.",
                instead=f"incident {reference(found[0])}",
            )
        if not found:
            return Answer(
                text=f"I know no incident {number} (any more): only the latest that are over are remembered.",
                instead=f"incidents {A_DAY}",
            )
        return self.shown(found[0])

    def shown(self, incident: Incident) -> Shown:
        """*incident* with what mutes it now."""
        mutes, now = self._chronicle.world.mutes, self._clock.now()
        return Shown(incident=incident, mute=mute_of(incident, mutes, now))

    def mutes(self) -> tuple[Mute, ...]:
        """Every mute and maintenance that holds now, those that end first coming first."""
        return self._chronicle.world.mutes.in_force(self._clock.now())

    def place(self, incident: Incident) -> MessageRef | None:
        """Where the message about *incident* stands; None where there is none (yet)."""
        posted = self._chronicle.world.posted.get(key_of(incident))
        return posted.ref if posted else None

    # --- acknowledging --------------------------------------------------------------------------------------------

    async def acknowledge(self, request: Request) -> Shown | Answer:
        """Record that somebody is on it: the incident as it stands then, or why not. Raises JournalUnavailable."""
        refused = await self._refused(request)
        if refused:
            return refused
        assert request.command.name is not None
        shown = self.incident(request.command.name)
        if isinstance(shown, Answer):
            return shown
        incident = shown.incident
        hindered = _not_to_be_acknowledged(incident, self._clock.now())
        if hindered:
            return hindered
        event = IncidentAcknowledged(cluster=incident.cluster, incident=incident.id, by=request.by)
        # Whoever is first is the one: for what is told now, everybody's acknowledgement has the same key. (An incident
        # that goes on as a greater one, or anew, is nobody's yet.)
        told = incident.timeline[-1].at.isoformat() if incident.timeline else ""
        await self._chronicle.append(Entry(event=event, source_key=f"acknowledged:{reference(incident)}:{told}"))
        after = self.incident(reference(incident))
        if isinstance(after, Answer) or after.incident.acknowledged_by == request.by:
            return after
        # It has ended meanwhile, or somebody was faster.
        return _not_to_be_acknowledged(after.incident, self._clock.now()) or Answer(
            text=f"Incident {incident.id} cannot be taken just now."
        )

    # --- muting ---------------------------------------------------------------------------------------------------

    async def mute(self, request: Request) -> MuteSaid | Answer | None:
        """Mute what the command names, or announce maintenance of it.

        None: this very request was recorded before (a redelivery). Raises JournalUnavailable.
        """
        refused = await self._refused(request)
        if refused:
            return refused
        command = request.command
        assert command.name is not None
        found = self._chronicle.fleet.find(command.name)
        if isinstance(found, NotFound):
            return _unknown(found, command)
        return await self._mute(request, found.cluster.name, found.thing.name)

    async def mute_incident(self, incident: Incident, request: Request) -> MuteSaid | Answer | None:
        """The button: mute what *incident* is about. See :meth:`mute`."""
        refused = await self._refused(request)
        if refused:
            return refused
        if not incident.open:
            return _over(incident, self._clock.now())
        return await self._mute(request, incident.cluster, incident.subject)

    async def _mute(self, request: Request, cluster: str, subject: str) -> MuteSaid | None:
        command, now = request.command, self._clock.now()
        assert command.span is not None
        before = next((m for m in self.mutes() if (m.cluster, m.subject) == (cluster, subject)), None)
        event = MuteSet(
            cluster=cluster,
            subject=subject,
            until=now + command.span,
            by=request.by,
            reason=command.reason,
            maintenance=command.verb is Verb.MAINTENANCE,
        )
        (recorded,) = await self._chronicle.append(Entry(event=event, source_key=f"mute:{request.request_id}"))
        if recorded is None:
            return None
        mute = self._chronicle.world.mutes.by_subject[cluster, subject]
        return MuteSaid(mute=mute, asked=command.span, before=before)

    async def unmute(self, request: Request) -> MuteSaid | Answer | None:
        """End a mute or a maintenance before its time. See :meth:`mute`."""
        refused = await self._refused(request)
        if refused:
            return refused
        assert request.command.name is not None
        name = request.command.name
        meant = [
            m for m in self.mutes() if name.casefold() in (as_word(m.subject).casefold(), _qualified(m).casefold())
        ]
        if len(meant) > 1:
            which = listed(_qualified(m) for m in meant)
            return Answer(text=f"More than one {name} is muted: {which}.", instead=f"unmute {_qualified(meant[0])}")
        if not meant:
            return self._nothing_to_unmute(request.command)
        event = MuteCleared(cluster=meant[0].cluster, subject=meant[0].subject, by=request.by)
        (recorded,) = await self._chronicle.append(Entry(event=event, source_key=f"unmute:{request.request_id}"))
        covering = self._chronicle.world.mutes.of(meant[0].cluster, (), self._clock.now())
        return MuteSaid(mute=meant[0], covering=covering) if recorded else None

    def _nothing_to_unmute(self, command: Command) -> Answer:
        assert command.name is not None
        found = self._chronicle.fleet.find(command.name)
        if isinstance(found, Found):
            # A mute of its cluster covers it, and ends only as a whole.
            covering = self._chronicle.world.mutes.of(found.cluster.name, (), self._clock.now())
            if covering is not None:
                text = f"{found.thing.name} is not muted itself, but all of {covering.cluster} is."
                return Answer(text=text, instead=f"unmute {covering.cluster}", refused=False)
            return Answer(text=f"{found.thing.name} is not muted.", refused=False)
        return _unknown(found, command)

    # --- exporting ------------------------------------------------------------------------------------------------

    async def export(self, request: Request) -> Draft | Answer | None:
        """The draft of a post-mortem, recorded as asked for. See :meth:`mute`."""
        refused = await self._refused(request)
        if refused:
            return refused
        assert request.command.name is not None
        shown = self.incident(request.command.name)
        if isinstance(shown, Answer):
            return shown
        incident = shown.incident
        if incident.withdrawn:
            return _over(incident, self._clock.now())
        if incident.open:
            return Answer(text=f"Incident {incident.id} is not over yet: its post-mortem can wait until then.")
        event = IncidentExported(cluster=incident.cluster, incident=incident.id, by=request.by)
        (recorded,) = await self._chronicle.append(Entry(event=event, source_key=f"export:{request.request_id}"))
        if recorded is None:
            return None
        world = self._chronicle.world
        deeds = deeds_of(incident, world.operations, world.mutes)
        return Draft(
            incident=incident,
            file_name=file_name(incident),
            title=f"Post-mortem draft, incident {incident.id}: {headline(incident)}",
            content=postmortem(incident, deeds, by=request.by, now=self._clock.now()),
        )

    # --- refusing -------------------------------------------------------------------------------------------------

    async def _refused(self, request: Request) -> Answer | None:
        """Why *request* is refused, journalled; None where it is not."""
        decision = decide(request.command, request.by, await self._roles())
        if not isinstance(decision, Denied):
            return None
        denied = OperationDenied(operation=None, request=str(request.command), by=request.by, reason=decision.reason)
        await self._chronicle.append(Entry(event=denied, source_key=f"denied:{request.request_id}"))
        return Answer(text=decision.reason)


def _not_to_be_acknowledged(incident: Incident, now: datetime) -> Answer | None:
    if not incident.open:
        return _over(incident, now)
    if incident.acknowledged_by is None:
        return None
    at = f" at {moment(incident.acknowledged_at, now)} UTC" if incident.acknowledged_at else ""
    return Answer(
        text=f"{incident.acknowledged_by.name} acknowledged incident {incident.id} already{at}.", refused=False
    )


def _over(incident: Incident, now: datetime) -> Answer:
    if incident.withdrawn:
        told = f"part of incident {incident.part_of}" if incident.part_of is not None else "a false alarm"
        return Answer(text=f"Incident {incident.id} was withdrawn: it was {told}.", refused=False)
    assert incident.resolved_at is not None
    text = f"Incident {incident.id} is over since {moment(incident.resolved_at, now)} UTC: there is nothing left to do."
    return Answer(text=text, refused=False)


def _qualified(mute: Mute) -> str:
    return f"{mute.cluster}/{as_word(mute.subject)}"


def _unknown(found: NotFound, command: Command) -> Answer:
    if found.ambiguous:
        text = f"{found.name} means more than one thing: {listed(found.suggestions)}."
    else:
        text = f"There is nothing called {found.name} in the fleet file."
    if not found.suggestions:
        return Answer(text=text, instead="status")
    meant = Command(
        verb=command.verb,
        names=(found.suggestions[0],),
        span=command.span,
        reason=command.reason,
        choice=command.choice,
    )
    return Answer(text=text, instead=str(meant))
