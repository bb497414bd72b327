"""Operations beside each other, beside keepalived and beside other processes: nobody is left without a server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.commands import Command, Verb
from bot.domain.events import HealthChanged, OverrideReasserted, RestoreCaughtUp, Verdict
from bot.domain.health import Outcome
from bot.domain.operations import Operation, Phase
from bot.flows.chronicle import Chronicle
from bot.flows.observing import take_roll_call
from bot.flows.operating import PLANS_HOLD, Answer, Operator, Request
from bot.flows.ports import Entry, JournalUnavailable, Unreachable
from bot.flows.reconciling import Reconciler
from bot.views.operation import headline
from tests.domain.reference import FLEET, SITE
from tests.fakes.journal import MemoryJournal, Store
from tests.fakes.shell import FakeShell, Reply
from tests.flows.test_operating import ALICE, HTTP, WEB1, Clock, House, asked, drained, roles


@pytest.fixture
async def house() -> House:
    made = House()
    await made.again()
    return made


def ask(verb: Verb, name: str, request_id: str) -> Request:
    return Request(command=Command(verb=verb, names=(name,)), by=ALICE, request_id=request_id, channel="C0SITE")


def standing(shell: FakeShell) -> list[bool]:
    """Whether each service on each director still has a real server with a weight."""
    return [any(d.weight for d in s.destinations.values()) for h in shell.hosts.values() for s in h.services.values()]


async def planned(operator: Operator, request: Request) -> Operation:
    operation = await operator.request(request)
    assert isinstance(operation, Operation), operation
    return operation


async def pressed(operator: Operator, request: Request) -> Operation:
    operation = await planned(operator, request)
    assert await operator.confirm(operation.id, ALICE) is None
    return operation


def put_back(house: House, *directors: str) -> None:
    """keepalived on *directors* gave web1 its weight back."""
    for director in directors:
        for service in SITE.services:
            house.shell.hosts[director].destination(service, f"10.100.0.11:{service.port}").weight = 1


async def dies(house: House, *names: str) -> None:
    for name in names:
        for service in SITE.services:
            event = HealthChanged(
                cluster="site",
                service=service.name,
                real_server=name,
                outcome=Outcome.UNHEALTHY,
                reason="refused",
                since=datetime.now(UTC),
            )
            await house.chronicle.append(Entry(event=event))


def slow_edits(shell: FakeShell, seconds: float, begun: asyncio.Event | None = None) -> None:
    real = shell.programs["ipvsadm"]

    async def slow(host, argv):  # type: ignore[no-untyped-def]
        if argv[1] == "-e":
            if begun is not None:
                begun.set()
            await asyncio.sleep(seconds)
        return await real(host, argv)

    shell.programs["ipvsadm"] = slow


# --- nobody is left without a real server ---------------------------------------------------------------------------


async def test_of_two_drains_pressed_at_once_one_leaves_the_last_real_server_alone(house: House) -> None:
    one = await pressed(house.operator, ask(Verb.DRAIN, "web1", "r1"))
    two = await pressed(house.operator, ask(Verb.DRAIN, "web2", "r2"))
    ended = await asyncio.gather(house.operator.carry_out(one.id), house.operator.carry_out(two.id))
    assert all(standing(house.shell))
    called_off = [o for o in ended if o.phase is Phase.CANCELLED]
    assert len(called_off) == 1
    assert "the last healthy real server of http" in called_off[0].detail


async def test_nor_does_one_that_is_pressed_while_the_other_is_setting_weights(house: House) -> None:
    slow_edits(house.shell, 0.03)
    one = await pressed(house.operator, ask(Verb.DRAIN, "web1", "r1"))
    two = await pressed(house.operator, ask(Verb.DRAIN, "web2", "r2"))
    first = asyncio.create_task(house.operator.carry_out(one.id))
    while house.chronicle.world.operations.override("site", "web1") is None:
        await asyncio.sleep(0)
    second = await house.operator.carry_out(two.id)
    assert (await first).verdict is Verdict.DRAINED
    assert second.phase is Phase.CANCELLED
    assert all(standing(house.shell))


class Processes:
    """A bot and a terminal's command over one journal and one fleet."""

    def __init__(self) -> None:
        self.store, self.shell, self._ids = Store(), FakeShell.of(SITE), itertools.count(1)

    def one(self, runner: str) -> tuple[Chronicle, Operator]:
        chronicle = Chronicle(MemoryJournal(self.store), FLEET)
        operator = Operator(
            chronicle,
            self.shell,
            Clock(),
            roles,
            runner=runner,
            new_id=lambda: f"op{next(self._ids)}",
            poll_s=0.01,
        )
        return chronicle, operator


