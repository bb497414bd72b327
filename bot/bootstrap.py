"""The composition root: every part is made here and handed to those who need it. Explicit, nothing clever."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from bot import __version__
from bot.adapters.clock import SystemClock
from bot.adapters.fallback import ways_of
from bot.adapters.journal import SqlJournal, open_journal
from bot.adapters.messenger import SlackMessenger
from bot.adapters.pinger import HttpPinger
from bot.adapters.prober import NetworkProber
from bot.adapters.shell import FabricShell, SshLogin
from bot.domain.events import BotStarted, Sense
from bot.domain.fleet import Probe
from bot.domain.incidents.timing import Patience
from bot.domain.policy import Roles
from bot.domain.selftest import next_at
from bot.domain.senses import Reading, unwell
from bot.entrypoints.schedule import ProbeSchedule, Rounds
from bot.entrypoints.server import HttpServer, health_routes, slack_routes
from bot.entrypoints.slack import SlackListeners, make_app
from bot.entrypoints.socket_mode import SocketMode
from bot.entrypoints.webhook import DirectorAccess, Heartbeat, WebhookSettings, webhook_routes
from bot.flows.adopting import Adopter
from bot.flows.alerting import RollCaller
from bot.flows.announcing import Announcer
from bot.flows.chronicle import Chronicle
from bot.flows.doctor import Doctor
from bot.flows.errands import Errands
from bot.flows.falling_back import Fallback
from bot.flows.hands import Hands
from bot.flows.listening import Heartbeats, watch_silence
from bot.flows.operating import Operator
from bot.flows.pinging import DeadMansSwitch
from bot.flows.ports import Entry, JournalUnavailable, MessageRefused, MessengerUnavailable
from bot.flows.probing import Probing
from bot.flows.projecting import projection
from bot.flows.reconciling import Reconciler
from bot.flows.selftest import SelfTester
from bot.flows.selftest_requests import SelfTestRequests
from bot.flows.senses import SenseWatch
from bot.flows.snapshots import Snapshots
from bot.flows.timekeeping import keep_time
from bot.settings import Settings, SlackMode
from bot.views.words import span

log = structlog.get_logger(__name__)

LONGEST_ELSEWHERE = timedelta(hours=2)  # that a terminal on another machine is taken to be at an operation
SETTLED_S = 60.0
"""Seconds after a start before the first scheduled self-test: agents that waited for the bot deliver first."""


def runner_name(kind: str) -> str:
    """Who this process is: *kind* (``bot`` or ``terminal``), host, pid and when it began (a pid is given again)."""
    return f"{kind}:{socket.gethostname()}:{os.getpid()}:{_began(os.getpid())}"


def is_left(runner: str, own: str, age: timedelta) -> bool:
    """Whether what *runner* had in hand is left behind, as seen by the bot called *own*, *age* after it was asked for.

    Only one bot works on a journal at a time, so another bot's name is a dead one's. Whether a terminal command on
    another machine lives cannot be seen: it is taken to, for as long as an operation can last.
    """
    kind, host, pid, began = runner.split(":")
    if kind == "bot":
        return runner != own
    if host != socket.gethostname():
        return age > LONGEST_ELSEWHERE
    return _began(int(pid)) != int(began)


def _began(pid: int) -> int:
    """When process *pid* began, in clock ticks since boot (proc(5), stat, field 22); -1 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    return int(stat.rpartition(")")[2].split()[19])


