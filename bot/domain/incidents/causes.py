"""Why the MASTER moved, and why a VIP does not answer: by the directors' own answers and last words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise

from bot.domain.events import ProcessRole, RollCallAnswer, VrrpState
from bot.domain.findings import broken_path, runs
from bot.domain.fleet import Cluster, Forwarding, VirtualService, VrrpInstance
from bot.domain.incidents.story import Cause, Incident
from bot.domain.mutes import Mutes
from bot.domain.observed import UnitActive
from bot.domain.situation import ASIDE, Answer, Host, Said, Situation, by_our_clock, taken_again
from bot.domain.wording import listed

BEHIND = 3.0
"""Seconds that a clock has to have fallen behind to show that its host stood still: a slow answer explains less."""

# What is known for sure is not taken back by a later look, which finds things as they are by then.
FIRM = frozenset(
    {
        Cause.MAINTENANCE,
        Cause.PAUSED,
        Cause.CUT_OFF,
        Cause.REBOOTED,
        Cause.FROZEN,
        Cause.CHILD_DIED,
        Cause.FAILED,
        Cause.FAULT,
        Cause.REMOVED,
    }
)


DIED_OF = frozenset({"signal", "core-dump", "exit-code", "oom-kill", "watchdog"})
"""A unit's Result that nobody who stops it gets: `success` and `timeout` may be anybody's wish."""

LEFT = frozenset({Cause.DIED, Cause.STOPPED, Cause.RESTARTED})
"""What its return may tell more of."""

RESTART = timedelta(seconds=6)
"""How soon after its last word a keepalived that was stopped speaks again where somebody meant to restart it."""

# What the next look may correct.
DOUBTED = frozenset({Cause.UNKNOWN, Cause.AWAITED, Cause.SILENT, Cause.DIED})

# What the old MASTER's own words may correct: an answer that is slow looks as if it had been cut off.
GUESSED = DOUBTED | {Cause.CUT_OFF}


def cause_of(
    incident: Incident, instance: VrrpInstance, situation: Situation, mutes: Mutes, waiting: tuple[str, ...] = ()
) -> Cause:
    """Why the old MASTER of *incident* lost the address, as far as is known now. *waiting*: asked, no answer yet."""
    old = incident.old_master
    if old is None or incident.moved_at is None:
        return incident.cause
    if (sure := _for_sure(incident, instance, situation, mutes)) is not None:
        return sure
    known = situation.answers.get(old)
    if known is None or not fresh(known, incident.moved_at):
        return Cause.AWAITED if old in waiting and incident.cause is Cause.UNKNOWN else incident.cause
    if not known.answer.answered:
        return Cause.STOPPED if last_word(incident, instance, situation) is VrrpState.STOP else Cause.DIED
    if incident.cause in LEFT and (back := _came_back(incident, instance, situation, known)) is not None:
        return back
    if incident.cause in (Cause.DIED, Cause.STOPPED):
        return incident.cause  # whoever was gone and is found running now has come back: that is not why it was gone
    if incident.returned_at is not None and incident.cause not in DOUBTED:
        return incident.cause
    return _by_its_answer(incident, instance, situation, known)


def _for_sure(incident: Incident, instance: VrrpInstance, situation: Situation, mutes: Mutes) -> Cause | None:
    """The cause that no answer is needed for; None where there is no such."""
    if incident.cause in GUESSED and was_removed(incident, instance, situation):
        return Cause.REMOVED
    if incident.cause in FIRM:
        return incident.cause
    if announced(incident, mutes):
        return Cause.MAINTENANCE
    return _proved(incident, instance, situation) if incident.cause in DOUBTED else None


def _proved(incident: Incident, instance: VrrpInstance, situation: Situation) -> Cause | None:
    """The cause by what needs no answer of now: the old MASTER's own FAULT, or what was seen of its processes."""
    if last_word(incident, instance, situation) is VrrpState.FAULT:
        return Cause.FAULT
    of_old = [e for e in incident.evidence if e.startswith(f"keepalived on {incident.old_master}")]
    if any("is frozen" in e and "VRRP" in e for e in of_old):
        return Cause.FROZEN
    if any(ProcessRole.VRRP.value in e and "started again" in e for e in of_old):
        return Cause.CHILD_DIED
    return None


def was_removed(incident: Incident, instance: VrrpInstance, situation: Situation) -> bool:
    """Whether the old MASTER let go of the address by itself and took it again at once, by its own words.

    Both directors then wait for their skew times, which differ by hundredths of an interval, and the other one may be
    the quicker. Only the preferred one takes the address back from it: from any other, one of a higher priority may
    have taken it, and been gone again as quickly.
    """
    return bool(_removals(incident, instance, situation))


def tells_removal(incident: Incident, instance: VrrpInstance, situation: Situation) -> bool:
    """Whether the last removal of the address that the preferred director's words tell of is what *incident* is of."""
    claim = situation.claims.get((instance.preferred, instance.name))
    last = taken_again(claim, instance)[-1:] if claim is not None else ()
    return incident.cause is Cause.REMOVED and bool(last) and last[0] in _removals(incident, instance, situation)


