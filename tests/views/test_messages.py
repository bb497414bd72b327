"""No view ever makes a message that Slack refuses, and none lets another's words become Slack's markup."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.commands import GRAMMAR, Misspelt, Verb, parse
from bot.domain.doctor import Examination, Finding, Judgement
from bot.domain.events import Actor, OperationKind, Step, Verdict, Via
from bot.domain.fleet import Cluster, Director, Forwarding, PoolMember, Protocol, RealServer, VirtualService
from bot.domain.incidents import Incident, Kind, Matter, Note, Trouble
from bot.domain.mutes import Mute
from bot.domain.observed import IpvsDestination, IpvsService, IpvsTable, Observed, key_of
from bot.domain.operations import Operation, Override, Phase
from bot.domain.situation import Situation
from bot.domain.status import Status, status_of
from bot.views.doctor import doctor_json, doctor_lines, doctor_message
from bot.views.help import help_message, misspelt_message
from bot.views.incident import incident_message, resolution_message
from bot.views.incident_actions import incident_actions
from bot.views.incident_list import (
    Shown,
    incident_json,
    incident_list_json,
    incident_list_lines,
    incident_list_message,
    incident_story_lines,
    incident_story_message,
)
from bot.views.message import SlackMessage
from bot.views.mutes import mute_cleared_message, mute_set_message, mutes_json, mutes_lines, mutes_message
from bot.views.operation import operation_message
from bot.views.status import status_json, status_lines, status_message
from bot.views.words import escape
from tests.views import strange
from tests.views.slack import assert_slack_takes, buttons, shown

QUICK = settings(max_examples=60, deadline=None)


@QUICK
@given(strange.incidents())
def test_slack_takes_every_incident(incident: Incident) -> None:
    assert_slack_takes(incident_message(incident))


@QUICK
@given(strange.incidents(), strange.times)
def test_slack_takes_the_story_of_every_incident(incident: Incident, at: object) -> None:
    assert_slack_takes(resolution_message(replace(incident, resolved_at=incident.opened_at + timedelta(hours=1))))


def long_night(notes: int) -> Incident:
    timeline = tuple(
        Note(at=strange.NOON + timedelta(seconds=n), text=f"note {n} of what is said in some sixty characters here")
        for n in range(notes)
    )
    return Incident(
        id=123456, kind=Kind.REAL_SERVER_DOWN, cluster="site", subject="web1", opened_at=strange.NOON,
        hold_until=strange.NOON, timeline=timeline, evidence=("http: no answer within 0.9 s",),
    )  # fmt: skip


def test_of_a_long_timeline_slack_is_shown_both_ends_and_how_much_is_left_out() -> None:
    incident = long_night(200)
    for message in (
        incident_story_message(Shown(incident=incident), strange.NOON),
        resolution_message(replace(incident, resolved_at=strange.NOON)),
    ):
        assert_slack_takes(message)
        told = shown(message)
        assert all(f"note {n} " in told for n in (0, 1, 198, 199))
        (left_out,) = re.findall(r"… (\d+) lines are left out here …", told)
        assert told.count(" note ") == 200 - int(left_out)
    assert "Mute 1 h" in buttons(incident_story_message(Shown(incident=incident), strange.NOON))
    assert "left out" not in shown(incident_story_message(Shown(incident=long_night(50)), strange.NOON))


def test_of_a_long_list_slack_is_shown_the_newest_and_how_many_are_older() -> None:
    many = [Shown(incident=replace(long_night(0), id=n)) for n in range(1000, 1200)]
    message = incident_list_message(many, strange.NOON, of_a_day=True)
    assert_slack_takes(message)
    told = shown(message)
    (older,) = re.findall(r"… and (\d+) older ones", told)
    assert len(re.findall(r"^(?:```)?1\d\d\d ", told, re.MULTILINE)) == 200 - int(older)
    assert "tells the whole story of one" in told


def test_the_remarks_of_a_long_status_stay() -> None:
    status = replace(large(200, 50), incidents=(long_night(0),))
    told = shown(status_message(status))
    assert "open incident 123456" in told
    assert "asked over SSH" in told
    assert "more blocks: ask for one name to see less" in told


@pytest.mark.parametrize(("matter", "light"), [(Matter.VIP, ":red_circle:"), (Matter.AGENT, ":large_yellow_circle:")])
def test_a_status_is_red_while_clients_reach_nobody_whatever_the_reason_is_called(matter: Matter, light: str) -> None:
    lost = Trouble(matter=Matter.DIRECTOR, subject="sv2")
    what = Trouble(matter=matter, subject="VI_1" if matter is Matter.VIP else "sv2")
    incident = Incident(
        id=1, kind=Kind.DIRECTOR_LOST, cluster="site", subject="sv2", opened_at=strange.NOON,
        hold_until=strange.NOON, troubles=frozenset({lost, what}), seen=frozenset({lost, what}),
    )  # fmt: skip
    assert shown(status_message(replace(large(1, 1), incidents=(incident,)))).startswith(light)


WEB, VIP = Trouble(matter=Matter.REAL_SERVER, subject="web2"), Trouble(matter=Matter.VIP, subject="VI_1")
EMPTY = Trouble(matter=Matter.SERVICE, subject="http")


@pytest.mark.parametrize(
    ("left", "light"),
    [({EMPTY, VIP, WEB}, ":red_circle:"), ({VIP, WEB}, ":red_circle:"), ({WEB}, ":large_yellow_circle:")],
)
def test_a_story_is_red_as_long_as_clients_feel_it_and_not_by_what_it_is_called(left: set[Trouble], light: str) -> None:
    incident = Incident(
        id=1, kind=Kind.SERVICE_DOWN, cluster="site", subject="http", opened_at=strange.NOON,
        hold_until=strange.NOON, troubles=frozenset(left), seen=frozenset({EMPTY, VIP, WEB}),
    )  # fmt: skip
    assert incident_message(incident).text.startswith(light)


def test_what_is_not_of_today_is_told_with_its_day() -> None:
    by = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
    week = timedelta(days=7)
    mute = Mute(cluster="site", subject="web1", since=strange.NOON, until=strange.NOON + week, by=by)
    notes = tuple(Note(at=strange.NOON + n * week, text=f"note {n}") for n in range(2))
    incident = Incident(
        id=1, kind=Kind.REAL_SERVER_DOWN, cluster="site", subject="web1", opened_at=strange.NOON,
        hold_until=strange.NOON, timeline=notes, acknowledged_by=by, acknowledged_at=strange.NOON + week,
    )  # fmt: skip
    until, later = (f"{strange.NOON + week:%m-%d %H:%M:%S} UTC", strange.NOON + week)
    told = shown(incident_message(incident, mute))
    assert re.search(rf"on it since <[^>]*{until}", told)
    assert re.search(rf"muted until <[^>]*{until}", told)
    over = replace(incident, resolved_at=later, troubles=frozenset())
    assert re.search(rf"over at <[^>]*{until}", shown(incident_message(over)))
    for thread in (shown(resolution_message(over)), shown(incident_story_message(Shown(incident=over), later))):
        assert f"{strange.NOON:%m-%d %H:%M:%S}      " in thread
        assert f"{later:%m-%d %H:%M:%S}      " in thread
    assert f"since <!date^{int(strange.NOON.timestamp())}^{{date_short_pretty}}" in shown(
        incident_story_message(Shown(incident=over), later)
    )


def test_a_drain_of_another_day_has_its_day_in_the_status() -> None:
    status = large(1, 1)
    assert any(re.search(r"drained by .* at \d\d:\d\d:\d\d", line) for line in status_lines(status))
    later = replace(status, at=status.at + timedelta(days=1))
    assert any(re.search(r"drained by .* at \d\d-\d\d \d\d:\d\d:\d\d", line) for line in status_lines(later))


shown_incidents = st.builds(Shown, incident=strange.incidents(), mute=st.none() | strange.mutes)


@QUICK
@given(shown_incidents, st.booleans())
def test_slack_takes_the_whole_of_every_incident(one: Shown, pressable: bool) -> None:
    message = incident_story_message(one, strange.NOON, buttons=pressable)
    assert_slack_takes(message)
    assert bool(buttons(message)) == (pressable and not one.incident.withdrawn)
    assert all("\n" not in line or line in headline_and_facts(one) for line in incident_story_lines(one, strange.NOON))
    json.dumps(incident_json(one, strange.NOON))


def headline_and_facts(one: Shown) -> str:
    return "\n".join(incident_story_lines(one, strange.NOON))


@settings(max_examples=25, deadline=None)
@given(st.lists(shown_incidents, max_size=30), st.booleans())
def test_slack_takes_every_list_of_incidents_and_its_columns_align(several: list[Shown], of_a_day: bool) -> None:
    assert_slack_takes(incident_list_message(several, strange.NOON, of_a_day=of_a_day))
    head, *rows = incident_list_lines(several, strange.NOON, of_a_day=of_a_day)
    assert len(rows) == len(several)
    for row, one in zip(rows, several, strict=True):
        assert row[head.index("state") :].startswith(one.state)
        assert row[head.index("state") - 1] == " "
    json.dumps(incident_list_json(several, strange.NOON))


@QUICK
@given(strange.incidents(), st.none() | strange.mutes)
def test_the_buttons_fit_where_the_incident_stands(incident: Incident, mute: Mute | None) -> None:
    row = incident_actions(incident, mute)
    if incident.withdrawn:
        assert row is None
        return
    assert row is not None
    message = SlackMessage(text="x", blocks=(row,))
    assert_slack_takes(message)
    labels = buttons(message)
    assert ("Acknowledge" in labels) == (incident.open and incident.acknowledged_by is None)
    assert ("Mute 1 h" in labels) == (incident.open and mute is None)
    assert ("Status" in labels) == incident.open
    assert "Timeline" in labels
    assert {element["value"] for element in row["elements"]} == {f"{incident.cluster}/{incident.id}"}
    assert len({element["action_id"] for element in row["elements"]}) == len(labels)


@QUICK
@given(st.lists(strange.mutes, max_size=60), st.none() | strange.mutes)
def test_slack_takes_every_mute(several: list[Mute], before: Mute | None) -> None:
    assert_slack_takes(mutes_message(several, strange.NOON))
    for mute in several[:3]:
        assert_slack_takes(mute_set_message(mute, before, mute.until - mute.since))
        assert_slack_takes(mute_cleared_message(mute))
    assert len(mutes_lines(several, strange.NOON)) == max(1, len(several))
    json.dumps(mutes_json(several))


findings = st.builds(
    Finding,
    about=strange.names,
    looked_at=strange.names,
    judgement=st.sampled_from(Judgement),
    found=strange.words,
    then=strange.words,
)


@QUICK
@given(st.lists(findings, max_size=8), st.sampled_from([1, 20]), st.none() | strange.names)
def test_slack_takes_every_examination(some: list[Finding], times: int, name: str | None) -> None:
    examination = Examination(cluster="site", name=name, at=strange.NOON, findings=tuple(some) * times)
    assert_slack_takes(doctor_message(examination))
    lines = doctor_lines(examination)
    assert all("\n" not in line or line.startswith(" ") for line in lines)
    json.dumps(doctor_json(examination))


def test_an_examination_tells_the_worst_first_and_what_is_well_last() -> None:
    order = (Judgement.OK, Judgement.WARNING, Judgement.UNKNOWN, Judgement.BAD)
    found = tuple(
        Finding(
            about="sv1", looked_at=f"the {j.value}", judgement=j, found="x", then="" if j is Judgement.OK else "Look."
        )
        for j in order
    )
    examination = Examination(cluster="site", name=None, at=strange.NOON, findings=found)
    message = doctor_message(examination)
    assert message.text == (
        "site: 1 thing is bad, 1 thing needs a look and 1 thing could not be seen; 4 things looked at"
    )
    text = shown(message)
    places = [text.index(word) for word in ("the bad", "the warning", "the unknown", "the ok")]
    assert places == sorted(places)
    assert text.count("→ Look.") == 3
    well = replace(examination, findings=found[:1])
    assert doctor_message(well).text == "site: all well; 1 thing looked at"


@pytest.mark.parametrize("phase", Phase)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), connected=strange.counts)
def test_slack_takes_an_operation_in_every_phase(
    phase: Phase, data: st.DataObject, connected: Mapping[str, int] | None
) -> None:
    assert_slack_takes(operation_message(data.draw(strange.operations(phase)), connected))


@QUICK
@given(strange.operations(Phase.PLANNED))
def test_what_waits_for_a_confirmation_can_be_called_off_and_is_confirmed_only_where_all_of_it_can_be_seen(
    operation: Operation,
) -> None:
    message = operation_message(operation)
    verb, seen = operation.kind.value, shown(message)
    *yes, cancel = buttons(message)
    assert cancel == "Cancel"
    if yes:
        assert yes == [f"{verb.capitalize()} {operation.real_server}"[:75]]
        assert seen.count("ipvsadm -e") == len(operation.steps)
        assert all(escape(warning)[:1000] in seen for warning in operation.warnings)
    else:
        assert f"`python -m bot {verb} " in seen


def behind(services: int, **more: object) -> Operation:
    """The plan to drain a real server that is behind so many services on two directors."""
    steps = tuple(
        Step(
            number=number,
            director=f"sv{1 + number // services}",
            service=f"service-{number % services}",
            argv=(
                "ipvsadm",
                "-e",
                "-t",
                f"10.100.5.11:{8000 + number % services}",
                "-r",
                "10.100.0.11",
                "-m",
                "-w",
                "0",
            ),
            before=1,
            after=0,
            active=0,
        )
        for number in range(2 * services)
    )
    given: dict[str, Any] = {"phase": Phase.PLANNED, "forced": False, "warnings": (), "channel": "C0SITE", **more}
    return Operation(
        id="op-1",
        kind=OperationKind.DRAIN,
        cluster="site",
        real_server="web1",
        by=Actor(via=Via.SLACK, id="U1", name="alice"),
        requested_at=strange.NOON,
        steps=steps,
        **given,
    )


@pytest.mark.parametrize(("services", "details", "runs"), [(3, True, True), (60, False, True), (100, False, False)])
def test_a_plan_that_one_message_cannot_show_is_shown_more_briefly_and_then_left_to_a_terminal(
    services: int, details: bool, runs: bool
) -> None:
    message = operation_message(behind(services, forced=True))
    assert_slack_takes(message)
    seen = shown(message)
    assert ("weight 1 → 0" in seen) is details
    assert ("Drain web1" in buttons(message)) is runs
    assert (seen.count("sudo ipvsadm") == 2 * services) is runs
    assert ("`python -m bot drain web1 --force` shows all of it and asks" in seen) is not runs


def test_what_ran_is_shown_from_both_ends_where_there_is_more_than_a_message_takes() -> None:
    operation = behind(100, phase=Phase.FINISHED, verdict=Verdict.DRAINED)
    message = operation_message(operation)
    assert_slack_takes(message)
    assert f"{operation.steps[0].argv[3]} " in shown(message)
    assert f"{operation.steps[-1].argv[3]} " in shown(message)
    assert re.search(r"… \d+ lines are left out here …", shown(message)), shown(message)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.PLANNED])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_what_is_decided_has_no_button_left(phase: Phase, data: st.DataObject) -> None:
    assert not buttons(operation_message(data.draw(strange.operations(phase))))


def large(services: int, servers: int, error: str | None = None) -> Status:
    """The status of a cluster with so many services and real servers; its directors' tables differ."""
    directors = tuple(Director(name=f"lb{n}", address=ip_address(f"10.0.0.{n}"), interface="eth0") for n in (1, 2))
    pool = tuple(RealServer(name=f"real-{n}", address=ip_address(f"10.0.1.{n}")) for n in range(1, servers + 1))
    offered = tuple(
        VirtualService(
            name=f"service-{n}", protocol=Protocol.TCP, address=ip_address("10.0.2.1"), port=n, fwmark=None,
            vrrp_instance=None, scheduler="wlc", forwarding=Forwarding.MASQUERADING,
            members=tuple(PoolMember(real_server=r.name, port=80) for r in pool),
        )
        for n in range(1, services + 1)
    )  # fmt: skip
    cluster = Cluster(name="large", directors=directors, vrrp_instances=(), real_servers=pool, services=offered)
    now = strange.NOON
    override = Override(
        cluster="large", real_server="real-1", by=Actor(id="U0ALICE", name="alice", via=Via.SLACK), since=now,
        operation="op-1", weights={},
    )  # fmt: skip

    def table(weight: int) -> IpvsTable:
        found = tuple(
            IpvsDestination(address=r.address, port=80, forwarding=Forwarding.MASQUERADING, weight=weight, active=12345)
            for r in pool
        )
        return IpvsTable(
            services=tuple(IpvsService(key=key_of(s), scheduler="wlc", destinations=found) for s in offered)
        )

    observed = (
        Observed(director="lb1", reachable=True, table=table(1), latency_s=0.03),
        Observed(director="lb2", reachable=error is None, error=error, table=None if error else table(2)),
    )
    overrides = {("large", "real-1"): override}
    return status_of(cluster, observed, Situation(), at=now, overrides=overrides)


