"""Looking at incidents and acting on them: commands and buttons, through real Bolt over a real WebSocket."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.domain.commands import Command, parse
from bot.domain.events import (
    AgentSilenceChanged,
    HealthChanged,
    IncidentAcknowledged,
    IncidentExported,
    MuteSet,
    OperationDenied,
    RollCallTaken,
)
from bot.domain.health import Outcome
from bot.flows.ports import Entry
from bot.local.slack.config import EVERY_SCOPE, Config
from bot.views.incident_actions import ACKNOWLEDGE, DOCTOR, EXPORT, MUTE, STATUS, TIMELINE
from tests.domain.reference import answer
from tests.entrypoints.office import CHANNEL, Office, open_office


async def vip(office: Office, outcome: Outcome = Outcome.UNHEALTHY) -> int:
    """The VIP goes or comes back, by the bot's own probes; the number of the incident that tells it."""
    changed = HealthChanged(
        cluster="site", service="http", real_server=None, outcome=outcome, reason="refused", since=datetime.now(UTC)
    )
    await office.chronicle.append(Entry(event=changed))
    return office.chronicle.world.incidents["site"].all[-1].id


async def events(office: Office, kind: type) -> list[Any]:
    return [r.event for r in await office.journal.read() if isinstance(r.event, kind)]


async def shown(office: Office, number: int, user: str = "alice") -> str:
    """Where *user* sees the incident with its buttons: the ``ts`` of what only they see."""
    reply = await office.reply(f"/lvs incident {number}", user)
    return str(reply["ts"])


async def test_the_list_of_incidents_is_for_the_asker_alone(office: Office) -> None:
    assert await office.answer("/lvs incidents", "bob") == "No incident is open."
    number = await vip(office)
    reply = await office.reply("/lvs incidents", "bob")
    assert reply["text"] == "1 incident is open"
    assert f"{number} " in str(reply["blocks"])
    assert "VI_1: the VIP does not answer (http)" in str(reply["blocks"])
    await vip(office, Outcome.HEALTHY)
    assert await office.answer("/lvs incidents site", "bob") == "No incident is open."
    assert "1 over within the last 24 hours" in await office.answer("/lvs incidents 24h", "bob")
    assert "Did you mean `/lvs incidents site`?" in await office.answer("/lvs incidents stie", "bob")


async def test_one_incident_is_told_in_full(office: Office) -> None:
    number = await vip(office)
    reply = await office.reply(f"/lvs incident {number}", "bob")
    assert "the VIP does not answer" in reply["text"]
    labels = [e["text"]["text"] for b in reply["blocks"] if b["type"] == "actions" for e in b["elements"]]
    assert {"Acknowledge", "Mute 1 h", "Status", "Timeline"} <= set(labels)
    assert "no incident 4711" in await office.answer("/lvs incident 4711", "bob")


async def test_an_acknowledgement_by_command_is_shown_and_only_an_operator_s_counts(office: Office) -> None:
    number = await vip(office)
    assert "bob is not an operator here" in await office.answer(f"/lvs ack {number}", "bob")
    reply = await office.reply(f"/lvs ack {number}")
    assert "acknowledged by <@U0ALICE>" in str(reply["blocks"])
    assert "alice acknowledged incident" in await office.answer(f"/lvs ack {number}")
    (denied,) = await events(office, OperationDenied)
    assert denied.request == f"ack {number}"
    assert len(await events(office, IncidentAcknowledged)) == 1


async def test_the_acknowledge_button_is_the_command(office: Office) -> None:
    number = await vip(office)
    theirs = await shown(office, number, "bob")
    await office.slack.click("bob", theirs, ACKNOWLEDGE)
    await office.whisper("bob", "bob is not an operator here")
    mine = await shown(office, number)
    await asyncio.gather(*(office.slack.click("alice", mine, ACKNOWLEDGE) for _ in range(2)))
    await office.slack.redeliver_last()
    await office.whisper("alice", f"You are on incident {number}")
    (acknowledged,) = await events(office, IncidentAcknowledged)
    assert acknowledged.by.id == "U0ALICE"