class Parts:
    """What both the bot and the terminal commands work with. Made by :func:`open_parts`."""

    def __init__(self, settings: Settings, journal: SqlJournal, kind: str) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.journal = journal
        self.chronicle = Chronicle(journal, settings.fleet)
        self.snapshots = Snapshots(self.chronicle, journal)
        journal.foretell(self.chronicle.foresee)
        self.shell = FabricShell(
            SshLogin(
                known_hosts=settings.ssh.known_hosts,
                identity=settings.ssh.identity,
                connect_timeout=settings.ssh.connect_timeout_s,
            ),
            per_director=settings.ssh.per_director,
            patience=settings.ssh.patience_s,
        )
        self.messenger = SlackMessenger(settings.slack.bot_token.get_secret_value(), settings.slack.base_url)
        self.runner = runner_name(kind)
        self._groups: tuple[float, frozenset[str]] | None = None

    def operator(self, **more: Any) -> Operator:
        """The one who carries out operations in this process."""
        return Operator(
            self.chronicle,
            self.shell,
            self.clock,
            self.roles,
            runner=self.runner,
            new_id=lambda: f"op-{secrets.token_hex(3)}",
            poll_s=self.settings.intervals.drain_poll_s,
            patience_s=self.settings.intervals.drain_patience_s,
            **more,
        )

    def hands(self) -> Hands:
        """What people can do about incidents in this process."""
        return Hands(self.chronicle, self.clock, self.roles)

    def self_test_requests(self) -> SelfTestRequests:
        """How people ask for a self-test in this process."""
        return SelfTestRequests(
            self.chronicle,
            self.clock,
            self.roles,
            channels=self.settings.slack.channels,
            deadline_s=self.settings.selftest.deadline_s,
        )

    def doctor(self, **more: Any) -> Doctor:
        """The one who examines the directors in this process."""
        return Doctor(self.chronicle, self.shell, self.clock, heartbeat_s=self.settings.intervals.heartbeat_s, **more)

    async def roles(self) -> Roles:
        """Who may do what, with the members of user groups looked up at most once a minute."""
        roles = self.settings.roles
        members = await self._members() if roles.usergroups else frozenset[str]()
        return Roles(operators=frozenset(roles.users) | members, terminal=frozenset(roles.terminal))

    async def _members(self) -> frozenset[str]:
        now = self.clock.monotonic()
        if self._groups is None or now - self._groups[0] > 60:
            found: set[str] = set()
            for group in self.settings.roles.usergroups:
                try:
                    found.update(await self.messenger.members_of(group))
                except (MessengerUnavailable, MessageRefused) as error:
                    # Nobody becomes an operator by default: a group that cannot be read has no members.
                    log.error("a user group could not be read", group=group, error=str(error))
            self._groups = (now, frozenset(found))
        return self._groups[1]

    async def close(self) -> None:
        """Let go of everything."""
        await self.shell.close()
        await self.messenger.close()
        await self.journal.close()


async def open_parts(settings: Settings, kind: str) -> Parts:
    """Open the journal and read what it adds up to. Raises JournalUnavailable."""
    parts = Parts(settings, await open_journal(settings.storage.url, password=settings.storage.password), kind)
    recalled = await parts.snapshots.recall()
    folded = await parts.chronicle.catch_up()
    log.debug("the journal is read", snapshot=recalled, events=folded)
    return parts


def _patience(settings: Settings) -> Patience:
    """How long incidents may stay open and unacknowledged; 0 in the settings means for ever."""
    remind, escalate = settings.alerts.remind_after_s, settings.alerts.escalate_after_s
    return Patience(
        remind_after=timedelta(seconds=remind) if remind else None,
        escalate_after=timedelta(seconds=escalate) if escalate else None,
    )


class SelfCare:
    """What the bot does about itself: it tests its alert path, watches its senses, and pings while it is well."""

    def __init__(
        self,
        parts: Parts,
        errands: Errands,
        schedule: ProbeSchedule,
        roll_callers: Sequence[RollCaller],
        heartbeats: Heartbeats,
        slack: Callable[[], str],
    ) -> None:
        settings, chronicle, clock = parts.settings, parts.chronicle, parts.clock
        self._parts = parts
        self._schedule = schedule
        self._roll_callers = roll_callers
        self._heartbeats = heartbeats
        self._slack = slack
        self._rounds = Rounds()
        self._tester = SelfTester(
            chronicle,
            parts.shell,
            clock,
            errands,
            channels=settings.slack.channels,
            ask_slack=self._ask_slack,
            hint=self._hint,
            deadline_s=settings.selftest.deadline_s,
        )
        self._senses = SenseWatch(chronicle, clock, self._reading)
        url, every_s = settings.ping.url, settings.ping.every_s
        self._switch = (
            DeadMansSwitch(HttpPinger(url), parts.journal, clock, self._troubles, every_s=every_s) if url else None
        )

    async def bury(self) -> None:
        """End what a bot before this one left under way. Raises JournalUnavailable."""
        await self._tester.bury()

    def start(self) -> None:
        """Begin what the clock begins."""
        every_s, now = self._parts.settings.selftest.every_s, self._parts.clock.now()
        for cluster in self._parts.settings.fleet.clusters if every_s else ():
            last = self._parts.chronicle.world.selftests.scheduled_at.get(cluster.name)
            first_at = next_at(last, every_s, now=now, settle_s=SETTLED_S)
            self._rounds.add(partial(self._tester.round, cluster), cluster.name, every_s=every_s, first_at=first_at)
        self._rounds.start()

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the bot does."""
        return [self._senses.run(), *([self._switch.run()] if self._switch else [])]

    async def close(self) -> None:
        """Begin nothing more."""
        await self._rounds.close()

    def health(self) -> dict[str, Any]:
        """What /healthz says of it: the senses that are lost, and why no ping went out (null: none is wanted)."""
        lost = [sense.value for sense in Sense if self._senses.lost(sense)]
        return {"lost_senses": lost, "ping": {"held_back": list(self._switch.held_back)} if self._switch else None}

    def _reading(self) -> Reading:
        schedule, at = self._schedule, self._parts.clock.monotonic()
        return Reading(
            at=at,
            started=schedule.started,
            missed=schedule.missed,
            unmeasured=schedule.unmeasured,
            why=schedule.why,
            silent_s=schedule.silent_s,
            slack=self._slack(),
        )

    def _troubles(self) -> tuple[str, ...]:
        settings, situations = self._parts.settings, self._parts.chronicle.world.situations
        answers = [answer for situation in situations.values() for answer in situation.answers.values()]
        return unwell(
            schedule=self._senses.lost(Sense.SCHEDULE),
            called={caller.cluster: caller.taken_at for caller in self._roll_callers},
            at=self._parts.clock.monotonic(),
            patience_s=3 * (settings.intervals.roll_call_s + settings.ssh.patience_s),
            answering=any(answer.answer.answered for answer in answers),
        )

    async def _ask_slack(self, channel: str) -> None:
        """Look for a message of the last minute: that takes the token, the network and the bot's being in *channel*."""
        since = self._parts.clock.now() - timedelta(minutes=1)
        await self._parts.messenger.find(channel, ("selftest",), since=since)

    def _hint(self, director: str) -> str:
        heard = self._heartbeats.heard.get(director)
        if heard is None:
            return "Its agent was not heard since the bot was started"
        return f"Its agent was last heard {span((self._parts.clock.now() - heard).total_seconds())} ago"


