"""What was confirmed and is in nobody's hand is carried on, once, and again later where that fails."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.bootstrap import LONGEST_ELSEWHERE, is_left, runner_name
from bot.domain.commands import Verb
from bot.domain.events import Verdict
from bot.domain.operations import Operation, Phase
from bot.flows.adopting import Adopter, Try
from bot.flows.errands import Errands
from bot.flows.ports import JournalUnavailable
from tests.domain.reference import SITE
from tests.flows.test_operating import ALICE, Clock, House, asked
from tests.flows.test_operating_together import failing

OWN = "bot:here:1:1"
NOW = timedelta(0)


class Later(Clock):
    after_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.after_s


async def confirmed(house: House) -> Operation:
    operation = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(operation, Operation)
    assert await house.operator.confirm(operation.id, ALICE) is None
    return operation


async def rest(errands: Errands) -> None:
    while errands.under_way:
        await asyncio.sleep(0)


async def test_what_the_bot_itself_dropped_is_carried_on_when_it_is_found_twice() -> None:
    house, errands, clock = House(), Errands(), Later()
    await house.again()
    adopter = Adopter(house.chronicle, house.operator, errands, clock, own=OWN, is_left=is_left)
    operation = await confirmed(house)
    real = house.chronicle.append
    house.chronicle.append = failing(house, 3)  # type: ignore[method-assign,assignment]
    with pytest.raises(JournalUnavailable):
        await house.operator.carry_out(operation.id)
    adopter.look()
    assert errands.under_way == 0, "it may be between the button and the work"
    house.chronicle.append = failing(house, 1)  # type: ignore[method-assign,assignment]
    adopter.look()
    await rest(errands)
    house.chronicle.append = real  # type: ignore[method-assign]
    adopter.look()
    assert errands.under_way == 0, "not at once again"
    clock.after_s = 10
    adopter.look()
    await rest(errands)
    assert house.chronicle.world.operations.by_id[operation.id].verdict is Verdict.DRAINED
    assert house.weights() == [0] * 2 * len(SITE.services)


async def test_what_is_being_carried_out_is_left_alone() -> None:
    house, errands = House(), Errands()
    await house.again()
    adopter = Adopter(house.chronicle, house.operator, errands, Clock(), own=OWN, is_left=is_left)
    operation = await confirmed(house)
    house.shell.hosts["sv1"].destination(SITE.service("http"), "10.100.0.11:80").active = 1
    work = asyncio.create_task(house.operator.carry_out(operation.id))
    while house.chronicle.world.operations.by_id[operation.id].phase is not Phase.WAITING:
        await asyncio.sleep(0)
    for _ in range(3):
        adopter.look()
    assert errands.under_way == 0
    work.cancel()


def test_whose_is_left() -> None:
    here = runner_name("terminal")
    dead = here.rpartition(":")[0] + ":1"
    assert is_left("bot:anywhere:7:7", OWN, NOW)
    assert not is_left(OWN, OWN, NOW)
    assert not is_left(here, OWN, LONGEST_ELSEWHERE * 2), "it lives"
    assert is_left(dead, OWN, NOW), "another process has its pid"
    assert not is_left("terminal:elsewhere:7:7", OWN, timedelta(minutes=30))
    assert is_left("terminal:elsewhere:7:7", OWN, LONGEST_ELSEWHERE + timedelta(seconds=1))


def test_it_waits_for_longer_each_time_and_not_for_ever() -> None:
    waits, last = [], Try()
    for _ in range(10):
        last = last.after(0.0)
        waits.append(last.next_at)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (2.0, 300.0)
