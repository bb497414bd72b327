"""The operators' commands in a terminal, for the day Slack is down: same flows, same journal."""

from __future__ import annotations

import io
import json
import os
import pwd
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from rich.console import Console

from bot import cli
from bot.adapters.clock import SystemClock
from bot.domain.commands import Command, parse
from bot.domain.events import HealthChanged, IncidentAcknowledged, OperationDenied
from bot.domain.health import Outcome
from bot.domain.policy import Roles
from bot.entrypoints.terminal import BAD_INPUT, DONE, REFUSED, Terminal
from bot.flows.chronicle import Chronicle
from bot.flows.doctor import Doctor
from bot.flows.hands import Hands
from bot.flows.operating import Operator
from bot.flows.ports import Entry, Unreachable
from bot.flows.selftest_requests import SelfTestRequests
from tests.domain.reference import FLEET, SITE
from tests.fakes.journal import MemoryJournal
from tests.fakes.shell import FakeShell

ME = pwd.getpwuid(os.geteuid()).pw_name


@dataclass
class Screen:
    """A terminal at which this account sits; an operator unless the test says otherwise."""

    operators: frozenset[str] = frozenset({ME})
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    shell: FakeShell = field(default_factory=lambda: FakeShell.of(SITE))

    def __post_init__(self) -> None:
        self.out, self.err, clock = io.StringIO(), io.StringIO(), SystemClock()
        self.chronicle = Chronicle(self.journal, FLEET)
        self.terminal = Terminal(
            self.chronicle,
            Operator(self.chronicle, self.shell, clock, self.roles, runner="terminal:here:1:1", new_id=lambda: "op"),
            Hands(self.chronicle, clock, self.roles),
            SelfTestRequests(self.chronicle, clock, self.roles, channels={}),
            Doctor(self.chronicle, self.shell, clock, between_looks_s=0),
            self.shell,
            clock,
            Console(file=self.out, width=200),
            Console(file=self.err, width=200),
            channels={},
        )

    async def roles(self) -> Roles:
        return Roles(operators=frozenset(), terminal=self.operators)

    async def web1(self, outcome: Outcome) -> int:
        """web1 goes down or comes back; the number of the incident that tells it."""
        now = datetime.now(UTC)
        changed = HealthChanged(
            cluster="site", service="http", real_server="web1", outcome=outcome, reason="refused", since=now
        )
        await self.chronicle.append(Entry(event=changed))
        return self.chronicle.world.incidents["site"].all[-1].id

    def printed(self) -> str:
        """What was printed since it was last looked at."""
        text = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        return text


def asks(text: str) -> Command:
    command = parse(text)
    assert isinstance(command, Command), command
    return command


@pytest.fixture
def screen() -> Screen:
    return Screen()


async def test_incidents_are_listed_for_people_and_for_machines(screen: Screen) -> None:
    assert await screen.terminal.incidents(asks("incidents"), as_json=False) == DONE
    assert screen.printed() == "No incident is open.\n"
    number = await screen.web1(Outcome.UNHEALTHY)
    await screen.terminal.incidents(asks("incidents"), as_json=False)
    head, row = screen.printed().splitlines()
    assert head.split() == ["number", "since", "(UTC)", "state", "for", "what"]
    assert row.startswith(f"{number} ")
    assert "web1 is down" in row
    await screen.terminal.incidents(asks("incidents 24h site"), as_json=True)
    (one,) = json.loads(screen.printed())
    assert (one["id"], one["state"], one["kind"]) == (number, "open", "real server down")
    assert await screen.terminal.incidents(asks("incidents nowhere"), as_json=True) == BAD_INPUT


async def test_one_incident_is_told_for_people_and_for_machines(screen: Screen) -> None:
    number = await screen.web1(Outcome.UNHEALTHY)
    assert await screen.terminal.incident(asks(f"incident {number}"), as_json=False) == DONE
    assert screen.printed().startswith("web1 is down\n")
    await screen.terminal.incident(asks(f"incident {number}"), as_json=True)
    one = json.loads(screen.printed())
    assert one["facts"]
    assert one["timeline"]
    assert await screen.terminal.incident(asks("incident 4711"), as_json=True) == BAD_INPUT
    assert "no incident 4711" in screen.err.getvalue()


