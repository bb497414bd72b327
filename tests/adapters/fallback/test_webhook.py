"""The webhook way against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from bot.adapters.fallback import WebhookWay
from bot.flows.ports import NotDelivered
from tests.adapters.fallback.words import DOWN, ODD

SECRET = "hunter2"


@dataclass
class Receiver:
    """Takes what is posted, and answers as it is told to. ``hang`` makes it answer never."""

    url: str = ""
    status: int = 200
    hang: bool = False
    got: list[tuple[dict[str, Any], str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((await request.json(), request.headers["Idempotency-Key"]))
        if self.hang:
            await asyncio.Event().wait()
        headers = {"Location": "/elsewhere"} if 300 <= self.status < 400 else {}
        return web.Response(status=self.status, headers=headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hooks/" + SECRET, made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks/{SECRET}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def way(receiver: Receiver) -> AsyncIterator[WebhookWay]:
    made = WebhookWay(receiver.url, deadline_s=0.5)
    yield made
    await made.close()


async def test_a_word_arrives_as_json_with_a_key_by_which_a_repetition_is_known(
    way: WebhookWay, receiver: Receiver
) -> None:
    await way.send(DOWN)
    await way.send(DOWN)
    body = {
        "text": "web1 is down\nincident 42 of site, since 12:00:05 UTC",
        "incident": 42,
        "cluster": "site",
        "kind": "real server down",
        "open": True,
    }
    assert receiver.got == [(body, '"incident:site:42"')] * 2
    await way.send(ODD)
    assert receiver.got[-1][0]["text"] == ODD.text


@pytest.mark.parametrize("status", [204, 299])
async def test_any_success_will_do(status: int, way: WebhookWay, receiver: Receiver) -> None:
    receiver.status = status
    await way.send(DOWN)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [302, 404, 429, 500])
async def test_what_is_no_success_was_not_delivered(status: int, way: WebhookWay, receiver: Receiver) -> None:
    receiver.status = status
    with pytest.raises(NotDelivered, match=f"HTTP {status}") as raised:
        await way.send(DOWN)
    assert SECRET not in str(raised.value)


async def test_one_that_does_not_answer_is_not_waited_for(way: WebhookWay, receiver: Receiver) -> None:
    receiver.hang = True
    with pytest.raises(NotDelivered, match="Timeout"):
        await way.send(DOWN)


@pytest.mark.parametrize(
    "url", [f"http://127.0.0.1:1/{SECRET}", f"http://[/{SECRET}", f"http://no.such.host.test/{SECRET}"]
)
async def test_what_cannot_be_reached_is_told_without_the_address(url: str) -> None:
    way = WebhookWay(url, deadline_s=5)
    try:
        with pytest.raises(NotDelivered, match="could not be reached") as raised:
            await way.send(DOWN)
        assert SECRET not in str(raised.value)
        assert raised.value.__cause__ is None
    finally:
        await way.close()