async def test_nor_do_two_processes_that_know_nothing_of_each_other() -> None:
    processes = Processes()
    _, bot = processes.one("bot:here:1:1")
    _, terminal = processes.one("terminal:here:2:2")
    one = await pressed(bot, ask(Verb.DRAIN, "web1", "r1"))
    two = await pressed(terminal, ask(Verb.DRAIN, "web2", "r2"))
    ended = await asyncio.gather(bot.carry_out(one.id), terminal.carry_out(two.id))
    assert all(standing(processes.shell))
    assert sorted(o.phase.value for o in ended) == ["cancelled", "finished"]


async def test_where_keepalived_is_stopped_nobody_is_served_now_or_then(house: House) -> None:
    house.shell.hosts["sv2"].services.clear()
    await planned(house.operator, asked(Verb.DRAIN))


async def test_a_dead_one_is_not_called_healthy(house: House) -> None:
    await dies(house, "web1", "web2")
    answer = await house.operator.request(asked(Verb.DRAIN))
    assert isinstance(answer, Answer)
    assert answer.text.startswith("No other real server of http") and answer.text.endswith("nor is web1 itself.")


async def test_what_is_drained_already_is_said_to_be_so_whatever_befell_the_others(house: House) -> None:
    await drained(house)
    await dies(house, "web2")
    answer = await house.operator.request(asked(Verb.DRAIN, request_id="r7"))
    assert answer == Answer(text="web1 has weight 0 on every director already.", refused=False)


# --- a drain can be ended -------------------------------------------------------------------------------------------


async def restored(house: House, request_id: str = "r2") -> Operation:
    operation = await pressed(house.operator, asked(Verb.RESTORE, request_id=request_id))
    return await house.operator.carry_out(operation.id)


async def test_a_restore_ends_the_drain_also_where_keepalived_has_given_the_weights_back(house: House) -> None:
    await drained(house)
    put_back(house, "sv1", "sv2")
    operation = await planned(house.operator, asked(Verb.RESTORE, request_id="r2"))
    assert operation.steps == ()
    assert "this ends its drain" in operation.warnings[0]
    await house.operator.confirm(operation.id, ALICE)
    ended = await house.operator.carry_out(operation.id)
    assert headline(ended, None) == "web1 is not drained any more; no command had to run"
    reconciler = asyncio.create_task(Reconciler(house.chronicle, house.shell).run())
    await house.chronicle.append(Entry(event=await take_roll_call(house.shell, Clock(), SITE, "test")))
    await asyncio.sleep(0.1)
    reconciler.cancel()
    assert house.weights() == [1, 1, 1, 1]


async def test_and_where_keepalived_has_taken_it_out(house: House) -> None:
    await drained(house)
    for host in house.shell.hosts.values():
        for service in host.services.values():
            for place in [p for p in service.destinations if p.startswith("10.100.0.11:")]:
                del service.destinations[place]
    operation = await planned(house.operator, asked(Verb.RESTORE, request_id="r2"))
    assert "when it is well again" in operation.warnings[0]
    await house.operator.confirm(operation.id, ALICE)
    assert (await house.operator.carry_out(operation.id)).verdict is Verdict.DONE
    assert house.chronicle.world.operations.override("site", "web1") is None


