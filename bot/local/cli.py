"""``python -m bot lab …`` and ``python -m bot demo``: added to the program only when they are asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.settings import SettingsError


def add_to(app: typer.Typer) -> None:
    """Add the commands of the lab and the demo to *app*."""
    from bot.local.lab.cli import app as lab

    app.add_typer(lab, name="lab")
    app.command()(demo)


def demo(
    fleet: Annotated[Path, typer.Option(help="The fleet file whose first cluster is built.")] = Path(
        "config/fleet.yaml"
    ),
    port: Annotated[int, typer.Option(help="Where the chat page listens on 127.0.0.1.")] = 8765,
    name: Annotated[str, typer.Option(help="The lab's name: another one runs beside it.")] = "demo",
) -> None:
    """A whole site on this machine: two real directors, the Slack stand-in with its chat page, and the bot.

    Builds the lab once (about a minute), prints one URL on 127.0.0.1 and runs until Ctrl-C. Needs root, for network
    namespaces; nothing of it is reachable from elsewhere, and nothing is left behind.
    """
    from bot.local.demo import DemoFailed
    from bot.local.demo import demo as play
    from bot.local.lab.errors import LabError

    out = Console(stderr=True)
    try:
        asyncio.run(play(fleet, name=name, port=port, out=out))
    except (LabError, DemoFailed, SettingsError, OSError) as error:
        out.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
