"""Hands: who may acknowledge and mute what, what is said otherwise, and that a redelivery has no second effect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from bot.domain.commands import Command, Misspelt, parse
from bot.domain.events import (
    Actor,
    HealthChanged,
    IncidentAcknowledged,
    IncidentExported,
    MuteCleared,
    MuteSet,
    OperationDenied,
    RollCallTaken,
    Sense,
    SenseChanged,
    Via,
)
from bot.domain.fleet import Fleet, NotFound
from bot.domain.health import Outcome
from bot.domain.policy import Roles
from bot.flows.chronicle import Chronicle
from bot.flows.hands import Draft, Hands, MuteSaid
from bot.flows.operating import Answer, Request
from bot.flows.ports import Entry
from bot.views.incident_list import Shown
from bot.views.mutes import mute_cleared_message
from tests.domain.reference import NOON, SITE, answer
from tests.fakes.journal import MemoryJournal

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
CAROL = Actor(id="U0CAROL", name="carol", via=Via.SLACK)
BOB = Actor(id="U0BOB", name="bob", via=Via.SLACK)
WEST = replace(SITE, name="west")
FLEET = Fleet(clusters=(SITE, WEST))


@dataclass
class Clock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


async def roles() -> Roles:
    return Roles(operators=frozenset({"U0ALICE", "U0CAROL"}), terminal=frozenset())


class Desk:
    """Somebody's hands, over a journal and a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.journal = MemoryJournal(clock=self.clock)
        self.chronicle = Chronicle(self.journal, FLEET)
        self.hands = Hands(self.chronicle, self.clock, roles)

    async def web1(self, outcome: Outcome, cluster: str = "site") -> None:
        """web1 goes down or comes back, by the bot's own probes."""
        changed = HealthChanged(
            cluster=cluster, service="http", real_server="web1", outcome=outcome, reason="refused", since=self.clock.at
        )
        call = RollCallTaken(
            cluster=cluster,
            reason="test",
            asked_at=self.clock.at,
            answers=(answer("sv1", holds=True), answer("sv2")),
        )
        await self.chronicle.append(Entry(event=changed), Entry(event=call))

    async def down(self, cluster: str = "site") -> int:
        await self.web1(Outcome.UNHEALTHY, cluster)
        return self.chronicle.world.incidents[cluster].open[-1].id

    async def events(self, kind: type) -> list[object]:
        return [r.event for r in await self.journal.read() if isinstance(r.event, kind)]


def asks(text: str, by: Actor = ALICE, request_id: str = "r1") -> Request:
    command = parse(text)
    assert isinstance(command, Command), command
    return Request(command=command, by=by, request_id=request_id)


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- looking --------------------------------------------------------------------------------------------------------


async def test_what_is_open_is_listed_and_what_was_over_within_a_day_on_request(desk: Desk) -> None:
    await desk.down()
    await desk.down("west")
    desk.clock.at += timedelta(minutes=5)
    await desk.web1(Outcome.HEALTHY)
    listed = desk.hands.incidents(None, None)
    assert not isinstance(listed, NotFound)
    assert [(s.incident.cluster, s.state) for s in listed] == [("west", "open")]
    of_a_day = desk.hands.incidents("24h", None)
    assert not isinstance(of_a_day, NotFound)
    assert {(s.incident.cluster, s.state) for s in of_a_day} == {("west", "open"), ("site", "over")}
    of_site = desk.hands.incidents("24h", "SITE")
    assert not isinstance(of_site, NotFound)
    assert [s.incident.cluster for s in of_site] == ["site"]
    desk.clock.at += timedelta(hours=25)
    assert len(desk.hands.incidents("24h", None)) == 1  # type: ignore[arg-type]


async def test_a_cluster_that_is_not_there_is_answered_with_one_that_is(desk: Desk) -> None:
    found = desk.hands.incidents(None, "wset")
    assert isinstance(found, NotFound)
    assert found.suggestions[0] == "west"


async def test_an_incident_is_found_by_its_number_and_by_its_cluster_s(desk: Desk) -> None:
    number = await desk.down()
    for name in (str(number), f"site/{number}", f"SITE/{number}", f"0{number}"):
        found = desk.hands.incident(name)
        assert isinstance(found, Shown), name
        assert found.incident.subject == "web1"
    unknown = desk.hands.incident("999")
    assert isinstance(unknown, Answer)
    assert unknown.instead == "incidents 24h"
    elsewhere = desk.hands.incident(f"nowhere/{number}")
    assert isinstance(elsewhere, Answer)
    assert "it has site and west" in elsewhere.text


