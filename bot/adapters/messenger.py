"""Slack's Web API as a Messenger: one HTTP session, limits passed on to who can wait, errors told apart."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.flows.ports import Found, MessageRef, MessageRefused, MessengerUnavailable, RateLimited
from bot.views.message import SlackMessage

T = TypeVar("T")

EVENT_TYPE = "lvs_message"
# Slack's words for its own troubles (docs: chat.postMessage, errors): the same call may pass later.
PASSING = frozenset(
    {
        "fatal_error",
        "internal_error",
        "service_unavailable",
        "request_timeout",
        "timeout",
    }
)
# Of these Slack says that the app as a whole may not speak (any more). No message is to blame, and a mended app may.
LOCKED_OUT = frozenset(
    {
        "not_authed",
        "invalid_auth",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "access_denied",
        "team_access_not_granted",
        "ekm_access_denied",
        "org_login_required",
    }
)
# slack_sdk words the whole of a request, for a debug message that nobody reads, unless its logger itself has a level.
SILENT = logging.getLogger("slack_sdk.web.messenger")
SILENT.setLevel(logging.ERROR)
PER_PAGE = 200  # what Slack recommends at most (docs: Pagination)
TRIES = 3  # of a call for whose answer somebody waits, when Slack asks for patience
LISTED_S = 60.0  # a name that is not in the list of channels is not looked for anew before
LONGEST_WAIT_S = 30.0  # such a somebody is not kept longer than this


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
        self._page = ""  # of the list of channels, where to go on
        self._listed_at: float | None = None  # when it was last read to its end

    @property
    def client(self) -> AsyncWebClient:
        """The Web API client; made on first use, inside the running loop, so that its session is shared."""
        if self._client is None:
            # A session of its own for every call costs more than half of a call again (measured: docs/speed.md).
            # The time limit has to be the session's: slack_sdk applies its own to sessions that it made only.
            # Slack's Web API sets no cookie that it would want to have back.
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s), cookie_jar=aiohttp.DummyCookieJar()
            )
            client = AsyncWebClient(
                token=self._token,
                base_url=self._base_url or AsyncWebClient.BASE_URL,
                session=self._session,
                timeout=self._timeout_s,
                logger=SILENT,
            )
            # Nothing is tried again in here. After a broken connection or a server error a post may stand in the
            # channel already: the announcer looks before it posts again. And where Slack asks for patience, a handler
            # would sleep inside of the call, while other channels could be written to.
            client.retry_handlers = []
            self._client = client
        return self._client

    async def post(
        self,
        channel: str,
        message: SlackMessage,
        *,
        key: str | None = None,
        covers: Sequence[str] = (),
        thread_ts: str | None = None,
        broadcast: bool = False,
        attempt: str | None = None,
    ) -> MessageRef:
        """See :meth:`Messenger.post`. Raises MessengerUnavailable (RateLimited: nothing was posted), MessageRefused."""
        answer = await self._call(
            "chat.postMessage",
            channel=await self._id(channel),
            text=message.text,
            blocks=list(message.blocks),
            metadata=_metadata(key, covers, attempt),
            thread_ts=thread_ts,
            reply_broadcast=broadcast or None,
            unfurl_links=False,
        )
        return MessageRef(channel=_part(answer, "channel", str), ts=_part(answer, "ts", str))

    async def update(
        self, ref: MessageRef, message: SlackMessage, *, key: str | None = None, covers: Sequence[str] = ()
    ) -> None:
        """See :meth:`Messenger.update`. Raises MessengerUnavailable (RateLimited: nothing was done), MessageRefused."""
        answer = await self._call(
            "chat.update",
            channel=ref.channel,
            ts=ref.ts,
            text=message.text,
            blocks=list(message.blocks),
            metadata=_metadata(key, covers),
        )
        _part(answer, "ts", str)  # so that no other "ok" than Slack's passes for an edit

    async def find(
        self, channel: str, keys: Collection[str], *, thread_ts: str | None = None, since: datetime | None = None
    ) -> Mapping[str, Found]:
        """See :meth:`Messenger.find`: read page by page until all are found. Raises MessengerUnavailable."""
        where = await self._id(channel)
        missing = set(keys)
        found: dict[str, Found] = {}
        async for message in self._said(where, thread_ts, since):
            payload = _payload(message)
            ref = MessageRef(channel=where, ts=_part(message, "ts", str))
            for key in missing & {str(payload.get("key", ""))}:
                found[key] = Found(ref=ref)
            for key in missing & set(str(payload.get("covers", "")).split()):
                found.setdefault(key, Found(ref=ref, covered=True))
            missing -= found.keys()
            if not missing:
                break
        return found

    async def attempts(
        self, channel: str, names: Collection[str], *, thread_ts: str | None = None, since: datetime | None = None
    ) -> Mapping[str, MessageRef]:
        """See :meth:`Messenger.attempts`: read page by page until all are found. Raises MessengerUnavailable."""
        where = await self._id(channel)
        found: dict[str, MessageRef] = {}
        async for message in self._said(where, thread_ts, since):
            name = str(_payload(message).get("attempt", ""))
            if name in names:
                found[name] = MessageRef(channel=where, ts=_part(message, "ts", str))
            if len(found) == len(names):
                break
        return found

    async def delete(self, ref: MessageRef) -> None:
        """See :meth:`Messenger.delete`. Raises MessengerUnavailable, MessageRefused."""
        try:
            await self._call("chat.delete", channel=ref.channel, ts=ref.ts)
        except MessageRefused as error:
            if "message_not_found" not in str(error):
                raise

    async def _said(self, channel: str, thread_ts: str | None, since: datetime | None) -> AsyncIterator[Any]:
        """What was said in *channel* since then, the newest first; in a thread the oldest first."""
        cursor = ""
        while True:
            answer = await self._call(
                "conversations.replies" if thread_ts else "conversations.history",
                channel=channel,
                ts=thread_ts,
                oldest=f"{since.timestamp():.6f}" if since else None,
                limit=PER_PAGE,
                cursor=cursor or None,
                include_all_metadata=True,
            )
            for message in _part(answer, "messages", list):
                yield _whole(message)
            cursor = _next_cursor(answer)
            if not cursor:
                return

    async def upload(self, channel: str, thread_ts: str | None, filename: str, title: str, content: str) -> None:
        """See :meth:`Messenger.upload`. Raises MessengerUnavailable, MessageRefused."""
        data = content.encode()
        where = await self._id(channel, patiently=True)
        place = await self._patiently("files.getUploadURLExternal", filename=filename, length=len(data))
        await self._deposit(_part(place, "upload_url", str), data)
        files = json.dumps([{"id": _part(place, "file_id", str), "title": title}])
        await self._patiently("files.completeUploadExternal", files=files, channel_id=where, thread_ts=thread_ts)

    async def _deposit(self, url: str, data: bytes) -> None:
        """Send *data* to the *url* that Slack gave for it. Whoever has that could, too: it is in no error."""
        assert self._session is not None
        try:
            async with self._session.post(url, data=data) as answer:
                if answer.status != 200:
                    raise MessengerUnavailable(f"the file was not taken: HTTP {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MessengerUnavailable(f"the file could not be sent: {type(error).__name__}") from None

    async def greet(self) -> None:
        """See :meth:`Messenger.greet`. Raises MessengerUnavailable."""
        try:
            await self._call("auth.test")
        except MessageRefused as error:
            raise MessengerUnavailable(str(error)) from error

    async def tell(self, channel: str, user: str, message: SlackMessage) -> None:
        """See :meth:`Messenger.tell`. Raises MessengerUnavailable, MessageRefused."""
        await self._patiently(
            "chat.postEphemeral",
            channel=await self._id(channel, patiently=True),
            user=user,
            text=message.text,
            blocks=list(message.blocks),
        )

    async def members_of(self, usergroup: str) -> tuple[str, ...]:
        """See :meth:`Messenger.members_of`. Raises MessengerUnavailable, MessageRefused."""
        answer = await self._patiently("usergroups.users.list", usergroup=usergroup)
        return tuple(str(user) for user in _part(answer, "users", list))

    async def name_of(self, user: str) -> str:
        """What people call *user*; the id itself where Slack does not say."""
        if user not in self._names:
            try:
                known = _part(await self._patiently("users.info", user=user), "user", dict)
            except (MessengerUnavailable, MessageRefused):
                return user
            profile = known.get("profile")
            shown = profile.get("display_name") if isinstance(profile, dict) else None
            self._names[user] = str(shown or known.get("name") or user)
        return self._names[user]

    async def close(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()

    async def _id(self, channel: str, *, patiently: bool = False) -> str:
        """The id of *channel*, which may be a ``#name``. Editing and finding need ids (docs: chat.update).

        Where Slack asks for patience with the list, so does this, unless somebody waits for the answer (*patiently*):
        for the announcer, other channels need not wait with this one.
        """
        if not channel.startswith("#") or channel in self._channels:
            return self._channels.get(channel, channel)
        call = self._patiently if patiently else self._call
        # One that was not there a moment ago is not there now. After a limit it goes on with the page that was refused.
        fresh = self._listed_at is not None and time.monotonic() - self._listed_at < LISTED_S
        while not fresh and channel not in self._channels:
            try:
                answer = await call("conversations.list", limit=200, cursor=self._page, exclude_archived=True)
            except MessageRefused:
                if not self._page:
                    raise
                self._page = ""  # what names a page does not do so for ever (docs: invalid_cursor)
                continue
            listed = [_whole(c) for c in _part(answer, "channels", list)]
            self._channels.update({f"#{c.get('name')}": _part(c, "id", str) for c in listed})
            self._page = _next_cursor(answer)
            if not self._page:
                self._listed_at = time.monotonic()
                break
        if channel not in self._channels:
            raise MessageRefused(f"there is no channel {channel} that the bot can see: invite it, or give the id")
        return self._channels[channel]

    async def _patiently(self, method: str, **arguments: Any) -> Any:
        """As :meth:`_call`, but where Slack asks for patience, have it: somebody waits for the answer of this."""
        for left in reversed(range(TRIES)):
            try:
                return await self._call(method, **arguments)
            except RateLimited as error:
                if not left or error.retry_after_s > LONGEST_WAIT_S:
                    raise
                await asyncio.sleep(error.retry_after_s)
        raise AssertionError("the last try answers or raises")

    async def _call(self, method: str, **arguments: Any) -> Any:
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            if method.startswith("chat."):
                answer = await self.client.api_call(method, json=given)
            elif method.startswith("files."):
                answer = await self.client.api_call(method, data=given)
            else:
                # Slack's reading methods take no JSON (docs: Using the Web API, POST bodies).
                answer = await self.client.api_call(method, http_verb="GET", params=given)
        except SlackApiError as error:
            raise _told_apart(method, error.response) from error
        except (SlackClientError, aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise MessengerUnavailable(f"{method}: {type(error).__name__} {error}") from error
        except (ValueError, AttributeError, TypeError, LookupError) as error:
            # What a proxy says in Slack's place may be anything, and slack_sdk takes it for Slack's: bytes that are no
            # text (UnicodeDecodeError), a text where it asks for "ok" (AttributeError), an unknown charset.
            raise MessengerUnavailable(f"{method}: an answer that is not Slack's ({type(error).__name__})") from error
        return _whole(answer.data)


def _whole(answer: Any) -> dict[str, Any]:
    """*answer* if it is an object. Raises MessengerUnavailable: Slack answers with nothing else."""
    if not isinstance(answer, dict):
        raise MessengerUnavailable(f"an answer that is not Slack's: {type(answer).__name__}")
    return answer


def _part(answer: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """What *answer* has to have. Raises MessengerUnavailable where it has not: somebody else gave it."""
    part = answer.get(name)
    if not isinstance(part, kind):
        raise MessengerUnavailable(f"an answer that is not Slack's: without {name}")
    return part


def _next_cursor(answer: Mapping[str, Any]) -> str:
    """Where the next page begins; empty where there is none."""
    metadata = answer.get("response_metadata")
    return str(metadata.get("next_cursor") or "") if isinstance(metadata, dict) else ""


def _payload(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the bot keeps in its messages; others' may have anything there, or nothing."""
    metadata = message.get("metadata")
    payload = metadata.get("event_payload") if isinstance(metadata, dict) else None
    return payload if isinstance(payload, dict) else {}


