"""What a roll call shows amiss: the directors' answers against the fleet, each other and what was said. Pure.

A listing can be torn (ipvsadm prints a service without its destinations while they are being replaced), and a restart
looks for a moment like a failure. So nothing found here counts before a second look has shown it too; that a thing is
well again, one look is enough for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.events import KeepalivedProcess, ProcessRole, Recorded, RollCallAnswer, RollCallTaken, VrrpState
from bot.domain.fleet import Cluster, Director, Forwarding, HealthCheck, PoolMember, VirtualService, VrrpInstance
from bot.domain.observed import UnitActive, UnitState
from bot.domain.operations import Operations
from bot.domain.situation import Answer, Claim, Situation, filled, fold, holding, keepalived_of, timely
from bot.domain.troubles import Matter, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A trouble that a look shows, with the words for it. ``proven``: no second look is needed to believe it.

    (A process that is stopped is stopped, and another pid under the same parent is another process.) ``mended``: the
    bot sees to it by itself, so that it has to last for a while.
    """

    trouble: Trouble
    why: str
    proven: bool = False
    mended: bool = False


RULE = "SNAT rule for"
STARTED_AGAIN = "died and was started again"
TAKES_OVER = timedelta(seconds=1.5)  # what a takeover may take besides the time that it is waited for
READY = frozenset({UnitActive.ACTIVE, UnitActive.RELOADING})
RUNNING = READY | {UnitActive.ACTIVATING}
AUTO_RESTART = "auto-restart"
OF_TABLE = frozenset({Matter.TABLE, Matter.WEIGHT, Matter.DIFFERENCE})
OF_KEEPALIVED = OF_TABLE | {Matter.PROCESS, Matter.CHECKER}

FILLED_BY_NOW = timedelta(seconds=3)
"""How long a keepalived that is ready may take to fill its table: nobody is told sooner, unless clients feel it."""

TOLD_BY_NOW = timedelta(seconds=12)
"""How long an event may take from keepalived to the journal before it counts as missed: an agent tries every 10 s."""


def look(state: Situation, recorded: Recorded, cluster: Cluster, operations: Operations) -> Situation:
    """*state*, which has the answers of *recorded* in it already, with what they show amiss suspected or found."""
    event, at = recorded.event, recorded.recorded_at
    if not isinstance(event, RollCallTaken):
        return state
    shown = {f.trouble: f for f in findings(state, event, cluster, operations)}
    looked_at = {a.director: a for a in event.answers}
    rules = cluster.snat is not None
    before = {t: since for t, since in state.suspected.items() if not _outlived(t, looked_at, state)}
    suspected = {t: since for t, since in before.items() if not _seen(t, looked_at, state, rules=rules)}
    found: dict[Trouble, str] = {
        t: why
        for t, why in state.found.items()
        if not _seen(t, looked_at, state, rules=rules and RULE in why) or _shows_yet(t, why, state, at, cluster)
    }
    restarted = dict(state.restarted)
    for trouble, finding in shown.items():
        since = before.get(trouble)
        if trouble in state.found or finding.proven or _confirmed(finding, since, event, at):
            found[trouble] = finding.why
            if trouble.matter is Matter.PROCESS and STARTED_AGAIN in finding.why:
                restarted[trouble.subject] = at
        else:
            suspected[trouble] = since or at
    split = state.split | _stuck(state, found)
    return replace(state, suspected=suspected, found=found, split=split, restarted=restarted)


def _stuck(state: Situation, found: Mapping[Trouble, str]) -> frozenset[str]:
    """The instances with two holders of which one is frozen: it cannot give the address up, so one look is enough."""
    frozen = {t.subject for t, why in found.items() if t.matter is Matter.PROCESS and "frozen" in why}
    return frozenset(i for i in state.contested if frozen & set(state.holders.get(i, ())))


def is_news(state: Situation, taken: RollCallTaken, at: datetime, cluster: Cluster, operations: Operations) -> bool:
    """Whether *taken* would change what is known: a routine repeat of what was answered before is not worth keeping."""
    taken = timely(state, taken, at)
    recorded = Recorded(sequence=0, recorded_at=at, at_source=at, event=taken)
    after = look(fold(state, recorded, cluster), recorded, cluster, operations)
    if after.suspected or state.suspected or after.found.keys() != state.found.keys():
        return True
    if after.rumoured.keys() != state.rumoured.keys():
        return True  # what was said too late waited for this look
    return any(_told(state, a.director) != _told(after, a.director) or _clock_jumped(state, a) for a in taken.answers)


