"""What can explain what: the keys by which troubles of one cause find each other, whichever of them comes first.

A trouble *explains* some keys and *needs* others. It belongs to an incident when one of them explains what the other
needs. The keys do not depend on the order in which signals arrive, so that the stories do not either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bot.domain.events import VrrpState
from bot.domain.fleet import Cluster
from bot.domain.situation import Situation
from bot.domain.troubles import Matter, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The keys of one trouble."""

    explains: frozenset[str]
    needs: frozenset[str]

    def meet(self, explains: frozenset[str], needs: frozenset[str]) -> bool:
        """Whether a trouble with these belongs to an incident with *explains* and *needs*."""
        return bool(self.explains & needs or self.needs & explains)


def links(trouble: Trouble, situation: Situation, cluster: Cluster) -> Links:
    """The keys of *trouble*, by what is known now."""
    about = trouble.subject
    match trouble.matter:
        case Matter.ROLE | Matter.CONTEST | Matter.VACANCY | Matter.ADDRESS | Matter.VIP:
            explains, needs = _of_instance(trouble, situation, cluster)
        case Matter.SERVICE:
            explains, needs = {f"service:{about}"}, set(_service_needs(about, situation, cluster))
        case Matter.REAL_SERVER:
            explains, needs = {f"server:{about}"}, set(_server_needs(about, situation, cluster))
        case Matter.AGENT if situation.silent >= {d.name for d in cluster.directors}:
            # All of them at once: it is not the agents that are broken, it is the way to the bot.
            explains, needs = {f"agent:{about}", "webhook"}, {f"host:{about}", "webhook"}
        case Matter.DIFFERENCE:
            # What is missing from several services of one director is missing for one reason.
            explains = {f"difference:{trouble.of}"}
            needs = {f"service:{about}", *(f"{of}:{trouble.of}" for of in NEEDS[trouble.matter])}
        case Matter.WEIGHT:
            explains = needs = {f"weight:{trouble.of}"}
        case _:
            own = EXPLAINS.get(trouble.matter)
            explains = {f"{own}:{about}"} if own else set()
            needs = {f"{of}:{about}" for of in NEEDS.get(trouble.matter, ())}
    return Links(explains=frozenset(explains), needs=frozenset(needs))


# Of a director: what kind of key a trouble explains, and which kinds can explain it. ("unit" is keepalived's.)
EXPLAINS = {
    Matter.DIRECTOR: "host",
    Matter.PROCESS: "unit",
    Matter.UNIT: "unit",
    Matter.TABLE: "table",
    Matter.CHECKER: "checker",
    Matter.NAT: "nat",
    Matter.BLIND: "blind",
    Matter.AGENT: "agent",
}
NEEDS = {
    Matter.PROCESS: ("host", "unit"),
    Matter.UNIT: ("host", "unit"),
    Matter.TABLE: ("host", "unit"),
    Matter.CHECKER: ("host", "unit"),
    Matter.NAT: ("host", "unit"),
    Matter.BLIND: ("host",),
    Matter.AGENT: ("host",),
    Matter.STREAM: ("host", "unit", "agent", "blind"),
    Matter.DIFFERENCE: ("host", "unit", "table", "checker", "difference"),
}


def _of_instance(trouble: Trouble, situation: Situation, cluster: Cluster) -> tuple[set[str], set[str]]:
    instance = cluster.vrrp_instance(trouble.subject)
    role = f"role:{instance.name}"
    members = [director for director, _ in instance.priorities]
    if trouble.matter is not Matter.VIP:
        return {role}, {role, *(f"{what}:{d}" for d in members for what in ("host", "unit"))}
    # An address that does not answer is the effect of whatever befell the one who holds it, or its services.
    master = situation.masters.get(instance.name)
    services = [s for s in cluster.services if s.vrrp_instance == instance.name]
    servers = {m.real_server for s in services for m in s.members}
    of_master: tuple[str, ...] = ("host", "nat", "table", "checker") if master else ()
    if master and _by_its_unit(master, instance.name, situation):
        of_master = (*of_master, "unit")
    if master and any(situation.weightless(master, s.name) for s in services):
        of_master = (*of_master, "weight")
    return (
        {f"vip:{instance.name}"},
        {
            role,
            *(f"service:{s.name}" for s in services),
            *(f"server:{name}" for name in servers),
            *(f"{what}:{master}" for what in of_master),
        },
    )


def _service_needs(service_name: str, situation: Situation, cluster: Cluster) -> Iterator[str]:
    service = cluster.service(service_name)
    for member in service.members:
        yield f"server:{member.real_server}"
        host = cluster.real_server(member.real_server).host
        if host:
            yield f"host:{host}"
    master = situation.masters.get(service.vrrp_instance or "")
    if master:
        yield f"table:{master}"
        if _by_its_unit(master, service.vrrp_instance, situation):
            yield f"unit:{master}"
    if service.vrrp_instance:
        yield f"role:{service.vrrp_instance}"


def _server_needs(name: str, situation: Situation, cluster: Cluster) -> Iterator[str]:
    host = cluster.real_server(name).host
    if host:
        yield f"host:{host}"
    # A health checker that has stopped leaves it in the table: then clients feel what they should not have felt.
    for service in cluster.services_of(name):
        master = situation.masters.get(service.vrrp_instance or "")
        if master:
            yield f"checker:{master}"
    if situation.failing_probes(name):
        return
    # Only keepalived says so: then what is wrong with the keepalived that says it may be all that is wrong.
    for director in situation.complaining(name):
        taken_out = {s.vrrp_instance for s in cluster.services if (director, s.name, name) in situation.removed}
        if any(_by_its_unit(director, instance, situation) for instance in taken_out):
            yield f"unit:{director}"
        yield f"host:{director}"
        yield f"checker:{director}"


def _by_its_unit(director: str, instance: str | None, situation: Situation) -> bool:
    """Whether what is wrong with keepalived on *director* can explain what befalls what *instance* carries.

    It cannot where all of that is the FAULT of another instance: that one may be on another interface.
    """
    faulty = {i for (d, i), claim in situation.claims.items() if d == director and claim.state is VrrpState.FAULT}
    if not faulty or instance in faulty:
        return True
    return any(Trouble(matter=m, subject=director) in situation.found for m in (Matter.UNIT, Matter.PROCESS))
