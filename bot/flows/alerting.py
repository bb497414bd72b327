"""A claim becomes a finding: every signal that needs it triggers a roll call, and what was not told is inserted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import structlog

from bot.domain.events import (
    AgentSilenceChanged,
    HealthChanged,
    RealServerChanged,
    RealServerObserved,
    Recorded,
    RollCallAnswer,
    RollCallTaken,
    VrrpState,
    VrrpStateChanged,
    VrrpStateObserved,
)
from bot.domain.findings import is_news, untold, untold_returns, untold_servers
from bot.domain.fleet import Cluster, Director
from bot.domain.health import Outcome
from bot.domain.situation import STATES, Situation
from bot.domain.troubles import Matter, Trouble
from bot.flows.chronicle import Chronicle
from bot.flows.observing import ask_director, joined, look_at_rule
from bot.flows.ports import Clock, Entry, JournalUnavailable, RemoteShell

log = structlog.get_logger(__name__)

PROMPT_S = 1.0  # how long the answers of quick directors wait for those of slow ones
AGAIN_AFTER = 1.0  # seconds until a roll call that could not settle an incident is repeated
LEAST_S = 0.2  # between an answer and the next question, also where nobody is spared
TRIES = 5
LONGEST_BREATH_S = 3.0
RULE_KNOWN_S = 5.0  # how long a look at the SNAT rule, which takes root, is good for while a VIP fails
RULE_ROUTINE_S = 30.0  # and when all is well: it costs a director more than all the rest


def reason_to_call(recorded: Recorded) -> str | None:
    """Why *recorded* asks for a roll call of its cluster; None if it does not."""
    match recorded.event:
        case VrrpStateChanged(group=False) as event if event.state in STATES:
            return f"{event.director} says {event.state} for {event.instance}"
        case VrrpStateChanged(group=False) as event:
            return f"{event.director} says {event.state}"
        case RealServerChanged(up=True) as event:
            # keepalived has just added it at its configured weight: a drain has to be re-asserted at once.
            return f"keepalived on {event.director} put {event.address} back"
        case HealthChanged(outcome=Outcome.UNHEALTHY) as event:
            return f"{event.real_server or 'the VIP'} does not answer for {event.service}"
        case AgentSilenceChanged() as event:
            return f"the agent on {event.director} {'fell silent' if event.silent else 'is back'}"
        case _:
            return None


class RollCaller:
    """Takes the roll calls of one cluster: on demand, again while something is unsettled, and every *interval_s*.

    *heard* gives each director's last heartbeat. A director that is slow to answer holds up none of the others: what
    they said is recorded after a second, and its answer when it comes. So a new claim is followed at once by a new
    question, also while an old one is still out at a director that died.

    What is not urgent leaves the directors twice the time that they took to answer: one that is short of processor time
    must not be kept busy with answering. A new MASTER is urgent, and so are two of them.
    """

    def __init__(
        self,
        chronicle: Chronicle,
        shell: RemoteShell,
        clock: Clock,
        cluster: Cluster,
        *,
        interval_s: float = 30.0,
        heard: Mapping[str, datetime] | None = None,
    ) -> None:
        self._chronicle = chronicle
        self._shell = shell
        self._clock = clock
        self._cluster = cluster
        self._interval_s = interval_s
        self._heartbeats = heard if heard is not None else {}
        self._wanted = asyncio.Event()
        self._urgent = asyncio.Event()
        self._reason = "start"
        self._asking: dict[str, asyncio.Task[RollCallAnswer]] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._owed: dict[str, bool] = {}  # whom to ask again, and whether that is urgent
        self.taken_at: float | None = None
        """When the last answers came, in seconds on the clock that never jumps; None before the first."""
        self._answers: dict[str, tuple[RollCallAnswer, datetime]] = {}
        self._ruled_at: dict[str, float] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        chronicle.listen(self._heard)

    @property
    def cluster(self) -> str:
        """The name of the cluster that it asks."""
        return self._cluster.name

    def _heard(self, recorded: Recorded) -> None:
        if getattr(recorded.event, "cluster", None) == self._cluster.name and (reason := reason_to_call(recorded)):
            event = recorded.event
            self.ask(reason, urgent=isinstance(event, VrrpStateChanged) and event.state is VrrpState.MASTER)

    def ask(self, reason: str, *, urgent: bool = False) -> None:
        """Have a roll call taken as soon as possible. One that is under way already may have looked too early."""
        self._reason = reason
        for name in self._asking:
            self._owed[name] = self._owed.get(name, False) or urgent
        self._wanted.set()
        if urgent:
            self._urgent.set()

    async def run(self) -> None:
        """Take roll calls until cancelled."""
        try:
            await self._take_turns()
        finally:
            under_way = (*self._asking.values(), *self._late, *self._looking.values())
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _take_turns(self) -> None:
        tries = 0
        demanded = True
        while True:
            self._wanted.clear()
            self._urgent.clear()
            began = self._clock.monotonic()
            await self._call(self._reason if demanded else "routine", demanded)
            await self._reconcile()
            took = min(self._clock.monotonic() - began, LONGEST_BREATH_S / 2)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * took):
                    await self._urgent.wait()
            unsettled = self._unsettled()
            tries = tries + 1 if unsettled else 0
            # A new MASTER, or two of them: nobody gets time to breathe then, and a look that was long in coming has
            # already kept the two apart.
            again_after = max(AGAIN_AFTER - took, LEAST_S) if self._urgent.is_set() else max(AGAIN_AFTER, took)
            pause = again_after if 0 < tries <= TRIES else self._interval_s
            try:
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
                demanded, tries = True, 0
            except TimeoutError:
                demanded = unsettled

    async def _call(self, reason: str, demanded: bool) -> None:
        """Ask whoever is not being asked already, and record what is known after a second, or when somebody answers.

        It ends also when one answers who was asked before, and can be asked again: one that died must not hold that up.
        """
        asked_at = self._clock.now()
        before = tuple(self._asking.values())
        fresh = {d.name: self._ask_one(d) for d in self._cluster.directors if d.name not in self._asking}
        self._asking |= fresh
        for name in fresh:
            self._owed.pop(name, None)
        if not fresh:
            # Everybody is still out: what they say is recorded when it comes.
            await asyncio.wait(self._asking.values(), timeout=PROMPT_S, return_when=asyncio.FIRST_COMPLETED)
            return
        done, _ = await asyncio.wait(fresh.values(), timeout=PROMPT_S)
        if not done:
            await asyncio.wait((*fresh.values(), *before), return_when=asyncio.FIRST_COMPLETED)
            done = {task for task in fresh.values() if task.done()}
        answers = []
        for name, task in fresh.items():
            if task in done:
                del self._asking[name]
                # Before it is recorded: a look at the rule may end meanwhile, and must not repeat the answer before.
                self._answers[name] = (task.result(), asked_at)
                answers.append(task.result())
            else:
                follow = asyncio.create_task(self._follow(name, task, asked_at, demanded))
                self._late.add(follow)
                follow.add_done_callback(self._late.discard)
        if not answers:
            return
        await self._record(reason, asked_at, tuple(answers), demanded)
        self._look_closer(tuple(answers), demanded)

    def _look_closer(self, answers: tuple[RollCallAnswer, ...], demanded: bool) -> None:
        """Look at the SNAT rule of those who answered, one look at a time each: nothing waits for what it takes.

        It is looked at twice a minute, and more often while a VIP does not answer or it was found amiss.
        """
        for answer in answers:
            director = answer.director
            good_for = RULE_KNOWN_S if self._vip_fails() else RULE_ROUTINE_S
            worth = self._doubts(director) or self._rule_is_older(director, good_for)
            busy = self._looking.get(director)
            if worth and answer.answered and self._cluster.snat is not None and (busy is None or busy.done()):
                self._looking[director] = asyncio.create_task(self._look_at_rule(director, demanded))

    async def _look_at_rule(self, name: str, demanded: bool) -> None:
        rule = await look_at_rule(self._shell, self._cluster, self._cluster.director(name))
        # It may have answered again meanwhile: what it holds is told by that, the rule by this look.
        self._ruled_at[name] = self._clock.monotonic()
        latest, asked_at = self._answers[name]
        if rule is None or not latest.answered:
            return
        seen = replace(latest, nat=joined(latest.nat, rule))
        doubted = self._doubts(name)
        # While a story is open, each look may be the one that tells why.
        story = bool(self._chronicle.world.incidents[self._cluster.name].open)
        await self._record("a closer look", asked_at, (seen,), demanded=demanded and story)
        if self._doubts(name) and not doubted:
            self._wanted.set()  # a second look is wanted, and soon

    def _rule_is_older(self, director: str, seconds: float) -> bool:
        """Whether the SNAT rule of *director* was not looked at within the last *seconds*."""
        return self._clock.monotonic() - self._ruled_at.get(director, -seconds) >= seconds

    def _doubts(self, director: str) -> bool:
        """Whether the NAT path of *director* was found amiss, once or for good."""
        situation = self._chronicle.world.situations[self._cluster.name]
        trouble = Trouble(matter=Matter.NAT, subject=director)
        return trouble in situation.suspected or trouble in situation.found

    def _vip_fails(self) -> bool:
        situation = self._chronicle.world.situations[self._cluster.name]
        return bool(situation.vip_troubles(frozenset(s.name for s in self._cluster.services)))

    def _ask_one(self, director: Director) -> asyncio.Task[RollCallAnswer]:
        return asyncio.create_task(ask_director(self._shell, self._clock, self._cluster, director))

    async def _follow(self, name: str, task: asyncio.Task[RollCallAnswer], asked_at: datetime, demanded: bool) -> None:
        """Record the answer of one that took longer than the others."""
        try:
            answer = await task
        finally:
            self._asking.pop(name, None)
        self._answers[name] = (answer, asked_at)
        await self._record("a late answer", asked_at, (answer,), demanded)
        self._look_closer((answer,), demanded)
        if name in self._owed:
            # Something was said while it was out. Otherwise it is not asked again at once: it is slow as it is.
            self._wanted.set()
            if self._owed.pop(name):
                self._urgent.set()

    async def _record(
        self, reason: str, asked_at: datetime, answers: tuple[RollCallAnswer, ...], demanded: bool
    ) -> None:
        self.taken_at = self._clock.monotonic()
        taken = RollCallTaken(
            cluster=self._cluster.name,
            reason=reason,
            asked_at=asked_at,
            answers=tuple(replace(a, heard_at=self._heartbeats.get(a.director)) for a in answers),
            waiting=tuple(d.name for d in self._cluster.directors if d.name in self._asking),
        )
        world = self._chronicle.world
        situation = world.situations[self._cluster.name]
        contested = bool(situation.contested)
        if not demanded and not self._is_news(taken):
            return
        try:
            await self._chronicle.append(Entry(event=taken))
        except JournalUnavailable as error:
            log.error("roll call not recorded", cluster=self._cluster.name, error=str(error))
        if world.situations[self._cluster.name].contested and not contested:
            self._urgent.set()

    def _is_news(self, taken: RollCallTaken) -> bool:
        """Whether *taken* is worth keeping. Where that cannot be worked out it is: the chronicle says what is wrong."""
        world = self._chronicle.world
        situation = world.situations[self._cluster.name]
        try:
            return is_news(situation, taken, self._clock.now(), self._cluster, world.operations)
        except Exception:
            log.exception("what a roll call means could not be worked out", cluster=self._cluster.name)
            return True

    async def _reconcile(self) -> None:
        """Insert the events that the stream should have told and did not, as observed."""
        entries = missed(self._chronicle.world.situations[self._cluster.name], self._cluster)
        if not entries:
            return
        try:
            await self._chronicle.append(*entries)
        except JournalUnavailable as error:
            log.error("missed events not recorded", cluster=self._cluster.name, error=str(error))

    def _unsettled(self) -> bool:
        """Whether something waits for one more look: an incident to be told, or a suspicion to be confirmed."""
        situation = self._chronicle.world.situations[self._cluster.name]
        incidents = self._chronicle.world.incidents[self._cluster.name]
        return bool(situation.suspected) or bool(situation.contested) or any(not i.settled for i in incidents.open)


def missed(situation: Situation, cluster: Cluster) -> tuple[Entry, ...]:
    """What two looks have found and the directors' events do not tell, as entries for the journal."""
    entries = []
    for director in cluster.directors:
        if Trouble(matter=Matter.STREAM, subject=director.name) not in situation.found:
            continue
        seen_at = situation.answers[director.name].asked_at
        for instance, state, claimed in untold(situation, cluster, director.name):
            event = VrrpStateObserved(
                cluster=cluster.name,
                director=director.name,
                instance=instance,
                state=state,
                claimed=claimed,
                seen_at=seen_at,
            )
            entries.append(_observed(event, f"{instance}:{state.value}", seen_at))
        gone = ((s, r, False) for s, r in untold_servers(situation, cluster, director.name))
        back = ((s, r, True) for s, r in untold_returns(situation, director.name))
        for service, server, up in (*gone, *back):
            found = RealServerObserved(
                cluster=cluster.name,
                director=director.name,
                service=service,
                real_server=server,
                up=up,
                seen_at=seen_at,
            )
            entries.append(_observed(found, f"{service}:{server}", seen_at))
    return tuple(entries)


def _observed(event: VrrpStateObserved | RealServerObserved, what: str, seen_at: datetime) -> Entry:
    key = f"observed:{event.cluster}:{event.director}:{what}:{seen_at.isoformat()}"
    return Entry(event=event, source_key=key, at_source=seen_at)
