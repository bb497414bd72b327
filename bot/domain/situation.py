"""What is known of a cluster at a time: claims with their age, answers to roll calls, health. A fold of the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from bot.domain.copies import replace
from bot.domain.events import (
    AgentGap,
    AgentSilenceChanged,
    CertificateChanged,
    HealthChanged,
    ProcessRole,
    QuorumChanged,
    RealServerChanged,
    RealServerObserved,
    Recorded,
    RollCallAnswer,
    RollCallTaken,
    Sense,
    SenseChanged,
    VrrpState,
    VrrpStateChanged,
    VrrpStateObserved,
)
from bot.domain.fleet import Cluster, VrrpInstance
from bot.domain.health import Outcome
from bot.domain.observed import ServiceKey, UnitActive, key_of
from bot.domain.troubles import Trouble

# States that say what a director now is; the others (priorities, a lower-priority advert) are remarks.
STATES = frozenset({VrrpState.MASTER, VrrpState.BACKUP, VrrpState.FAULT, VrrpState.STOP, VrrpState.DELETED})

LATE = timedelta(seconds=10)
"""A claim that took longer than this to arrive is history: it tells what was, and moves nothing now."""

ASIDE = timedelta(seconds=1)
"""How far the clocks of those who tell of one moment may be apart without anything being wrong with them."""

K = TypeVar("K", tuple[str, str], tuple[str, str, str])

REMEMBERED = 6  # claims of one director that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing that a director said of an instance. ``said_at`` is by its clock, ``at`` when the bot heard it."""

    state: VrrpState
    said_at: datetime
    at: datetime

    @property
    def late(self) -> bool:
        """Whether it took so long that it is history."""
        return self.at - self.said_at > LATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The last thing a director said of a VRRP instance, or was found to be (``observed``): a claim, not a fact.

    ``before`` is what it said before that, oldest first.
    """

    state: VrrpState
    at: datetime
    said_at: datetime
    observed: bool = False
    before: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that keepalived's checks on a director said. ``said_at`` is by its clock."""

    up: bool
    said_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A director's last answer to a roll call, and when it was recorded and asked for.

    ``before`` is the last one before it in which the director did answer; ``silent_since`` when it was first asked in
    vain; ``tries`` how often it was asked in vain in a row.
    """

    answer: RollCallAnswer
    at: datetime
    asked_at: datetime
    before: RollCallAnswer | None = None
    silent_since: datetime | None = None
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What a closer look showed of a director's host: its boot, and how far its clock was behind the bot's.

    ``holds`` are the virtual addresses that it had then.
    """

    at: datetime
    holds: tuple[str, ...]
    boot: str
    behind_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the probes last found of a target, and since when."""

    outcome: Outcome
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything known of one cluster.

    ``claims``: (director, instance) -> claim. ``answers``: director -> its last answer. ``hosts``: director -> what the
    last closer looks showed of its host, oldest first. ``masters``: instance -> the
    director believed to hold it (claimed or found). ``health``: (service, real server or None for the VIP).
    ``removed``: (director, service, real server) -> since when keepalived there says it is down; ``restored``: when it
    last said that it is up. ``quorumless``:
    (director, service) -> since when keepalived there says that the quorum is lost. ``contested``: instance -> since
    when roll calls in a row found its address on more than one director, ``split`` those where a second one did.
    ``holders``: instance -> who held it at the last look, as far as was known by then. ``readdressed``: instance -> the
    director that gave its address up and took it again at once, and when. ``gaps``: director -> what its agent lost.
    ``missed``: (director, instance) -> when it was MASTER, as it told too late.

    ``checks``: (director, service, real server or "" for the quorum) -> the last that keepalived's checks there said;
    ``rumoured`` those of them that said DOWN so late that a look has to show it first, and when they were heard.

    ``returned``: those that keepalived took out by its own word, and that a look found back without a word.

    ``suspected`` is what the last look showed amiss and no second one has confirmed, with the time of the first;
    ``found`` what was confirmed, with the words for it.
    """

    claims: Mapping[tuple[str, str], Claim] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    hosts: Mapping[str, tuple[Host, ...]] = field(default_factory=dict)
    masters: Mapping[str, str] = field(default_factory=dict)
    health: Mapping[tuple[str, str | None], Health] = field(default_factory=dict)
    removed: Mapping[tuple[str, str, str], datetime] = field(default_factory=dict)
    restored: Mapping[tuple[str, str, str], datetime] = field(default_factory=dict)
    quorumless: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    contested: Mapping[str, datetime] = field(default_factory=dict)
    split: frozenset[str] = frozenset()
    holders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    readdressed: Mapping[str, tuple[str, datetime]] = field(default_factory=dict)
    certificates: Mapping[tuple[str, str | None], CertificateChanged] = field(default_factory=dict)
    senses: Mapping[Sense, SenseChanged] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    gaps: Mapping[str, str] = field(default_factory=dict)
    missed: Mapping[tuple[str, str], Said] = field(default_factory=dict)
    checks: Mapping[tuple[str, str, str], tuple[Check, ...]] = field(default_factory=dict)
    rumoured: Mapping[tuple[str, str, str], datetime] = field(default_factory=dict)
    returned: Mapping[tuple[str, str, str], datetime] = field(default_factory=dict)
    suspected: Mapping[Trouble, datetime] = field(default_factory=dict)
    found: Mapping[Trouble, str] = field(default_factory=dict)

    def host_before(self, director: str, at: datetime, instance: VrrpInstance) -> Host | None:
        """What was seen of the host of *director* when it last held *instance* before *at*; None where nothing was."""
        vips = {str(v.ip) for v in instance.virtual_addresses}
        return next((h for h in reversed(self.hosts.get(director, ())) if h.at < at and vips & set(h.holds)), None)

    def unreachable(self, director: str) -> bool:
        """Whether *director* was asked and did not answer, and nothing else says that it lives."""
        found = self.answers.get(director)
        return found is not None and not found.answer.answered and not self.shut_out(director)

    def shut_out(self, director: str) -> bool:
        """Whether *director* lives and does not let the bot in: it refused, or it was heard since it was first asked.

        It is heard by its agent, by what keepalived there says, and by a VIP that it holds and that answers.
        """
        found = self.answers.get(director)
        if found is None or found.answer.answered:
            return False
        since = found.silent_since
        if found.answer.refused or since is None:
            return found.answer.refused
        spoke = [claim.said_at for (name, _), claim in self.claims.items() if name == director and not claim.observed]
        heard = [at for at in (found.answer.heard_at, *spoke) if at is not None]
        return any(at > since for at in heard) or self._serves(director)

    def _serves(self, director: str) -> bool:
        """Whether *director* holds a VIP by all that is known, and every probe of a VIP finds it well."""
        vips = [known.outcome for (_, server), known in self.health.items() if server is None]
        return director in self.masters.values() and bool(vips) and all(o is Outcome.HEALTHY for o in vips)

    def healthy(self, service: str, real_server: str | None) -> bool | None:
        """What the probes say; None while they have not said anything (or could not measure)."""
        found = self.health.get((service, real_server))
        if found is None or found.outcome is Outcome.UNMEASURED:
            return None
        return found.outcome is Outcome.HEALTHY

    def vip_troubles(self, services: frozenset[str]) -> tuple[str, ...]:
        """Those of *services* whose VIP the probes find unhealthy."""
        return tuple(sorted(s for s in services if self.healthy(s, None) is False))

    def failing_probes(self, real_server: str) -> tuple[str, ...]:
        """What the probes say against *real_server*, in words."""
        failing = {
            service: found.reason
            for (service, server), found in self.health.items()
            if server == real_server and found.outcome is Outcome.UNHEALTHY
        }
        return tuple(f"{service}: {failing[service]}" for service in sorted(failing))

    def judges(self, director: str) -> bool:
        """Whether the health checks of *director* mean anything: not while it is cut off, stopped or silent itself."""
        states = {claim.state for (name, _), claim in self.claims.items() if name == director}
        faulty = bool(states & {VrrpState.FAULT, VrrpState.STOP, VrrpState.DELETED})
        found = self.answers.get(director)
        return not faulty and not (found is not None and not found.answer.answered)

    def complaints(self, real_server: str) -> tuple[str, ...]:
        """Everything that says *real_server* is down, in words; empty when nothing does."""
        checks = [
            f"keepalived on {director} took it out of {service}"
            for director, service in sorted((d, s) for d, s, server in self.removed if server == real_server)
            if self.judges(director)
        ]
        return (*self.failing_probes(real_server), *checks)

    def complaining(self, real_server: str) -> frozenset[str]:
        """The directors whose keepalived says that *real_server* is down."""
        return frozenset(d for d, _, server in self.removed if server == real_server and self.judges(d))

    def answered(self, director: str) -> RollCallAnswer | None:
        """What *director* said when it was last asked, if it did say something."""
        found = self.answers.get(director)
        return found.answer if found is not None and found.answer.answered else None


