"""Plans: the exact steps on every director, and the refusals that keep a service alive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.events import OperationKind
from bot.domain.fleet import VirtualService
from bot.domain.observed import IpvsDestination, IpvsService, IpvsTable, key_of
from bot.domain.plans import NothingToDo, Plan, Refusal, View, plan_drain, plan_restore, still_holds

from .reference import SITE

WEB1, WEB2 = SITE.real_server("web1"), SITE.real_server("web2")


def argv(service: VirtualService, found: IpvsDestination, weight: int) -> tuple[str, ...]:
    return ("set", service.name, str(found.address), str(weight))


def table(web1: int | None = 1, web2: int | None = 1, active: int = 0) -> IpvsTable:
    services = []
    for service in SITE.services:
        destinations = tuple(
            IpvsDestination(
                address=server.address,
                port=service.port or 0,
                forwarding=service.forwarding,
                weight=weight,
                active=active,
            )
            for server, weight in ((WEB1, web1), (WEB2, web2))
            if weight is not None
        )
        services.append(IpvsService(key=key_of(service), scheduler="rr", destinations=destinations))
    return IpvsTable(services=tuple(services))


def views(one: IpvsTable | None, two: IpvsTable | None) -> tuple[View, ...]:
    return tuple(
        View(director=name, table=found, error=None if found else "no answer")
        for name, found in (("sv1", one), ("sv2", two))
    )


def healthy(_service: str, _server: str) -> bool | None:
    return True


def test_a_drain_sets_weight_0_in_every_service_on_every_director_backup_included() -> None:
    plan = plan_drain(SITE, WEB1, views(table(active=3), table()), healthy, argv)
    assert isinstance(plan, Plan)
    assert [(s.number, s.director, s.service, s.before, s.after) for s in plan.steps] == [
        (1, "sv1", "http", 1, 0),
        (2, "sv1", "dns-udp", 1, 0),
        (3, "sv2", "http", 1, 0),
        (4, "sv2", "dns-udp", 1, 0),
    ]
    assert plan.steps[0].argv == ("set", "http", "10.100.0.11", "0")
    assert sum(step.active for step in plan.steps) == 6


@pytest.mark.parametrize("other", [None, 0])
def test_the_last_real_server_is_not_drained_unless_forced(other: int | None) -> None:
    seen = views(table(web2=other), table(web2=other))
    refusal = plan_drain(SITE, WEB1, seen, healthy, argv)
    assert isinstance(refusal, Refusal)
    assert "last healthy real server of http, dns-udp" in refusal.reason
    assert refusal.instead == "drain web1 --force"
    forced = plan_drain(SITE, WEB1, seen, healthy, argv, forced=True)
    assert isinstance(forced, Plan)
    assert forced.warnings


def test_a_real_server_that_probes_find_unhealthy_is_not_counted_on() -> None:
    refusal = plan_drain(SITE, WEB1, views(table(), table()), lambda _s, server: server != "web2", argv)
    assert isinstance(refusal, Refusal)


def test_a_pool_that_would_be_empty_on_the_backup_alone_is_refused_too() -> None:
    assert isinstance(plan_drain(SITE, WEB1, views(table(), table(web2=0)), healthy, argv), Refusal)


def test_a_director_that_does_not_answer_refuses_the_drain_and_force_says_what_that_means() -> None:
    refusal = plan_drain(SITE, WEB1, views(table(), None), healthy, argv)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == (
        "Not every director answers (sv2: no answer). A change on sv1 alone would be lost at a failover. With --force "
        "it is made there now, and on sv2 as soon as it answers."
    )
    assert refusal.instead == "drain web1 --force"
    forced = plan_drain(SITE, WEB1, views(table(), None), healthy, argv, forced=True)
    assert isinstance(forced, Plan)
    assert {s.director for s in forced.steps} == {"sv1"}
    assert forced.warnings == ("sv2 cannot be reached (no answer): it is set to 0 there when it answers again.",)


def test_no_director_at_all_cannot_be_forced() -> None:
    for refusal in (
        plan_drain(SITE, WEB1, views(None, None), healthy, argv, forced=True),
        plan_restore(SITE, WEB1, views(None, None), {}, argv, forced=True),
    ):
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.instead) == (
            "No director answers (sv1: no answer; sv2: no answer): nothing can be changed.",
            "status",
        )


def test_what_is_drained_already_needs_nothing() -> None:
    assert isinstance(plan_drain(SITE, WEB1, views(table(web1=0), table(web1=0)), healthy, argv), NothingToDo)


def test_a_server_in_no_table_is_refused_and_not_called_drained() -> None:
    refusal = plan_drain(SITE, WEB1, views(table(web1=None), table(web1=None)), healthy, argv)
    assert isinstance(refusal, Refusal)
    assert "in no director's table" in refusal.reason


def test_a_half_done_drain_is_completed() -> None:
    plan = plan_drain(SITE, WEB1, views(table(web1=0), table()), healthy, argv)
    assert isinstance(plan, Plan)
    assert {s.director for s in plan.steps} == {"sv2"}


def test_a_restore_returns_the_recorded_weights_and_else_the_configured_ones() -> None:
    recorded = {("sv1", "http"): 7, ("sv2", "http"): 0}
    plan = plan_restore(SITE, WEB1, views(table(web1=0), table(web1=0)), recorded, argv)
    assert isinstance(plan, Plan)
    assert plan.kind is OperationKind.RESTORE
    assert [s.after for s in plan.steps] == [7, 1, 1, 1]
    assert (plan.warnings, plan.owed) == ((), ())


def test_a_restore_past_a_director_that_does_not_answer_is_refused_and_forced_owes_it_the_weights() -> None:
    seen, recorded = views(None, table(web1=0)), {("sv1", "http"): 7}
    refusal = plan_restore(SITE, WEB1, seen, recorded, argv, drained=True)
    assert isinstance(refusal, Refusal)
    assert "sv1: no answer" in refusal.reason
    assert refusal.instead == "restore web1 --force"
    plan = plan_restore(SITE, WEB1, seen, recorded, argv, drained=True, forced=True)
    assert isinstance(plan, Plan)
    assert [(s.director, s.after) for s in plan.steps] == [("sv2", 1), ("sv2", 1)]
    assert plan.owed == (("sv1", "http", 7), ("sv1", "dns-udp", 1))
    assert plan.warnings == ("sv1 cannot be reached (no answer): it gets its weight there when it answers again.",)


def test_a_forced_restore_ends_a_drain_also_where_nothing_has_to_run() -> None:
    plan = plan_restore(SITE, WEB1, views(None, table()), {}, argv, drained=True, forced=True)
    assert isinstance(plan, Plan)
    assert plan.steps == ()
    assert [w.split(":")[0] for w in plan.warnings] == [
        "keepalived has given web1 its weight back already",
        "sv1 cannot be reached (no answer)",
    ]
    assert plan.owed == (("sv1", "http", 1), ("sv1", "dns-udp", 1))
    nothing = plan_restore(SITE, WEB1, views(None, table()), {}, argv, forced=True)
    assert nothing == NothingToDo(reason="web1 has its weight on every director that answers already.")


def test_a_configured_weight_of_0_is_owed_to_nobody() -> None:
    members = tuple(replace(m, weight=0) for m in SITE.services[0].members)
    site = replace(SITE, services=(replace(SITE.services[0], members=members), *SITE.services[1:]))
    plan = plan_restore(site, WEB1, views(None, table(web1=0)), {}, argv, forced=True)
    assert isinstance(plan, Plan)
    assert plan.owed == (("sv1", "dns-udp", 1),)


def test_what_was_shown_still_holds_when_less_is_needed_but_not_when_more_is() -> None:
    full = plan_drain(SITE, WEB1, views(table(), table()), healthy, argv)
    half = plan_drain(SITE, WEB1, views(table(web1=0), table(active=9)), healthy, argv)
    assert isinstance(full, Plan)
    assert isinstance(half, Plan)
    assert still_holds(full.steps, half.steps)
    assert not still_holds(half.steps, full.steps)
