"""Where the stand-in listens, and how it is used from a program and from a shell."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.slack import FaultKind, StandIn
from tests.local.slack.conftest import client_of


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.100.0.1", "localhost", "example.com", ""])
def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        StandIn(host=host)


def test_a_socket_on_every_address_is_refused() -> None:
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        with pytest.raises(ValueError, match="bind it to one address"):
            StandIn(sockets=[everywhere])


async def test_the_same_workspace_answers_on_a_socket_bound_elsewhere_with_urls_for_there() -> None:
    elsewhere = socket.create_server(("127.0.0.2", 0))
    port = elsewhere.getsockname()[1]
    async with StandIn(sockets=[elsewhere]) as slack:
        there = AsyncWebClient(token=slack.bot_token, base_url=f"http://127.0.0.2:{port}/api/")
        await there.chat_postMessage(channel="C0SITE", text="from there")
        assert [m["text"] for m in slack.messages("C0SITE")] == ["from there"]
        opened = await there.apps_connections_open(app_token=slack.app_token)
        assert opened["url"].startswith(f"ws://127.0.0.2:{port}/link/")
        await slack.command("alice", "C0SITE", "/lvs status")
        assert slack.deliveries[-1].payload["response_url"].startswith(f"http://127.0.0.2:{port}/respond/")


async def test_waiting_ends_when_it_becomes_true_or_time_is_up(slack: StandIn) -> None:
    async def later() -> None:
        slack.say("alice", "C0SITE", "now")

    waiting = asyncio.create_task(slack.wait_for(lambda: slack.messages("C0SITE")))
    await asyncio.sleep(0)
    await later()
    assert (await waiting)[0]["text"] == "now"
    with pytest.raises(TimeoutError):
        await slack.wait_for(lambda: False, timeout=0.05)


async def test_tokens_are_new_for_each_workspace_and_shown_in_no_repr() -> None:
    async with StandIn() as one, StandIn() as two:
        assert one.bot_token != two.bot_token
        assert one.bot_token not in repr(one.config) and one.signing_secret not in repr(one.config)


async def test_it_runs_alone_and_prints_what_an_app_needs() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.local.slack", "--port", "0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"SLACK_BOT_TOKEN": "xoxb-kept"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode().strip() for _ in range(5)]
        exported = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        assert exported["SLACK_BOT_TOKEN"] == "xoxb-kept"
        assert set(exported) == {"SLACK_BASE_URL", "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET"}
        client = AsyncWebClient(token="xoxb-kept", base_url=exported["SLACK_BASE_URL"])
        assert (await client.auth_test())["user"] == "lvsbot"
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_what_a_test_looks_at_stays_as_it_was(slack: StandIn) -> None:
    await client_of(slack).chat_postMessage(channel="C0SITE", text="one")
    (seen,) = slack.messages("C0SITE")
    seen["text"] = "changed"
    assert slack.messages("C0SITE")[0]["text"] == "one"


def test_the_handbook_names_every_part_of_the_python_api_and_every_fault() -> None:
    handbook = (Path(__file__).parents[3] / "docs" / "slack-stand-in.md").read_text(encoding="utf-8")
    public = [name for name in vars(StandIn) if not name.startswith("_")]
    orders = [*FaultKind, "rate", "down", "slow_acks", "drop_sockets", "redeliver"]
    assert [name for name in (*public, *orders) if name not in handbook] == []