async def test_a_number_that_two_clusters_have_is_asked_about(desk: Desk) -> None:
    number = await desk.down()
    incidents = desk.chronicle.world.incidents
    incidents["west"] = replace(incidents["site"], all=tuple(replace(i, cluster="west") for i in incidents["site"].all))
    found = desk.hands.incident(str(number))
    assert isinstance(found, Answer)
    assert f"site/{number} and west/{number}" in found.text
    assert found.instead == f"incident site/{number}"


# --- acknowledging --------------------------------------------------------------------------------------------------


async def test_an_operator_acknowledges_an_open_incident_once(desk: Desk) -> None:
    number = await desk.down()
    done = await desk.hands.acknowledge(asks(f"ack {number}"))
    assert isinstance(done, Shown)
    assert done.incident.acknowledged_by == ALICE
    assert done.state == "acked"
    again = await desk.hands.acknowledge(asks(f"ack {number}", CAROL, "r2"))
    assert isinstance(again, Answer)
    assert again.text == f"alice acknowledged incident {number} already at 12:00:00 UTC."
    assert not again.refused
    assert len(await desk.events(IncidentAcknowledged)) == 1


async def test_an_acknowledgement_that_is_delivered_twice_is_recorded_once(desk: Desk) -> None:
    number = await desk.down()
    for _ in range(2):
        await desk.hands.acknowledge(asks(f"ack {number}"))
    assert len(await desk.events(IncidentAcknowledged)) == 1


async def test_who_may_only_look_is_refused_and_that_is_journalled(desk: Desk) -> None:
    number = await desk.down()
    for text in (f"ack {number}", "mute web1 1h", "maintenance sv2 1h why not", "unmute web1"):
        for _ in range(2):
            refused = await {
                "ack": desk.hands.acknowledge, "unmute": desk.hands.unmute
            }.get(text.split()[0], desk.hands.mute)(asks(text, BOB, text))  # fmt: skip
            assert isinstance(refused, Answer)
            assert "bob is not an operator here" in refused.text
    denied = await desk.events(OperationDenied)
    assert [(d.request, d.by) for d in denied if isinstance(d, OperationDenied)] == [
        (f"ack {number}", BOB),
        ("mute web1 1h", BOB),
        ("maintenance sv2 1h why not", BOB),
        ("unmute web1", BOB),
    ]
    assert not await desk.events(IncidentAcknowledged)
    assert not await desk.events(MuteSet)


async def test_what_is_over_needs_nobody_any_more(desk: Desk) -> None:
    number = await desk.down()
    desk.clock.at += timedelta(minutes=1)
    await desk.web1(Outcome.HEALTHY)
    done = await desk.hands.acknowledge(asks(f"ack {number}"))
    assert isinstance(done, Answer)
    assert done.text == f"Incident {number} is over since 12:01:00 UTC: there is nothing left to do."
    incident = desk.chronicle.world.incidents["site"].all[-1]
    muted = await desk.hands.mute_incident(incident, asks("mute web1 1h", request_id="r2"))
    assert isinstance(muted, Answer)
    assert not await desk.events(IncidentAcknowledged)
    assert not await desk.events(MuteSet)


async def test_an_unknown_number_is_not_acknowledged(desk: Desk) -> None:
    done = await desk.hands.acknowledge(asks("ack 42"))
    assert isinstance(done, Answer)
    assert "no incident 42" in done.text


# --- muting ---------------------------------------------------------------------------------------------------------


async def test_a_mute_holds_until_its_time_is_over(desk: Desk) -> None:
    number = await desk.down()
    done = await desk.hands.mute(asks("mute site/web1 1h new disks"))
    assert isinstance(done, MuteSaid)
    assert (done.mute.subject, done.mute.reason, done.mute.by) == ("web1", "new disks", ALICE)
    assert done.mute.until == NOON + timedelta(hours=1)
    assert not done.mute.maintenance
    shown = desk.hands.incident(f"site/{number}")
    assert isinstance(shown, Shown)
    assert shown.state == "muted"
    desk.clock.at += timedelta(hours=1)
    assert desk.hands.mutes() == ()
    shown = desk.hands.incident(f"site/{number}")
    assert isinstance(shown, Shown)
    assert shown.state == "open"


