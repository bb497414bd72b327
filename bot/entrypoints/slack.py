"""Slack calls the bot: the slash command and the buttons. Acknowledged at once; the work is handed on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.commands import Command, Misspelt, Verb, parse
from bot.domain.events import Actor, Via
from bot.domain.fleet import NotFound
from bot.domain.wording import listed
from bot.entrypoints.slack_answers import (
    Deliveries,
    ack_with,
    answer_message,
    apology,
    hand_over,
    plain,
    pressed,
    request_id,
    say,
    unknown_message,
)
from bot.entrypoints.slack_buttons import IncidentButtons
from bot.flows.chronicle import Chronicle
from bot.flows.doctor import Doctor
from bot.flows.errands import Errands
from bot.flows.hands import A_DAY, Draft, Hands
from bot.flows.operating import Answer, Operator, Request
from bot.flows.ports import Clock, Messenger, RemoteShell
from bot.flows.selftest_requests import SelfTestRequests
from bot.flows.status import gather_status
from bot.views.doctor import doctor_message
from bot.views.help import help_message, misspelt_message
from bot.views.incident_list import incident_list_message, incident_story_message
from bot.views.message import SlackMessage
from bot.views.mutes import mute_cleared_message, mute_set_message, mutes_message
from bot.views.operation import CANCEL, CONFIRM
from bot.views.status import status_message
from bot.views.words import escape

log = structlog.get_logger(__name__)

T = TypeVar("T")
PROGRESS_AFTER = 1.5  # seconds until somebody who waits is told what the bot is waiting for


class SlackListeners:
    """The slash command and its buttons, as flows."""

    def __init__(
        self,
        chronicle: Chronicle,
        operator: Operator,
        hands: Hands,
        tests: SelfTestRequests,
        doctor: Doctor,
        messenger: Messenger,
        shell: RemoteShell,
        clock: Clock,
        errands: Errands,
        *,
        command: str,
        channels: dict[str, str],
    ) -> None:
        self._chronicle = chronicle
        self._operator = operator
        self._hands = hands
        self._tests = tests
        self._doctor = doctor
        self._messenger = messenger
        self._shell = shell
        self._clock = clock
        self._errands = errands
        self._command = command
        self._channels = channels
        self._deliveries = Deliveries()
        self._buttons = IncidentButtons(chronicle, hands, doctor, messenger, shell, clock, errands, command=command)

    def register(self, app: AsyncApp) -> None:
        """Make *app* call these listeners."""
        app.command(self._command)(self.on_command)
        app.action(CONFIRM)(self.on_confirm)
        app.action(CANCEL)(self.on_cancel)
        self._buttons.register(app)
        app.error(self.on_error)

    async def on_command(self, ack: AsyncAck, respond: AsyncRespond, body: dict[str, Any]) -> None:
        """``/lvs …``: what needs no asking is answered in the acknowledgement itself."""
        found = parse(body.get("text") or "")
        at_once = self._at_once(found)
        if at_once is not None:
            await ack_with(ack, at_once)
            return
        assert isinstance(found, Command)
        await ack()
        if self._deliveries.again(body):
            return
        actor = Actor(id=body["user_id"], name=body.get("user_name") or body["user_id"], via=Via.SLACK)
        match found.verb:
            case Verb.STATUS:
                work = self._status(found, respond)
            case Verb.DOCTOR:
                work = self._examine(found, respond)
            case Verb.DRAIN | Verb.RESTORE:
                work = self._change(found, actor, respond, body)
            case Verb.TEST:
                work = self._test(found, actor, respond, body)
            case _:
                work = self._record(found, actor, respond, body)
        self._errands.start(work, f"{self._command} {found}", apology(respond))

    def _at_once(self, found: Command | Misspelt) -> SlackMessage | None:
        """The answer to what can be said from memory; None for what takes work."""
        if isinstance(found, Misspelt):
            return misspelt_message(found, command=self._command)
        match found.verb:
            case Verb.HELP:
                return help_message(found.name, command=self._command)
            case Verb.INCIDENTS:
                return self._incidents(found)
            case Verb.INCIDENT:
                assert found.name is not None
                shown = self._hands.incident(found.name)
                if isinstance(shown, Answer):
                    return answer_message(shown, self._command)
                return incident_story_message(shown, self._clock.now())
            case Verb.MUTES:
                return mutes_message(self._hands.mutes(), self._clock.now())
            case _:
                return None

    def _incidents(self, command: Command) -> SlackMessage:
        shown = self._hands.incidents(command.choice, command.name)
        if isinstance(shown, NotFound):
            return unknown_message(shown, self._command, command.verb)
        of_a_day = command.choice == A_DAY
        return incident_list_message(shown, self._clock.now(), of_a_day=of_a_day, command=self._command)

    async def _status(self, command: Command, respond: AsyncRespond) -> None:
        asking = gather_status(self._chronicle, self._shell, self._clock, command.name)
        found = await self._patiently(asking, respond)
        if isinstance(found, NotFound):
            await say(respond, unknown_message(found, self._command, command.verb))
            return
        for status in found:
            await say(respond, status_message(status), in_channel=True)

    async def _examine(self, command: Command, respond: AsyncRespond) -> None:
        found = await self._patiently(self._doctor.examine(command.name), respond)
        if isinstance(found, NotFound):
            await say(respond, unknown_message(found, self._command, command.verb))
            return
        for examination in found:
            await say(respond, doctor_message(examination), in_channel=True)

    async def _patiently(self, asking: Awaitable[T], respond: AsyncRespond) -> T:
        """What *asking* every director brings; who waits for long is told what for."""
        work = asyncio.ensure_future(asking)
        done, _ = await asyncio.wait({work}, timeout=PROGRESS_AFTER)
        if not done:
            names = listed(d.name for c in self._chronicle.fleet.clusters for d in c.directors)
            # Seen by the asker alone: an answer to a slash command cannot replace an earlier one.
            await say(respond, plain(f":hourglass_flowing_sand: Asking {escape(names)} …"))
        return await work

    async def _record(self, command: Command, actor: Actor, respond: AsyncRespond, body: dict[str, Any]) -> None:
        """What is written down at once."""
        request = Request(command=command, by=actor, request_id=request_id(body), channel=body["channel_id"])
        match command.verb:
            case Verb.ACK:
                shown = await self._hands.acknowledge(request)
                message = (
                    answer_message(shown, self._command)
                    if isinstance(shown, Answer)
                    else incident_story_message(shown, self._clock.now())
                )
                await say(respond, message)
            case Verb.EXPORT:
                draft = await self._hands.export(request)
                name = draft.incident.cluster if isinstance(draft, Draft) else ""
                channel = self._channels.get(name, body["channel_id"])
                await hand_over(draft, self._hands, self._messenger, respond, channel=channel, command=self._command)
            case _:
                await self._mute(request, respond, body)

    async def _mute(self, request: Request, respond: AsyncRespond, body: dict[str, Any]) -> None:
        """Mute, unmute, maintenance: where the cluster's alerts go everybody sees it, wherever it was typed."""
        ends = request.command.verb is Verb.UNMUTE
        done = await (self._hands.unmute(request) if ends else self._hands.mute(request))
        if isinstance(done, Answer):
            await say(respond, answer_message(done, self._command))
        elif done is not None:
            message = (
                mute_cleared_message(done.mute, done.covering)
                if ends
                else mute_set_message(done.mute, done.before, done.asked, command=self._command)
            )
            channel = self._channels.get(done.mute.cluster, body["channel_id"])
            here = channel in (body["channel_id"], f"#{body.get('channel_name')}")
            await say(respond, message, in_channel=here)
            if not here:
                await self._messenger.post(channel, message)

    async def _test(self, command: Command, actor: Actor, respond: AsyncRespond, body: dict[str, Any]) -> None:
        """Have the alert path tested; the result is an alert itself, and goes where alerts go."""
        begun = await self._tests.request(Request(command=command, by=actor, request_id=request_id(body)))
        if isinstance(begun, NotFound):
            await say(respond, unknown_message(begun, self._command, f"{command.verb} {command.choice}"))
        elif isinstance(begun, Answer):
            await say(respond, answer_message(begun, self._command))
        elif begun:
            where = listed(f"{escape(one.cluster)} in {_place(one.channel)}" for one in begun)
            await say(respond, plain(f"Testing the alert path; the result will stand there: {where}."))

    async def _change(self, command: Command, actor: Actor, respond: AsyncRespond, body: dict[str, Any]) -> None:
        cluster_channel = self._channel_of(command, body["channel_id"])
        request = Request(command=command, by=actor, request_id=request_id(body), channel=cluster_channel)
        answer = await self._operator.request(request)
        if isinstance(answer, Answer):
            await say(respond, answer_message(answer, self._command))
        elif answer is not None and cluster_channel not in (body["channel_id"], f"#{body.get('channel_name')}"):
            await say(respond, plain(f"It waits for your confirmation in {_place(cluster_channel)}."))

    def _channel_of(self, command: Command, otherwise: str) -> str:
        """Operations are shown where the cluster's alerts go: everybody on duty sees them, wherever they were asked."""
        found = self._chronicle.fleet.find(command.name or "")
        return otherwise if isinstance(found, NotFound) else self._channels.get(found.cluster.name, otherwise)

    async def on_confirm(self, ack: AsyncAck, respond: AsyncRespond, body: dict[str, Any]) -> None:
        """The confirm button."""
        await ack()
        operation_id, actor = pressed(body)
        self._errands.start(self._confirmed(operation_id, actor, respond), f"confirm {operation_id}", apology(respond))

    async def _confirmed(self, operation_id: str, actor: Actor, respond: AsyncRespond) -> None:
        answer = await self._operator.confirm(operation_id, actor)
        if answer:
            await say(respond, answer_message(answer, self._command))
            return
        await self._operator.carry_out(operation_id)

    async def on_cancel(self, ack: AsyncAck, respond: AsyncRespond, body: dict[str, Any]) -> None:
        """The cancel button."""
        await ack()
        operation_id, actor = pressed(body)
        self._errands.start(self._cancelled(operation_id, actor, respond), f"cancel {operation_id}", apology(respond))

    async def _cancelled(self, operation_id: str, actor: Actor, respond: AsyncRespond) -> None:
        answer = await self._operator.cancel(operation_id, actor)
        if answer:
            await say(respond, answer_message(answer, self._command))

    async def on_error(self, error: Exception, body: dict[str, Any]) -> None:
        """What a listener did not catch: logged, never a traceback in a channel."""
        log.error("a slack listener failed", exc_info=error, kind=body.get("type") or body.get("command"))


def make_app(token: str, base_url: str | None, signing_secret: str | None) -> AsyncApp:
    """The Bolt app. Listeners run before the answer, and hand slow work on: an ack costs about a millisecond so."""
    client = AsyncWebClient(token=token, base_url=base_url or AsyncWebClient.BASE_URL)
    return AsyncApp(
        client=client,
        signing_secret=signing_secret or "unused-in-socket-mode",
        request_verification_enabled=signing_secret is not None,
        process_before_response=True,
    )


def _place(channel: str | None) -> str:
    """*channel* as a link, where its id allows one."""
    if channel is None:
        return "no channel"
    return f"<#{channel}>" if channel.startswith("C") else escape(channel)
