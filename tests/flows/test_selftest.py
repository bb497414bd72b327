"""A self-test from its event in the journal to its verdict there: timed, ended by its deadline, outlived by the bot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.adapters.clock import SystemClock
from bot.adapters.messenger import SlackMessenger
from bot.domain.events import (
    Actor,
    MessagePosted,
    MuteSet,
    RollCallTaken,
    SelfTestFinished,
    SelfTestHeard,
    SelfTestStarted,
    Via,
)
from bot.domain.policy import Roles
from bot.domain.selftest import SLACK, Stage
from bot.flows.announcing import Announcer
from bot.flows.chronicle import Chronicle
from bot.flows.errands import Errands
from bot.flows.ports import Entry, MessageRefused, MessengerUnavailable, RateLimited, Unreachable
from bot.flows.projecting import projection
from bot.flows.selftest import SelfTester, UnderWay, begin, name_of
from bot.flows.selftest_requests import Begun, SelfTestRequests
from bot.local.slack import StandIn
from bot.lvs.agent import PROGRAM
from tests.agent.site import Bot, Director
from tests.domain.reference import FLEET, SITE, answer
from tests.fakes.journal import MemoryJournal
from tests.fakes.shell import FakeHost, FakeShell, Reply

CHANNEL = "C0SITE"
ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
AHEAD = timedelta(hours=1)
TEST, NEXT = name_of("site", "alice's"), name_of("site", "alice's next")


async def nobody() -> Roles:
    return Roles(operators=frozenset(), terminal=frozenset())


async def ask_nobody(channel: str) -> None:
    raise AssertionError("a test that posts asks nothing")


async def date(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    """``date +%s.%N`` on directors whose clocks are an hour ahead."""
    now = datetime.now(UTC) + AHEAD
    return Reply(stdout=f"{int(now.timestamp())}.{now.microsecond:06d}000\n")


@dataclass
class Desk:
    """A self-tester over directors in memory; ``delivers`` are those whose agents pass the line on."""

    chronicle: Chronicle
    journal: MemoryJournal
    shell: FakeShell
    deadline_s: float = 60.0
    errands: Errands = field(default_factory=Errands)
    delivers: set[str] = field(default_factory=lambda: {"sv1", "sv2"})
    says: dict[str, Reply] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    slack_error: Exception | None = None
    late: list[SelfTestHeard] = field(default_factory=list)
    tester: SelfTester = field(init=False)

    def __post_init__(self) -> None:
        self.shell.programs |= {"date": date, PROGRAM: self.agent}
        self.tester = self.new_tester()

    def new_tester(self) -> SelfTester:
        return SelfTester(
            self.chronicle,
            self.shell,
            SystemClock(),
            self.errands,
            channels={"site": CHANNEL},
            ask_slack=self.ask_slack,
            hint=lambda director: f"Its agent on {director} was last heard 2 s ago",
            deadline_s=self.deadline_s,
        )

    async def ask_slack(self, channel: str) -> None:
        self.asked.append(channel)
        if self.slack_error:
            raise self.slack_error

    async def agent(self, host: FakeHost, argv: tuple[str, ...]) -> Reply:
        name = next(name for name, each in self.shell.hosts.items() if each is host)
        if name in self.says:
            return self.says[name]
        assert argv[1:4] == ("emit", "--through-fifo", "TEST")
        now = datetime.now(UTC)
        heard = SelfTestHeard(
            cluster="site", director=name, test=argv[4], written_at=now + AHEAD, received_at=datetime.now(UTC)
        )
        if name in self.delivers:
            await self.chronicle.append(Entry(event=heard, source_key=f"{name}:{argv[4]}"))
        else:
            self.late.append(heard)
        return Reply(stdout=f'{{"at": {(now + AHEAD).timestamp()}}}\n')

    async def begin(self, request_id: str = "alice's") -> str | None:
        return await begin(self.chronicle, SystemClock(), SITE, request_id=request_id, by=ALICE, channel=CHANNEL)

    async def post(self, test: str = TEST) -> None:
        """What the announcer does once the first event came."""
        posted = MessagePosted(key=f"selftest:{test}", channel=CHANNEL, ts="1.0", digest="x")
        await self.chronicle.append(Entry(event=posted))

    async def end(self, test: str = TEST) -> SelfTestFinished:
        requests = SelfTestRequests(self.chronicle, SystemClock(), nobody, channels={"site": CHANNEL})
        found = await requests.outcome(Begun(test=test, cluster="site", channel=CHANNEL), grace_s=40, look_s=0.01)
        assert found is not None
        assert found.finished is not None
        return found.finished


@asynccontextmanager
async def sitting(journal: MemoryJournal | None = None, deadline_s: float = 60.0) -> AsyncIterator[Desk]:
    journal = journal or MemoryJournal()
    chronicle = Chronicle(journal, FLEET)
    await chronicle.catch_up()
    desk = Desk(chronicle=chronicle, journal=journal, shell=FakeShell.of(SITE), deadline_s=deadline_s)
    try:
        yield desk
    finally:
        await desk.errands.close()


def stages(finished: SelfTestFinished, name: str) -> set[str]:
    return {stage for who, stage, _ in finished.stages if who == name}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_each_director_is_asked_as_the_agents_own_account_and_every_stage_is_measured() -> None:
    async with sitting() as desk:
        assert await desk.begin()
        await until(lambda: len(desk.chronicle.world.selftests.by_id[TEST].heard) == 2)
        await desk.post()
        finished = await desk.end()
        assert finished.failed == ()
        for name in ("sv1", "sv2"):
            assert stages(finished, name) == {Stage.COMMAND, Stage.READ, Stage.RECEIVED, Stage.JOURNALLED}
            assert (PROGRAM, "emit", "--through-fifo", "TEST", TEST) in desk.shell.hosts[name].ran
        assert stages(finished, SLACK) == {Stage.POSTED}
        # An hour between the clocks shows in no number.
        assert all(0 <= ms < 60_000 for _, _, ms in finished.stages)
        assert desk.asked == []


async def test_the_message_is_waited_for() -> None:
    async with sitting() as desk:
        await desk.begin()
        await until(lambda: len(desk.chronicle.world.selftests.by_id[TEST].heard) == 2)
        await asyncio.sleep(0.05)
        assert desk.chronicle.world.selftests.by_id[TEST].finished is None
        await desk.post()
        assert (await desk.end()).failed == ()


async def test_an_event_that_does_not_come_is_lost_at_the_deadline_and_one_that_comes_later_is_noted() -> None:
    async with sitting(deadline_s=3) as desk:
        desk.delivers = {"sv2"}
        await desk.begin()
        await until(lambda: desk.chronicle.world.selftests.by_id[TEST].heard)
        await desk.post()
        finished = await desk.end()
        [(name, why)] = finished.failed
        assert name == "sv1"
        assert "written into the FIFO, and nothing came to the webhook within 3 s" in why
        assert "Its agent on sv1 was last heard 2 s ago" in why
        await desk.chronicle.append(*(Entry(event=event) for event in desk.late))
        assert desk.chronicle.world.selftests.by_id[TEST].heard == ("sv2", "sv1")


@pytest.mark.parametrize(
    ("said", "status", "advice"),
    [
        ("sudo: a password is required", 1, "install what `python -m bot render sv1` prints"),
        ("Sorry, user lvsbot is not allowed to execute '…' as lvs-agent on sv1.", 1, "`python -m bot render sv1`"),
        ("lvs-agent: error: unrecognized arguments: --through-fifo", 2, "install it anew"),
        ("lvs-agent: error: nobody reads the FIFO /run/x: is lvs-agent running?", 1, "systemctl status lvs-agent"),
        ("lvs-agent: error: the FIFO /run/x is full: lvs-agent does not read it", 1, "systemctl status lvs-agent"),
        ("sudo: /usr/local/sbin/lvs-agent: command not found", 1, "not installed there"),
        ("something else", 7, "look at the command by hand"),
    ],
)
async def test_a_command_that_fails_says_what_to_do_and_is_not_waited_for(said: str, status: int, advice: str) -> None:
    async with sitting() as desk:
        desk.says = {name: Reply(stderr=f"{said}\n", exit_status=status) for name in ("sv1", "sv2")}
        await desk.begin()
        finished = await desk.end()
        why = dict(finished.failed)["sv1"]
        assert said in why
        assert advice in why
        assert f"exited {status}" in why


async def test_an_answer_that_cannot_be_read_is_said_as_it_came() -> None:
    async with sitting() as desk:
        desk.says = {name: Reply(stdout="usage: lvs-agent\n") for name in ("sv1", "sv2")}
        await desk.begin()
        assert "usage: lvs-agent" in dict((await desk.end()).failed)["sv1"]


async def test_a_director_that_cannot_be_reached_is_told_apart_from_one_that_loses_the_event() -> None:
    async with sitting() as desk:
        desk.shell.hosts["sv1"].refuses = Unreachable
        await desk.begin()
        await until(lambda: desk.chronicle.world.selftests.by_id[TEST].heard)
        await desk.post()
        finished = await desk.end()
        assert finished.failed == (("sv1", "the command did not get there over SSH: as the test wishes"),)
        assert Stage.RECEIVED in stages(finished, "sv2")


async def test_a_command_whose_answer_was_lost_may_have_worked_and_is_waited_for() -> None:
    async with sitting() as desk:
        desk.shell.hosts["sv1"].loses_answers = True
        await desk.begin()
        await until(lambda: len(desk.chronicle.world.selftests.by_id[TEST].heard) == 2)
        await desk.post()
        finished = await desk.end()
        assert finished.failed == ()
        assert Stage.READ not in stages(finished, "sv1"), "when it was written there is not known"


async def test_a_director_that_hangs_ends_with_the_deadline() -> None:
    async with sitting(deadline_s=1) as desk:
        desk.shell.hosts["sv1"].hangs = True
        await desk.begin()
        await until(lambda: desk.chronicle.world.selftests.by_id[TEST].heard)
        await desk.post()
        [(name, _)] = (await desk.end()).failed
        assert name == "sv1"


async def test_a_message_that_does_not_get_into_slack_is_a_failure() -> None:
    async with sitting(deadline_s=1) as desk:
        await desk.begin()
        assert dict((await desk.end()).failed) == {
            SLACK: "its message was not in Slack after 1 s; look at the bot's log"
        }


async def test_one_test_of_a_cluster_at_a_time_and_a_redelivery_is_none() -> None:
    async with sitting() as desk:
        assert await desk.begin() == TEST
        assert await desk.begin() is None
        with pytest.raises(UnderWay):
            await desk.begin("alice's next")
        await desk.post()
        await desk.end()
        assert await desk.begin() is None
        assert await desk.begin("alice's next") == NEXT
        await desk.post(NEXT)
        await desk.end(NEXT)


async def test_the_clocks_own_test_posts_nothing_and_asks_slack_instead() -> None:
    async with sitting() as desk:
        await desk.tester.round(SITE)
        [test] = desk.chronicle.world.selftests.by_id
        finished = await desk.end(test)
        assert finished.failed == ()
        assert stages(finished, SLACK) == {Stage.ASKED}
        assert desk.asked == [CHANNEL]
        assert not desk.chronicle.world.selftests.by_id[test].worth_telling


async def test_the_clocks_own_test_gives_way_to_somebodys() -> None:
    async with sitting() as desk:
        await desk.begin()
        await desk.tester.round(SITE)
        assert list(desk.chronicle.world.selftests.by_id) == [TEST]
        await desk.post()
        await desk.end()


async def test_a_scheduled_test_that_cannot_be_recorded_is_left_out() -> None:
    async with sitting() as desk:
        desk.journal.fail = "the disk is full"
        await desk.tester.round(SITE)
        assert not desk.chronicle.world.selftests.by_id


@pytest.mark.parametrize("error", [MessengerUnavailable("HTTP 503"), MessageRefused("not_in_channel")])
async def test_the_clocks_own_test_fails_where_slack_would_take_no_message(error: Exception) -> None:
    async with sitting() as desk:
        desk.slack_error = error
        await desk.tester.round(SITE)
        [test] = desk.chronicle.world.selftests.by_id
        assert dict((await desk.end(test)).failed) == {SLACK: f"Slack would not take a message in {CHANNEL}: {error}"}


async def test_a_slack_that_asks_for_patience_is_there() -> None:
    async with sitting() as desk:
        desk.slack_error = RateLimited("conversations.history", 30)
        await desk.tester.round(SITE)
        [test] = desk.chronicle.world.selftests.by_id
        assert (await desk.end(test)).failed == ()


async def test_the_clocks_own_test_leaves_out_what_an_incident_tells_and_a_muted_cluster() -> None:
    async with sitting() as desk:
        lost = (answer("sv1", error="no answer"), answer("sv2", holds=True))
        taken = RollCallTaken(cluster="site", reason="test", asked_at=datetime.now(UTC), answers=lost)
        await desk.chronicle.append(Entry(event=taken))
        await desk.tester.round(SITE)
        [test] = desk.chronicle.world.selftests.by_id
        assert {who for who, _, _ in (await desk.end(test)).stages} == {"sv2", SLACK}
        until_then = datetime.now(UTC) + timedelta(hours=1)
        await desk.chronicle.append(
            Entry(event=MuteSet(cluster="site", subject="site", until=until_then, by=ALICE, maintenance=True))
        )
        await desk.tester.round(SITE)
        assert list(desk.chronicle.world.selftests.by_id) == [test]


async def test_a_test_that_a_dead_bot_left_is_ended_by_the_next_one() -> None:
    journal = MemoryJournal()
    async with sitting(journal) as desk:
        await desk.begin()
        await until(lambda: desk.chronicle.world.selftests.by_id[TEST].heard)
    async with sitting(journal) as desk:
        await desk.tester.bury()
        await desk.tester.bury()
        [(who, why)] = (await desk.end()).failed
        assert who == "the bot"
        assert "restarted meanwhile" in why
        assert await desk.begin("alice's next")
        await desk.post(NEXT)
        await desk.end(NEXT)


async def test_a_terminal_without_a_running_bot_waits_in_vain_and_not_for_ever() -> None:
    chronicle, clock = Chronicle(MemoryJournal(), FLEET), SystemClock()
    requests = SelfTestRequests(chronicle, clock, nobody, channels={}, deadline_s=0.02)
    test = await begin(chronicle, clock, SITE, request_id="alice's", by=ALICE, channel=None, deadline_s=0.02)
    assert test == TEST
    assert await requests.outcome(Begun(test=test, cluster="site", channel=None), grace_s=0.05, look_s=0.01) is None
    again = await begin(chronicle, clock, SITE, request_id="alice's next", by=ALICE, channel=None, deadline_s=0.02)
    assert again == NEXT, "one that nobody saw through stands in nobody's way"


async def test_a_test_of_a_cluster_that_the_fleet_no_longer_has_is_passed_over() -> None:
    async with sitting() as desk:
        gone = SelfTestStarted(cluster="gone", test=TEST, by=ALICE, channel=CHANNEL)
        await desk.chronicle.append(Entry(event=gone))
        await until(lambda: not desk.errands.under_way)
        assert desk.chronicle.world.selftests.by_id[TEST].finished is None


async def test_the_whole_way_with_a_real_agent_a_real_webhook_and_the_stand_in(tmp_path: Path) -> None:
    journal = MemoryJournal()
    chronicle = Chronicle(journal, FLEET)
    # Only sv1 has an agent here; sv2's command fails, so that the message has to say both.
    async with StandIn() as slack, Bot() as bot, Director(tmp_path, bot.url) as sv1:
        bot.journal = chronicle  # type: ignore[assignment]  # the webhook asks for no more than to append
        await bot.go()
        await bot.come()
        await sv1.start()
        shell = FakeShell.of(SITE)

        async def agent(host: FakeHost, argv: tuple[str, ...]) -> Reply:
            if host is not shell.hosts["sv1"]:
                return Reply(stderr="sudo: a password is required\n", exit_status=1)
            status, said = await sv1.command(*argv[1:])
            return Reply(stdout=said, exit_status=status)

        shell.programs |= {PROGRAM: agent}
        errands, messenger = Errands(), SlackMessenger(slack.bot_token, slack.base_url)
        SelfTester(
            chronicle,
            shell,
            SystemClock(),
            errands,
            channels={"site": CHANNEL},
            ask_slack=ask_nobody,
            deadline_s=60,
        )
        announcer = Announcer(
            chronicle, messenger, SystemClock(), projection({"site": CHANNEL}, lambda _: None), again_s=0.05
        )
        running = asyncio.create_task(announcer.run())
        await begin(chronicle, SystemClock(), SITE, request_id="alice's", by=ALICE, channel=CHANNEL)
        await slack.wait_for(lambda: "alert path is broken: sv2" in str(slack.messages(CHANNEL)), 60)
        [message] = slack.messages(CHANNEL)
        shown = str(message["blocks"])
        assert "FIFO → read by the agent" in shown
        assert "journal → message in Slack" in shown
        assert "install what `python -m bot render sv2` prints" in shown
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await errands.close()
        await messenger.close()