async def test_a_second_mute_takes_the_place_of_the_first_and_says_so(desk: Desk) -> None:
    await desk.hands.mute(asks("mute site/sv2 1h"))
    done = await desk.hands.mute(asks("maintenance site/sv2 2h", CAROL, "r2"))
    assert isinstance(done, MuteSaid)
    assert done.before is not None
    assert done.before.by == ALICE
    assert [(m.subject, m.maintenance, m.by) for m in desk.hands.mutes()] == [("sv2", True, CAROL)]


async def test_a_mute_that_is_delivered_twice_is_recorded_once(desk: Desk) -> None:
    first = await desk.hands.mute(asks("mute site/web1 1h"))
    desk.clock.at += timedelta(seconds=3)
    assert isinstance(first, MuteSaid)
    assert await desk.hands.mute(asks("mute site/web1 1h")) is None
    assert [m.until for m in desk.hands.mutes()] == [NOON + timedelta(hours=1)]


@pytest.mark.parametrize("name", ["site", "site/sv1", "site/VI_1", "site/http", "site/web2"])
async def test_everything_in_the_fleet_can_be_muted(desk: Desk, name: str) -> None:
    done = await desk.hands.mute(asks(f"mute {name} 15m"))
    assert isinstance(done, MuteSaid)
    assert done.mute.subject == name.split("/")[-1]


@pytest.mark.parametrize(
    ("text", "problem", "instead"),
    [
        ("mute west/wbe1 1h new disks", "There is nothing called west/wbe1", "mute west/web1 1h new disks"),
        ("mute web1 1h", "web1 means more than one thing: site/web1 and west/web1.", "mute site/web1 1h"),
        ("maintenance xyzzy 1h", "There is nothing called xyzzy in the fleet file.", "status"),
        ("unmute xyzzy", "There is nothing called xyzzy in the fleet file.", "status"),
        ("unmute site/web1", "web1 is not muted.", ""),
    ],
)
async def test_a_name_that_cannot_be_meant_gets_a_suggestion(desk: Desk, text: str, problem: str, instead: str) -> None:
    request = asks(text)
    done = await (desk.hands.unmute(request) if text.startswith("unmute") else desk.hands.mute(request))
    assert isinstance(done, Answer)
    assert problem in done.text
    assert done.instead == instead
    assert not isinstance(parse(done.instead), Misspelt)
    assert not await desk.events(MuteSet)


async def test_a_mute_is_ended_by_either_of_its_names_and_once(desk: Desk) -> None:
    await desk.hands.mute(asks("mute site/web1 1h"))
    await desk.hands.mute(asks("mute west/web1 1h", request_id="r2"))
    ambiguous = await desk.hands.unmute(asks("unmute web1", request_id="r3"))
    assert isinstance(ambiguous, Answer)
    assert ambiguous.instead == "unmute site/web1"
    done = await desk.hands.unmute(asks("unmute site/web1", request_id="r4"))
    assert isinstance(done, MuteSaid)
    assert [m.cluster for m in desk.hands.mutes()] == ["west"]
    bare = await desk.hands.unmute(asks("unmute WEB1", request_id="r5"))
    assert isinstance(bare, MuteSaid)
    assert len(await desk.events(MuteCleared)) == 2


async def test_what_the_bot_itself_lost_is_muted_and_unmuted_in_one_word(desk: Desk) -> None:
    lost = SenseChanged(cluster="site", sense=Sense.SCHEDULE, lost=True, since=NOON)
    await desk.chronicle.append(Entry(event=lost))
    incident = desk.chronicle.world.incidents["site"].open[-1]
    done = await desk.hands.mute_incident(incident, asks("mute anything 1h"))
    assert isinstance(done, MuteSaid)
    assert done.mute.subject == "probe schedule"
    ended = await desk.hands.unmute(asks("unmute probe-schedule", request_id="r2"))
    assert isinstance(ended, MuteSaid)
    assert desk.hands.mutes() == ()


async def test_what_only_its_cluster_mutes_is_said_to_be(desk: Desk) -> None:
    await desk.hands.mute(asks("mute site 1h"))
    done = await desk.hands.unmute(asks("unmute site/web1", request_id="r2"))
    assert isinstance(done, Answer)
    assert (done.text, done.instead) == ("web1 is not muted itself, but all of site is.", "unmute site")