@pytest.mark.parametrize(("services", "servers"), [(0, 0), (1, 1), (3, 2), (40, 20), (200, 50)])
def test_slack_takes_the_status_of_a_site_of_any_size(services: int, servers: int) -> None:
    assert_slack_takes(status_message(large(services, servers)))


@QUICK
@given(strange.words)
def test_slack_takes_a_status_with_anybody_s_words_in_its_errors(error: str) -> None:
    status = large(2, 2, error or "no answer")
    assert_slack_takes(status_message(status))
    assert any("UNKNOWN" in line for line in status_lines(status))
    assert status_json(status)["directors"][1]["reachable"] is False


@pytest.mark.parametrize(
    "name", [None, *(row.verb.value for row in GRAMMAR), "nonsense", "<!channel>", "`", "x" * 5000]
)
def test_slack_takes_the_help(name: str | None) -> None:
    assert_slack_takes(help_message(name))


def test_help_names_every_command_as_it_is_typed() -> None:
    text = shown(help_message(None))
    assert all(f"/lvs {verb.value}" in text for verb in Verb)


@QUICK
@given(st.one_of(strange.words, st.text(max_size=250)))
def test_slack_takes_the_answer_to_anything_misspelt(text: str) -> None:
    found = parse(text)
    if isinstance(found, Misspelt):
        assert_slack_takes(misspelt_message(found))