JUMP_S = 2.5
"""Seconds by which a clock has to differ from what it was for that to be news: answers are slow by as much at times."""


def _clock_jumped(state: Situation, answer: RollCallAnswer) -> bool:
    """Whether the director's clock is not where it was against the bot's: it was set, or its host stood still."""
    known = state.answers.get(answer.director)
    before = filled(known) if known is not None else None
    if answer.clock_behind_s is None or before is None or before.clock_behind_s is None:
        return False
    return abs(answer.clock_behind_s - before.clock_behind_s) > JUMP_S


def _told(state: Situation, director: str) -> object:
    """What matters of a director's last answer: not the words of an error, nor counters and clocks, which run on."""
    known = state.answers.get(director)
    answer = None if known is None else filled(known) if known.answer.answered else known.answer
    if answer is None:
        return None
    nat = None if answer.nat is None else replace(answer.nat, packets=None)
    processes = None if answer.processes is None else tuple((p.pid, p.state[:1] in "Tt") for p in answer.processes)
    kept = replace(answer, error=None, heard_at=None, clock_behind_s=None, nat=nat, processes=None)
    return state.unreachable(director), state.shut_out(director), processes, kept


def _confirmed(finding: Finding, since: datetime | None, event: RollCallTaken, at: datetime) -> bool:
    if since is None or event.asked_at < since:
        return False
    if finding.trouble.matter is Matter.TABLE:
        return at - since >= FILLED_BY_NOW
    return at - since >= TOLD_BY_NOW if finding.mended or finding.trouble.matter is Matter.STREAM else True


def _shows_yet(trouble: Trouble, why: str, state: Situation, at: datetime, cluster: Cluster) -> bool:
    """Whether what came of a process that died may still be to come: so long another director waits to take over."""
    if trouble.matter is not Matter.PROCESS or STARTED_AGAIN not in why or trouble.subject not in state.restarted:
        return False
    found_at = state.restarted[trouble.subject]
    takes = timedelta(seconds=max((i.takeover_s for i in cluster.vrrp_instances), default=0.0)) + TAKES_OVER
    others = (claim for (director, _), claim in state.claims.items() if director != trouble.subject)
    if any(w.state is VrrpState.MASTER and w.at >= found_at - takes for claim in others for w in claim.words):
        return False  # it has come
    return at - found_at <= takes


def _outlived(trouble: Trouble, looked_at: Mapping[str, RollCallAnswer], state: Situation) -> bool:
    """Whether *trouble* was suspected of a keepalived that is known to have ended, or of a boot before this one."""
    answer = looked_at.get(_director_of(trouble))
    if trouble.matter not in OF_KEEPALIVED or answer is None or not answer.answered:
        return False
    before = state.answers[answer.director].before
    boots = {a.boot for a in (before, answer) if a is not None and a.boot is not None}
    return len(boots) > 1 or (answer.keepalived is not None and not _is_up(answer.keepalived))


def _director_of(trouble: Trouble) -> str:
    """The director whose answers show *trouble*."""
    return trouble.of if trouble.matter in (Matter.WEIGHT, Matter.DIFFERENCE) else trouble.subject


def _seen(trouble: Trouble, looked_at: Mapping[str, RollCallAnswer], state: Situation, *, rules: bool) -> bool:
    """Whether what *trouble* is about has just been looked at; *rules*: of a NAT path, also the SNAT rule."""
    if trouble.matter is Matter.VACANCY:
        # Who was not asked just now may hold it as little as before: it is held again when somebody is found with it.
        return bool(state.holders.get(trouble.subject)) or all(state.answered(d) is None for d in state.answers)
    answer = looked_at.get(_director_of(trouble))
    if answer is None:
        return False
    if not answer.answered:
        return False  # it was not looked at
    at_work = serves if trouble.matter in OF_TABLE else runs
    if trouble.matter in OF_KEEPALIVED and not at_work(answer):
        return False  # it is not well again because keepalived does not run at all, or is about to begin
    match trouble.matter:
        case Matter.PROCESS | Matter.CHECKER:
            return answer.processes is not None
        case Matter.NAT:
            return answer.nat is not None and not (rules and answer.nat.snat is None)
        case Matter.TABLE | Matter.WEIGHT | Matter.DIFFERENCE:
            return answer.weights is not None
        case _:
            return True