def fold(state: Situation, recorded: Recorded, cluster: Cluster) -> Situation:
    """*state* of *cluster* after *recorded*. What a roll call shows amiss is worked out apart (:mod:`.findings`)."""
    event, at = recorded.event, recorded.recorded_at
    match event:
        case VrrpStateChanged(group=False):
            return _claimed(state, event, Said(state=event.state, said_at=recorded.at_source, at=at), cluster)
        case VrrpStateObserved():
            return _observed(state, event, at)
        case RollCallTaken():
            return _called(state, event, at, cluster)
        case HealthChanged():
            health = Health(outcome=event.outcome, since=event.since, reason=event.reason)
            return replace(state, health={**state.health, (event.service, event.real_server): health})
        case RealServerChanged() | QuorumChanged():
            return _checked(state, event, recorded, cluster)
        case RealServerObserved():
            return _believed(state, (event.director, event.service, event.real_server), event.up, at)
        case AgentSilenceChanged() | AgentGap() | CertificateChanged() | SenseChanged():
            return _aside(state, event)
        case _:
            return state


def _aside(state: Situation, event: AgentSilenceChanged | AgentGap | CertificateChanged | SenseChanged) -> Situation:
    match event:
        case AgentSilenceChanged(silent=True):
            return replace(state, silent=state.silent | {event.director})
        case AgentSilenceChanged():
            return replace(state, silent=state.silent - {event.director})
        case AgentGap():
            lost = f"{event.lost} lines" if event.lost else "an unknown number of lines"
            return replace(state, gaps={**state.gaps, event.director: f"{lost} lost: {event.why}"})
        case CertificateChanged():
            return replace(state, certificates={**state.certificates, (event.service, event.real_server): event})
        case SenseChanged():
            return replace(state, senses={**state.senses, event.sense: event})


