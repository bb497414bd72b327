"""The slash command and its buttons, through real Bolt over a real WebSocket, with directors in memory."""

from __future__ import annotations

import asyncio

import pytest

from bot.lvs.agent import PROGRAM
from bot.views.operation import CANCEL, CONFIRM
from tests.domain.reference import SITE
from tests.entrypoints.office import CHANNEL, Office
from tests.fakes.shell import FakeHost, Reply


async def test_help_and_misspelt_commands_are_answered_in_the_acknowledgement(office: Office) -> None:
    assert (await office.answer("/lvs")).startswith("/lvs: help, status, drain, restore, incidents")
    assert "drain" in await office.answer("/lvs help")
    assert "`/lvs drain <real server> [--force]`" in (await office.answer("/lvs drian web1")).replace(
        "&lt;", "<"
    ).replace("&gt;", ">")


async def test_status_is_shown_to_the_channel(office: Office) -> None:
    ack = await office.slack.command("bob", CHANNEL, "/lvs status")
    assert ack is not None
    assert ack.ok
    message = await office.message("site: all well; 10.100.5.11 is held by sv1")
    assert "sv2: VI_1 BACKUP" in str(message["blocks"])


async def test_a_director_that_does_not_answer_is_unknown_and_never_still_master(office: Office) -> None:
    office.shell.hosts["sv1"].hangs = True
    await office.slack.command("alice", CHANNEL, "/lvs status")
    message = await office.message("sv1 cannot be reached")
    assert "sv1: UNKNOWN, cannot be reached (no answer within" in str(message["blocks"])
    assert "held by nobody that answers" in message["text"]


async def test_differences_between_the_directors_are_marked(office: Office) -> None:
    office.shell.hosts["sv2"].destination(SITE.service("http"), "10.100.0.11:80").weight = 7
    await office.slack.command("alice", CHANNEL, "/lvs status web1")
    message = await office.message("site:")
    assert "≠ weights differ" in str(message["blocks"])
    assert "web2" not in str(message["blocks"])


async def test_the_status_of_one_director_says_who_holds_the_address_by_all_of_them(office: Office) -> None:
    office.shell.hosts["sv2"].destination(SITE.service("http"), "10.100.0.11:80").weight = 7
    await office.slack.command("alice", CHANNEL, "/lvs status sv2")
    message = await office.message("10.100.5.11 is held by sv1")
    told = str(message["blocks"])
    assert "sv2: VI_1 BACKUP" in told
    assert told.count("sv1") == 1
    assert "≠ weights differ" in told
    assert "w 7" in told


async def test_an_unknown_name_gets_a_suggestion(office: Office) -> None:
    assert "Did you mean `/lvs status web1`?" in await office.answer("/lvs status wbe1")


async def test_a_drain_runs_after_the_button_and_only_for_an_operator(office: Office) -> None:
    assert "not an operator" in await office.answer("/lvs drain web1", user="bob")
    await office.slack.command("alice", CHANNEL, "/lvs drain web1")
    message = await office.message("Drain web1?")
    await office.slack.click("bob", message["ts"], CONFIRM)
    await office.slack.wait_for(lambda: len(office.slack.ephemerals("bob")) == 2)
    assert all(argv[:2] != ("ipvsadm", "-e") for host in office.shell.hosts.values() for argv in host.ran)
    await office.slack.click("alice", message["ts"], CONFIRM)
    drained = await office.message("web1 is drained")
    assert drained["ts"] == message["ts"]


async def test_a_cancelled_drain_says_so_and_runs_nothing(office: Office) -> None:
    await office.slack.command("alice", CHANNEL, "/lvs drain web1")
    message = await office.message("Drain web1?")
    await office.slack.click("alice", message["ts"], CANCEL)
    await office.message("nothing was changed (called off by alice)")
    assert all(argv[:2] != ("ipvsadm", "-e") for host in office.shell.hosts.values() for argv in host.ran)


async def test_a_redelivered_command_and_a_double_click_have_no_second_effect(office: Office) -> None:
    await office.slack.command("alice", CHANNEL, "/lvs drain web1")
    message = await office.message("Drain web1?")
    await office.slack.redeliver_last()
    await asyncio.gather(*(office.slack.click("alice", message["ts"], CONFIRM) for _ in range(2)))
    await office.message("web1 is drained")
    edits = [argv for host in office.shell.hosts.values() for argv in host.ran if argv[:2] == ("ipvsadm", "-e")]
    assert len(edits) == 4
    assert len([m for m in office.slack.messages(CHANNEL) if "web1" in m["text"]]) == 1


async def test_what_nobody_expected_is_told_with_a_reference_and_without_a_traceback(office: Office) -> None:
    office.journal.fail = "the disk is full"
    text = await office.answer("/lvs drain web1")
    assert "could not write to my journal" in text
    assert "reference" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "nasty", ["web1;reboot", "$(reboot)", "`id`", "web1|tee", "--force;x", "../etc", "web1\nreboot"]
)
async def test_metacharacters_reach_no_director(office: Office, nasty: str) -> None:
    await office.answer(f"/lvs drain {nasty}")
    assert all(host.ran == [] for host in office.shell.hosts.values())


async def test_the_alert_path_is_tested_for_an_operator_and_the_result_stands_in_the_clusters_channel(
    office: Office,
) -> None:
    assert "not an operator" in await office.answer("/lvs test alert", user="bob")
    assert "nothing called `sv9`" in await office.answer("/lvs test alert sv9")
    assert "knows no `alarm`" in await office.answer("/lvs test alarm")

    async def agent(host: FakeHost, argv: tuple[str, ...]) -> Reply:
        return Reply(stderr="sudo: a password is required\n", exit_status=1)

    office.shell.programs |= {PROGRAM: agent}
    assert f"the result will stand there: site in <#{CHANNEL}>" in await office.answer("/lvs test alert")
    message = await office.message("site: the alert path is broken: sv1 and sv2 did not pass the test")
    assert "install what `python -m bot render sv1` prints" in str(message["blocks"])
    await office.slack.redeliver_last()
    await asyncio.sleep(0.1)
    assert len([m for m in office.slack.messages(CHANNEL) if "alert path" in m["text"]]) == 1