def findings(state: Situation, event: RollCallTaken, cluster: Cluster, operations: Operations) -> Iterator[Finding]:
    """Everything that the answers of *event* show amiss, with the words for it."""
    for answer in event.answers:
        known = state.answers[answer.director]
        if answer.answered:
            yield from _of_director(state, cluster, cluster.director(answer.director), known, operations)
    for instance in cluster.vrrp_instances:
        yield from _vacancy(state, event, instance)


def _of_director(
    state: Situation, cluster: Cluster, director: Director, known: Answer, operations: Operations
) -> Iterator[Finding]:
    answer, name = known.answer, director.name
    unit = answer.keepalived
    if unit is not None and not _is_up(unit):
        ended = f", its result is {unit.result}" if unit.result not in ("", "success") else ""
        why = f"keepalived on {name} is {unit.active.value}{ended}"
        if unit.sub == AUTO_RESTART:
            why = f"keepalived on {name} failed{ended}; systemd is about to start it again"
        yield Finding(trouble=Trouble(matter=Matter.UNIT, subject=name), why=why)
    elif runs(answer):
        yield from _processes(name, known)
        if serves(answer):
            yield from _table(state, cluster, name, known, operations)
    yield from _nat(cluster, name, answer)
    yield from _stream(state, cluster, name, known)


def runs(answer: RollCallAnswer) -> bool:
    """Whether keepalived is known to run: by its unit or, where that was not told, by all of its processes.

    A host on its way down answers for a while without telling of units, its table empty already, and a moment later
    of processes neither.
    """
    if answer.keepalived is not None:
        return _is_up(answer.keepalived)
    return ProcessRole.CHECKERS in {p.role for p in answer.processes or ()}


def serves(answer: RollCallAnswer) -> bool:
    """Whether keepalived is known to run and to have said that it is ready: until then, its table need not be whole."""
    return answer.keepalived is not None and answer.keepalived.active in READY


def _is_up(unit: UnitState) -> bool:
    """Whether the unit runs. One that has died and waits to be started again is "activating", too (systemd.service)."""
    return unit.active in RUNNING and unit.sub != AUTO_RESTART


def _processes(name: str, known: Answer) -> Iterator[Finding]:
    now = known.answer.processes
    if now is None:
        return
    for matter, roles in (
        (Matter.PROCESS, (ProcessRole.PARENT, ProcessRole.VRRP, ProcessRole.CHILD)),
        (Matter.CHECKER, (ProcessRole.CHECKERS,)),
    ):
        trouble = Trouble(matter=matter, subject=name)
        ours = [p for p in now if p.role in roles]
        stopped = [p for p in ours if p.state.startswith(("T", "t"))]
        if stopped:
            what = " and ".join(f"its {p.role.value} (pid {p.pid})" for p in stopped)
            are = "is" if len(stopped) == 1 else "are"
            why = f"keepalived on {name} is frozen: {what} {are} stopped by a signal (state T)"
            yield Finding(trouble=trouble, why=why, proven=True)
        elif replaced := _replaced(known, now, roles):
            # One that is gone may be the first to end of a keepalived that is just being stopped.
            proven = "gone" not in replaced
            yield Finding(trouble=trouble, why=f"keepalived on {name}: {replaced}", proven=proven)


def _replaced(known: Answer, now: tuple[KeepalivedProcess, ...], roles: tuple[ProcessRole, ...]) -> str:
    """What happened to a child while its parent went on; nothing where keepalived was started anew as a whole."""
    before = (known.before.processes if known.before is not None else None) or ()
    parents = [{p.pid for p in group if p.role is ProcessRole.PARENT} for group in (before, now)]
    # A host that has booted anew gives its processes what numbers it likes, and often the same ones.
    boots = {a.boot for a in (known.before, known.answer) if a is not None and a.boot is not None}
    same = bool(parents[0] & parents[1]) and len(boots) < 2
    for role in roles:
        old = {p.pid for p in before if p.role is role}
        new = {p.pid for p in now if p.role is role}
        if parents[1] and not new and role in NAMED and any(p.role in NAMED for p in (*before, *now)):
            return f"its {role.value} is gone"
        if same and old and new and not old & new:
            return f"its {role.value} {STARTED_AGAIN} (pid {min(old)} before, {min(new)} now)"
    return ""


