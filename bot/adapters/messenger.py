"""Slack's Web API as a Messenger: one HTTP session, limits waited out, errors told apart."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from bot.flows.ports import MessageRef, MessageRefused, MessengerUnavailable
from bot.views.message import SlackMessage

EVENT_TYPE = "lvs_message"
# Slack's words for its own troubles (docs: chat.postMessage, errors): the same call may pass later.
PASSING = frozenset(
    {
        "ratelimited",
        "rate_limited",
        "fatal_error",
        "internal_error",
        "service_unavailable",
        "request_timeout",
        "timeout",
    }
)


class SlackMessenger:
    """See :class:`bot.flows.ports.Messenger`. Channel names (``#name``) are looked up once."""

    def __init__(self, token: str, base_url: str | None = None, *, timeout_s: int = 10) -> None:
        self._token = token
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._client: AsyncWebClient | None = None
        self._channels: dict[str, str] = {}
        self._names: dict[str, str] = {}

    @property
    def client(self) -> AsyncWebClient:
        """The Web API client; made on first use, inside the running loop, so that its session is shared."""
        if self._client is None:
            # A session of its own for every call costs more than half of a call again (measured: docs/speed.md).
            self._session = aiohttp.ClientSession()
            client = AsyncWebClient(
                token=self._token,
                base_url=self._base_url or AsyncWebClient.BASE_URL,
                session=self._session,
                timeout=self._timeout_s,
            )
            # Only a call that was refused for its rate is surely not carried out. After a broken connection or a
            # server error a post may stand in the channel: the announcer looks before it posts again.
            client.retry_handlers = [AsyncRateLimitErrorRetryHandler(max_retry_count=3)]
            self._client = client
        return self._client

    async def post(
        self, channel: str, message: SlackMessage, *, key: str | None = None, thread_ts: str | None = None
    ) -> MessageRef:
        """See :meth:`Messenger.post`. Raises MessengerUnavailable, MessageRefused."""
        answer = await self._call(
            "chat.postMessage",
            channel=await self._id(channel),
            text=message.text,
            blocks=list(message.blocks),
            metadata=_metadata(key),
            thread_ts=thread_ts,
            unfurl_links=False,
        )
        return MessageRef(channel=answer["channel"], ts=answer["ts"])

    async def update(self, ref: MessageRef, message: SlackMessage, *, key: str | None = None) -> None:
        """See :meth:`Messenger.update`. Raises MessengerUnavailable, MessageRefused."""
        await self._call(
            "chat.update",
            channel=ref.channel,
            ts=ref.ts,
            text=message.text,
            blocks=list(message.blocks),
            metadata=_metadata(key),
        )

    async def find(self, channel: str, key: str, *, thread_ts: str | None = None) -> MessageRef | None:
        """See :meth:`Messenger.find`: the last hundred messages are looked through. Raises MessengerUnavailable."""
        found = await self._id(channel)
        method = "conversations.replies" if thread_ts else "conversations.history"
        answer = await self._call(method, channel=found, ts=thread_ts, limit=100, include_all_metadata=True)
        for message in answer["messages"]:
            metadata = message.get("metadata") or {}
            if (metadata.get("event_payload") or {}).get("key") == key:
                return MessageRef(channel=found, ts=message["ts"])
        return None

    async def tell(self, channel: str, user: str, message: SlackMessage) -> None:
        """See :meth:`Messenger.tell`. Raises MessengerUnavailable, MessageRefused."""
        await self._call(
            "chat.postEphemeral",
            channel=await self._id(channel),
            user=user,
            text=message.text,
            blocks=list(message.blocks),
        )

    async def members_of(self, usergroup: str) -> tuple[str, ...]:
        """See :meth:`Messenger.members_of`. Raises MessengerUnavailable, MessageRefused."""
        answer = await self._call("usergroups.users.list", usergroup=usergroup)
        return tuple(answer["users"])

    async def name_of(self, user: str) -> str:
        """What people call *user*; the id itself where Slack does not say."""
        if user not in self._names:
            try:
                profile = (await self._call("users.info", user=user))["user"]
            except (MessengerUnavailable, MessageRefused):
                return user
            self._names[user] = profile.get("profile", {}).get("display_name") or profile.get("name") or user
        return self._names[user]

    async def close(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()

    async def _id(self, channel: str) -> str:
        """The id of *channel*, which may be a ``#name``. Editing and finding need ids (docs: chat.update)."""
        if not channel.startswith("#"):
            return channel
        if channel not in self._channels:
            cursor = ""
            while channel not in self._channels:
                answer = await self._call("conversations.list", limit=200, cursor=cursor, exclude_archived=True)
                self._channels.update({f"#{c['name']}": c["id"] for c in answer["channels"]})
                cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
                if not cursor:
                    break
        if channel not in self._channels:
            raise MessageRefused(f"there is no channel {channel} that the bot can see: invite it, or give the id")
        return self._channels[channel]

    async def _call(self, method: str, **arguments: Any) -> Any:
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            if method.startswith("chat."):
                answer = await self.client.api_call(method, json=given)
            else:
                # Slack's reading methods take no JSON (docs: Using the Web API, POST bodies).
                answer = await self.client.api_call(method, http_verb="GET", params=given)
        except SlackApiError as error:
            status = getattr(error.response, "status_code", 0)
            word = str(error.response.get("error", "")) if isinstance(error.response.data, dict) else ""
            if word in PASSING or status == 429 or status >= 500 or not word:
                raise MessengerUnavailable(f"{method}: {word or f'HTTP {status}'}") from error
            raise MessageRefused(f"{method}: {word}{_why(error)}") from error
        except (SlackClientError, aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise MessengerUnavailable(f"{method}: {type(error).__name__} {error}") from error
        return answer.data


def _metadata(key: str | None) -> dict[str, Any] | None:
    return {"event_type": EVENT_TYPE, "event_payload": {"key": key}} if key else None


def _why(error: SlackApiError) -> str:
    """What Slack says of the place of the fault, if it does."""
    messages = (error.response.get("response_metadata") or {}).get("messages") or []
    return f" ({'; '.join(str(m) for m in messages)})" if messages else ""
