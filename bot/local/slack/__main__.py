"""``python -m bot.local.slack``: the stand-in alone, for trying any Slack app against it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from bot.local.slack import Config, StandIn


async def _serve(port: int, request_url: str | None) -> None:
    # Tokens from the environment are kept, so that a bot that was started before goes on after a restart.
    fresh = Config()
    config = replace(
        fresh,
        bot_token=os.environ.get("SLACK_BOT_TOKEN", fresh.bot_token),
        app_token=os.environ.get("SLACK_APP_TOKEN", fresh.app_token),
        signing_secret=os.environ.get("SLACK_SIGNING_SECRET", fresh.signing_secret),
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    out = Console(highlight=False, soft_wrap=True)
    async with StandIn(config, port=port, request_url=request_url) as slack:
        out.print(f"# The chat page: {slack.page_url}")
        out.print(f"export SLACK_BASE_URL={slack.base_url}")
        out.print(f"export SLACK_BOT_TOKEN={slack.bot_token}")
        out.print(f"export SLACK_APP_TOKEN={slack.app_token}")
        out.print(f"export SLACK_SIGNING_SECRET={slack.signing_secret}")
        await stop.wait()


def main(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.")] = 0,
    request_url: Annotated[
        str | None, typer.Option(help="HTTP mode: where commands, actions and events are posted, signed.")
    ] = None,
) -> None:
    """Serve a Slack workspace on 127.0.0.1 until Ctrl-C, and print what an app needs to use it."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(port, request_url))


if __name__ == "__main__":
    typer.run(main)
