"""How a person in Slack is answered: in the acknowledgement, through the response URL, with an apology."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientError
from slack_bolt.async_app import AsyncAck, AsyncRespond

from bot.domain.events import Actor, Via
from bot.domain.fleet import NotFound
from bot.flows.hands import Draft, Hands
from bot.flows.operating import Answer
from bot.flows.ports import MessageRefused, Messenger, MessengerUnavailable
from bot.views.blocks import section
from bot.views.message import SlackMessage
from bot.views.words import code, escape


def pressed(body: dict[str, Any]) -> tuple[str, Actor]:
    """What the button that was pressed carries, and who pressed it."""
    user = body["user"]
    actor = Actor(id=user["id"], name=user.get("username") or user.get("name") or user["id"], via=Via.SLACK)
    return str(body["actions"][0]["value"]), actor


def request_id(body: dict[str, Any]) -> str:
    """What a redelivery of the same command or click repeats."""
    return f"slack:{body['trigger_id']}"


class Deliveries:
    """Which commands and clicks came already: Slack delivers again what it saw no acknowledgement of.

    What is written down has its key in the journal besides, which outlives this process.
    """

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._known: dict[str, None] = {}

    def again(self, body: dict[str, Any]) -> bool:
        """Whether *body* was delivered before; it counts as delivered from now on."""
        key = request_id(body)
        if key in self._known:
            return True
        self._known[key] = None
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return False


def apology(respond: AsyncRespond) -> Callable[[str], Awaitable[None]]:
    """Tells the person who asked what went wrong."""

    async def apologise(text: str) -> None:
        await say(respond, plain(f":warning: {escape(text)}"))

    return apologise


def plain(text: str) -> SlackMessage:
    """A message of one paragraph of mrkdwn."""
    return SlackMessage(text=text, blocks=(section(text),))


def answer_message(answer: Answer, command: str) -> SlackMessage:
    """A refusal, or that there is nothing to do."""
    hint = f" Try {code(f'{command} {answer.instead}')}." if answer.instead else ""
    icon = ":no_entry: " if answer.refused else ""
    return plain(f"{icon}{escape(answer.text)}{hint}")


def unknown_message(found: NotFound, command: str, verb: str) -> SlackMessage:
    """A name that is not in the fleet, or means more than one thing; *verb* is what it was asked with."""
    name = code(found.name)
    if found.ambiguous:
        return plain(f"{name} means more than one thing: {', '.join(code(s) for s in found.suggestions)}.")
    hint = f" Did you mean {code(f'{command} {verb} {found.suggestions[0]}')}?" if found.suggestions else ""
    return plain(f"There is nothing called {name} in the fleet.{hint}")


async def ack_with(ack: AsyncAck, message: SlackMessage) -> None:
    """Acknowledge with *message*, for the person alone."""
    await ack(text=message.text, blocks=list(message.blocks), response_type="ephemeral")


async def say(respond: AsyncRespond, message: SlackMessage, *, in_channel: bool = False) -> None:
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


async def hand_over(
    draft: Draft | Answer | None,
    hands: Hands,
    messenger: Messenger,
    respond: AsyncRespond,
    *,
    channel: str,
    command: str,
) -> None:
    """Put *draft* into its incident's thread, or into *channel* where it has none. Raises MessengerUnavailable."""
    if draft is None:
        return
    if isinstance(draft, Answer):
        await say(respond, answer_message(draft, command))
        return
    place = hands.place(draft.incident)
    where, thread = (place.channel, place.ts) if place else (channel, None)
    try:
        await messenger.upload(where, thread, draft.file_name, draft.title, draft.content)
    except MessageRefused as error:
        why = (
            f"Slack refused the file ({error}). The app needs the scope `files:write`, as config/manifest.yaml has it."
        )
        await say(respond, plain(f":warning: {escape(why)}"))
        return
    await say(respond, plain(f"The draft stands in {'the thread of the incident' if place else 'the channel'}."))