async def test_a_restore_and_the_bot_that_keeps_the_drain_do_not_cross(house: House) -> None:
    await drained(house)
    restore = await planned(house.operator, asked(Verb.RESTORE, request_id="r2"))
    begun = asyncio.Event()
    put_back(house, "sv1")
    slow_edits(house.shell, 0.05, begun)
    reconciler = asyncio.create_task(Reconciler(house.chronicle, house.shell).run())
    await house.chronicle.append(Entry(event=await take_roll_call(house.shell, Clock(), SITE, "test")))
    await begun.wait()
    await house.operator.confirm(restore.id, ALICE)
    ended = await house.operator.carry_out(restore.id)
    await asyncio.sleep(0.2)
    reconciler.cancel()
    assert ended.verdict is Verdict.DONE
    assert house.weights() == [1, 1, 1, 1]


async def test_a_restore_after_which_a_director_shows_weight_0_did_not_work_out(house: House) -> None:
    await drained(house)
    real = house.shell.programs["ipvsadm"]

    async def taken_back(host, argv):  # type: ignore[no-untyped-def]
        said = await real(host, argv)
        if argv[1] == "-e" and host is house.shell.hosts["sv2"]:
            house.shell.hosts["sv1"].destination(HTTP, WEB1).weight = 0  # by a process that knows nothing of it
        return said

    operation = await pressed(house.operator, asked(Verb.RESTORE, request_id="r2"))
    put_back(house, "sv1")
    house.shell.programs["ipvsadm"] = taken_back
    ended = await house.operator.carry_out(operation.id)
    assert (ended.verdict, "sv1 shows weight 0 in http" in ended.detail) == (Verdict.FAILED, True)


async def test_an_old_restore_button_does_not_meddle_with_a_drain_that_runs(house: House) -> None:
    await drained(house)
    one = await planned(house.operator, asked(Verb.RESTORE, request_id="r2"))
    two = await planned(house.operator, asked(Verb.RESTORE, request_id="r3"))
    await house.operator.confirm(one.id, ALICE)
    assert (await house.operator.carry_out(one.id)).verdict is Verdict.DONE
    drain = await pressed(house.operator, asked(Verb.DRAIN, request_id="r4"))
    await house.operator.confirm(two.id, ALICE)
    ended = await asyncio.gather(house.operator.carry_out(drain.id), house.operator.carry_out(two.id))
    override = house.chronicle.world.operations.override("site", "web1")
    assert (override is not None) == (house.weights() == [0, 0, 0, 0])
    assert override is not None or house.weights() == [1, 1, 1, 1]
    assert [o.verdict for o in ended if o.verdict is Verdict.DONE] == [] or house.weights() == [1, 1, 1, 1]


async def test_an_old_plan_has_to_be_asked_for_anew(house: House) -> None:
    operation = await planned(house.operator, asked(Verb.DRAIN))

    class Later(Clock):
        def now(self) -> datetime:
            return datetime.now(UTC) + PLANS_HOLD + timedelta(seconds=1)

    house.operator._clock = Later()
    answer = await house.operator.confirm(operation.id, ALICE)
    assert answer is not None
    assert "ask again" in answer.text
    now = house.chronicle.world.operations.by_id[operation.id]
    assert (now.phase, now.detail) == (Phase.CANCELLED, "nobody confirmed it within 30 minutes")


# --- what is told of it is so ---------------------------------------------------------------------------------------


