"""POST /events/keepalived: what the directors' agents send is verified, journalled, and only then answered.

docs/agent.md has the wire format. The order of the checks: content type (415), size (413), signature (401), age (401),
form (400); then the journal (503 while it cannot be written), then 202, or 200 where everything was known already.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.domain.events import Recorded
from bot.entrypoints.agent_lines import event_of_gap, event_of_line
from bot.flows.ports import Appender, Clock, Entry, JournalUnavailable

logger = logging.getLogger(__name__)

WIRE_VERSION = 1
RETRY_AFTER_S = 5
BODY_TIMEOUT_S = 10  # of one request: whoever has not proved who they are may not hold a connection for long
TURNS_FIRST = 3  # of the event loop: what an event sets off (an alert) is on its way before the agent is answered
_NOBODY = secrets.token_bytes(32)  # verifies an unknown director, so that it costs the time of a known one


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorAccess:
    """A director that may post: the cluster it belongs to, and the secret that it shares with the bot."""

    cluster: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """What the webhook needs to know. ``max_age`` is seconds, ``max_body`` bytes, ``directors`` by name."""

    directors: Mapping[str, DirectorAccess]
    path: str = "/events/keepalived"
    max_age: float = 300.0
    max_body: int = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A director's agent reported in. Never journalled.

    ``received_at`` is by the bot's clock, ``at`` by the director's. ``counter`` is the agent's newest record,
    ``pending`` how many of them wait on the director's disk, ``aside`` how many the bot refused for good. ``attached``:
    something (keepalived) has the FIFO open. ``keepalived_running`` is None where the agent cannot tell. ``uptime_s``
    is the agent's, in seconds. ``trouble`` is what the agent complains of.
    """

    cluster: str
    director: str
    received_at: datetime
    at: datetime
    version: str
    boot: str
    counter: int
    pending: int
    aside: int
    attached: bool
    keepalived_running: bool | None
    uptime_s: float
    trouble: str | None


# --- the wire format ------------------------------------------------------------------------------------------------

Counter = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0, lt=253402300800, allow_inf_nan=False)]  # until the year 10000
Boot = Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]
Text = Annotated[str, Field(max_length=4 * 4096)]  # the agent cuts lines at 4096 bytes; each may show as \xNN


class _Wire(BaseModel):
    """A newer agent may send more than this bot reads; what it reads must be of the right type."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Gap(_Wire):
    lost: Counter
    why: Text


class _Record(_Wire):
    boot: Boot
    counter: Counter
    at: Seconds
    line: Text | None = None
    gap: _Gap | None = None


class _Heartbeat(_Wire):
    agent: Annotated[str, Field(max_length=32)]
    boot: Boot
    at: Seconds
    counter: Counter
    pending: Counter
    aside: Counter
    attached: bool
    keepalived: bool | None = None
    uptime_s: Seconds
    trouble: Text | None = None


class _Test(_Wire):
    agent: Annotated[str, Field(max_length=32)]


class _Message(_Wire):
    version: int
    director: str
    records: Annotated[tuple[_Record, ...], Field(min_length=1, max_length=1000)] | None = None
    heartbeat: _Heartbeat | None = None
    test: _Test | None = None


class _Refused(Exception):
    """The request is answered with ``status``, a word for programs (``error``) and words for people (``reason``)."""

    def __init__(self, status: int, error: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.error = error
        self.reason = reason


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of X-LVS-Signature: HMAC-SHA256 (RFC 2104) over the timestamp, a dot and the body."""
    return "v1=" + hmac.digest(secret, timestamp.encode() + b"." + body, "sha256").hex()


def webhook_routes(
    settings: WebhookSettings,
    *,
    journal: Appender,
    clock: Clock,
    on_event: Callable[[Recorded], None],
    on_heartbeat: Callable[[Heartbeat], None],
) -> list[web.RouteDef]:
    """The routes to mount on the bot's server.

    *on_event* is called for each event that is new, once it is durable and before the answer; *on_heartbeat* for each
    heartbeat. Both must return at once; what they raise is logged and changes nothing about the answer.
    """
    webhook = _Webhook(settings, journal, clock, on_event, on_heartbeat)
    return [web.post(settings.path, webhook.handle)]