async def test_an_operator_acknowledges_and_mutes_and_the_exit_status_tells(screen: Screen) -> None:
    number = await screen.web1(Outcome.UNHEALTHY)
    assert await screen.terminal.record(asks(f"ack {number}")) == DONE
    assert await screen.terminal.record(asks("mute web1 1h new disks")) == DONE
    assert screen.printed().splitlines()[1].endswith(f" more, by {ME}: new disks")
    await screen.terminal.mutes(as_json=True)
    (mute,) = json.loads(screen.printed())
    assert (mute["subject"], mute["reason"]) == ("web1", "new disks")
    await screen.terminal.incident(asks(f"incident {number}"), as_json=True)
    one = json.loads(screen.printed())
    assert (one["state"], one["acknowledged_by"], one["mute_reason"]) == ("muted", ME, "new disks")
    assert await screen.terminal.record(asks("unmute web1")) == DONE
    assert screen.printed() == "web1 is told of again\n"
    assert await screen.terminal.mutes(as_json=False) == DONE
    assert screen.printed() == "Nothing is muted.\n"
    assert await screen.terminal.record(asks("mute wbe1 1h")) == REFUSED
    assert "Try: python -m bot lvs mute web1 1h" in screen.err.getvalue()


async def test_who_is_not_named_in_the_settings_may_only_look() -> None:
    screen = Screen(operators=frozenset())
    number = await screen.web1(Outcome.UNHEALTHY)
    for text in (f"ack {number}", "mute web1 1h", "maintenance sv1 1h", "unmute web1"):
        assert await screen.terminal.record(asks(text)) == REFUSED
    assert await screen.terminal.export(asks(f"export {number}")) == REFUSED
    kinds = [type(r.event) for r in await screen.journal.read()]
    assert kinds.count(OperationDenied) == 5
    assert IncidentAcknowledged not in kinds
    assert "roles.terminal" in screen.err.getvalue()


async def test_the_doctor_s_exit_status_says_whether_something_is_bad(screen: Screen) -> None:
    assert await screen.terminal.examine(None, as_json=False) == DONE
    assert screen.printed().startswith("site: ")
    screen.shell.hosts["sv2"].unit["ActiveState"] = "failed"
    assert await screen.terminal.examine("sv2", as_json=False) == REFUSED
    assert "BAD      sv2, keepalived: its unit is failed\n" in screen.printed()
    assert await screen.terminal.examine("sv2", as_json=True) == REFUSED
    (examined,) = json.loads(screen.printed())
    assert (examined["cluster"], examined["name"], examined["worst"]) == ("site", "sv2", "bad")
    assert await screen.terminal.examine("wbe1", as_json=False) == BAD_INPUT


async def test_the_draft_of_a_post_mortem_is_printed_once_it_is_over(screen: Screen) -> None:
    number = await screen.web1(Outcome.UNHEALTHY)
    assert await screen.terminal.export(asks(f"export {number}")) == REFUSED
    await screen.web1(Outcome.HEALTHY)
    assert await screen.terminal.export(asks(f"export {number}")) == DONE
    assert screen.printed().startswith("# Post-mortem: ")


def test_an_ipv6_address_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    argv = "sudo ipvsadm -e -t [2001:db8:a:b::1]:80 -r [fd00:100:bee:1::5]:80"
    cli.console().print(argv, markup=False, highlight=False, soft_wrap=True)
    cli.console(stderr=True).print(argv, markup=False, highlight=False, soft_wrap=True)
    assert capsys.readouterr() == (f"{argv}\n", f"{argv}\n")


async def test_who_does_not_wait_is_told_where_it_has_weight_0() -> None:
    screen = Screen()
    screen.shell.hosts["sv2"].refuses = Unreachable
    screen.shell.hosts["sv1"].destination(SITE.service("http"), "10.100.0.11:80").active = 3
    status = await screen.terminal.change(asks("drain web1 --force"), confirmed=None, dry_run=False, wait=False)
    assert (status, screen.printed()) == (
        DONE,
        "Draining web1: weight 0 on sv1, counting what is left; the running bot goes on with that\n",
    )
