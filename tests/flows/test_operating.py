"""Drains and restores over behaving fakes: every refusal, every fault, and a death between any two steps."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from bot.domain.commands import Command, Verb
from bot.domain.events import (
    Actor,
    OperationDenied,
    OverrideReasserted,
    Recorded,
    StepFinished,
    StepOutcome,
    Verdict,
    Via,
)
from bot.domain.fleet import Director
from bot.domain.observed import CommandResult
from bot.domain.operations import Operation, Phase
from bot.domain.policy import Roles
from bot.flows.chronicle import Chronicle
from bot.flows.observing import take_roll_call
from bot.flows.operating import Answer, Operator, Request
from bot.flows.ports import Entry, OutcomeUnknown, Unreachable
from bot.flows.reconciling import Reconciler
from tests.domain.reference import FLEET, SITE
from tests.fakes.journal import MemoryJournal
from tests.fakes.shell import FakeShell

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
BOB = Actor(id="U0BOB", name="bob", via=Via.SLACK)
HTTP, WEB1 = SITE.service("http"), "10.100.0.11:80"


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


async def roles() -> Roles:
    return Roles(operators=frozenset({"U0ALICE"}), terminal=frozenset())


@dataclass
class House:
    """A bot's worth of flows over one journal and one fleet of fakes; :meth:`again` is the bot started anew."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    shell: FakeShell = field(default_factory=lambda: FakeShell.of(SITE))
    lives: int = 0

    async def again(self, journal: object = None, shell: object = None) -> Operator:
        self.lives += 1
        self.chronicle = Chronicle(journal or self.journal, FLEET)  # type: ignore[arg-type]
        await self.chronicle.catch_up()
        ids = itertools.count(1)
        self.operator = Operator(
            self.chronicle,
            shell or self.shell,  # type: ignore[arg-type]
            Clock(),
            roles,
            runner=f"bot:here:{self.lives}:1",
            new_id=lambda: f"op{self.lives}-{next(ids)}",
            poll_s=0,
        )
        return self.operator

    def weights(self) -> list[int]:
        return [
            host.destination(service, f"10.100.0.11:{service.port}").weight
            for host in self.shell.hosts.values()
            for service in SITE.services
        ]

    def edits(self) -> list[tuple[str, ...]]:
        return [argv for host in self.shell.hosts.values() for argv in host.ran if argv[:2] == ("ipvsadm", "-e")]

    async def events(self, kind: type) -> list[object]:
        return [r.event for r in await self.journal.read() if isinstance(r.event, kind)]


@pytest.fixture
async def house() -> House:
    made = House()
    await made.again()
    return made


def asked(verb: Verb, by: Actor = ALICE, *flags: str, request_id: str = "r1") -> Request:
    return Request(
        command=Command(verb=verb, names=("web1",), flags=flags), by=by, request_id=request_id, channel="C0SITE"
    )


async def drained(house: House) -> Operation:
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    assert await house.operator.confirm(operation.id, ALICE) is None
    return await house.operator.carry_out(operation.id)


async def test_nothing_runs_before_the_button_is_pressed(house: House) -> None:
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    assert operation.phase is Phase.PLANNED
    assert house.edits() == []


async def test_a_drain_leaves_weight_0_everywhere_and_a_restore_gives_the_weights_back(house: House) -> None:
    house.shell.hosts["sv1"].destination(HTTP, WEB1).weight = 5
    operation = await drained(house)
    assert operation.verdict is Verdict.DRAINED
    assert house.weights() == [0, 0, 0, 0]
    restore = await house.operator.request(asked(Verb.RESTORE, request_id="r2"))
    assert isinstance(restore, Operation)
    await house.operator.confirm(restore.id, ALICE)
    assert (await house.operator.carry_out(restore.id)).verdict is Verdict.DONE
    assert house.weights() == [5, 1, 1, 1]
    assert house.chronicle.world.operations.override("site", "web1") is None


async def test_a_drain_keeps_the_thresholds_that_an_edit_would_forget(house: House) -> None:
    place = house.shell.hosts["sv1"].destination(HTTP, WEB1)
    place.upper, place.lower = 200, 150
    await drained(house)
    assert (place.weight, place.upper, place.lower) == (0, 200, 150)


async def test_the_journal_has_who_what_when_before_and_after(house: House) -> None:
    await drained(house)
    lines = [type(r.event).__name__ for r in await house.journal.read()]
    assert lines[:4] == ["OperationRequested", "OperationConfirmed", "OperationStarted", "OverrideSet"]
    assert sorted(lines[4:12]) == ["StepFinished"] * 4 + ["StepStarted"] * 4
    (first, *_) = [r.event for r in await house.journal.read()]
    assert [(s.before, s.after) for s in first.steps] == [(1, 0)] * 4  # type: ignore[union-attr]


