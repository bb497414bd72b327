"""What the answers to a roll call show: who holds what, what is back, what was said is void."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from bot.domain.copies import replace
from bot.domain.events import ProcessRole, RollCallAnswer, RollCallTaken, VrrpState
from bot.domain.fleet import Cluster, VrrpInstance
from bot.domain.situation.checks import believed, gone, in_table
from bot.domain.situation.known import (
    REMEMBERED,
    Answer,
    Claim,
    Host,
    Situation,
    by_our_clock,
    filled,
    is_late,
    keepalived_of,
)

FRESH = timedelta(seconds=8)
"""Answers that were asked for within this of each other show one moment, as long as nobody spoke in between."""


def timely(state: Situation, event: RollCallTaken, at: datetime) -> RollCallTaken:
    """*event*, recorded at *at*, without the answers that are older than what is known; itself where none is.

    A step of a look that takes long (its SNAT rule) can end when the next answer is there already. Where what is known
    seems to be from after *at*, the bot's clock was set back: then the answer is the newer one.
    """
    late = {d for d, known in state.answers.items() if event.asked_at < known.asked_at and known.at <= at}
    answers = tuple([a for a in event.answers if a.director not in late])
    return event if len(answers) == len(event.answers) else replace(event, answers=answers)


def called(state: Situation, event: RollCallTaken, at: datetime, cluster: Cluster) -> Situation:
    """*state* with the answers to a roll call."""
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
    readdressed = {i: (d, since) for i, (d, since) in state.readdressed.items() if since > event.asked_at}
    gaps = {d: why for d, why in state.gaps.items() if event.answer(d) is None}
    missed = {k: said for k, said in state.missed.items() if said.at > event.asked_at or event.answer(k[0]) is None}
    restored = {**state.restored, **_put_back(state, event)}
    back = {**restored, **dict.fromkeys(state.removed.keys() - removed.keys(), event.asked_at)}
    held = replace(
        held,
        claims=_faults_looked_at(state, event),
        returned=_returned(state, event, removed),
        removed=removed,
        restored=restored,
        quorumless=_quorumless(state, event, removed, back),
        readdressed=readdressed,
        gaps=gaps,
        missed=missed,
    )
    return _rumours_settled(held, event, at)


def _faults_looked_at(state: Situation, event: RollCallTaken) -> Mapping[tuple[str, str], Claim]:
    """The claims, with which keepalived it is that says FAULT: the word of one that was started anew is void."""
    found = {
        key: replace(claim, found=keepalived)
        for key, claim in state.claims.items()
        if claim.state is VrrpState.FAULT and claim.found is None and claim.at <= event.asked_at
        if (answer := event.answer(key[0])) is not None and (keepalived := keepalived_of(answer)) is not None
    }
    return {**state.claims, **found} if found else state.claims


def _returned(
    state: Situation, event: RollCallTaken, removed: Mapping[tuple[str, str, str], datetime]
) -> Mapping[tuple[str, str, str], datetime]:
    """What is back in a table without a word, where keepalived was not started anew: then it has no need to say so."""
    found = {**dict.fromkeys(state.removed.keys() - removed.keys(), event.asked_at), **state.returned}
    return {
        key: since
        for key, since in found.items()
        if (answer := event.answer(key[0])) is None
        or (in_table(answer, key[1], key[2]) is not False and not gone(answer) and not _started_anew(state, answer))
    }


def _started_anew(state: Situation, answer: RollCallAnswer) -> bool:
    """Whether keepalived, or its health checker, is another one than when the director was asked before."""
    known = state.answers.get(answer.director)
    before = filled(known) if known is not None else None
    if before is None:
        return False
    if before.boot is not None and answer.boot is not None and before.boot != answer.boot:
        return True
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
        if answer.answered and in_table(answer, key[1], key[2]) is False:
            state = believed(state, key, up=False, at=at)
        state = replace(state, rumoured={k: v for k, v in state.rumoured.items() if k != key})
    return state


def holding(state: Situation, instance: VrrpInstance, asked_at: datetime) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who held an address of *instance* at *asked_at*, and who has not been heard of since: it may hold it, too.

    An answer counts if it was asked for about then, and after the last word that anybody said of the instance: when
    that was said, however much later it was heard.
    """
    words = [
        min(claim.at, by_our_clock(state, director, claim.said_at))
        for (director, name), claim in state.claims.items()
        if name == instance.name and not claim.observed and not is_late(state, director, claim)
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
        was_away = known is not None and not known.answer.answered
        back_since = event.asked_at if was_away else known.back_since if known is not None else None
        return Answer(answer=answer, at=at, asked_at=event.asked_at, before=before, back_since=back_since)
    since = known.silent_since if known is not None and known.silent_since is not None else event.asked_at
    tries = 1 + (known.tries if known is not None else 0)
    return Answer(answer=answer, at=at, asked_at=event.asked_at, before=before, silent_since=since, tries=tries)


def _is_another(state: Situation, answer: RollCallAnswer | None) -> bool:
    """Whether the keepalived that said something is gone, or another one by now. No answer tells nothing of it."""
    return answer is not None and answer.answered and (gone(answer) or _started_anew(state, answer))


def _quorumless(
    state: Situation,
    event: RollCallTaken,
    removed: Mapping[tuple[str, str, str], datetime],
    back: Mapping[tuple[str, str, str], datetime],
) -> Mapping[tuple[str, str], datetime]:
    """The quorums that are lost still, by what is out of the tables now, and by when what was out came *back*."""
    return {
        (director, service): since
        for (director, service), since in state.quorumless.items()
        if since > event.asked_at
        or not (
            _is_another(state, event.answer(director))
            or (
                _serves(event.answer(director), service, removed)
                and any(key[:2] == (director, service) and at >= since for key, at in back.items())
            )
        )
    }


def _serves(answer: RollCallAnswer | None, service: str, removed: Mapping[tuple[str, str, str], datetime]) -> bool:
    """Whether the director has *service* with real servers that take clients, and with none of them out.

    One that is still out may be one too many: how many the quorum takes, keepalived alone knows.
    """
    if answer is None or not answer.answered or any(key[:2] == (answer.director, service) for key in removed):
        return False
    return in_table(answer, service, "") is True


def _void(answer: RollCallAnswer | None, service: str, server: str) -> bool:
    """Whether the answer voids what keepalived there said: the server is in the table again, or keepalived is gone."""
    if answer is None or not answer.answered:
        return False
    return gone(answer) or any((s, r) == (service, server) and weight > 0 for s, r, weight in answer.weights or ())