def _metadata(key: str | None, covers: Sequence[str] = (), attempt: str | None = None) -> dict[str, Any] | None:
    if not key:
        return None
    payload: dict[str, Any] = {"key": key}
    if attempt:
        payload["attempt"] = attempt
    if covers:
        # In one text: a list of texts is nothing that the payload may have (docs: @slack/types, MessageMetadata).
        payload["covers"] = " ".join(covers)
    return {"event_type": EVENT_TYPE, "event_payload": payload}


def _told_apart(method: str, response: Any) -> MessengerUnavailable | MessageRefused:
    """What an answer means that is none. One that is no JSON at all comes as aiohttp's own."""
    status = getattr(response, "status_code", 0) or getattr(response, "status", 0)
    found = getattr(response, "data", None)
    data: Mapping[str, Any] = found if isinstance(found, dict) else {}
    word = str(data.get("error", ""))
    if status == 429 or word in ("ratelimited", "rate_limited"):
        return RateLimited(f"{method}: {word or 'HTTP 429'}", _retry_after(response))
    if word in PASSING or status >= 500 or not word:
        return MessengerUnavailable(f"{method}: {word or f'HTTP {status}'}")
    if word in LOCKED_OUT:
        return MessengerUnavailable(f"{method}: {word}: Slack does not let the app in, look at SLACK_BOT_TOKEN")
    return MessageRefused(f"{method}: {word}{_why(data)}")


def _retry_after(response: Any) -> float:
    """The seconds that Slack asks for (docs: Rate limits, Retry-After); one where it does not say."""
    headers = {str(name).lower(): value for name, value in dict(response.headers).items()}
    try:
        return max(float(headers.get("retry-after", 1)), 0.1)
    except ValueError:
        return 1.0


def _why(data: Mapping[str, Any]) -> str:
    """What Slack says of the place of the fault, if it does."""
    metadata = data.get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    return f" ({'; '.join(str(m) for m in messages)})" if messages and isinstance(messages, list) else ""