def _claimed(state: Situation, event: VrrpStateChanged, said: Said, cluster: Cluster) -> Situation:
    if event.state not in STATES:
        return state
    key = (event.director, event.instance)
    last = state.claims.get(key)
    if last is not None and said.late and said.said_at < last.said_at:
        return state  # it has said something newer since: an old word that was repeated changes nothing
    if last is not None and _is_repeated(said, last):
        return state
    before = (*last.before, Said(state=last.state, said_at=last.said_at, at=last.at)) if last else ()
    claim = Claim(state=said.state, at=said.at, said_at=said.said_at, before=before[-REMEMBERED:])
    masters, readdressed, missed = dict(state.masters), dict(state.readdressed), dict(state.missed)
    if event.state is VrrpState.MASTER and (said.late or _answered_since(state, key, said, cluster)):
        missed[key] = said
    elif event.state is VrrpState.MASTER:
        masters[event.instance] = event.director
        if _taken_again(state, event, claim):
            readdressed[event.instance] = (event.director, said.at)
    gone = event.state is VrrpState.STOP
    return replace(
        state,
        claims={**state.claims, key: claim},
        masters=masters,
        readdressed=readdressed,
        missed=missed,
        # A director whose keepalived stops or starts anew has an empty or a fresh table: its old verdicts are void.
        removed=_without(state.removed, event.director) if gone else state.removed,
        quorumless=_without(state.quorumless, event.director) if gone else state.quorumless,
        rumoured=_without(state.rumoured, event.director) if gone else state.rumoured,
        returned=_without(state.returned, event.director) if gone else state.returned,
    )


def _answered_since(state: Situation, key: tuple[str, str], said: Said, cluster: Cluster) -> bool:
    """Whether the director was asked after it became MASTER and did not hold the address any more: that is over."""
    director, name = key
    known = state.answers.get(director)
    if known is None or not known.answer.answered:
        return False
    vips = {str(v.ip) for v in cluster.vrrp_instance(name).virtual_addresses}
    asked_later = known.asked_at > by_our_clock(state, director, said.said_at) + ASIDE
    return asked_later and not vips & set(known.answer.holds)


def _is_repeated(said: Said, last: Claim) -> bool:
    """Whether *said* was heard already: an agent that got no receipt for a word sends it again."""
    words = (*last.before, Said(state=last.state, said_at=last.said_at, at=last.at))
    return any((word.state, word.said_at) == (said.state, said.said_at) for word in words)