NAMED = frozenset({ProcessRole.VRRP, ProcessRole.CHECKERS})
"""The children that a keepalived whose processes have names must have: a fleet has instances and services."""


def _table(state: Situation, cluster: Cluster, name: str, known: Answer, operations: Operations) -> Iterator[Finding]:
    answer = known.answer
    if answer.services is not None:
        missing = [s.name for s in cluster.services if s.name not in answer.services]
        if missing:
            words = "is empty" if not answer.services else f"lacks {', '.join(missing)}"
            why = f"the IPVS table on {name} {words}, and keepalived runs"
            # Clients are refused by the one who holds the address: what the probes say is the second look.
            felt = bool(answer.holds) and any(state.healthy(service, None) is False for service in missing)
            yield Finding(trouble=Trouble(matter=Matter.TABLE, subject=name), why=why, proven=felt)
    if answer.weights is None:
        return
    weights = {(s, r): w for s, r, w in answer.weights}
    yield from _weights(state, cluster, name, weights, operations)
    for service in cluster.services:
        if answer.services is not None and service.name not in answer.services:
            continue
        yield from _members(state, cluster, name, service, weights)
        yield from _kept(state, name, service, weights, known.asked_at)


class Off(StrEnum):
    """How a weight is not what it should be, in words."""

    CHANGED = "{server} has weight {where} on {name}, and it was not this bot that set it"
    KEPT = "{server} is drained, and has weight {where} on {name} all the same: it could not be set to 0"
    OWED = (
        "{server} was restored while {name} did not answer, and has weight {where} there all the same: it could not be "
        "given its weight"
    )


def _weights(
    state: Situation, cluster: Cluster, name: str, weights: Mapping[tuple[str, str], int], operations: Operations
) -> Iterator[Finding]:
    found: dict[tuple[Off, str], list[str]] = {}
    for service in cluster.services:
        for member in service.members:
            weight = weights.get((service.name, member.real_server))
            off = _off(state, cluster, name, service, member, weight, operations)
            if off is not None:
                found.setdefault((off[0], member.real_server), []).append(off[1])
    order = list(Off)
    for (how, server), where in sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        why = how.value.format(server=server, where=", ".join(where), name=name)
        trouble = Trouble(matter=Matter.WEIGHT, subject=server, of=name)
        yield Finding(trouble=trouble, why=why, mended=how is not Off.CHANGED)


def _off(
    state: Situation,
    cluster: Cluster,
    name: str,
    service: VirtualService,
    member: PoolMember,
    weight: int | None,
    operations: Operations,
) -> tuple[Off, str] | None:
    """What is not right about the *weight* of *member* on director *name*, and where; None for nothing."""
    server = member.real_server
    if weight is None or operations.busy_with(cluster.name, server):
        return None
    if operations.override(cluster.name, server):
        return (Off.KEPT, f"{weight} in {service.name}") if weight else None
    # With inhibit_on_failure (keepalived.conf(5)), keepalived leaves a dead one in the table at weight 0.
    if weight == member.weight or (weight == 0 and (name, service.name, server) in state.removed):
        return None
    if weight == 0 and operations.owes(cluster.name, name, service.name, server):
        # Nobody sends clients to one that is down: it gets its weight when it is well.
        return None if state.healthy(service.name, server) is False else (Off.OWED, f"0 in {service.name}")
    return Off.CHANGED, f"{weight} in {service.name} (configured: {member.weight})"


