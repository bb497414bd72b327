"""What is known of a cluster at a time: claims with their age, answers to roll calls, health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from bot.domain.copies import replace
from bot.domain.events import CertificateChanged, NatPath, RollCallAnswer, Sense, SenseChanged, VrrpState
from bot.domain.fleet import VrrpInstance
from bot.domain.health import Outcome
from bot.domain.observed import UnitActive
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalived:
    """Which keepalived a look found on a director: the boot of its host (None: not known) and its main process."""

    boot: str | None
    main_pid: int

    def is_another(self, earlier: Keepalived) -> bool:
        """Whether it was started after *earlier*."""
        if None not in (self.boot, earlier.boot) and self.boot != earlier.boot:
            return True
        return 0 not in (self.main_pid, earlier.main_pid) and self.main_pid != earlier.main_pid


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The last thing a director said of a VRRP instance, or was found to be (``observed``): a claim, not a fact.

    ``before`` is what it said before that, oldest first. ``found``, of a FAULT: the keepalived that the first look
    since then found there.
    """

    state: VrrpState
    at: datetime
    said_at: datetime
    observed: bool = False
    before: tuple[Said, ...] = ()
    found: Keepalived | None = None

    @property
    def words(self) -> tuple[Said, ...]:
        """All that is remembered of what it said, oldest first, this one last."""
        return (*self.before, Said(state=self.state, said_at=self.said_at, at=self.at))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that keepalived's checks on a director said. ``said_at`` is by its clock."""

    up: bool
    said_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A director's last answer to a roll call, and when it was recorded and asked for.

    ``before`` is the last one before it in which the director did answer; ``silent_since`` when it was first asked in
    vain; ``tries`` how often it was asked in vain in a row; ``back_since`` when it was first asked after that and did.
    """

    answer: RollCallAnswer
    at: datetime
    asked_at: datetime
    before: RollCallAnswer | None = None
    silent_since: datetime | None = None
    tries: int = 0
    back_since: datetime | None = None


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


@dataclass(frozen=True, kw_only=True)  # no slots: copies.py
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
    director that gave its address up and took it again at once, and when. ``gaps``: director -> what its agent lost;
    ``complaining_agents``: director -> what its agent complains of.
    ``missed``: (director, instance) -> when it was MASTER, as it told too late. ``watching_since``: when the bot was
    last started: what was before, nobody may have probed.

    ``checks``: (director, service, real server or "" for the quorum) -> the last that keepalived's checks there said;
    ``rumoured`` those of them that said DOWN so late that a look has to show it first, and when they were heard.

    ``returned``: those that keepalived took out by its own word, and that a look found back without a word.

    ``carried``: service -> the instance that carries its address, None where no instance does.

    ``suspected`` is what the last look showed amiss and no second one has confirmed, with the time of the first;
    ``found`` what was confirmed, with the words for it. ``restarted``: director -> when it was found that one of
    keepalived's processes there had died and been started again.
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
    complaining_agents: Mapping[str, str] = field(default_factory=dict)
    missed: Mapping[tuple[str, str], Said] = field(default_factory=dict)
    checks: Mapping[tuple[str, str, str], tuple[Check, ...]] = field(default_factory=dict)
    rumoured: Mapping[tuple[str, str, str], datetime] = field(default_factory=dict)
    returned: Mapping[tuple[str, str, str], datetime] = field(default_factory=dict)
    watching_since: datetime | None = None
    carried: Mapping[str, str | None] = field(default_factory=dict)
    suspected: Mapping[Trouble, datetime] = field(default_factory=dict)
    found: Mapping[Trouble, str] = field(default_factory=dict)
    restarted: Mapping[str, datetime] = field(default_factory=dict)

    def host_before(self, director: str, at: datetime, instance: VrrpInstance) -> Host | None:
        """What was seen of the host of *director* when it last held *instance* before *at*; None where nothing was."""
        vips = {str(v.ip) for v in instance.virtual_addresses}
        return next((h for h in reversed(self.hosts.get(director, ())) if h.at < at and vips & set(h.holds)), None)

    def host_at(self, director: str, at: datetime) -> Host | None:
        """What was last seen of the host of *director* before *at*; None where nothing was."""
        return next((h for h in reversed(self.hosts.get(director, ())) if h.at < at), None)

    def unreachable(self, director: str) -> bool:
        """Whether *director* was asked and did not answer, and nothing else says that it lives."""
        found = self.answers.get(director)
        return found is not None and not found.answer.answered and not self.shut_out(director)

    def weightless(self, director: str, service: str) -> bool:
        """Whether *director*'s table has real servers in *service*, and each at weight 0: nobody new reaches any."""
        answer = self.answered(director)
        if answer is None or answer.weights is None:
            return False
        weights = [weight for name, _, weight in answer.weights if name == service]
        return bool(weights) and not any(weights)

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
        # By a clock that is ahead, what it said before it died is from after that: nothing was said after it was heard.
        spoke = [
            min(claim.at, by_our_clock(self, director, claim.said_at))
            for (name, _), claim in self.claims.items()
            if name == director and not claim.observed
        ]
        heard = [at for at in (found.answer.heard_at, *spoke) if at is not None]
        # What was heard just before it died says nothing of now: an agent that lives is heard again and again.
        lives = director not in self.silent and any(at > since for at in heard)
        return lives or self._serves(director)

    def _serves(self, director: str) -> bool:
        """Whether *director* holds a VIP by all that is known, and every probe of what it holds finds that well."""
        if director not in self.masters.values():
            return False
        vips = [
            known.outcome
            for (service, server), known in self.health.items()
            if server is None and self.masters.get(self.carried.get(service) or "") == director
        ]
        return bool(vips) and all(outcome is Outcome.HEALTHY for outcome in vips)

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

    def judges(self, director: str, service: str) -> bool:
        """Whether *director*'s checks of *service* mean anything: not while it is cut off, stopped or silent itself.

        It is cut off where the instance that carries the service's address is in FAULT: another one may be on another
        interface.
        """
        for (name, instance), claim in self.claims.items():
            if name != director:
                continue
            if claim.state is VrrpState.FAULT and self.carried.get(service, instance) == instance:
                return False
            if claim.state in (VrrpState.STOP, VrrpState.DELETED):
                return False
        return not self.unreachable(director)

    def complaints(self, real_server: str) -> tuple[str, ...]:
        """Everything that says *real_server* is down, in words; empty when nothing does."""
        checks = [
            f"keepalived on {director} took it out of {service}"
            for director, service in sorted((d, s) for d, s, server in self.removed if server == real_server)
            if self.judges(director, service)
        ]
        return (*self.failing_probes(real_server), *checks)

    def complaining(self, real_server: str) -> frozenset[str]:
        """The directors whose keepalived says that *real_server* is down."""
        return frozenset(d for d, s, server in self.removed if server == real_server and self.judges(d, s))

    def answered(self, director: str) -> RollCallAnswer | None:
        """What *director* said when it was last asked, if it did say something."""
        found = self.answers.get(director)
        return found.answer if found is not None and found.answer.answered else None