async def test_a_drain_that_a_terminal_waits_for_hears_of_a_restore_in_slack() -> None:
    processes = Processes()
    theirs, terminal = processes.one("terminal:here:2:2")
    ours, bot = processes.one("bot:here:1:1")
    place = processes.shell.hosts["sv1"].destination(HTTP, WEB1)
    place.active = 3
    drain = await pressed(terminal, asked(Verb.DRAIN))
    work = asyncio.create_task(terminal.carry_out(drain.id))
    while theirs.world.operations.by_id[drain.id].phase is not Phase.WAITING:
        await asyncio.sleep(0.01)
    await ours.catch_up()
    restore = await pressed(bot, asked(Verb.RESTORE, request_id="r2"))
    await bot.carry_out(restore.id)
    place.active = 0
    assert (await work).verdict is Verdict.SUPERSEDED


async def test_no_server_with_a_weight_is_told_to_be_drained(house: House) -> None:
    operation = await pressed(house.operator, asked(Verb.DRAIN))
    house.operator._poll_s, house.operator._patience_s = 0.01, 600
    house.shell.hosts["sv1"].destination(HTTP, WEB1).active = 1
    work = asyncio.create_task(house.operator.carry_out(operation.id))
    while not house.operator.connected.get(operation.id):
        await asyncio.sleep(0.01)
    put_back(house, "sv2")
    house.shell.hosts["sv1"].destination(HTTP, WEB1).active = 0
    async with asyncio.timeout(60):
        while any(house.operator.connected[operation.id].values()):
            await asyncio.sleep(0.01)
    house.operator._patience_s = 0
    ended = await work
    assert headline(ended, None) == "web1 is at weight 0 on sv1 and sv2, but not drained: sv2 gives it new connections"


async def test_a_director_that_cannot_be_asked_is_not_counted_as_empty(house: House) -> None:
    house.shell.hosts["sv1"].destination(HTTP, WEB1).active = 12
    house.shell.hosts["sv1"].refuses = Unreachable
    operation = await planned(house.operator, asked(Verb.DRAIN, ALICE, "--force"))
    await house.operator.confirm(operation.id, ALICE)
    house.operator._poll_s, house.operator._patience_s = 0.01, 600
    work = asyncio.create_task(house.operator.carry_out(operation.id))
    said = ""
    async with asyncio.timeout(60):
        while said != "Draining web1: no active connection left on sv2; sv1 cannot be asked":
            await asyncio.sleep(0.005)
            assert not work.done()
            now = house.chronicle.world.operations.by_id[operation.id]
            said = headline(now, house.operator.connected.get(operation.id))
    house.operator._patience_s = 0
    assert headline(await work, None) == "web1 is at weight 0 on sv2, but not drained: sv1 cannot be asked"


async def test_what_the_fleet_file_lost_meanwhile_is_called_off(house: House) -> None:
    operation = await pressed(house.operator, asked(Verb.DRAIN))
    without = replace(
        SITE,
        real_servers=SITE.real_servers[1:],
        services=tuple(replace(s, members=s.members[1:]) for s in SITE.services),
    )
    chronicle = Chronicle(house.journal, replace(FLEET, clusters=(without,)))
    await chronicle.catch_up()
    operator = Operator(chronicle, house.shell, Clock(), roles, runner="bot:here:9:1", new_id=lambda: "x", poll_s=0)
    ended = await operator.carry_out(operation.id)
    assert (ended.phase, ended.detail) == (Phase.CANCELLED, "web1 is no longer in the fleet file")


# --- nothing sticks -------------------------------------------------------------------------------------------------


def failing(house: House, number: int) -> Callable[..., Awaitable[object]]:
    real, count = house.chronicle.append, itertools.count(1)

    async def append(*entries: Entry) -> object:
        if next(count) == number:
            raise JournalUnavailable("the disk is full")
        return await real(*entries)

    return append


@pytest.mark.parametrize("number", range(1, 11))
async def test_what_a_journal_that_was_away_for_a_moment_left_can_be_carried_on(house: House, number: int) -> None:
    operation = await pressed(house.operator, asked(Verb.DRAIN))
    real = house.chronicle.append
    house.chronicle.append = failing(house, number)  # type: ignore[method-assign,assignment]
    with pytest.raises(JournalUnavailable):
        await house.operator.carry_out(operation.id)
    house.chronicle.append = real  # type: ignore[method-assign]
    assert house.operator.carrying == {}
    assert (await house.operator.carry_out(operation.id)).verdict is Verdict.DRAINED
    assert house.weights() == [0, 0, 0, 0]