def _members(
    state: Situation, cluster: Cluster, name: str, service: VirtualService, weights: Mapping[tuple[str, str], int]
) -> Iterator[Finding]:
    """Members that are not in the table although nothing says that they are down."""
    if name in state.silent:
        return  # it may have said so: nothing of what it says is heard
    gone = [
        m.real_server
        for m in service.members
        if (service.name, m.real_server) not in weights
        and (name, service.name, m.real_server) not in state.removed
        and state.judges(name, service.name)
        and not state.complaints(m.real_server)
        and not state.unreachable(cluster.real_server(m.real_server).host or "")
    ]
    others = [d.name for d in cluster.directors if d.name != name]
    if not gone:
        return
    there = [
        d
        for d in others
        if (o := state.answered(d)) and any(s == service.name and r in gone for s, r, _ in o.weights or ())
    ]
    compared = f"; {' and '.join(there)} has it" if there else ""
    why = f"{' and '.join(gone)} is missing from {service.name} on {name}, and nothing said that it is down{compared}"
    yield Finding(trouble=Trouble(matter=Matter.DIFFERENCE, subject=service.name, of=name), why=why)


def _kept(
    state: Situation, name: str, service: VirtualService, weights: Mapping[tuple[str, str], int], at: datetime
) -> Iterator[Finding]:
    """Members that keepalived leaves in the table although the probes found them down for longer than it may take."""
    if service.check is None:
        return
    bound = timedelta(seconds=slowest(service.check, service.delay_loop))
    spoke = [claim.at for (director, _), claim in state.claims.items() if director == name]
    if spoke and at - max(spoke) <= bound:
        return  # a keepalived that has just started takes every real server to be alive until it has checked it
    back_since = state.answers[name].back_since
    if back_since is not None and at - back_since <= bound:
        return  # what the bot could not reach then, it may have reached: a real server inside of it, say
    kept = [
        m.real_server
        for m in service.members
        if weights.get((service.name, m.real_server), 0) > 0
        and state.healthy(service.name, m.real_server) is False
        and at - _last_checked(state, name, service.name, m.real_server) > bound
    ]
    if kept:
        why = (
            f"keepalived on {name} still sends clients of {service.name} to {' and '.join(kept)}, which the probes "
            f"have found down for more than {bound.total_seconds():.0f} s: its health checker may have stopped"
        )
        yield Finding(trouble=Trouble(matter=Matter.CHECKER, subject=name), why=why)


def _last_checked(state: Situation, director: str, service: str, server: str) -> datetime:
    """When the probes found *server* down, or keepalived there found it up after that: it looks at it, then."""
    down = state.health[service, server].since
    return max(down, state.restored.get((director, service, server), down))


def slowest(check: HealthCheck, delay_loop: float) -> float:
    """The seconds that keepalived may take at most to find a dead real server (keepalived.conf(5)), and some more."""
    return delay_loop + (check.retries + 1) * check.connect_timeout + check.retries * check.delay_before_retry + 8


def _nat(cluster: Cluster, name: str, answer: RollCallAnswer) -> Iterator[Finding]:
    nat = answer.nat
    if nat is None or not any(s.forwarding is Forwarding.MASQUERADING for s in cluster.services):
        return
    broken = broken_path(cluster, answer)
    if broken:
        why = f"{name} cannot forward by NAT: {' and '.join(broken)}"
        yield Finding(trouble=Trouble(matter=Matter.NAT, subject=name), why=why)


def broken_path(cluster: Cluster, answer: RollCallAnswer) -> tuple[str, ...]:
    """What of the NAT path is not as it must be on a director, in words."""
    nat = answer.nat
    if nat is None:
        return ()
    broken = []
    if nat.ip_forward is False and cluster.forwards_ipv4:
        broken.append("net.ipv4.ip_forward is 0")
    if nat.conntrack is False and cluster.snat is not None:
        broken.append("net.ipv4.vs.conntrack is 0, so that its SNAT rule never applies")
    if nat.snat is False and cluster.snat is not None:
        broken.append(f"the {RULE} {cluster.snat.vaddr} is missing")
    return tuple(broken)