class _Webhook:
    """One POST at a time, told in order: verify, read, record, answer."""

    def __init__(
        self,
        settings: WebhookSettings,
        journal: Appender,
        clock: Clock,
        on_event: Callable[[Recorded], None],
        on_heartbeat: Callable[[Heartbeat], None],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._on_event = on_event
        self._on_heartbeat = on_heartbeat

    async def handle(self, request: web.Request) -> web.Response:
        try:
            return await self._answer(request)
        except _Refused as refused:
            director = request.headers.get("X-LVS-Director", "")[:64]
            logger.warning("webhook: %s from %s (director %r): %s", refused.status, request.remote, director, refused)
            content = {"error": refused.error, "reason": refused.reason}
            headers = {"Retry-After": str(RETRY_AFTER_S)} if refused.status == 503 else None
            return web.json_response(content, status=refused.status, headers=headers)

    async def _answer(self, request: web.Request) -> web.Response:
        received_at = self._clock.now()
        body = await self._body(request)
        director, access = self._verify(request.headers, body)
        message = _read(body, director)
        if message.records:
            return await self._record(director, access, message.records, received_at)
        if message.heartbeat:
            self._call(self._on_heartbeat, self._heartbeat(director, access, message.heartbeat))
        return web.json_response({"taken": 0})

    async def _body(self, request: web.Request) -> bytes:
        """The whole body, never more of it than may be. Raises _Refused."""
        limit = self._settings.max_body
        too_large = _Refused(413, "too large", f"a body may have at most {limit} bytes; send fewer records")
        if request.content_type != "application/json":
            raise _Refused(415, "content type", "the content type must be application/json")
        if request.content_length is not None and request.content_length > limit:
            raise too_large
        if request.content.is_eof():
            # It came whole with its headers, as nearly all do: there is nothing to wait for, and no time limit to set.
            whole = await request.content.read()
            if len(whole) > limit:
                raise too_large
            return whole
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > limit:
                        raise too_large
        except TimeoutError as error:
            raise _Refused(408, "slow", f"the body did not come within {BODY_TIMEOUT_S} s") from error
        return bytes(body)

    def _verify(self, headers: Mapping[str, str], body: bytes) -> tuple[str, DirectorAccess]:
        """Who sent *body*. Raises _Refused; an unknown director and a wrong signature look and cost the same."""
        director = headers.get("X-LVS-Director", "")
        timestamp = headers.get("X-LVS-Timestamp", "")
        given = headers.get("X-LVS-Signature", "").encode("utf-8", "surrogateescape")
        well_formed = re.fullmatch(r"[0-9]{1,12}", timestamp) is not None
        access = self._settings.directors.get(director)
        secret = access.secret if access else _NOBODY
        wanted = sign(secret, timestamp if well_formed else "0", body).encode()
        if not (hmac.compare_digest(wanted, given) and well_formed and access):
            raise _Refused(401, "signature", "the director is not known, or the signature is not its own")
        age = self._clock.now().timestamp() - int(timestamp)
        if abs(age) > self._settings.max_age:
            way = "behind" if age > 0 else "ahead of"
            raise _Refused(401, "stale", f"the timestamp is {abs(age):.0f} s {way} the bot's clock; set the clocks")
        return director, access

    async def _record(
        self, director: str, access: DirectorAccess, records: tuple[_Record, ...], received_at: datetime
    ) -> web.Response:
        """Append *records* in one transaction; 202 if any was new, 200 if none. Raises _Refused."""
        entries = [_entry(access.cluster, director, record, received_at) for record in records]
        try:
            recorded = await self._journal.append(*entries)
        except JournalUnavailable as error:
            logger.error("webhook: the journal cannot be written, %s keeps its events: %s", director, error)
            raise _Refused(503, "journal", "the journal cannot be written at present; keep the records") from error
        new = [event for event in recorded if event is not None]
        for event in new:
            self._call(self._on_event, event)
        for _ in range(TURNS_FIRST):
            await asyncio.sleep(0)
        return web.json_response({"taken": len(new), "known": len(recorded) - len(new)}, status=202 if new else 200)

    def _heartbeat(self, director: str, access: DirectorAccess, beat: _Heartbeat) -> Heartbeat:
        return Heartbeat(
            cluster=access.cluster,
            director=director,
            received_at=self._clock.now(),
            at=datetime.fromtimestamp(beat.at, UTC),
            version=beat.agent,
            boot=beat.boot,
            counter=beat.counter,
            pending=beat.pending,
            aside=beat.aside,
            attached=beat.attached,
            keepalived_running=beat.keepalived,
            uptime_s=beat.uptime_s,
            trouble=beat.trouble,
        )

    @staticmethod
    def _call(listener: Callable[[Any], None], value: object) -> None:
        """Tell *listener*. The events are durable by now: its failure must not make the agent send them again."""
        try:
            listener(value)
        except Exception:
            logger.exception("webhook: a listener failed on %r", value)


def _read(body: bytes, director: str) -> _Message:
    """The message in *body*. Raises _Refused."""
    try:
        message = _Message.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise _Refused(400, "malformed", f"{place}: {first['msg']}") from error
    if message.version != WIRE_VERSION:
        # Not "malformed": the agent must keep its records until one of the two has been upgraded.
        raise _Refused(
            400, "version", f"this bot reads version {WIRE_VERSION}, not {message.version}; upgrade the older"
        )
    if message.director != director:
        raise _Refused(400, "malformed", "director: is not the one of the header")
    if sum(part is not None for part in (message.records, message.heartbeat, message.test)) != 1:
        raise _Refused(400, "malformed", "body: needs exactly one of records, heartbeat and test")
    for index, record in enumerate(message.records or ()):
        if (record.line is None) == (record.gap is None):
            raise _Refused(400, "malformed", f"records.{index}: needs exactly one of line and gap")
    return message


def _entry(cluster: str, director: str, record: _Record, received_at: datetime) -> Entry:
    gap, at = record.gap, datetime.fromtimestamp(record.at, UTC)
    event = (
        event_of_gap(cluster, director, lost=gap.lost, why=gap.why)
        if gap is not None
        else event_of_line(cluster, director, record.line or "", at=at, received_at=received_at)
    )
    return Entry(event=event, source_key=f"agent:{director}:{record.boot}:{record.counter}", at_source=at)