def _without(mapping: Mapping[K, datetime], director: str) -> Mapping[K, datetime]:
    return {key: since for key, since in mapping.items() if key[0] != director}


TAKEN_AGAIN = timedelta(seconds=2)
"""A MASTER that becomes BACKUP and MASTER again within this has lost its address only: an election takes longer."""


def _taken_again(state: Situation, event: VrrpStateChanged, claim: Claim) -> bool:
    """Whether the director gave the address up and took it back with nobody else having had it in between."""
    if not claim.before or claim.before[-1].state is not VrrpState.BACKUP:
        return False
    if state.masters.get(event.instance) != event.director:
        return False
    gave_up = claim.before[-1]
    others = (c for (director, i), c in state.claims.items() if i == event.instance and director != event.director)
    return claim.said_at - gave_up.said_at < TAKEN_AGAIN and not any(
        c.state is VrrpState.MASTER or (c.at >= gave_up.at and c.state is VrrpState.BACKUP) for c in others
    )


def _observed(state: Situation, event: VrrpStateObserved, at: datetime) -> Situation:
    key = (event.director, event.instance)
    last = state.claims.get(key)
    before = (*last.before, Said(state=last.state, said_at=last.said_at, at=last.at)) if last else ()
    claim = Claim(state=event.state, at=at, said_at=event.seen_at, observed=True, before=before[-REMEMBERED:])
    return replace(state, claims={**state.claims, key: claim})


def _called(state: Situation, event: RollCallTaken, at: datetime, cluster: Cluster) -> Situation:
    answers = {
        **state.answers,
        **{a.director: _answer(state.answers.get(a.director), a, event, at) for a in event.answers},
    }
    held = replace(state, answers=answers, hosts={**state.hosts, **dict(_hosts(state, event, at))})
    for instance in cluster.vrrp_instances:
        held = _held(held, instance, event.asked_at, at)
    removed = {
        (director, service, server): since
        for (director, service, server), since in state.removed.items()
        if since > event.asked_at or not _void(event.answer(director), service, server)
    }
    quorumless = {
        (director, service): since
        for (director, service), since in state.quorumless.items()
        if since > event.asked_at or not _gone(event.answer(director))
    }
    readdressed = {i: (d, since) for i, (d, since) in state.readdressed.items() if since > event.asked_at}
    gaps = {d: why for d, why in state.gaps.items() if event.answer(d) is None}
    missed = {k: said for k, said in state.missed.items() if said.at > event.asked_at or event.answer(k[0]) is None}
    held = replace(
        held,
        returned=_returned(state, event, removed),
        removed=removed,
        restored={**state.restored, **_put_back(state, event)},
        quorumless=quorumless,
        readdressed=readdressed,
        gaps=gaps,
        missed=missed,
    )
    return _rumours_settled(held, event, at)


def _returned(
    state: Situation, event: RollCallTaken, removed: Mapping[tuple[str, str, str], datetime]
) -> Mapping[tuple[str, str, str], datetime]:
    """What is back in a table without a word, where keepalived was not started anew: then it has no need to say so."""
    found = {**dict.fromkeys(state.removed.keys() - removed.keys(), event.asked_at), **state.returned}
    return {
        key: since
        for key, since in found.items()
        if (answer := event.answer(key[0])) is None
        or (_in_table(answer, key[1], key[2]) is not False and not _gone(answer) and not _started_anew(state, answer))
    }


def _started_anew(state: Situation, answer: RollCallAnswer) -> bool:
    """Whether keepalived, or its health checker, is another one than when the director was asked before."""
    known = state.answers.get(answer.director)
    before = filled(known) if known is not None else None
    if before is None:
        return False
    units = [a.keepalived.main_pid for a in (before, answer) if a.keepalived is not None]
    checkers = [
        {p.pid for p in a.processes if p.role is ProcessRole.CHECKERS}
        for a in (before, answer)
        if a.processes is not None
    ]
    return len(set(units)) > 1 or (len(checkers) > 1 and not checkers[0] & checkers[1])


def _hosts(state: Situation, event: RollCallTaken, at: datetime) -> Iterator[tuple[str, tuple[Host, ...]]]:
    for answer in event.answers:
        if answer.boot is not None:
            host = Host(at=at, holds=answer.holds, boot=answer.boot, behind_s=answer.clock_behind_s)
            seen = state.hosts.get(answer.director, ())
            # Of looks that showed the same, the first and the last are enough.
            same = len(seen) > 1 and all(replace(h, at=at) == host for h in seen[-2:])
            yield answer.director, (*(seen[:-1] if same else seen), host)[-REMEMBERED:]