class Bot:
    """The running bot."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        settings, chronicle, clock = parts.settings, parts.chronicle, parts.clock
        self._errands = Errands()
        self._operator = parts.operator(on_count=self._counted)
        self._announcer = Announcer(
            chronicle,
            parts.messenger,
            clock,
            projection(
                settings.slack.channels,
                lambda operation: self._operator.connected.get(operation),
                escalate_to=settings.alerts.escalate_to,
                call=settings.alerts.call,
                command=settings.slack.command,
            ),
        )
        self._ways = ways_of(settings.alerts.fallback)
        self._fallback = Fallback(
            chronicle,
            clock,
            self._announcer,
            self._ways,
            settings.slack.channels,
            after_s=settings.alerts.fallback.after_s,
        )
        self._heartbeats = Heartbeats(
            fleet=settings.fleet,
            clock=clock,
            interval_s=settings.intervals.heartbeat_s,
            expected=frozenset(settings.webhook.secrets),
        )
        self._roll_callers = [
            RollCaller(
                chronicle,
                parts.shell,
                clock,
                cluster,
                interval_s=settings.intervals.roll_call_s,
                heard=self._heartbeats.heard,
            )
            for cluster in settings.fleet.clusters
        ]
        self._reconciler = Reconciler(chronicle, parts.shell)
        self._adopter = Adopter(chronicle, self._operator, self._errands, clock, own=parts.runner, is_left=is_left)
        self._prober = NetworkProber()
        self._probing = Probing(chronicle, self._prober, self._probes())
        self._schedule = ProbeSchedule(self._probes(), self._probing.ask, self._probing.flush)
        http_mode = settings.slack.mode is SlackMode.HTTP
        secret = settings.slack.signing_secret
        self._app = make_app(
            settings.slack.bot_token.get_secret_value(),
            settings.slack.base_url,
            secret.get_secret_value() if http_mode and secret else None,
        )
        listeners = SlackListeners(
            chronicle,
            self._operator,
            parts.hands(),
            parts.self_test_requests(),
            parts.doctor(heard=self._last_heard),
            parts.messenger,
            parts.shell,
            clock,
            self._errands,
            command=settings.slack.command,
            channels=dict(settings.slack.channels),
        )
        listeners.register(self._app)
        self._socket_mode: SocketMode | None = None
        if not http_mode:
            assert settings.slack.app_token is not None
            token = settings.slack.app_token.get_secret_value()
            self._socket_mode = SocketMode(self._app, token, settings.slack.base_url)
            self._announcer.on_back = self._socket_mode.hurry
        self._care = SelfCare(
            parts, self._errands, self._schedule, self._roll_callers, self._heartbeats, self._slack_trouble
        )
        routes = [
            *webhook_routes(
                self._webhook_settings(),
                journal=chronicle,
                clock=clock,
                on_event=lambda _recorded: None,
                on_heartbeat=self._heard,
            ),
            *health_routes(self.health),
            *(slack_routes(self._app) if http_mode else []),
        ]
        self._server = HttpServer(routes, str(settings.listen.host), settings.listen.port)

    def _probes(self) -> tuple[Probe, ...]:
        return tuple(probe for cluster in self._parts.settings.fleet.clusters for probe in cluster.probes)

    def _webhook_settings(self) -> WebhookSettings:
        settings = self._parts.settings
        clusters = {d.name: c.name for c in settings.fleet.clusters for d in c.directors}
        return WebhookSettings(
            directors={
                name: DirectorAccess(cluster=clusters[name], secret=secret.get_secret_value().encode())
                for name, secret in settings.webhook.secrets.items()
            },
            path=settings.webhook.path,
            max_age=settings.webhook.max_age_s,
            max_body=settings.webhook.max_body,
        )

    def _last_heard(self) -> dict[str, datetime | None]:
        return {director: self._heartbeats.heard.get(director) for director in self._heartbeats.expected}

    def _counted(self) -> None:
        self._announcer.wake()

    def _heard(self, heartbeat: Heartbeat) -> None:
        self._heartbeats.said(heartbeat.director, heartbeat.trouble)
        # An agent that keepalived has not attached to hears nothing: its heartbeats must not pass for hearing.
        if heartbeat.attached or not heartbeat.keepalived_running:
            self._heartbeats.beat(heartbeat.director)

    def _slack_trouble(self) -> str:
        """Why Slack is away, in words; empty while it is not."""
        if not self._announcer.reachable:
            return "Slack takes no message"
        return "Socket Mode is not connected" if self._socket_mode and not self._socket_mode.connected else ""

    def health(self) -> dict[str, Any]:
        """What /healthz answers. ``ok`` means that the bot can do its work as far as it can tell itself."""
        return {
            "ok": True,
            "version": __version__,
            "journal": self._parts.chronicle.world.sequence,
            "slack": not self._slack_trouble(),
            "schedule": dict(self._schedule.counts),
            **self._care.health(),
            "errands": self._errands.under_way,
            "runner": self._parts.runner,
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set. Raises ListenFailed, JournalUnavailable."""
        parts = self._parts
        await parts.chronicle.append(Entry(event=BotStarted(version=__version__, runner=parts.runner)))
        await self._care.bury()
        await self._server.start()
        log.info("bot started", version=__version__, runner=parts.runner, journal=parts.chronicle.world.sequence)
        self._schedule.start()
        self._care.start()
        tasks: list[Coroutine[Any, Any, None]] = [
            self._announcer.run(),
            self._fallback.run(),
            self._reconciler.run(),
            self._follow(),
            self._adopter.run(),
            self._retain(),
            parts.snapshots.run(),
            watch_silence(parts.chronicle, self._heartbeats),
            keep_time(parts.chronicle, parts.clock, _patience(parts.settings)),
            *(caller.run() for caller in self._roll_callers),
            *self._care.tasks(),
        ]
        if self._socket_mode:
            tasks.append(self._socket_mode.run())
        running = [asyncio.create_task(task) for task in tasks]
        waiting = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({waiting, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiting}:
                task.result()
        finally:
            await self._close([waiting, *running])

    async def _close(self, tasks: list[asyncio.Task[Any]]) -> None:
        await _ended(tasks)
        if self._socket_mode:
            await self._socket_mode.close()
        await self._server.close()
        await self._schedule.close()
        await self._probing.close()
        await self._care.close()
        await self._errands.close()
        await self._prober.close()
        for way in self._ways:
            await way.close()
        await self._parts.snapshots.keep()
        log.info("bot stopped")

    async def _follow(self) -> None:
        """Fold in what other processes write into the same journal (the terminal commands)."""
        journal, chronicle = self._parts.journal, self._parts.chronicle
        while True:
            try:
                # The bot's own appends are folded in when they are made: reading them again would delay what they tell.
                if await journal.wait_for_news(chronicle.world.sequence) > chronicle.world.sequence:
                    await chronicle.catch_up()
            except JournalUnavailable as error:
                log.error("the journal cannot be followed", error=str(error))
                await asyncio.sleep(1)

    async def _retain(self) -> None:
        """Let samples go that are older than the settings say, once an hour."""
        keep = timedelta(seconds=self._parts.settings.storage.keep_samples_s)
        while True:
            try:
                await self._parts.journal.retain_samples(self._parts.clock.now() - keep)
            except JournalUnavailable as error:
                log.error("old samples were not removed", error=str(error))
            await asyncio.sleep(3600)


async def _ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel *tasks* until they have ended: a library of one may have taken a cancellation for its own."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1)
    await asyncio.gather(*tasks, return_exceptions=True)
