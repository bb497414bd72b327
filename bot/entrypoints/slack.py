"""Slack calls the bot: the slash command and the buttons. Acknowledged at once; the work is handed on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import ClientError
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.commands import Command, Misspelt, Verb, parse
from bot.domain.events import Actor, Via
from bot.domain.fleet import NotFound
from bot.flows.chronicle import Chronicle
from bot.flows.errands import Errands
from bot.flows.operating import Answer, Operator, Request
from bot.flows.ports import Clock, MessengerUnavailable, RemoteShell
from bot.flows.status import gather_status
from bot.views.blocks import section
from bot.views.help import help_message, misspelt_message
from bot.views.message import SlackMessage
from bot.views.operation import CANCEL, CONFIRM
from bot.views.status import status_message
from bot.views.words import code, escape, listed

log = structlog.get_logger(__name__)

PROGRESS_AFTER = 1.5  # seconds until somebody who waits is told what the bot is waiting for


class SlackListeners:
    """The slash command and its buttons, as flows."""

    def __init__(
        self,
        chronicle: Chronicle,
        operator: Operator,
        shell: RemoteShell,
        clock: Clock,
        errands: Errands,
        *,
        command: str,
        channels: dict[str, str],
    ) -> None:
        self._chronicle = chronicle
        self._operator = operator
        self._shell = shell
        self._clock = clock
        self._errands = errands
        self._command = command
        self._channels = channels

    def register(self, app: AsyncApp) -> None:
        """Make *app* call these listeners."""
        app.command(self._command)(self.on_command)
        app.action(CONFIRM)(self.on_confirm)
        app.action(CANCEL)(self.on_cancel)
        app.error(self.on_error)

    async def on_command(self, ack: AsyncAck, respond: AsyncRespond, body: dict[str, Any]) -> None:
        """``/lvs …``: what needs no asking is answered in the acknowledgement itself."""
        found = parse(body.get("text") or "")
        if isinstance(found, Misspelt):
            await _ack_with(ack, misspelt_message(found, command=self._command))
        elif found.verb is Verb.HELP:
            await _ack_with(ack, help_message(found.name, command=self._command))
        else:
            await ack()
            actor = Actor(id=body["user_id"], name=body.get("user_name") or body["user_id"], via=Via.SLACK)
            work = (
                self._status(found, respond) if found.verb is Verb.STATUS else self._change(found, actor, respond, body)
            )
            self._errands.start(work, f"{self._command} {found}", _apology(respond))

    async def _status(self, command: Command, respond: AsyncRespond) -> None:
        asking = asyncio.ensure_future(gather_status(self._chronicle, self._shell, self._clock, command.name))
        done, _ = await asyncio.wait({asking}, timeout=PROGRESS_AFTER)
        if not done:
            names = listed(d.name for c in self._chronicle.fleet.clusters for d in c.directors)
            # Seen by the asker alone: an answer to a slash command cannot replace an earlier one.
            await _respond(respond, _plain(f":hourglass_flowing_sand: Asking {escape(names)} …"))
        found = await asking
        if isinstance(found, NotFound):
            await _respond(respond, _unknown(found, self._command))
            return
        for status in found:
            await _respond(respond, status_message(status), in_channel=True)

    async def _change(self, command: Command, actor: Actor, respond: AsyncRespond, body: dict[str, Any]) -> None:
        cluster_channel = self._channel_of(command, body["channel_id"])
        request = Request(command=command, by=actor, request_id=f"slack:{body['trigger_id']}", channel=cluster_channel)
        answer = await self._operator.request(request)
        if isinstance(answer, Answer):
            await _respond(respond, _answer(answer, self._command))
        elif answer is not None and cluster_channel not in (body["channel_id"], f"#{body.get('channel_name')}"):
            where = f"<#{cluster_channel}>" if cluster_channel.startswith("C") else escape(cluster_channel)
            await _respond(respond, _plain(f"It waits for your confirmation in {where}."))

    def _channel_of(self, command: Command, otherwise: str) -> str:
        """Operations are shown where the cluster's alerts go: everybody on duty sees them, wherever they were asked."""
        found = self._chronicle.fleet.find(command.name or "")
        return otherwise if isinstance(found, NotFound) else self._channels.get(found.cluster.name, otherwise)

    async def on_confirm(self, ack: AsyncAck, respond: AsyncRespond, body: dict[str, Any]) -> None:
        """The confirm button."""
        await ack()
        operation_id, actor = _pressed(body)
        self._errands.start(self._confirmed(operation_id, actor, respond), f"confirm {operation_id}", _apology(respond))

    async def _confirmed(self, operation_id: str, actor: Actor, respond: AsyncRespond) -> None:
        answer = await self._operator.confirm(operation_id, actor)
        if answer:
            await _respond(respond, _answer(answer, self._command))
            return
        await self._operator.carry_out(operation_id)

    async def on_cancel(self, ack: AsyncAck, respond: AsyncRespond, body: dict[str, Any]) -> None:
        """The cancel button."""
        await ack()
        operation_id, actor = _pressed(body)
        self._errands.start(self._cancelled(operation_id, actor, respond), f"cancel {operation_id}", _apology(respond))

    async def _cancelled(self, operation_id: str, actor: Actor, respond: AsyncRespond) -> None:
        answer = await self._operator.cancel(operation_id, actor)
        if answer:
            await _respond(respond, _answer(answer, self._command))

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


def _pressed(body: dict[str, Any]) -> tuple[str, Actor]:
    user = body["user"]
    actor = Actor(id=user["id"], name=user.get("username") or user.get("name") or user["id"], via=Via.SLACK)
    return str(body["actions"][0]["value"]), actor


def _apology(respond: AsyncRespond) -> Callable[[str], Awaitable[None]]:
    async def apologise(text: str) -> None:
        await _respond(respond, _plain(f":warning: {escape(text)}"))

    return apologise


def _plain(text: str) -> SlackMessage:
    return SlackMessage(text=text, blocks=(section(text),))


def _answer(answer: Answer, command: str) -> SlackMessage:
    hint = f" Try {code(f'{command} {answer.instead}')}." if answer.instead else ""
    icon = ":no_entry: " if answer.refused else ""
    return _plain(f"{icon}{escape(answer.text)}{hint}")


def _unknown(found: NotFound, command: str) -> SlackMessage:
    name = code(found.name)
    if found.ambiguous:
        return _plain(f"{name} means more than one thing: {', '.join(code(s) for s in found.suggestions)}.")
    hint = f" Did you mean {code(f'{command} status {found.suggestions[0]}')}?" if found.suggestions else ""
    return _plain(f"There is nothing called {name} in the fleet.{hint}")


async def _ack_with(ack: AsyncAck, message: SlackMessage) -> None:
    await ack(text=message.text, blocks=list(message.blocks), response_type="ephemeral")


async def _respond(respond: AsyncRespond, message: SlackMessage, *, in_channel: bool = False) -> None:
    """Answer through the response URL. Raises MessengerUnavailable when Slack does not take it: Bolt says nothing."""
    try:
        answer = await respond(
            text=message.text,
            blocks=list(message.blocks),
            response_type="in_channel" if in_channel else "ephemeral",
            replace_original=False,
        )
    except (ClientError, TimeoutError, OSError) as error:
        raise MessengerUnavailable(f"response URL: {type(error).__name__} {error}") from error
    if answer.status_code != 200:
        raise MessengerUnavailable(f"response URL: HTTP {answer.status_code} {answer.body[:100]}")