def _removals(incident: Incident, instance: VrrpInstance, situation: Situation) -> tuple[tuple[Said, Said], ...]:
    old, moved_at = instance.preferred, incident.moved_at
    claim = situation.claims.get((old, instance.name))
    if claim is None or moved_at is None or incident.old_master != old:
        return ()
    since, until = moved_at - timedelta(seconds=instance.advert_int) - ASIDE, moved_at + ASIDE
    found = taken_again(claim, instance)
    return tuple((gave, took) for gave, took in found if since <= by_our_clock(situation, old, gave.said_at) <= until)


def fresh(known: Answer, moved_at: datetime) -> bool:
    """Whether *known* is from after the move, or is what showed it.

    What a director shows may be from any time since it was asked; that it is silent lasts until it is given up.
    """
    return known.asked_at >= moved_at or known.at == moved_at or (not known.answer.answered and known.at > moved_at)


def announced(incident: Incident, mutes: Mutes) -> bool:
    """Whether maintenance was announced for what moved when it moved."""
    names = {n for n in (incident.subject, incident.instance, incident.old_master) if n is not None}
    mute = mutes.of(incident.cluster, names, incident.moved_at or incident.opened_at)
    return mute is not None and mute.maintenance and mute.since <= (incident.moved_at or incident.opened_at)


def last_word(incident: Incident, instance: VrrpInstance, situation: Situation) -> VrrpState | None:
    """What the old MASTER said at or just before the move, by its own clock's order: STOP, FAULT, or nothing new."""
    assert incident.moved_at is not None
    claim = situation.claims.get((incident.old_master or "", instance.name))
    if claim is None:
        return None
    since = incident.moved_at - timedelta(seconds=instance.takeover_s + 5)
    for word in reversed(claim.words):
        at = by_our_clock(situation, incident.old_master or "", word.said_at)
        if at < since:
            return None
        if at > incident.moved_at + ASIDE:
            continue  # said since: it tells of something else
        if word.state in (VrrpState.STOP, VrrpState.FAULT, VrrpState.DELETED):
            return word.state
    return None


def word_cause(incident: Incident, instance: VrrpInstance, situation: Situation) -> Cause:
    """The cause by the old MASTER's words alone: all that there is of a move that nobody saw."""
    if was_removed(incident, instance, situation):
        return Cause.REMOVED
    word = last_word(incident, instance, situation)
    known = {VrrpState.STOP: Cause.RESTARTED, VrrpState.FAULT: Cause.FAULT}
    return known.get(word, Cause.UNKNOWN) if word is not None else Cause.UNKNOWN


def _came_back(incident: Incident, instance: VrrpInstance, situation: Situation, known: Answer) -> Cause | None:
    """Why a director was away, now that it answers again, as far as that says more. None: it says no more."""
    now = known.answer
    if incident.old_boot is None or now.boot is None:
        return _spoke_again(incident, instance, situation)
    if incident.old_boot != now.boot:
        stopped = (
            incident.cause in (Cause.STOPPED, Cause.RESTARTED)
            or last_word(incident, instance, situation) is VrrpState.STOP
        )
        return Cause.REBOOTED if stopped else Cause.DIED
    if incident.cause is not Cause.DIED and incident.cause is not Cause.AWAITED:
        return _spoke_again(incident, instance, situation)
    if not runs(now):
        return None  # a host on its way down still answers: whether it boots anew is not seen yet
    behind = (now.clock_behind_s or 0.0) - (incident.old_behind_s or 0.0)
    return Cause.PAUSED if behind > BEHIND else Cause.CUT_OFF


def _spoke_again(incident: Incident, instance: VrrpInstance, situation: Situation) -> Cause | None:
    """RESTARTED for a director that said STOP and was there again at once, both by its own clock; else None."""
    if incident.cause is not Cause.STOPPED or last_word(incident, instance, situation) is not VrrpState.STOP:
        return None
    claim = situation.claims[incident.old_master or "", instance.name]
    for word, following in reversed(list(pairwise(claim.words))):
        if word.state is VrrpState.STOP and following.state in (VrrpState.BACKUP, VrrpState.MASTER):
            return Cause.RESTARTED if following.said_at - word.said_at <= RESTART else None
    return None


def why_away(before: Host, now: RollCallAnswer) -> Cause:
    """Why a director that was no MASTER did not answer: by its boot and its clock from before and from *now*."""
    if now.boot != before.boot:
        return Cause.ANEW
    return Cause.PAUSED if (now.clock_behind_s or 0.0) - (before.behind_s or 0.0) > BEHIND else Cause.CUT_OFF


