"""Roll calls: what a director's answer has in it, and what a part that fails costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from bot.domain.events import NatPath, ProcessRole, RollCallAnswer
from bot.domain.fleet import Director, Snat
from bot.domain.observed import CommandResult, UnitActive
from bot.flows.observing import ask_director, look_at_rule, observe, take_roll_call
from bot.flows.ports import AuthenticationRefused, HostKeyRefused, ShellError, Unreachable
from bot.settings import load_fleet
from tests.fakes.shell import FakeDestination, FakeHost, FakeShell, Program, Reply, iptables

SITE = load_fleet(Path(__file__).parents[2] / "config" / "fleet.yaml").clusters[0]
SV1, SV2 = SITE.directors
NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
EXTRAS = ("ps", "/sbin/sysctl", "date")


class Clock:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def shell() -> FakeShell:
    return FakeShell.of(SITE, Clock().now)


async def ask(shell: FakeShell, director: Director = SV1) -> RollCallAnswer:
    return await ask_director(shell, Clock(), SITE, director)


async def ask_thoroughly(shell: FakeShell) -> RollCallAnswer:
    return (await take_roll_call(shell, Clock(), SITE, "test")).answers[0]


async def hangs(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    await asyncio.Event().wait()
    return Reply()


async def fails(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    return Reply(stderr="no such thing\n", exit_status=2)


async def mumbles(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    return Reply(stdout="42 bananas\n")


async def test_all_is_well(shell: FakeShell) -> None:
    host = shell.hosts["sv1"]
    assert host.snat is not None
    host.snat.packets = 7
    answer = await ask_thoroughly(shell)
    assert answer.answered
    assert not answer.refused
    assert answer.holds == ("10.100.5.11",)
    assert answer.keepalived is not None
    assert answer.keepalived.active is UnitActive.ACTIVE
    assert answer.services == tuple(service.name for service in SITE.services)
    assert answer.strangers == ()
    assert answer.processes is not None
    assert [p.role for p in answer.processes] == [ProcessRole.PARENT, ProcessRole.CHECKERS, ProcessRole.VRRP]
    assert answer.nat == NatPath(ip_forward=True, conntrack=True, snat=True, packets=7, untracked=True)
    assert answer.boot == host.sysctls["kernel.random.boot_id"]
    assert answer.clock_behind_s == 0.0


async def test_a_roll_call_has_an_answer_of_each_director_in_the_fleets_order(shell: FakeShell) -> None:
    taken = await take_roll_call(shell, Clock(), SITE, "test")
    assert (taken.reason, taken.asked_at) == ("test", NOW)
    assert [a.director for a in taken.answers] == ["sv1", "sv2"]
    assert [replace(a, nat=None) for a in taken.answers] == [replace(await ask(shell, d), nat=None) for d in (SV1, SV2)]


async def test_an_answer_takes_no_root_and_one_go(shell: FakeShell) -> None:
    asked = []

    class Counting(FakeShell):
        async def ask(
            self, director: Director, commands: Sequence[Sequence[str]], *, deadline: float = 10.0
        ) -> tuple[CommandResult, ...]:
            asked.append(commands)
            return await super().ask(director, commands, deadline=deadline)

        async def run(self, director: Director, argv: Sequence[str], **more: object) -> CommandResult:
            raise AssertionError(argv)

    counting = Counting(shell.hosts, Clock().now)
    answer = await ask(counting)
    assert answer.answered
    assert answer.nat == NatPath(ip_forward=True, conntrack=True)
    assert len(asked) == 1


async def test_the_snat_rule_is_a_look_of_its_own_and_takes_root(shell: FakeShell) -> None:
    host = shell.hosts["sv1"]
    assert host.snat is not None
    host.snat.packets = 3
    assert await look_at_rule(shell, SITE, SV1) == NatPath(snat=True, packets=3)
    assert [argv[0] for argv in host.ran] == ["iptables"]
    host.snat = None
    assert await look_at_rule(shell, SITE, SV1) == NatPath(snat=False)


@pytest.mark.parametrize("how", [fails, mumbles, hangs, None])
async def test_a_rule_that_cannot_be_read_is_no_missing_rule(shell: FakeShell, how: object) -> None:
    if how is None:
        shell.hosts["sv1"].refuses = Unreachable
    else:
        shell.programs["iptables"] = how  # type: ignore[assignment]
    assert await look_at_rule(shell, SITE, SV1) is None


# --- the table ------------------------------------------------------------------------------------------------------


async def test_a_service_that_is_missing_from_the_table_is_missing_from_the_answer(shell: FakeShell) -> None:
    shell.hosts["sv1"].services.clear()
    answer = await ask(shell)
    assert (answer.services, answer.weights) == ((), ())


async def test_an_empty_pool_still_is_a_service(shell: FakeShell) -> None:
    for service in shell.hosts["sv1"].services.values():
        service.destinations.clear()
    answer = await ask(shell)
    assert answer.services == tuple(service.name for service in SITE.services)
    assert answer.weights == ()


async def test_a_destination_that_no_pool_has_is_a_stranger(shell: FakeShell) -> None:
    table = shell.hosts["sv1"].services["-t", "10.100.5.11:80"]
    table.destinations["10.100.0.99:80"] = FakeDestination(forward="Masq", weight=3)
    table.destinations["10.100.0.11:8080"] = FakeDestination(forward="Masq", weight=1)
    answer = await ask(shell)
    name = next(service.name for service in SITE.services if service.port == 80)
    assert answer.strangers == ((name, "10.100.0.11:8080", 1), (name, "10.100.0.99:80", 3))


async def test_a_table_that_the_kernel_hides_is_asked_of_ipvsadm(shell: FakeShell) -> None:
    whole = await ask(shell)
    shell.hosts["sv1"].shows_table = False
    assert await ask(shell) == whole
    assert ("ipvsadm", "-Ln") in shell.hosts["sv1"].ran


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("how", [fails, mumbles])
async def test_a_table_that_cannot_be_read_is_none_and_no_empty_one(
    shell: FakeShell, hidden: bool, how: Program
) -> None:
    shell.programs |= {"ipvsadm": how, "cat": fails if hidden else how}
    answer = await ask(shell)
    assert answer.answered
    assert (answer.services, answer.weights, answer.strangers) == (None, None, ())


# --- the closer look ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Reply(stderr="bash: fork: Cannot allocate memory\n", exit_status=254), "Cannot allocate memory"),
        (Reply(stdout='[{"ifname": "br0"'), "not the JSON list of interfaces"),
        (Reply(exit_status=127), "exited 127"),
    ],
)
async def test_an_address_list_that_cannot_be_read_is_no_answer_and_not_an_empty_one(
    shell: FakeShell, said: Reply, words: str
) -> None:
    async def ip(host: FakeHost, argv: tuple[str, ...]) -> Reply:
        return said

    shell.programs["ip"] = ip
    answer = await ask(shell)
    assert not answer.answered
    assert not answer.refused
    assert words in (answer.error or "")
    seen = await observe(shell, SV1)
    assert (seen.reachable, seen.error) == (False, answer.error)


async def test_a_process_that_a_signal_stopped(shell: FakeShell) -> None:
    shell.hosts["sv1"].processes[613].state = "T"
    answer = await ask(shell)
    assert answer.processes is not None
    assert [(p.role, p.state) for p in answer.processes if p.state == "T"] == [(ProcessRole.CHECKERS, "T")]


async def test_no_process_at_all_is_an_answer(shell: FakeShell) -> None:
    shell.hosts["sv1"].processes.clear()
    assert (await ask(shell)).processes == ()


async def test_a_clock_that_stayed_behind(shell: FakeShell) -> None:
    shell.hosts["sv1"].behind_s = 10.04
    assert (await ask(shell)).clock_behind_s == 10.0


async def test_what_nat_needs_is_told_apart(shell: FakeShell) -> None:
    host = shell.hosts["sv1"]
    host.sysctls["net.ipv4.ip_forward"] = "0"
    del host.sysctls["net.ipv4.vs.conntrack"]
    host.snat = None
    host.untracked.clear()
    bad = NatPath(ip_forward=False, conntrack=None, snat=False, packets=None, untracked=False)
    assert (await ask_thoroughly(shell)).nat == bad


@pytest.mark.parametrize("how", [fails, mumbles, hangs])
async def test_rules_before_conntrack_that_cannot_be_read_are_not_missing(shell: FakeShell, how: Program) -> None:
    async def mixed(host: FakeHost, argv: tuple[str, ...]) -> Reply:
        return await (how if "raw" in argv else iptables)(host, argv)

    shell.programs["iptables"] = mixed
    nat = (await ask_thoroughly(shell)).nat
    assert nat == NatPath(ip_forward=True, conntrack=True, snat=True, packets=0)


async def test_where_no_virtual_address_is_answered_by_the_snat_rule_nothing_has_to_pass_untracked(
    shell: FakeShell,
) -> None:
    away = replace(SITE, snat=Snat(vaddr=ip_network("10.200.0.0/24")))
    taken = await take_roll_call(shell, Clock(), away, "test")
    assert {answer.nat.untracked for answer in taken.answers if answer.nat} == {None}
    assert not any("raw" in argv for argv in shell.hosts["sv1"].ran)


async def test_a_fleet_without_a_snat_rule_does_not_ask_for_it(shell: FakeShell) -> None:
    assert await look_at_rule(shell, replace(SITE, snat=None), SV1) is None
    assert "iptables" not in {argv[0] for argv in shell.hosts["sv1"].ran}


async def test_a_snat_rule_for_ipv6_is_looked_for_where_it_stands(shell: FakeShell) -> None:
    await look_at_rule(shell, replace(SITE, snat=Snat(vaddr=ip_network("2001:db8::/64"))), SV1)
    assert ("ip6tables", "-t", "nat", "-S", "POSTROUTING", "-v") in shell.hosts["sv1"].ran


@pytest.mark.parametrize("program", EXTRAS)
@pytest.mark.parametrize("how", [fails, mumbles, None])
async def test_a_part_that_is_not_essential_costs_no_more_than_itself_when_it_fails(
    shell: FakeShell, program: str, how: object
) -> None:
    whole = await ask(shell)
    if how is None:
        del shell.programs[program]
    else:
        shell.programs[program] = how  # type: ignore[assignment]
    answer = await ask(shell)
    assert answer.answered
    lost = {"ps": {"processes": None}, "/sbin/sysctl": {"nat": None, "boot": None}, "date": {"clock_behind_s": None}}
    assert answer == replace(whole, **lost[program])  # type: ignore[arg-type]


async def test_what_hangs_after_the_essential_costs_what_comes_after_it(shell: FakeShell) -> None:
    whole = await ask(shell)
    shell.programs["/sbin/sysctl"] = hangs
    assert await ask(shell) == replace(whole, nat=None, boot=None, processes=None)


@pytest.mark.parametrize(("program", "says"), [("systemctl", "systemctl show"), ("cat", "cat /proc/net/ip_vs")])
async def test_an_essential_part_that_hangs_is_named(shell: FakeShell, program: str, says: str) -> None:
    shell.programs[program] = hangs
    answer = await ask(shell)
    assert not answer.answered
    assert answer.error is not None
    assert says in answer.error


async def test_without_any_of_nats_parts_there_is_nothing_to_say_of_it(shell: FakeShell) -> None:
    del shell.programs["/sbin/sysctl"], shell.programs["iptables"]
    assert (await ask_thoroughly(shell)).nat is None


async def test_status_asks_for_the_essential_only(shell: FakeShell) -> None:
    seen = await observe(shell, SV1)
    assert (seen.reachable, seen.error) == (True, None)
    assert {argv[0] for argv in shell.hosts["sv1"].ran} == {"ip", "systemctl", "cat"}


# --- no answer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "refused"), [(Unreachable, False), (HostKeyRefused, True), (AuthenticationRefused, True)]
)
async def test_a_host_that_does_not_let_the_bot_in_is_told_from_one_that_is_not_there(
    shell: FakeShell, error: type[ShellError], refused: bool
) -> None:
    shell.hosts["sv1"].refuses = error
    answer = await ask(shell)
    assert (answer.answered, answer.refused, answer.error) == (False, refused, "as the test wishes")


async def test_one_that_refuses_the_bot_is_not_asked_again(shell: FakeShell) -> None:
    class Counting(FakeShell):
        calls = 0

        async def ask(
            self, director: Director, commands: Sequence[Sequence[str]], *, deadline: float = 10.0
        ) -> tuple[CommandResult, ...]:
            self.calls += 1
            raise HostKeyRefused(director.name, commands[0], "another key")

    counting = Counting(shell.hosts)
    assert (await ask(counting)).error == "another key"
    assert counting.calls == 1


async def test_one_that_is_slow_once_is_asked_again(shell: FakeShell) -> None:
    asked = []

    async def slow_once(host: FakeHost, argv: tuple[str, ...]) -> Reply:
        asked.append(argv)
        return await (hangs if len(asked) == 1 else mumbles)(host, argv)

    shell.programs["systemctl"] = slow_once
    answer = await ask(shell)
    assert answer.answered
    assert answer.boot is not None
    assert len(asked) == 2


async def test_one_that_stays_silent_has_no_answer(shell: FakeShell) -> None:
    shell.patience = 0.01
    shell.hosts["sv1"].hangs = True
    answer = await ask(shell)
    assert (answer.answered, answer.refused, answer.error) == (False, False, "no answer within 0.02 s")
    assert (answer.processes, answer.nat, answer.boot, answer.clock_behind_s) == (None, None, None, None)
    assert not {argv[0] for argv in shell.hosts["sv1"].ran} & set(EXTRAS)