async def test_a_drain_waits_until_the_last_connection_is_gone(house: House) -> None:
    place = house.shell.hosts["sv1"].destination(HTTP, WEB1)
    place.active = 3
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    await house.operator.confirm(operation.id, ALICE)
    work = asyncio.create_task(house.operator.carry_out(operation.id))
    while house.operator.connected.get(operation.id) != {"sv1": 3, "sv2": 0}:
        await asyncio.sleep(0)
    assert house.chronicle.world.operations.by_id[operation.id].phase is Phase.WAITING
    place.active = 0
    assert (await work).verdict is Verdict.DRAINED


async def test_a_restore_ends_a_drain_that_still_waits(house: House) -> None:
    house.shell.hosts["sv1"].destination(HTTP, WEB1).active = 3
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    await house.operator.confirm(operation.id, ALICE)
    work = asyncio.create_task(house.operator.carry_out(operation.id))
    while not house.operator.connected:
        await asyncio.sleep(0)
    restore = await house.operator.request(asked(Verb.RESTORE, request_id="r2"))
    assert isinstance(restore, Operation)
    await house.operator.confirm(restore.id, ALICE)
    await house.operator.carry_out(restore.id)
    assert (await work).verdict is Verdict.SUPERSEDED
    assert house.weights() == [1, 1, 1, 1]


async def test_somebody_who_is_no_operator_is_refused_and_that_is_journalled(house: House) -> None:
    answer = await house.operator.request(asked(Verb.DRAIN, BOB))
    assert isinstance(answer, Answer)
    assert "not an operator" in answer.text
    assert len(await house.events(OperationDenied)) == 1


async def test_a_button_pressed_by_somebody_who_is_no_operator_does_nothing(house: House) -> None:
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    assert isinstance(await house.operator.confirm(operation.id, BOB), Answer)
    assert house.chronicle.world.operations.by_id[operation.id].phase is Phase.PLANNED
    assert len(await house.events(OperationDenied)) == 1


async def test_a_second_press_and_a_redelivered_request_have_no_second_effect(house: House) -> None:
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    assert await house.operator.request(asked(Verb.DRAIN)) is None
    answers = await asyncio.gather(*(house.operator.confirm(operation.id, ALICE) for _ in range(3)))
    assert answers.count(None) == 1


async def test_a_cancelled_operation_runs_nothing(house: House) -> None:
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    assert await house.operator.cancel(operation.id, ALICE) is None
    assert isinstance(await house.operator.confirm(operation.id, ALICE), Answer)
    assert house.edits() == []


async def test_what_changed_between_the_question_and_the_click_calls_it_off(house: House) -> None:
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    house.shell.hosts["sv2"].destination(HTTP, "10.100.0.21:80").weight = 0
    await house.operator.confirm(operation.id, ALICE)
    ended = await house.operator.carry_out(operation.id)
    assert ended.phase is Phase.CANCELLED
    assert "last healthy real server" in ended.detail
    assert house.edits() == []


async def test_an_unknown_name_gets_a_suggestion(house: House) -> None:
    request = Request(command=Command(verb=Verb.DRAIN, names=("wbe1",)), by=ALICE, request_id="r1")
    answer = await house.operator.request(request)
    assert isinstance(answer, Answer)
    assert answer.instead == "drain web1"


async def test_a_lost_answer_is_judged_by_the_table(house: House) -> None:
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    await house.operator.confirm(operation.id, ALICE)
    ended = await house.operator.carry_out(operation.id) if await _lose_edits(house, "sv1") else None
    assert ended is not None
    assert ended.verdict is Verdict.DRAINED
    assert len(house.edits()) == 4


async def _lose_edits(house: House, director: str) -> bool:
    """From now on the edits on *director* run, and their answers are lost."""
    real = house.shell.run

    async def run(where: Director, argv: Sequence[str], *, deadline: float = 10.0, sudo: bool = False) -> CommandResult:
        result = await real(where, argv, deadline=deadline, sudo=sudo)
        if where.name == director and argv[1] == "-e":
            raise OutcomeUnknown(where.name, argv, "no answer within 10 s")
        return result

    house.shell.run = run  # type: ignore[method-assign, assignment]
    return True


async def test_a_director_that_dies_in_the_middle_fails_the_operation_and_says_where(house: House) -> None:
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    await house.operator.confirm(operation.id, ALICE)
    real = house.shell.run

    async def run(where: Director, argv: Sequence[str], *, deadline: float = 10.0, sudo: bool = False) -> CommandResult:
        if where.name == "sv2" and argv[1] == "-e":
            raise Unreachable(where.name, argv, "connection refused")
        return await real(where, argv, deadline=deadline, sudo=sudo)

    house.shell.run = run  # type: ignore[method-assign, assignment]
    ended = await house.operator.carry_out(operation.id)
    assert ended.verdict is Verdict.FAILED
    assert "sv2: connection refused" in ended.detail
    outcomes = {step.director: ended.result(step.number) for step in ended.steps}
    assert {name: found and found.outcome for name, found in outcomes.items()} == {
        "sv1": StepOutcome.DONE,
        "sv2": StepOutcome.FAILED,
    }