async def test_a_button_on_what_is_over_says_so(office: Office) -> None:
    number = await vip(office)
    mine = await shown(office, number)
    await vip(office, Outcome.HEALTHY)
    for action in (ACKNOWLEDGE, MUTE):
        before = len(office.slack.ephemerals("alice"))
        await office.slack.click("alice", mine, action)
        await office.slack.wait_for(lambda before=before: len(office.slack.ephemerals("alice")) > before)  # type: ignore[misc]
        assert f"Incident {number} is over" in office.slack.ephemerals("alice")[-1]["text"]


async def test_the_mute_button_mutes_what_the_incident_is_about_for_an_hour(office: Office) -> None:
    number = await vip(office)
    mine = await shown(office, number)
    await office.slack.click("alice", mine, MUTE)
    await office.message("VI_1 is muted for 1h")
    await office.slack.redeliver_last()
    (mute,) = await events(office, MuteSet)
    assert (mute.subject, mute.by.name) == ("VI_1", "alice")
    reply = await office.reply("/lvs mutes", "bob")
    assert "*site/VI_1* is muted until" in str(reply["blocks"])
    assert "VI_1 is no longer muted" in (await unmuted(office))["text"]
    assert await office.answer("/lvs mutes", "bob") == "Nothing is muted."


async def unmuted(office: Office) -> dict[str, Any]:
    await office.slack.command("alice", CHANNEL, "/lvs unmute VI_1")
    return await office.message("VI_1 is no longer muted")


async def test_a_mute_is_told_to_the_channel_with_its_reason_inert(office: Office) -> None:
    await office.slack.command("alice", CHANNEL, "/lvs maintenance web1 2h30m new disks <!channel> & more")
    message = await office.message("web1 is in maintenance for 2h30m")
    assert "by <@U0ALICE>: new disks &lt;!channel&gt; &amp; more" in str(message["blocks"])
    assert "not an operator" in await office.answer("/lvs mute web1 1h", "bob")
    assert "`/lvs mute web1 1h`" in await office.answer("/lvs mute wbe1 1h")
    assert "needs to know for how long" in await office.answer("/lvs mute web1")


async def test_a_mute_that_is_typed_elsewhere_is_shown_where_the_alerts_go(office: Office) -> None:
    await office.slack.command("alice", "C0GENERAL", "/lvs mute web1 1h")
    await office.message("web1 is muted for 1h")
    await office.whisper("alice", "web1 is muted for 1h")
    assert not [m for m in office.slack.messages("C0GENERAL") if "muted" in m["text"]]


async def test_the_status_button_asks_the_directors(office: Office) -> None:
    number = await vip(office)
    theirs = await shown(office, number, "bob")
    await office.slack.click("bob", theirs, STATUS)
    message = await office.message("site: ")
    assert "sv2: VI_1 BACKUP" in str(message["blocks"])


async def test_the_status_button_of_a_director_s_incident_says_who_holds_the_address(office: Office) -> None:
    await office.chronicle.append(Entry(event=AgentSilenceChanged(cluster="site", director="sv2", silent=True)))
    number = office.chronicle.world.incidents["site"].all[-1].id
    await office.slack.click("alice", await shown(office, number), STATUS)
    assert "10.100.5.11 is held by sv1" in (await office.message("held by"))["text"]


async def test_what_slack_delivers_again_is_not_answered_again(office: Office) -> None:
    await office.slack.command("bob", CHANNEL, "/lvs status")
    await office.message("site: ")
    await office.slack.redeliver_last()
    number = await vip(office)
    await office.slack.click("bob", await shown(office, number, "bob"), STATUS)
    await office.slack.wait_for(lambda: len(statuses(office)) == 2)
    await office.slack.redeliver_last()
    await office.slack.command("alice", CHANNEL, "/lvs doctor")
    await office.message("looked at")
    await office.slack.redeliver_last()
    await office.slack.command("alice", CHANNEL, "/lvs mute web1 1h")
    await office.message("web1 is muted")
    assert len(statuses(office)) == 2
    assert len([m for m in office.slack.messages(CHANNEL) if "looked at" in m["text"]]) == 1


def statuses(office: Office) -> list[dict[str, Any]]:
    return [m for m in office.slack.messages(CHANNEL) if m["text"].startswith("site: ") and "held by" in m["text"]]


