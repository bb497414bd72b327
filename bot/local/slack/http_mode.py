"""HTTP mode: signed requests to the app's request URL."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp

from bot.local.slack.delivery import Ack, Kind, Outcome, Retry
from bot.local.slack.wire import Json
from bot.local.slack.world import World


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Slack's signature of a request: https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    base = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


class HttpMode:
    """Posts to ``request_url``, which has to be on this machine or in its lab. Raises ValueError for another."""

    def __init__(self, world: World, request_url: str) -> None:
        host = urlsplit(request_url).hostname or ""
        if host != "localhost" and not _is_near(host):
            raise ValueError(
                f"request URL {request_url!r}: the stand-in posts to 127.0.0.1 or to a private address only"
            )
        self._world = world
        self._url = request_url
        self._session: aiohttp.ClientSession | None = None

    @property
    def connected(self) -> bool:
        """An app in HTTP mode is only known by its URL."""
        return True

    async def send(self, kind: Kind, payload: Json, retry: Retry | None) -> Ack:
        """Post once and wait for the answer until Slack's deadline."""
        body, content_type = _encoded(kind, payload)
        timestamp = str(int(self._world.clock()))
        headers = {
            "Content-Type": content_type,
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": sign(self._world.config.signing_secret, timestamp, body),
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        }
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry.attempt), "X-Slack-Retry-Reason": retry.reason}
        return await self._post(body, headers)

    async def challenge(self) -> bool:
        """Whether the app answers the question that Slack asks when a request URL is entered (url_verification)."""
        asked = self._world.triggers.new_trigger("")
        payload = {"type": "url_verification", "token": self._world.config.verification_token, "challenge": asked}
        ack = await self.send(Kind.EVENT, payload, None)
        return ack.ok and asked in (ack.payload.get("challenge"), ack.payload.get("text"))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, body: bytes, headers: dict[str, str]) -> Ack:
        self._session = self._session or aiohttp.ClientSession()
        try:
            async with asyncio.timeout(self._world.config.deadlines.ack):
                async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                    text = await answer.text()
                await asyncio.sleep(self._world.faults.slow_acks_by)
        except TimeoutError:
            return Ack(outcome=Outcome.TIMED_OUT, reason="http_timeout")
        except aiohttp.ClientError:
            return Ack(outcome=Outcome.FAILED, reason="connection_failed")
        if answer.status != 200:
            no_retry = answer.headers.get("X-Slack-No-Retry") == "1"
            return Ack(outcome=Outcome.FAILED, reason="http_error", no_retry=no_retry)
        return Ack(outcome=Outcome.ACKED, payload=_decoded(text))


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _encoded(kind: Kind, payload: Json) -> tuple[bytes, str]:
    form = "application/x-www-form-urlencoded"
    match kind:
        case Kind.COMMAND:
            return urlencode(payload).encode(), form
        case Kind.INTERACTIVE:
            return urlencode({"payload": json.dumps(payload)}).encode(), form
        case Kind.EVENT:
            return json.dumps(payload).encode(), "application/json"


def _decoded(text: str) -> Json:
    try:
        value: Any = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    return {"text": text} if text.strip() else {}