def _put_back(state: Situation, event: RollCallTaken) -> Mapping[tuple[str, str, str], datetime]:
    """What keepalived has put back into its tables since they were looked at last: as good as a word of its checks."""
    back: dict[tuple[str, str, str], datetime] = {}
    for answer in event.answers:
        known = state.answers.get(answer.director)
        before = known.answer.weights if known is not None else None
        if before is not None and answer.weights is not None:
            had = {(s, r) for s, r, _ in before}
            back |= {(answer.director, s, r): event.asked_at for s, r, _ in answer.weights if (s, r) not in had}
    return back


def _rumours_settled(state: Situation, event: RollCallTaken, at: datetime) -> Situation:
    """*state* with what was said too late taken for true where the look shows it, and forgotten where it does not."""
    for key, heard in state.rumoured.items():
        answer = event.answer(key[0])
        if answer is None or heard > event.asked_at:
            continue
        if answer.answered and _in_table(answer, key[1], key[2]) is False:
            state = _believed(state, key, up=False, at=at)
        state = replace(state, rumoured={k: v for k, v in state.rumoured.items() if k != key})
    return state


FRESH = timedelta(seconds=8)
"""Answers that were asked for within this of each other show one moment, as long as nobody spoke in between."""


def holding(state: Situation, instance: VrrpInstance, asked_at: datetime) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who held an address of *instance* at *asked_at*, and who has not been heard of since: it may hold it, too.

    An answer counts if it was asked for about then, and after the last word that anybody said of the instance: when
    that was said, however much later it was heard.
    """
    words = [
        min(claim.at, by_our_clock(state, director, claim.said_at))
        for (director, name), claim in state.claims.items()
        if name == instance.name and not claim.observed and claim.at - claim.said_at <= LATE
    ]
    since = max([asked_at - FRESH, *words])
    members = [director for director, _ in instance.priorities]
    known = {d: state.answers[d] for d in members if d in state.answers and state.answers[d].asked_at >= since}
    vips = {str(v.ip) for v in instance.virtual_addresses}
    holders = tuple(sorted(d for d, a in known.items() if a.answer.answered and vips & set(a.answer.holds)))
    return holders, tuple(d for d in members if d not in known)


def _held(state: Situation, instance: VrrpInstance, asked_at: datetime, at: datetime) -> Situation:
    """*state* with who holds *instance*, by the answers that are there: those of slow directors may be missing yet."""
    holders, unheard = holding(state, instance, asked_at)
    name = instance.name
    masters, contested = dict(state.masters), dict(state.contested)
    split = state.split
    if len(holders) > 1:
        since = contested.setdefault(name, at)
        if all(state.answers[d].asked_at > since for d in holders):
            split |= {name}
    elif not unheard or name not in contested:
        contested.pop(name, None)
        split -= {name}
    if len(holders) == 1 and masters.get(name) not in unheard:
        masters[name] = holders[0]
    return replace(state, masters=masters, contested=contested, split=split, holders={**state.holders, name: holders})


def _answer(known: Answer | None, answer: RollCallAnswer, event: RollCallTaken, at: datetime) -> Answer:
    before = None if known is None else filled(known)
    if answer.answered:
        return Answer(answer=answer, at=at, asked_at=event.asked_at, before=before)
    since = known.silent_since if known is not None and known.silent_since is not None else event.asked_at
    tries = 1 + (known.tries if known is not None else 0)
    return Answer(answer=answer, at=at, asked_at=event.asked_at, before=before, silent_since=since, tries=tries)


def filled(known: Answer) -> RollCallAnswer | None:
    """What is known of a director: its last answer, completed by earlier ones where no closer look was taken."""
    last, earlier = known.answer, known.before
    if not last.answered or earlier is None:
        return last if last.answered else earlier
    return replace(
        last,
        processes=last.processes if last.processes is not None else earlier.processes,
        nat=last.nat if last.nat is not None else earlier.nat,
        boot=last.boot or earlier.boot,
        clock_behind_s=last.clock_behind_s if last.clock_behind_s is not None else earlier.clock_behind_s,
    )


def _gone(answer: RollCallAnswer | None) -> bool:
    """Whether the answer says that keepalived there is gone, with all that it said."""
    if answer is None:
        return False
    return not answer.answered or (answer.keepalived is not None and answer.keepalived.active is not UnitActive.ACTIVE)


def _void(answer: RollCallAnswer | None, service: str, server: str) -> bool:
    """Whether the answer voids what keepalived there said: the server is in the table again, or keepalived is gone."""
    if answer is None:
        return False
    return _gone(answer) or any((s, r) == (service, server) and weight > 0 for s, r, weight in answer.weights or ())


def _checked(
    state: Situation, event: RealServerChanged | QuorumChanged, recorded: Recorded, cluster: Cluster
) -> Situation:
    """*state* with what keepalived's checks on a director say of a real server, or of a service as a whole."""
    names = names_of(cluster, event) if isinstance(event, RealServerChanged) else _service_alone(cluster, event)
    if names is None:
        return state
    key = (event.director, *names)
    word = Check(up=event.up, said_at=recorded.at_source)
    heard = state.checks.get(key, ())
    if word in heard:
        return state  # an agent that got no receipt for a word sends it again
    returned = {k: since for k, since in state.returned.items() if k != key}
    if isinstance(event, QuorumChanged) and event.up and (event.director, names[0]) not in state.quorumless:
        # It gains a quorum that it never lost: it has just started, and takes every real server to be alive.
        returned = dict(_without(returned, event.director))
    state = replace(state, checks={**state.checks, key: (*heard, word)[-REMEMBERED:]}, returned=returned)
    said_at = by_our_clock(state, event.director, recorded.at_source)
    rumoured = {k: at for k, at in state.rumoured.items() if k != key}
    if _overtaken(state, key, event.up, said_at):
        return replace(state, rumoured=rumoured)
    if not event.up and recorded.recorded_at - said_at > LATE:
        return replace(state, rumoured={**rumoured, key: recorded.recorded_at})
    return _believed(replace(state, rumoured=rumoured), key, event.up, recorded.recorded_at)