async def test_the_timeline_button_tells_the_story_to_who_pressed_it(office: Office) -> None:
    number = await vip(office)
    await vip(office, Outcome.HEALTHY)
    theirs = await shown(office, number, "bob")
    await office.slack.click("bob", theirs, TIMELINE)

    def told() -> bool:
        return len(office.slack.ephemerals("bob")) == 2

    await office.slack.wait_for(told)
    story = office.slack.ephemerals("bob")[-1]
    assert "the VIP answers again" in str(story["blocks"])
    assert not [b for b in story["blocks"] if b["type"] == "actions"]


async def test_what_is_asked_for_with_a_button_is_answered_in_the_incident_s_thread(office: Office) -> None:
    message, number = await told(office)
    theirs = await shown(office, number, "bob")
    await office.slack.click("bob", theirs, STATUS)
    reply = await office.message("site: ")
    assert reply["thread_ts"] == message["ts"]
    await office.whisper("bob", "The answer stands in the incident's thread.")


async def test_the_doctor_is_seen_by_the_channel_and_its_button_answers_in_the_thread(office: Office) -> None:
    office.shell.hosts["sv2"].hangs = True
    await office.slack.command("bob", CHANNEL, "/lvs doctor")
    message = await office.message("looked at")
    assert message["text"].startswith("site: ")
    assert "*sv2, SSH*: it does not answer" in str(message["blocks"])
    assert "→ Look at the console of sv2" in str(message["blocks"])
    own, number = await told(office)
    await office.slack.click("bob", await shown(office, number, "bob"), DOCTOR)
    examined = await office.message("site/web1: ")
    assert examined["thread_ts"] == own["ts"]
    assert "Did you mean `/lvs doctor web1`?" in await office.answer("/lvs doctor wbe1")


async def test_what_is_over_is_exported_into_its_thread_by_an_operator(office: Office) -> None:
    own, number = await told(office)
    assert "is not over yet" in await office.answer(f"/lvs export {number}")
    await web1_is_back(office)
    await office.slack.click("bob", await shown(office, number, "bob"), EXPORT)
    await office.whisper("bob", "bob is not an operator here")
    await office.slack.click("alice", await shown(office, number), EXPORT)
    await office.slack.redeliver_last()
    await office.whisper("alice", "The draft stands in the thread of the incident.")
    (uploaded,) = [m for m in office.slack.messages(CHANNEL) if m.get("files")]
    assert uploaded["thread_ts"] == own["ts"]
    assert [f["name"] for f in uploaded["files"]] == [f"incident-site-{number}.md"]
    (exported,) = await events(office, IncidentExported)
    assert exported.by.name == "alice"


async def test_a_file_that_slack_refuses_is_told_with_what_the_app_needs() -> None:
    async with open_office(Config(scopes=EVERY_SCOPE - {"files:write"})) as office:
        _, number = await told(office)
        await web1_is_back(office)
        text = await office.answer(f"/lvs export {number}")
        assert "missing_scope" in text
        assert "files:write" in text


async def web1_is_back(office: Office) -> None:
    up = HealthChanged(
        cluster="site", service="http", real_server="web1", outcome=Outcome.HEALTHY, reason="", since=datetime.now(UTC)
    )
    await office.chronicle.append(Entry(event=up))


async def told(office: Office) -> tuple[dict[str, Any], int]:
    """An incident's own message in the channel, once the bot has told it and knows so, and its number."""
    now = datetime.now(UTC)
    down = HealthChanged(
        cluster="site", service="http", real_server="web1", outcome=Outcome.UNHEALTHY, reason="refused", since=now
    )
    answers = (answer("sv1", holds=True), answer("sv2"))
    await office.chronicle.append(Entry(event=down))
    # What was asked before it fell would say nothing of it.
    call = RollCallTaken(cluster="site", reason="test", asked_at=datetime.now(UTC), answers=answers)
    await office.chronicle.append(Entry(event=call))
    number = office.chronicle.world.incidents["site"].all[-1].id
    message = await office.message("web1 is down")
    while f"incident:site:{number}" not in office.chronicle.world.posted:
        await asyncio.sleep(0.01)
    return message, number


@pytest.mark.parametrize("text", ["incidents", "incident 1", "mutes", "ack 1", "mute web1 1h", "unmute web1"])
async def test_no_command_about_incidents_touches_a_director(office: Office, text: str) -> None:
    assert isinstance(parse(text), Command)
    await office.slack.command("alice", CHANNEL, f"/lvs {text}")
    assert all(host.ran == [] for host in office.shell.hosts.values())