async def test_who_carries_out_what_is_carried_out_already_waits_for_it(house: House) -> None:
    operation = await pressed(house.operator, asked(Verb.DRAIN))
    both = await asyncio.gather(*(house.operator.carry_out(operation.id) for _ in range(2)))
    assert [o.verdict for o in both] == [Verdict.DRAINED] * 2
    assert len(house.edits()) == len(operation.steps)


async def test_a_drain_that_could_not_be_kept_is_tried_again_until_it_is(house: House) -> None:
    await drained(house)
    good = house.shell.programs["ipvsadm"]

    async def bad(host, argv):  # type: ignore[no-untyped-def]
        return (
            Reply(stderr="ipvsadm: cannot allocate memory", exit_status=1)
            if argv[1] == "-e"
            else await good(host, argv)
        )

    house.shell.programs["ipvsadm"] = bad
    put_back(house, "sv1")
    reconciler = asyncio.create_task(Reconciler(house.chronicle, house.shell, again_s=0.01).run())
    await house.chronicle.append(Entry(event=await take_roll_call(house.shell, Clock(), SITE, "test")))
    while len(await house.events(OverrideReasserted)) < len(SITE.services):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert len(await house.events(OverrideReasserted)) == len(SITE.services), "the first failure is recorded, not each"
    house.shell.programs["ipvsadm"] = good
    while house.weights() != [0, 0, 0, 0]:
        await asyncio.sleep(0.01)
    reconciler.cancel()


async def test_the_reconciler_outlives_a_journal_that_is_away(house: House) -> None:
    await drained(house)
    put_back(house, "sv1")
    task = asyncio.create_task(Reconciler(house.chronicle, house.shell, again_s=0.01).run())
    taken = await take_roll_call(house.shell, Clock(), SITE, "test")
    await house.chronicle.append(Entry(event=taken))
    house.journal.fail = "disk full"
    await asyncio.sleep(0.1)
    assert not task.done()
    house.journal.fail = None
    while house.weights() != [0, 0, 0, 0]:
        await asyncio.sleep(0.01)
    task.cancel()


# --- a restore while a director does not answer ----------------------------------------------------------------------


async def restored_past(house: House, director: str) -> Operation:
    """web1 is drained, *director* does not answer any more, and web1 is restored on the others."""
    await drained(house)
    house.shell.hosts[director].refuses = Unreachable
    refused = await house.operator.request(asked(Verb.RESTORE, request_id="r2"))
    assert isinstance(refused, Answer)
    assert refused.instead == "restore web1 --force"
    operation = await pressed(house.operator, asked(Verb.RESTORE, ALICE, "--force", request_id="r3"))
    ended = await house.operator.carry_out(operation.id)
    assert (ended.verdict, ended.forced) == (Verdict.DONE, True)
    (warning,) = ended.warnings
    assert warning.startswith(f"{director} cannot be reached (")
    assert warning.endswith("): it gets its weight there when it answers again.")
    return ended


async def looked(house: House) -> None:
    await house.chronicle.append(Entry(event=await take_roll_call(house.shell, Clock(), SITE, "test")))