async def test_a_command_that_says_0_without_doing_anything_is_not_believed(house: House) -> None:
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    await house.operator.confirm(operation.id, ALICE)
    real = house.shell.programs["ipvsadm"]

    async def lazy(host: object, argv: tuple[str, ...]) -> object:
        from tests.fakes.shell import Reply

        return Reply() if argv[1] == "-e" else await real(host, argv)  # type: ignore[arg-type]

    house.shell.programs["ipvsadm"] = lazy  # type: ignore[assignment]
    ended = await house.operator.carry_out(operation.id)
    assert ended.verdict is Verdict.FAILED
    assert "the table shows weight 1" in ended.detail


async def test_a_weight_that_keepalived_set_again_is_taken_back_to_0_and_said(house: House) -> None:
    await drained(house)
    reconciler = Reconciler(house.chronicle, house.shell)
    work = asyncio.create_task(reconciler.run())
    house.shell.hosts["sv2"].destination(HTTP, WEB1).weight = 1
    taken = await take_roll_call(house.shell, Clock(), SITE, "test")
    await house.chronicle.append(Entry(event=taken))
    while not await house.events(OverrideReasserted):
        await asyncio.sleep(0)
    work.cancel()
    assert house.weights() == [0, 0, 0, 0]
    (event,) = await house.events(OverrideReasserted)
    assert (event.director, event.found, event.error) == ("sv2", 1, None)  # type: ignore[attr-defined]


# --- a death between any two steps ----------------------------------------------------------------------------------


class Killed(BaseException):
    """kill -9, as the flows see it: nothing after it runs."""


class Fuse:
    """Burns at the *n*-th touch: whoever touches it before or after a port's call dies there."""

    def __init__(self, touches: int) -> None:
        self.left = touches

    def touch(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


class FusedJournal:
    """A journal that its user may die just before or just after each append."""

    def __init__(self, journal: MemoryJournal, fuse: Fuse) -> None:
        self._journal, self._fuse = journal, fuse

    async def append(self, *entries: Entry) -> tuple[Recorded | None, ...]:
        self._fuse.touch()
        recorded = await self._journal.append(*entries)
        self._fuse.touch()
        return recorded

    def __getattr__(self, name: str) -> object:
        return getattr(self._journal, name)


class FusedShell:
    """A shell that its user may die just before or just after each command."""

    def __init__(self, shell: FakeShell, fuse: Fuse) -> None:
        self._shell, self._fuse = shell, fuse
        self.patience = shell.patience

    async def run(
        self, director: Director, argv: Sequence[str], *, deadline: float = 10.0, sudo: bool = False
    ) -> CommandResult:
        self._fuse.touch()
        result = await self._shell.run(director, argv, deadline=deadline, sudo=sudo)
        self._fuse.touch()
        return result

    async def ask(
        self, director: Director, commands: Sequence[Sequence[str]], *, deadline: float = 10.0
    ) -> tuple[CommandResult, ...]:
        self._fuse.touch()
        results = await self._shell.ask(director, commands, deadline=deadline)
        self._fuse.touch()
        return results

    def changing(self, director: Director) -> AbstractAsyncContextManager[None]:
        return self._shell.changing(director)


async def _live(house: House, work: Callable[[Operator], object], fuse: Fuse) -> bool:
    """One life of the bot that does *work* until the fuse burns; whether it came to its end."""
    operator = await house.again(FusedJournal(house.journal, fuse), FusedShell(house.shell, fuse))
    try:
        await work(operator)  # type: ignore[misc]
    except Killed:
        return False
    return True


@pytest.mark.parametrize("seed", range(3))
async def test_killed_between_any_two_steps_no_command_is_repeated_and_none_is_left_out(seed: int) -> None:
    """Every place to die in a whole drain is tried, and then dying again while carrying on."""
    for first in itertools.count():
        house = House()
        operator = await house.again()
        operation = await operator.request(asked(Verb.DRAIN))
        assert isinstance(operation, Operation)
        await operator.confirm(operation.id, ALICE)

        async def carry_on(operator: Operator, wanted: str = operation.id) -> None:
            await operator.carry_out(wanted)

        unharmed = await _live(house, carry_on, Fuse(first))
        if not unharmed:
            await _live(house, carry_on, Fuse(seed * 3 + 1))
        await house.again()
        ended = await house.operator.carry_out(operation.id)
        assert ended.verdict is Verdict.DRAINED, first
        assert house.weights() == [0, 0, 0, 0], first
        assert len(house.edits()) == 4, first
        assert _once_each(house), first
        assert len(await house.events(StepFinished)) == 4, first
        if unharmed:
            assert first > 20
            return


def _once_each(house: House) -> bool:
    """Each director was told each thing exactly once."""
    return all(
        len(edits := [a for a in host.ran if a[:2] == ("ipvsadm", "-e")]) == len(set(edits))
        for host in house.shell.hosts.values()
    )
