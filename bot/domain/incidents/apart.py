"""What could belong to a story by its links, and does not by when it was: too late, too early, or undone before."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.domain.fleet import VirtualService
from bot.domain.health import Outcome
from bot.domain.incidents.kinds import FELT, TAKEN_OUT, is_minor, primary, takeover
from bot.domain.incidents.links import Links
from bot.domain.incidents.story import Incident
from bot.domain.incidents.work import Work
from bot.domain.situation import ASIDE
from bot.domain.situation.checks import gone, in_table
from bot.domain.troubles import Matter, Trouble

UNHEARD = timedelta(seconds=10)  # how long a director may take to answer, or the probes to find what it tells
OF_KEEPALIVED = frozenset({Matter.DIRECTOR, Matter.PROCESS, Matter.UNIT})  # what a director's part in VRRP needs
BREAKS_IT = frozenset(
    {Matter.ROLE, Matter.DIRECTOR, Matter.PROCESS, Matter.UNIT, Matter.VACANCY, Matter.TABLE, Matter.NAT}
)  # what makes an address that does not answer, whatever real servers do
APART = timedelta(seconds=5)  # what falls that long before anything else of a story may have nothing to do with it
CHECKERS = frozenset({Matter.PROCESS, Matter.CHECKER})
AGAIN_WITHIN = timedelta(minutes=2)  # what begins again within this goes on, and is no incident of its own


def is_restless(work: Work, incident: Incident) -> bool:
    """Whether *incident* began, or one of its real servers fell or rose, so lately that clients may feel that still.

    A lost director is known long after it was: its real servers fell when it did.
    """
    servers = {t.subject for t in incident.seen if t.matter is Matter.REAL_SERVER}
    moved = [h.since for (_, server), h in work.situation.health.items() if server in servers]
    fell = any(work.situation.failing_probes(server) for server in servers)
    first = primary(incident)
    known_late = first is not None and first.matter is Matter.DIRECTOR and fell
    return work.at - max(moved if known_late else [incident.opened_at, *moved]) <= TAKEN_OUT


def is_out(work: Work, server: str, owner: Incident, incident: Incident) -> bool:
    """Whether *server*, as *owner* tells, fell before *incident* with its own cause, or no client is sent to it now."""
    sent = any(
        _is_sent(work, service, server)
        for service in work.cluster.services_of(server)
        if work.situation.healthy(service.name, server) is False
    )
    fallen = [h.since for (_, name), h in work.situation.health.items() if name == server]
    fell = max(fallen, default=owner.opened_at)
    began = min((at for _, at in incident.began), default=fell)
    before = began - fell > APART and any(t.matter in BREAKS_IT for t in incident.seen)
    return before or (not sent and work.at - fell > TAKEN_OUT)


def _is_sent(work: Work, service: VirtualService, server: str) -> bool:
    """Whether clients of *service* may be sent to *server*: not where the table is known to be without it."""
    answer = work.situation.answered(work.situation.masters.get(service.vrrp_instance or "", ""))
    if answer is None or answer.services is None or service.name in answer.services:
        return answer is None or in_table(answer, service.name, server) is not False
    return gone(answer)  # what one whose keepalived is gone has left in its table is not known


def felt_of(incident: Incident) -> list[Trouble]:
    """What of *incident* clients feel just now."""
    return [t for t in incident.troubles if t.matter in FELT]


def is_later(work: Work, trouble: Trouble, incident: Incident) -> bool:
    """Whether *trouble* began so long after *incident*'s move that it is none of what that did."""
    if incident.old_master is None or incident.moved_at is None:
        return False
    owner = work.find(lambda i: trouble in i.troubles)
    since, until = (dict(owner.began)[trouble],) * 2 if owner is not None else work.when(trouble)
    after = since - max(incident.moved_at, incident.opened_at)
    # What becomes of the director that took over cannot be why it did.
    taker = incident.new_master != incident.old_master and trouble.subject == incident.new_master
    if taker and trouble.matter in OF_KEEPALIVED and incident.due(work.at):
        return after > timedelta(0)
    takes = takeover(work.cluster.vrrp_instance(incident.instance or ""))
    if trouble.matter is Matter.VIP and _is_dead_one_served(work, trouble, incident):
        takes = TAKEN_OUT
    back = incident.returned_at is not None and since - takes <= incident.returned_at <= until + takes
    return after > takes and not back