def _by_its_answer(incident: Incident, instance: VrrpInstance, situation: Situation, known: Answer) -> Cause:
    """The cause by what the old MASTER answers."""
    old, new = str(incident.old_master), str(incident.new_master)
    unit = known.answer.keepalived
    active = unit.active if unit else UnitActive.UNKNOWN
    # One whose main process died is shut down as well before it has failed; Result says at once why (systemd.service).
    between = (UnitActive.DEACTIVATING, UnitActive.ACTIVATING)
    died = unit is not None and active in between and unit.result in DIED_OF
    if active is UnitActive.FAILED or died:
        return Cause.FAILED
    if active in (UnitActive.INACTIVE, UnitActive.DEACTIVATING):
        return Cause.STOPPED
    if last_word(incident, instance, situation) is VrrpState.STOP:
        return Cause.RESTARTED if runs(known.answer) else Cause.STOPPED
    if instance.priority(new) > instance.priority(old):
        return Cause.PREEMPTED
    if incident.cause is Cause.AWAITED:
        if known.answer.boot is None or not runs(known.answer):
            return Cause.AWAITED  # it answers again: why it did not, the next look tells
        # Without the boot that it had, nobody can say whether it rebooted: that it was away is all that is known.
        return _came_back(incident, instance, situation, known) or Cause.SILENT
    return incident.cause


def why_unreachable(
    instance: VrrpInstance, services: tuple[str, ...], situation: Situation, cluster: Cluster
) -> tuple[str, ...]:
    """Every reason that is known for the VIP of *services* not to answer, though a director may hold it."""
    master = situation.masters.get(instance.name)
    if master is None:
        return ()
    answer = situation.answered(master)
    if answer is None:
        return ()
    reasons = list(broken_path(cluster, answer))
    of_services: dict[str, list[str]] = {}
    for name in services:
        reasons += _not_there(instance, cluster.service(name), answer)
        for words in _why_service(cluster.service(name), master, situation):
            of_services.setdefault(words, []).append(name)
    reasons += [_filled(words, names) for words, names in of_services.items()]
    if not reasons and not_counting(master, cluster, situation):
        reasons.append(f"the SNAT rule on {master} is there, and counts no packet")
    return tuple(dict.fromkeys(reasons))


def restorable(
    instance: VrrpInstance,
    services: tuple[str, ...],
    situation: Situation,
    cluster: Cluster,
    drained: Mapping[str, str],
) -> tuple[tuple[str, str], ...]:
    """Those of *drained* that are well, each with who did it, where every weight in one of *services* is 0."""
    master = situation.masters.get(instance.name, "")
    stuck = [cluster.service(s) for s in services if situation.weightless(master, s)]
    found = {m.real_server for s in stuck for m in s.members if situation.healthy(s.name, m.real_server) is not False}
    return tuple(sorted((name, drained[name]) for name in found & drained.keys()))


def not_counting(master: str, cluster: Cluster, situation: Situation) -> bool:
    """Whether the SNAT rule on *master* met no packet between two looks, though clients (the probes) were there."""
    known = situation.answers.get(master)
    if known is None or known.before is None or known.answer.nat is None or known.before.nat is None:
        return False
    masquerading = any(s.forwarding is Forwarding.MASQUERADING for s in cluster.services)
    now, before = known.answer.nat.packets, known.before.nat.packets
    return masquerading and now is not None and now == before


def _not_there(instance: VrrpInstance, service: VirtualService, answer: RollCallAnswer) -> Iterator[str]:
    """That the MASTER holds others of the addresses of *instance*, and not the one that clients of *service* use."""
    addresses = [str(a.ip) for a in instance.virtual_addresses]
    others = [a for a in addresses if a in answer.holds]
    if others and str(service.address) in addresses and str(service.address) not in others:
        yield f"{service.address} is not on {answer.director}, which holds {', '.join(others)}"


SERVICES, ARE = "{services}", "{are}"
"""What stands for the services of which a reason holds: several may have the same one."""


def _filled(words: str, names: list[str]) -> str:
    return words.replace(SERVICES, listed(names)).replace(ARE, "is" if len(names) == 1 else "are")


def _why_service(service: VirtualService, master: str, situation: Situation) -> Iterator[str]:
    """Why nobody can be served by *service*, with a place where its name belongs."""
    answer = situation.answered(master)
    assert answer is not None
    if answer.services is not None and service.name not in answer.services:
        yield f"{SERVICES} {ARE} not in the IPVS table of {master}"
        return
    if answer.weights is None:
        return
    weights = {r: w for s, r, w in answer.weights if s == service.name}
    sorry = [at for s, at, w in answer.strangers if s == service.name and w > 0]
    if not weights:
        instead = f"; its sorry server {sorry[0]} answers instead" if sorry else ""
        yield f"keepalived on {master} has no real server left in {SERVICES}{instead}"
    elif situation.weightless(master, service.name):
        yield f"every real server of {SERVICES} has weight 0 on {master}"
    elif all(situation.healthy(service.name, m.real_server) is False for m in service.members):
        yield f"no real server of {SERVICES} answers the probes"