def _stream(state: Situation, cluster: Cluster, name: str, known: Answer) -> Iterator[Finding]:
    """What the director holds against what it last said: the difference is an event that was missed."""
    if name in state.silent:
        return  # its events are known not to arrive
    for instance, is_now, claimed in untold(state, cluster, name):
        said = claimed.value if claimed else "nothing"
        holds = "holds" if is_now is VrrpState.MASTER else "does not hold"
        what = f"{name} {holds} the address of {instance}"
        if is_now is VrrpState.BACKUP and claimed is not VrrpState.MASTER:
            what = f"keepalived runs on {name} and does not hold the address of {instance}"
        why = f"{what}, and its last word was {said}: an event was missed"
        yield Finding(trouble=Trouble(matter=Matter.STREAM, subject=name), why=why)
    for service, server in untold_servers(state, cluster, name):
        why = f"{server} is no longer in {service} on {name}, and nothing said so: an event was missed"
        yield Finding(trouble=Trouble(matter=Matter.STREAM, subject=name), why=why)
    for service, server in untold_returns(state, name):
        why = f"{server} is back in {service} on {name}, and nothing said so: an event was missed"
        yield Finding(trouble=Trouble(matter=Matter.STREAM, subject=name), why=why)


def untold_returns(state: Situation, director: str) -> Iterator[tuple[str, str]]:
    """(service, real server) that *director* took out by its word and put back, and no word of that came in time."""
    known = state.answers.get(director)
    if known is None or not known.answer.answered:
        return
    for (name, service, server), since in sorted(state.returned.items()):
        if name == director and known.asked_at - since >= TOLD_BY_NOW and state.judges(director, service):
            yield service, server


def untold(state: Situation, cluster: Cluster, director: str) -> Iterator[tuple[str, VrrpState, VrrpState | None]]:
    """(instance, what *director* is found to be, what it last said) where the two differ and nothing explains it."""
    known = state.answers.get(director)
    if known is None or not known.answer.answered:
        return
    for instance in cluster.vrrp_instances:
        claim = state.claims.get((director, instance.name))
        holds = any(str(v.ip) in known.answer.holds for v in instance.virtual_addresses)
        says_master = claim is not None and claim.state is VrrpState.MASTER
        if claim is not None and claim.at > known.asked_at:
            continue  # it spoke after it was asked
        if claim is None and instance.preferred == director and holds:
            continue  # as it should be, from before the bot first listened
        if holds and not says_master and not state.contested.get(instance.name):
            yield instance.name, VrrpState.MASTER, claim.state if claim else None
        elif says_master and not holds and state.masters.get(instance.name) not in (None, director):
            yield instance.name, VrrpState.BACKUP, VrrpState.MASTER
        elif claim is not None and not holds and _runs_again(claim, known):
            yield instance.name, VrrpState.BACKUP, claim.state


def _runs_again(claim: Claim, known: Answer) -> bool:
    """Whether keepalived runs long after *claim* said that it ends, or is another one than said that it is in FAULT.

    A FAULT lasts as long as what makes it: of the keepalived that said so, only its next word tells that it is over. So
    does a DELETED: keepalived runs on without the instance.
    """
    now = keepalived_of(known.answer)
    if now is None or known.asked_at - claim.at < TOLD_BY_NOW:
        return False
    if claim.state is VrrpState.FAULT:
        return claim.found is not None and now.is_another(claim.found)
    return claim.state is VrrpState.STOP


def untold_servers(state: Situation, cluster: Cluster, director: str) -> Iterator[tuple[str, str]]:
    """(service, real server) that *director* has taken out of its table, for good reason and without having said so."""
    answer = state.answered(director)
    if answer is None or answer.weights is None or not serves(answer):
        return
    there = {(s, r) for s, r, _ in answer.weights}
    for service in cluster.services:
        if answer.services is not None and service.name not in answer.services:
            continue
        if not state.judges(director, service.name):
            continue
        for member in service.members:
            name = member.real_server
            known = (service.name, name) in there or (director, service.name, name) in state.removed
            if not known and state.healthy(service.name, name) is False:
                yield service.name, name


def _vacancy(state: Situation, event: RollCallTaken, instance: VrrpInstance) -> Iterator[Finding]:
    holders, unheard = holding(state, instance, event.asked_at)
    members = [d for d, _ in instance.priorities]
    silent = [d for d in members if state.answered(d) is None]
    if holders or unheard or len(silent) == len(members):
        return  # somebody holds it, or somebody who may hold it has not been heard, or there is nobody to ask
    who = f"none of the directors that answer; {' and '.join(silent)} did not answer" if silent else "no director"
    why = f"the address of {instance.name} is held by {who}"
    yield Finding(trouble=Trouble(matter=Matter.VACANCY, subject=instance.name), why=why)
