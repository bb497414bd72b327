"""The self-test: a marked event from each director's agent through FIFO, webhook, journal and announcer, timed.

A test begins with its event in the journal, whoever wrote it there (a slash command, a terminal, the clock); the
running bot takes it up from there and records what came of it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from bot.domain.events import (
    Actor,
    MessagePosted,
    Recorded,
    SelfTestFinished,
    SelfTestHeard,
    SelfTestStarted,
)
from bot.domain.fleet import Cluster, Director
from bot.domain.observed import CommandResult
from bot.domain.selftest import Ending, Exchange, Stage, Trace, verdict
from bot.flows.chronicle import Chronicle
from bot.flows.errands import Errands
from bot.flows.observing import CommandFailed
from bot.flows.ports import (
    Clock,
    Entry,
    JournalUnavailable,
    MessageRefused,
    MessengerUnavailable,
    OutcomeUnknown,
    RateLimited,
    RemoteShell,
    ShellError,
)
from bot.lvs import date
from bot.lvs.agent import USER, emit_test, parse_emitted
from bot.lvs.errors import Unreadable

log = structlog.get_logger(__name__)

DEADLINE_S = 20.0
"""Seconds until what has not come is lost."""
QUESTIONS = 3
"""How often a director is asked for its time: the quickest answer bounds its clock best."""
ABANDONED = 3
"""How many deadlines after its beginning a test that nobody ended stands in nobody's way."""

KEY = "selftest:"
"""What the key of its message begins with; its id follows."""

# What sudo and the agent print, and what it means for whoever has to put it right.
ADVICE = (
    (
        "a password is required",
        "sudo does not let the bot do it: install what `python -m bot render {director}` prints",
    ),
    ("is not allowed to", "sudo does not let the bot do it: install what `python -m bot render {director}` prints"),
    ("unrecognized arguments", "the agent there is an older one: install it anew (docs/agent.md)"),
    ("command not found", "the agent is not installed there (docs/agent.md)"),
    ("nobody reads the FIFO", "look at `systemctl status lvs-agent` on {director}"),
    ("does not read it", "look at `systemctl status lvs-agent` on {director}"),
)


class UnderWay(Exception):
    """The cluster is being tested already."""


def name_of(cluster: str, request_id: str) -> str:
    """The id of the test of *cluster* that *request_id* asks for: a request that comes again names the same one."""
    return hashlib.sha256(f"{cluster}:{request_id}".encode()).hexdigest()[:10]


async def begin(
    chronicle: Chronicle,
    clock: Clock,
    cluster: Cluster,
    *,
    request_id: str,
    by: Actor | None,
    channel: str | None,
    deadline_s: float = DEADLINE_S,
) -> str | None:
    """Have the running bot test *cluster*; the test's id, or None where this very request was taken before.

    Raises UnderWay, JournalUnavailable.
    """
    test = name_of(cluster.name, request_id)
    tests = chronicle.world.selftests
    if test in tests.by_id:
        return None
    if tests.under_way(cluster.name, clock.now() - timedelta(seconds=ABANDONED * deadline_s)):
        raise UnderWay(cluster.name)
    started = SelfTestStarted(cluster=cluster.name, test=test, by=by, channel=channel)
    (recorded,) = await chronicle.append(Entry(event=started, source_key=f"{KEY}{test}:started"))
    return test if recorded else None


class Run:
    """One test under way: what is known of each director so far, and of its message."""

    def __init__(self, directors: Iterable[Director], *, posts: bool) -> None:
        self.traces = {director.name: Trace(director=director.name) for director in directors}
        self.posted_at: datetime | None = None
        self._posts = posts
        self._news = asyncio.Event()

    def learn(self, director: str, **known: object) -> None:
        """Something became known of *director*."""
        self.traces[director] = replace(self.traces[director], **known)  # type: ignore[arg-type]  # by the callers
        self._news.set()

    def heard(self, event: SelfTestHeard, at: datetime) -> None:
        """The event of a director is durable since *at*; only the first counts."""
        trace = self.traces.get(event.director)
        if trace is not None and trace.heard is None:
            self.learn(event.director, heard=event, durable_at=at)

    def posted(self, at: datetime) -> None:
        """Slack took the message *at*; only the first time counts."""
        self.posted_at = self.posted_at or at
        self._news.set()

    @property
    def first_durable_at(self) -> datetime | None:
        """When the first of its events was in the journal."""
        return min((t.durable_at for t in self.traces.values() if t.durable_at is not None), default=None)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to wait for."""
        told = not self._posts or self.first_durable_at is None or self.posted_at is not None
        return told and all(trace.over for trace in self.traces.values())

    async def wait(self, seconds: float) -> None:
        """Wait until it is over, or for *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                while not self.over:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return