def _is_dead_one_served(work: Work, vip: Trouble, incident: Incident) -> bool:
    """Whether *vip* fails where clients are sent to a real server that went with *incident*."""
    dead = {t.subject for t in incident.troubles if t.matter is Matter.REAL_SERVER}
    answer = work.situation.answered(work.situation.masters.get(vip.subject, ""))
    # Not in_table: of a keepalived that is gone, what is left in its table tells where clients are sent all the same.
    served = {(s, r) for s, r, weight in (answer.weights or () if answer is not None else ()) if weight > 0}
    known = answer is not None and answer.weights is not None
    return any(
        member.real_server in dead and ((service.name, member.real_server) in served or not known)
        for service in work.cluster.services
        if service.vrrp_instance == vip.subject and work.situation.healthy(service.name, None) is False
        for member in service.members
    )


def was_put_back(work: Work, trouble: Trouble, incident: Incident) -> bool:
    """Whether one of the two is an address that was removed and put back before the other one began."""
    since, began = work.when(trouble)[0], dict(incident.began)
    if trouble.matter is Matter.ADDRESS:
        put_back, others = since, [began[t] for t in incident.troubles]
    else:
        put_back = min((at for t, at in began.items() if t.matter is Matter.ADDRESS), default=since)
        others = [since]
    return bool(others) and min(others) > put_back + 2 * ASIDE


def fell_unseen(work: Work, trouble: Trouble, own: Links, incident: Incident) -> bool:
    """Whether one of the two is a frozen health checker, and the other a real server that fell a while after that.

    It did not fall because of it, and people have to know; that it stays in the table is told when that is found.
    """
    owner = work.find(lambda i: trouble in i.troubles)
    began = dict(owner.began)[trouble] if owner is not None else work.when(trouble)[0]
    if trouble.matter is Matter.REAL_SERVER:
        fell = [fell_at(work, trouble, began)]
        stopped = [at for t, at in incident.began if t.matter in CHECKERS and t in incident.troubles]
        keys = own.needs & incident.explains
    elif trouble.matter in CHECKERS:
        fell = [fell_at(work, t, at) for t, at in incident.began if t.matter is Matter.REAL_SERVER]
        stopped, keys = [began], own.explains & incident.needs
    else:
        return False
    apart = bool(fell and stopped) and min(fell) - max(stopped) > UNHEARD
    return apart and all(key.startswith("checker:") for key in keys)


def fell_at(work: Work, server: Trouble, began: datetime) -> datetime:
    """When a real server fell: keepalived's word of it, by which it *began*, may be seconds later than the probes'."""
    health = (h for (_, name), h in work.situation.health.items() if name == server.subject)
    return min((began, *(h.since for h in health if h.outcome is Outcome.UNHEALTHY)))


def is_known(work: Work, owner: Incident) -> bool:
    """Whether what is *owner*'s has been there for a while; a small thing may become part of what is news."""
    return not (is_minor(owner) or is_restless(work, owner))


def idle_keys(work: Work) -> frozenset[str]:
    """The keys of what serves nobody while it is well: every director that is no MASTER; and those of real servers."""
    idle = {d.name for d in work.cluster.directors} - set(work.situation.masters.values())
    servers = {f"server:{s.name}" for s in work.cluster.real_servers}
    return frozenset((*servers, *(f"{what}:{director}" for director in idle for what in ("host", "unit"))))


def is_old(work: Work, incident: Incident) -> bool:
    """Whether *incident* is of a move that has been known for a while: what moved then moves nothing now."""
    moved_at = incident.returned_at or incident.moved_at
    if incident.old_master is None or moved_at is None:
        return False
    return work.at - max(moved_at, incident.opened_at) > AGAIN_WITHIN


def is_last(work: Work, trouble: Trouble, incident: Incident) -> bool:
    """Whether no director is left with *trouble*, a while after *incident* was told of another one."""
    if not nobody_answers(work):
        return False
    silent = work.situation.answers[trouble.subject].silent_since
    lost = {t.subject for t in incident.troubles if t.matter is Matter.DIRECTOR}
    before = [since for d in lost if (since := work.situation.answers[d].silent_since) is not None]
    apart = silent is not None and bool(before) and silent - min(before) > TAKEN_OUT and incident.due(work.at)
    return apart or is_old(work, incident) or work.at - incident.opened_at > AGAIN_WITHIN


def nobody_answers(work: Work) -> bool:
    """Whether every director counts as lost."""
    return all(work.situation.unreachable(d.name) for d in work.cluster.directors)
