"""A director's IPVS table against the fleet file, the drains and the other director's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bot.domain.doctor.finding import Finding, Judgement, Look, runs, unread, weight_of
from bot.domain.events import RollCallAnswer
from bot.domain.fleet import PoolMember, VirtualService
from bot.domain.wording import listed


def table(look: Look, answer: RollCallAnswer) -> Iterator[Finding]:
    """The table of one director."""
    name = answer.director
    if not look.cluster.services:
        return
    if answer.weights is None:
        yield unread(name, "IPVS table", f"Run `sudo -n ipvsadm -Ln` on {name} as the bot's user.")
        return
    yield _services(look, answer)
    yield from _weights(look, answer)
    names = {s.name for s in look.cluster.services}
    for service, where, weight in answer.strangers:
        if service in names:
            yield Finding(
                about=name,
                looked_at=f"pool of {service}",
                judgement=Judgement.WARNING,
                found=f"{where} stands in it (weight {weight}), and no pool of the fleet file has it",
                then="It is a sorry server, or was added by hand: take it out, or put it into the fleet file.",
            )


def _services(look: Look, answer: RollCallAnswer) -> Finding:
    name = answer.director
    if answer.services is None:
        return unread(name, "virtual services", f"Run `sudo -n ipvsadm -Ln` on {name} as the bot's user.")
    before = look.earlier.get(name)
    seen = {*answer.services, *((before.services or ()) if before else ())}
    missing = [s.name for s in look.cluster.services if s.name not in seen]
    if not missing:
        found = f"all {len(look.cluster.services)} are in the IPVS table"
        return Finding(about=name, looked_at="virtual services", judgement=Judgement.OK, found=found)
    return Finding(
        about=name,
        looked_at="virtual services",
        judgement=Judgement.BAD,
        found=f"the IPVS table lacks {listed(missing)}, and keepalived runs",
        then=f"Restart keepalived on {name}: a reload does not put back what was removed by hand.",
    )


def _weights(look: Look, answer: RollCallAnswer) -> Iterator[Finding]:
    name = answer.director
    there = {*(answer.services or ()), *(s for s, _, _ in answer.weights or ())}
    counted = 0
    for service in look.cluster.services:
        if service.name not in there:
            continue  # told already
        for member in service.members:
            found = _weight(look, name, service, member)
            if found is None:
                counted += 1
            else:
                yield found
    if counted:
        words = f"{counted} as the fleet file and the drains say"
        yield Finding(about=name, looked_at="weights", judgement=Judgement.OK, found=words)


def _weight(look: Look, name: str, service: VirtualService, member: PoolMember) -> Finding | None:
    """What is wrong with the weight of *member* in *service*; None for nothing."""
    server, cluster = member.real_server, look.cluster.name
    weight = weight_of(look.answers[name], service.name, server)
    override = look.known.operations.override(cluster, server)
    if weight is None:
        return _absent(look, name, service, server)
    if look.known.operations.busy_with(cluster, server):
        return None  # an operation is changing it right now: it is neither here nor there
    if override is not None and weight > 0:
        return Finding(
            about=name,
            looked_at=f"{server} in {service.name}",
            judgement=Judgement.BAD,
            found=f"it is drained by {override.by.name} and has weight {weight} all the same",
            then=f"The bot takes it back to 0 when it sees this: ask again, then drain {server} once more.",
        )
    if override is not None or weight == member.weight:
        return None
    if weight == 0 and look.known.operations.owes(cluster, name, service.name, server):
        return Finding(
            about=name,
            looked_at=f"{server} in {service.name}",
            judgement=Judgement.WARNING,
            found=f"it has weight 0, and was restored while {name} did not answer",
            then=f"The bot gives it its weight once {server} is well: ask again, then restore it once more.",
        )
    return Finding(
        about=name,
        looked_at=f"{server} in {service.name}",
        judgement=Judgement.WARNING,
        found=f"it has weight {weight}, and the fleet file says {member.weight}",
        then=f"Find out who set it on {name}; set it back, or put it into the fleet file.",
    )


def _absent(look: Look, name: str, service: VirtualService, server: str) -> Finding | None:
    before = look.earlier.get(name)
    if before is not None and weight_of(before, service.name, server) is not None:
        return None  # it was there a moment ago: the table is being built anew
    host = look.cluster.real_server(server).host
    inside = look.answers.get(host or "")
    if inside is not None and not inside.answered:
        words, then = f"keepalived took it out: it lives inside {host}, which does not answer", f"Bring {host} back."
        return Finding(
            about=name, looked_at=f"{server} in {service.name}", judgement=Judgement.WARNING, found=words, then=then
        )
    situation = look.known.situation
    down = (name, service.name, server) in situation.removed or situation.healthy(service.name, server) is False
    if down:
        judged, words = Judgement.WARNING, "keepalived took it out: its check fails"
        then = f"Look at {server}: does it answer for {service.name}?"
    else:
        judged, words = Judgement.BAD, "it is missing, and nothing says it is down"
        then = f"Compare keepalived.conf there with `python -m bot render {name}`, then restart keepalived on {name}."
    return Finding(about=name, looked_at=f"{server} in {service.name}", judgement=judged, found=words, then=then)


def differences(look: Look) -> Iterator[Finding]:
    """Where the directors' tables differ from each other: a look at each of them alone has said why already."""
    tables = {
        name: {(s, r): w for s, r, w in a.weights}
        for name, a in look.answers.items()
        if a.answered and runs(a) and a.weights is not None
    }
    if len(tables) < 2:
        return
    places = [
        words
        for service in look.cluster.services
        for member in service.members
        if (words := _difference(look, tables, service.name, member.real_server))
    ]
    if not places:
        found = f"the tables of {listed(tables)} agree"
        yield Finding(about=look.cluster.name, looked_at="differences", judgement=Judgement.OK, found=found)
        return
    yield Finding(
        about=look.cluster.name,
        looked_at="differences",
        judgement=Judgement.WARNING,
        found=f"the directors differ: {'; '.join(places)}",
        then="Whoever takes over serves clients otherwise: make the one like the other.",
    )


def _difference(look: Look, tables: Mapping[str, Mapping[tuple[str, str], int]], service: str, server: str) -> str:
    """How the directors differ about *server* in *service*, in words; a service that one lacks is told already."""
    shown = {
        name: weights.get((service, server))
        for name, weights in tables.items()
        if service in {*(look.answers[name].services or ()), *(s for s, _ in weights)}
    }
    if len(set(shown.values())) < 2 or _settles(look, tables, (service, server)):
        return ""
    words = ", ".join(f"{'absent' if w is None else w} on {name}" for name, w in shown.items())
    return f"{server} in {service} ({words})"


def _settles(look: Look, tables: Mapping[str, object], key: tuple[str, str]) -> bool:
    """Whether a moment ago the directors agreed about *key*, or an operation is changing it right now."""
    if look.known.operations.busy_with(look.cluster.name, key[1]):
        return True
    before = [look.earlier.get(name) for name in tables]
    if any(a is None or a.weights is None for a in before):
        return False
    return len({weight_of(a, *key) for a in before if a is not None}) == 1