class SelfTester:
    """Sees tests through.

    *ask_slack* asks Slack something about a channel and posts nothing; it raises MessengerUnavailable, MessageRefused.
    *hint* says what else is known of a director's agent.
    """

    def __init__(
        self,
        chronicle: Chronicle,
        shell: RemoteShell,
        clock: Clock,
        errands: Errands,
        *,
        channels: Mapping[str, str],
        ask_slack: Callable[[str], Awaitable[object]],
        hint: Callable[[str], str] = lambda _director: "",
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._chronicle = chronicle
        self._shell = shell
        self._clock = clock
        self._errands = errands
        self._channels = channels
        self._ask_slack = ask_slack
        self._hint = hint
        self._deadline_s = deadline_s
        self._runs: dict[str, Run] = {}
        chronicle.listen(self._listen)

    def _listen(self, recorded: Recorded) -> None:
        event = recorded.event
        match event:
            case SelfTestStarted():
                self._errands.start(self._see_through(event), f"self-test {event.test}")
            case SelfTestHeard() if event.test in self._runs:
                self._runs[event.test].heard(event, self._clock.now())
            case MessagePosted() if (test := event.key.removeprefix(KEY)) in self._runs:
                # Recorded once Slack had answered: the nearest moment to its being there that the bot's clock knows.
                self._runs[test].posted(recorded.recorded_at)

    async def bury(self) -> None:
        """End the tests that a bot that died, or none at all, left under way. Raises JournalUnavailable."""
        why = "no bot saw it through: it was restarted meanwhile, or did not run"
        for test in self._chronicle.world.selftests.by_id.values():
            if test.finished is None and test.id not in self._runs:
                await self._record(SelfTestFinished(cluster=test.cluster, test=test.id, failed=(("the bot", why),)))

    async def round(self, cluster: Cluster) -> None:
        """The scheduled test of *cluster*: left out while the cluster is muted, silent unless something is lost."""
        now = self._clock.now()
        if self._chronicle.world.mutes.of(cluster.name, (), now) is not None:
            return
        request = f"scheduled:{now.isoformat()}"
        try:
            await begin(
                self._chronicle,
                self._clock,
                cluster,
                request_id=request,
                by=None,
                channel=None,
                deadline_s=self._deadline_s,
            )
        except UnderWay:
            log.info("no scheduled self-test: somebody is testing", cluster=cluster.name)
        except JournalUnavailable as error:
            log.error("a scheduled self-test could not begin", cluster=cluster.name, error=str(error))

    async def _see_through(self, event: SelfTestStarted) -> None:
        cluster = next((c for c in self._chronicle.fleet.clusters if c.name == event.cluster), None)
        if cluster is None:
            return
        run = Run(self._directors(cluster, scheduled=event.by is None), posts=event.channel is not None)
        self._runs[event.test] = run
        ends_at = self._clock.monotonic() + self._deadline_s
        asking = [
            asyncio.create_task(self._ask(run, cluster.director(name), event.test, ends_at)) for name in run.traces
        ]
        try:
            await run.wait(self._deadline_s)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            del self._runs[event.test]
        ending = await self._ending(event, run)
        traces = [replace(trace, hint=self._hint(trace.director)) for trace in run.traces.values()]
        await self._record(verdict(event.cluster, event.test, traces, ending, waited_s=self._deadline_s))

    def _directors(self, cluster: Cluster, *, scheduled: bool) -> tuple[Director, ...]:
        """Whom to ask; the clock's own test leaves out those of which an incident tells already."""
        situation = self._chronicle.world.situations[cluster.name]
        return tuple(d for d in cluster.directors if not (scheduled and situation.unreachable(d.name)))

    async def _ask(self, run: Run, director: Director, test: str, ends_at: float) -> None:
        """Bound the director's clock, then have its agent write the marked line into the FIFO."""
        exchanges = await self._times_of(director, ends_at)
        asked_at, began = self._clock.now(), self._clock.monotonic()
        try:
            result = await self._shell.run(
                director, emit_test(test), sudo=True, user=USER, deadline=self._left(ends_at)
            )
        except ShellError as error:
            reason = error.cause if isinstance(error, OutcomeUnknown) else error.reason
            problem = f"the command did not get there over SSH: {reason}"
            if isinstance(error, OutcomeUnknown):
                problem = f"the command's answer over SSH was lost: {reason}"
            run.learn(director.name, problem=problem, may_have_run=isinstance(error, OutcomeUnknown))
            return
        took = self._clock.monotonic() - began
        try:
            written_at = _written(result)
        except (CommandFailed, Unreadable) as error:
            run.learn(director.name, problem=_advised(str(error), director.name))
            return
        writing = Exchange(asked_at=asked_at, theirs=written_at, answered_at=self._clock.now())
        run.learn(director.name, exchanges=(*exchanges, writing), command_s=took, written_at=written_at)

    async def _times_of(self, director: Director, ends_at: float) -> list[Exchange]:
        """What the director's clock showed, a few times; less where it cannot be read."""
        exchanges: list[Exchange] = []
        while len(exchanges) < QUESTIONS:
            asked_at = self._clock.now()
            try:
                result = await self._shell.run(director, date.show_now(), deadline=self._left(ends_at))
                answered_at = self._clock.now()
                theirs = date.parse_now(result.stdout)
            except (ShellError, Unreadable) as error:
                # The command that matters will meet what keeps this one away. Not every date knows about fractions.
                log.debug("a director's time could not be read", director=director.name, error=str(error))
                break
            exchanges.append(Exchange(asked_at=asked_at, theirs=theirs, answered_at=answered_at))
        return exchanges

    def _left(self, ends_at: float) -> float:
        """Seconds until the test's deadline; never none at all."""
        return max(ends_at - self._clock.monotonic(), 0.1)

    async def _ending(self, event: SelfTestStarted, run: Run) -> Ending:
        """The last stage: the message if there is one, a question that leaves no trace in the channel otherwise."""
        if event.channel is not None:
            from_at = run.first_durable_at
            missing = from_at is not None and run.posted_at is None
            problem = (
                f"its message was not in Slack after {self._deadline_s:g} s; look at the bot's log" if missing else ""
            )
            return Ending(stage=Stage.POSTED, from_at=from_at, to_at=run.posted_at, problem=problem)
        channel = self._channels.get(event.cluster)
        if channel is None:
            return Ending(stage=Stage.ASKED)
        asked_at = self._clock.now()
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._ask_slack(channel)
        except TimeoutError:
            return Ending(stage=Stage.ASKED, problem=f"Slack did not answer within {self._deadline_s:g} s")
        except RateLimited:
            log.info("slack asks for patience, and so it answers", channel=channel)
        except (MessengerUnavailable, MessageRefused) as error:
            return Ending(stage=Stage.ASKED, problem=f"Slack would not take a message in {channel}: {error}")
        return Ending(stage=Stage.ASKED, from_at=asked_at, to_at=self._clock.now())

    async def _record(self, finished: SelfTestFinished) -> None:
        await self._chronicle.append(Entry(event=finished, source_key=f"{KEY}{finished.test}:finished"))


def _written(result: CommandResult) -> datetime:
    """When the line was written, by the director's clock. Raises CommandFailed, Unreadable."""
    if result.exit_status != 0:
        raise CommandFailed(result)
    return parse_emitted(result.stdout)


def _advised(said: str, director: str) -> str:
    """*said* by a command that failed, with what to do about it."""
    advice = next((advice for sign, advice in ADVICE if sign in said), "look at the command by hand")
    return f"{said}; {advice.format(director=director)}"
