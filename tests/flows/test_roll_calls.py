"""Roll calls: who is slow is waited for, and asked again only when there is a reason to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from bot.adapters.clock import SystemClock
from bot.domain.events import Recorded, RollCallAnswer, RollCallTaken, VrrpState, VrrpStateChanged
from bot.domain.troubles import Matter, Trouble
from bot.flows import alerting
from bot.flows.alerting import RollCaller
from bot.flows.chronicle import Chronicle
from bot.flows.ports import Entry
from tests.domain.reference import FLEET, NOON, SITE, VIP
from tests.fakes.journal import MemoryJournal
from tests.fakes.shell import FakeHost, FakeShell, Reply
from tests.fakes.shell import ip as quick_ip


class Slow:
    """The site, with a roll caller at work on it; sv1 answers only once ``gate`` is open, sv2 while ``other`` is."""

    def __init__(self) -> None:
        self.gate, self.other = asyncio.Event(), asyncio.Event()
        self.other.set()
        self.journal = MemoryJournal()
        self.shell = FakeShell.of(SITE)
        self.shell.patience = 60.0
        self.shell.programs["ip"] = self._ip
        self.chronicle = Chronicle(self.journal, FLEET)
        self.caller = RollCaller(self.chronicle, self.shell, SystemClock(), SITE, interval_s=3600.0)

    async def _ip(self, host: FakeHost, argv: tuple[str, ...]) -> Reply:
        await (self.gate if host is self.shell.hosts["sv1"] else self.other).wait()
        return await quick_ip(host, argv)

    def asked(self, director: str) -> int:
        """How often *director* was asked so far."""
        return sum(argv[0] == "ip" for argv in self.shell.hosts[director].ran)

    async def taken(self, count: int) -> list[RollCallTaken]:
        """The roll calls in the journal, once there are *count* of them and nothing more is about to happen.

        The closer looks, which follow each of them, are left out.
        """
        while len(found := await self._recorded()) < count:
            await asyncio.sleep(0.01)
        for _ in range(100):
            await asyncio.sleep(0)
        return found

    async def looked_closer(self, count: int) -> list[RollCallAnswer]:
        """The answers of closer looks, once there are *count*."""
        while True:
            events = [r.event for r in await self.journal.read(kinds=("RollCallTaken",))]
            calls = [e for e in events if isinstance(e, RollCallTaken) and e.reason == "a closer look"]
            if len(answers := [a for call in calls for a in call.answers]) >= count:
                return answers
            await asyncio.sleep(0.01)

    async def _recorded(self) -> list[RollCallTaken]:
        events = [r.event for r in await self.journal.read(kinds=("RollCallTaken",))]
        return [e for e in events if isinstance(e, RollCallTaken) and e.reason != "a closer look"]

    @classmethod
    @asynccontextmanager
    async def at_work(cls) -> AsyncIterator[Slow]:
        """Until the block ends."""
        slow = cls()
        running = asyncio.create_task(slow.caller.run())
        try:
            yield slow
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert asyncio.all_tasks() == {asyncio.current_task()}, "it left something behind"


async def test_a_late_answer_is_recorded_and_nobody_is_asked_again_for_it() -> None:
    async with Slow.at_work() as slow:
        (first,) = await slow.taken(1)
        assert [a.director for a in first.answers] == ["sv2"]
        assert first.waiting == ("sv1",)
        slow.gate.set()
        *_, late = await slow.taken(2)
        assert [a.director for a in late.answers] == ["sv1"]
        assert len(await slow.taken(2)) == 2
        assert (slow.asked("sv1"), slow.asked("sv2")) == (1, 1)


async def test_a_director_that_was_still_out_when_something_was_said_is_asked_again() -> None:
    async with Slow.at_work() as slow:
        await slow.taken(1)
        slow.caller.ask("sv2 says MASTER for VI_1")
        await slow.taken(2)
        slow.gate.set()
        calls = await slow.taken(4)
        assert slow.asked("sv1") == 2
        assert "sv1" in {a.director for a in calls[-1].answers}


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_slow_one_that_answers_is_asked_again_also_while_another_that_died_is_waited_for(at_once: bool) -> None:
    async with Slow.at_work() as slow:
        await slow.taken(1)
        slow.other.clear()  # sv2 has answered, and dies
        slow.caller.ask("sv1 says MASTER for VI_1")
        slow.caller._urgent.set()
        async with asyncio.timeout(30):
            while slow.asked("sv2") < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1 if at_once else 1.1)  # while answers are gathered, or after that
            slow.gate.set()
            while slow.asked("sv1") < 2:
                await asyncio.sleep(0.01)
        assert slow.asked("sv2") == 2
        slow.other.set()
        async with asyncio.timeout(30):
            while not any(a.director == "sv2" for call in (await slow.taken(2))[1:] for a in call.answers):
                await asyncio.sleep(0.01)


class Leaping(SystemClock):
    """A clock by which everything takes ten minutes."""

    leaps = 0

    def monotonic(self) -> float:
        self.leaps += 1
        return super().monotonic() + 600 * self.leaps


async def test_one_that_was_out_when_a_new_master_spoke_gets_no_time_to_breathe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alerting, "LONGEST_BREATH_S", 3600.0)
    async with Slow.at_work() as slow:
        slow.caller._clock = Leaping()
        await slow.taken(1)
        claim = VrrpStateChanged(cluster="site", director="sv2", instance="VI_1", state=VrrpState.MASTER, priority=90)
        await slow.chronicle.append(Entry(event=claim, at_source=datetime.now(UTC)))
        await slow.taken(2)
        assert (slow.asked("sv1"), slow.asked("sv2")) == (1, 2)
        slow.gate.set()
        async with asyncio.timeout(30):
            while slow.asked("sv1") < 2:
                await asyncio.sleep(0.01)


async def test_a_closer_look_at_the_snat_rule_follows_and_keeps_nobody_waiting() -> None:
    async with Slow.at_work() as slow:
        slow.gate.set()
        (first,) = await slow.taken(1)
        assert all(a.boot and a.processes and a.nat and a.nat.snat is None for a in first.answers)
        closer = await slow.looked_closer(2)
        assert sorted(a.director for a in closer) == ["sv1", "sv2"]
        assert all(a.processes and a.weights and a.nat and a.nat.snat for a in closer)


@pytest.mark.parametrize("late", [False, True])
async def test_a_look_at_the_rule_that_ends_while_an_answer_is_being_written_repeats_no_older_one(late: bool) -> None:
    async with Slow.at_work() as slow:
        rule, look, append = asyncio.Event(), slow.shell.programs["iptables"], slow.journal.append
        writing = False

        async def look_when_told(host: FakeHost, argv: tuple[str, ...]) -> Reply:
            await rule.wait()
            return await look(host, argv)

        async def append_slowly(*entries: Entry) -> tuple[Recorded | None, ...]:
            nonlocal writing
            recorded = await append(*entries)
            if writing:
                writing = False
                rule.set()
                await asyncio.sleep(0.2)  # the disk takes that long
            return recorded

        slow.shell.programs["iptables"] = look_when_told
        slow.journal.append = append_slowly  # type: ignore[method-assign]
        slow.gate.set()
        await slow.taken(1)
        sv1, sv2 = slow.shell.hosts["sv1"], slow.shell.hosts["sv2"]
        moved = [address for address in sv1.addresses["br0"] if address.startswith(VIP)]
        assert moved
        sv1.addresses["br0"] = [address for address in sv1.addresses["br0"] if address not in moved]
        sv2.addresses["br0"] = [*sv2.addresses["br0"], *moved]
        if late:
            slow.gate.clear()
            slow.caller.ask("a test")
            await slow.taken(2)
            slow.gate.set()
        else:
            slow.caller.ask("a test")
        writing = True
        closer = await slow.looked_closer(2)
        assert [a.holds for a in closer if a.director == "sv1"] == [()]


async def test_a_rule_that_cannot_be_read_is_no_answer() -> None:
    async with Slow.at_work() as slow:
        del slow.shell.programs["iptables"]
        slow.gate.set()
        await slow.taken(1)
        while sum(a[0] == "iptables" for host in slow.shell.hosts.values() for a in host.ran) < 2:
            await asyncio.sleep(0.01)
        await slow.taken(1)
        assert not await slow.looked_closer(0)


async def test_a_rule_that_is_missing_is_looked_at_again_at_once_and_then_told() -> None:
    async with Slow.at_work() as slow:
        slow.shell.hosts["sv2"].snat = None
        slow.gate.set()
        trouble = Trouble(matter=Matter.NAT, subject="sv2")
        async with asyncio.timeout(30):
            while trouble not in slow.chronicle.world.situations[SITE.name].found:
                await asyncio.sleep(0.01)


async def test_when_the_last_answers_came_is_known_also_where_there_is_nothing_new_to_record() -> None:
    async with Slow.at_work() as slow:

        def taken_at() -> float | None:
            return slow.caller.taken_at

        assert taken_at() is None
        slow.gate.set()
        await slow.taken(1)
        first = taken_at()
        assert first is not None
        slow.caller.ask("a test")
        async with asyncio.timeout(30):
            while taken_at() == first:
                await asyncio.sleep(0.01)


async def test_it_ends_when_told_so_also_in_the_moment_in_which_it_is_asked_to_call() -> None:
    slow = Slow()
    slow.gate.set()
    running = asyncio.create_task(slow.caller.run())
    await slow.looked_closer(2)
    await asyncio.sleep(0.1)  # it waits for a reason to call
    slow.caller.ask("now")
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=5)
    running.cancel()
    assert done, "it went on"
    assert running.cancelled()


async def test_answers_that_cannot_be_folded_do_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Slow.at_work() as slow:
        slow.gate.set()
        await slow.taken(1)

        def defect(*_: object) -> bool:
            raise KeyError("a defect")

        monkeypatch.setattr("bot.flows.alerting.is_news", defect)
        answer = (await slow.taken(1))[0].answers
        await slow.caller._record("routine", NOON, answer, demanded=False)
        assert (await slow.taken(2))[1].reason == "routine"