async def test_the_button_mutes_what_the_incident_is_about(desk: Desk) -> None:
    await desk.down()
    incident = desk.chronicle.world.incidents["site"].open[-1]
    done = await desk.hands.mute_incident(incident, asks("mute anything 1h"))
    assert isinstance(done, MuteSaid)
    assert (done.mute.cluster, done.mute.subject) == ("site", "web1")


# --- exporting ------------------------------------------------------------------------------------------------------


async def test_what_is_over_is_exported_once_for_each_asking(desk: Desk) -> None:
    number = await desk.down()
    early = await desk.hands.export(asks(f"export {number}"))
    assert isinstance(early, Answer)
    assert "is not over yet" in early.text
    await desk.hands.acknowledge(asks(f"ack {number}"))
    await desk.hands.mute(asks("mute site/web1 1h new disks", request_id="r2"))
    desk.clock.at += timedelta(minutes=5)
    await desk.web1(Outcome.HEALTHY)
    refused = await desk.hands.export(asks(f"export {number}", BOB, "r3"))
    assert isinstance(refused, Answer)
    assert "bob is not an operator here" in refused.text
    draft = await desk.hands.export(asks(f"export {number}", CAROL, "r4"))
    assert isinstance(draft, Draft)
    assert draft.file_name == f"incident-site-{number}.md"
    assert "| alice | acknowledged it |" in draft.content
    assert "| alice | muted web1 until 13:00:00: new disks |" in draft.content
    assert "asked for by carol" in draft.content
    assert await desk.hands.export(asks(f"export {number}", CAROL, "r4")) is None
    assert await desk.events(IncidentExported) == [IncidentExported(cluster="site", incident=number, by=CAROL)]


async def test_what_began_anew_or_as_a_greater_story_can_be_taken_again() -> None:
    desk = Desk()
    number = await desk.down()
    desk.clock.at += timedelta(seconds=30)
    assert isinstance(await desk.hands.acknowledge(asks(f"ack site/{number}")), Shown)
    desk.clock.at += timedelta(seconds=30)
    await desk.web1(Outcome.HEALTHY)
    for service, server in (("http", None), ("http", "web1")):
        desk.clock.at += timedelta(seconds=20)
        event = HealthChanged(
            cluster="site",
            service=service,
            real_server=server,
            outcome=Outcome.UNHEALTHY,
            reason="refused",
            since=desk.clock.at,
        )
        await desk.chronicle.append(Entry(event=event))
    (incident,) = desk.chronicle.world.incidents["site"].open
    assert (incident.id, incident.acknowledged_by) == (number, None), "clients feel it now: that was not taken"
    again = await desk.hands.acknowledge(asks(f"ack site/{number}", by=CAROL, request_id="r9"))
    assert isinstance(again, Shown)
    assert again.incident.acknowledged_by == CAROL


async def test_who_takes_what_ends_just_then_is_told_so_and_can_take_it_when_it_begins_again() -> None:
    desk = Desk()
    number = await desk.down()
    desk.clock.at += timedelta(seconds=30)
    real = desk.journal.append

    async def just_before(*entries: Entry) -> object:
        desk.journal.append = real  # type: ignore[method-assign]
        await desk.web1(Outcome.HEALTHY)
        return await real(*entries)

    desk.journal.append = just_before  # type: ignore[method-assign,assignment]
    late = await desk.hands.acknowledge(asks(f"ack site/{number}"))
    assert isinstance(late, Answer)
    assert "is over since" in late.text
    desk.clock.at += timedelta(seconds=60)
    await desk.web1(Outcome.UNHEALTHY)
    again = await desk.hands.acknowledge(asks(f"ack site/{number}", request_id="r2"))
    assert isinstance(again, Shown)
    assert again.incident.acknowledged_by == ALICE


async def test_what_is_unmuted_itself_may_still_be_muted_with_its_cluster() -> None:
    desk = Desk()
    await desk.hands.mute(asks("mute site 1d", request_id="a"))
    await desk.hands.mute(asks("mute site/web1 2h", request_id="b"))
    done = await desk.hands.unmute(asks("unmute site/web1", request_id="c"))
    assert isinstance(done, MuteSaid)
    said = mute_cleared_message(done.mute, done.covering)
    assert said.text == "web1 is no longer muted itself, but all of site is muted until 03-02 12:00:00 UTC"
    assert "told again" not in str(said.blocks)