def filled(known: Answer) -> RollCallAnswer | None:
    """What is known of a director: its last answer, completed by earlier ones where something was not looked at."""
    last, earlier = known.answer, known.before
    if not last.answered or earlier is None:
        return last if last.answered else earlier
    return replace(
        last,
        processes=last.processes if last.processes is not None else earlier.processes,
        nat=_filled_nat(last.nat, earlier.nat),
        boot=last.boot or earlier.boot,
        clock_behind_s=last.clock_behind_s if last.clock_behind_s is not None else earlier.clock_behind_s,
    )


def keepalived_of(answer: RollCallAnswer) -> Keepalived | None:
    """The keepalived that *answer* shows to run; None for none."""
    unit = answer.keepalived
    if unit is None or unit.active is not UnitActive.ACTIVE:
        return None
    return Keepalived(boot=answer.boot, main_pid=unit.main_pid)


def by_our_clock(state: Situation, director: str, said_at: datetime) -> datetime:
    """*said_at*, by the clock of *director*, on the bot's clock, as far as it is known how far that one is behind."""
    known = state.answers.get(director)
    last = filled(known) if known is not None else None
    return said_at + timedelta(seconds=last.clock_behind_s or 0.0) if last is not None else said_at


def is_late(state: Situation, director: str, word: Said | Claim) -> bool:
    """Whether *word* of *director* took so long that it is history. That its clock is behind makes no word late."""
    return word.at - by_our_clock(state, director, word.said_at) > LATE


def without(mapping: Mapping[K, datetime], director: str) -> Mapping[K, datetime]:
    """*mapping* without what is of *director*."""
    return {key: since for key, since in mapping.items() if key[0] != director}


def _filled_nat(last: NatPath | None, earlier: NatPath | None) -> NatPath | None:
    if last is None or earlier is None or last.snat is not None:
        return last or earlier
    return replace(last, snat=earlier.snat, packets=earlier.packets)