async def test_a_forced_restore_serves_at_once_and_gives_the_weight_where_nobody_answered_later(house: House) -> None:
    await restored_past(house, "sv1")
    assert house.weights() == [0, 0, 1, 1]
    reconciler = asyncio.create_task(Reconciler(house.chronicle, house.shell).run())
    await looked(house)
    await asyncio.sleep(0.05)
    assert house.weights() == [0, 0, 1, 1], "it does not answer yet"
    house.shell.hosts["sv1"].refuses = None
    await looked(house)
    while len(await house.events(RestoreCaughtUp)) < len(SITE.services):
        await asyncio.sleep(0.01)
    assert house.weights() == [1, 1, 1, 1]
    edits = len(house.edits())
    await looked(house)
    await asyncio.sleep(0.05)
    assert len(house.edits()) == edits, "once"
    assert house.chronicle.world.operations.owed == {}
    reconciler.cancel()


async def test_who_comes_back_with_a_weight_is_owed_nothing_more(house: House) -> None:
    """It was booted anew: keepalived has filled its table from its file."""
    await restored_past(house, "sv1")
    house.shell.hosts["sv1"].refuses = None
    put_back(house, "sv1")
    edits = len(house.edits())
    reconciler = asyncio.create_task(Reconciler(house.chronicle, house.shell).run())
    await looked(house)
    while house.chronicle.world.operations.owed:
        await asyncio.sleep(0.01)
    assert len(house.edits()) == edits
    assert [e.found for e in await house.events(RestoreCaughtUp)] == [1, 1]  # type: ignore[attr-defined]
    reconciler.cancel()


async def test_no_weight_is_given_to_one_that_is_down_before_it_is_well_again(house: House) -> None:
    await restored_past(house, "sv1")
    await dies(house, "web1")
    house.shell.hosts["sv1"].refuses = None
    reconciler = asyncio.create_task(Reconciler(house.chronicle, house.shell, again_s=0.01).run())
    await looked(house)
    await asyncio.sleep(0.1)
    assert house.weights() == [0, 0, 1, 1]
    for service in SITE.services:
        event = HealthChanged(
            cluster="site",
            service=service.name,
            real_server="web1",
            outcome=Outcome.HEALTHY,
            reason="",
            since=datetime.now(UTC),
        )
        await house.chronicle.append(Entry(event=event))
    while house.weights() != [1, 1, 1, 1]:
        await asyncio.sleep(0.01)
    reconciler.cancel()


async def test_a_0_that_came_after_the_look_is_left_to_the_next_look(house: House) -> None:
    """It may be keepalived's own, of one that is down (inhibit_on_failure)."""
    await restored_past(house, "sv1")
    house.shell.hosts["sv1"].refuses = None
    put_back(house, "sv1")
    taken = await take_roll_call(house.shell, Clock(), SITE, "test")
    for service in SITE.services:
        house.shell.hosts["sv1"].destination(service, f"10.100.0.11:{service.port}").weight = 0
    edits, ran = len(house.edits()), house.shell.hosts["sv1"].ran
    reconciler = asyncio.create_task(Reconciler(house.chronicle, house.shell).run())
    before = sum(argv[0] == "ipvsadm" for argv in ran)
    await house.chronicle.append(Entry(event=taken))
    while sum(argv[0] == "ipvsadm" for argv in ran) < before + 2 * len(SITE.services):  # the table and its thresholds
        await asyncio.sleep(0.01)
    assert len(house.edits()) == edits
    assert await house.events(RestoreCaughtUp) == []
    while house.weights() != [1, 1, 1, 1]:
        await looked(house)
        await asyncio.sleep(0.01)
    reconciler.cancel()


async def test_a_drain_that_follows_is_not_undone_by_what_the_restore_owed(house: House) -> None:
    await restored_past(house, "sv1")
    house.shell.hosts["sv1"].refuses = None
    drain = await pressed(house.operator, asked(Verb.DRAIN, request_id="r4"))
    assert (await house.operator.carry_out(drain.id)).verdict is Verdict.DRAINED
    reconciler = asyncio.create_task(Reconciler(house.chronicle, house.shell).run())
    await looked(house)
    await asyncio.sleep(0.05)
    assert house.weights() == [0, 0, 0, 0]
    assert await house.events(RestoreCaughtUp) == []
    reconciler.cancel()