def _believed(state: Situation, key: tuple[str, str, str], up: bool, at: datetime) -> Situation:
    """*state* with what *key* (director, service, real server or "" for its quorum) says taken for true."""
    director, service, server = key
    if not server:
        quorumless = {k: since for k, since in state.quorumless.items() if k != (director, service)}
        if not up:
            quorumless[director, service] = state.quorumless.get((director, service), at)
        return replace(state, quorumless=quorumless)
    removed, restored = {k: since for k, since in state.removed.items() if k != key}, dict(state.restored)
    if up:
        restored[key] = at
    else:
        removed[key] = state.removed.get(key, at)
    returned = {k: since for k, since in state.returned.items() if k != key}
    return replace(state, removed=removed, restored=restored, returned=returned)


def by_our_clock(state: Situation, director: str, said_at: datetime) -> datetime:
    """*said_at*, by the clock of *director*, on the bot's clock, as far as it is known how far that one is behind."""
    known = state.answers.get(director)
    last = filled(known) if known is not None else None
    return said_at + timedelta(seconds=last.clock_behind_s or 0.0) if last is not None else said_at


def _overtaken(state: Situation, key: tuple[str, str, str], up: bool, said_at: datetime) -> bool:
    """Whether the director's table, as it was found later than *said_at*, shows that the word is not true any more."""
    known = state.answers.get(key[0])
    if known is None or known.asked_at <= said_at + ASIDE:
        return False
    there = _in_table(known.answer, key[1], key[2])
    return there is not None and there is not up


def _in_table(answer: RollCallAnswer, service: str, server: str) -> bool | None:
    """Whether *server* (any, where it is empty) takes clients in the table; None where that cannot be said."""
    if answer.weights is None or _gone(answer) or (answer.services is not None and service not in answer.services):
        return None
    return any(s == service and server in ("", r) and weight > 0 for s, r, weight in answer.weights)


def _service_alone(cluster: Cluster, event: QuorumChanged) -> tuple[str, str] | None:
    service = service_of(cluster, event.service)
    return None if service is None else (service, "")


def service_of(cluster: Cluster, key: ServiceKey) -> str | None:
    """The name of the fleet's service with *key*; None where the fleet has none such."""
    return next((service.name for service in cluster.services if key_of(service) == key), None)


def names_of(cluster: Cluster, event: RealServerChanged) -> tuple[str, str] | None:
    """The names of the service and the real server that keepalived spoke of; None where the fleet has none such."""
    for service in cluster.services:
        if key_of(service) != event.service:
            continue
        for member in service.members:
            server = cluster.real_server(member.real_server)
            if server.address == event.address and member.port == event.port:
                return service.name, server.name
    return None
