"""The commands of the program: run, check, render, demo, lab, and the operators' own for when Slack is down."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal

import structlog
import typer
from rich.console import Console

from bot import logs
from bot.domain.commands import Command, Misspelt, Verb, parse

app = typer.Typer(
    name="lvs-chatops",
    help="The ChatOps bot for people who run LVS (Linux Virtual Server) load balancers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
lvs = typer.Typer(help="The operators' commands, as in Slack: same flows, same journal.", no_args_is_help=True)
app.add_typer(lvs, name="lvs")

Config = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="LVSBOT_CONFIG", help="The bot's settings; docs/settings.md explains them."),
]
DEFAULT = Path("config/bot.yaml")


def console(*, stderr: bool = False) -> Console:
    """Where a command prints. Without rich's emoji: ``:b:`` is a part of many an IPv6 address."""
    return Console(stderr=stderr, emoji=False)


err = console(stderr=True)


@app.command()
def run(
    config: Config = DEFAULT, log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING …")] = "INFO"
) -> None:
    """Run the bot until it is told to stop (SIGTERM, Ctrl-C)."""
    from bot.bootstrap import Bot, open_parts

    logs.configure(level=log_level.upper())
    settings = _settings(config)

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        parts = await open_parts(settings, "bot")
        try:
            await parts.journal.hold_bot_lock()
            bot = Bot(parts)
            # What was made while starting stays: leaving it out of collections keeps them short.
            gc.collect()
            gc.freeze()
            await bot.run(stop)
        finally:
            await parts.close()

    _go(main)


@app.command()
def check(
    config: Config = DEFAULT, as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False
) -> None:
    """Check the settings and the fleet file: every problem at once, with its place and what to write instead.

    Exits 0 when all is well and 2 when there is a problem. Secrets are looked for in the environment, never printed.
    """
    from bot.settings import check as check_settings

    report = check_settings(config, os.environ)
    typer.echo(report.json() if as_json else report.text(), err=not as_json and report.exit_code != 0)
    raise typer.Exit(report.exit_code)


@app.command()
def render(
    director: Annotated[str, typer.Argument(help="A director of the fleet file, for example sv1.")],
    fleet: Annotated[Path, typer.Option(help="The fleet file.")] = Path("config/fleet.yaml"),
    webhook: Annotated[
        str | None, typer.Option(help="The bot's webhook, as this director reaches it; left out: no file of the agent.")
    ] = None,
    firewall: Annotated[
        Literal["firewalld", "iptables"],
        typer.Option(help="What keeps the SNAT rule: firewalld's direct rules, or a unit that calls iptables."),
    ] = "firewalld",
    out: Annotated[
        Path | None, typer.Option(help="Write below this directory; left out: print, passwords masked.")
    ] = None,
) -> None:
    """What belongs on a director: keepalived.conf, sysctls, modules, SNAT rule, sudoers, and the agent.

    Nothing is sent anywhere. With --out the VRRP passwords come from the environment variables that the fleet file
    names, and the files have their modes; all of them belong to root. docs/running.md says how to install them.
    """
    from bot.entrypoints.rendering import files_of, printed, write
    from bot.lvs.rendering import CannotRender, Firewall
    from bot.settings import SettingsError, load_fleet

    try:
        environ = None if out is None else os.environ
        found = files_of(load_fleet(fleet), director, environ, webhook, Firewall(firewall))
        lines = list(printed(found) if out is None else write(found, out))
    except (SettingsError, CannotRender, OSError) as error:
        err.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    for line in lines:
        typer.echo(line)


@lvs.command()
def status(
    name: Annotated[
        str | None, typer.Argument(help="A cluster, director, service or real server; all if left out.")
    ] = None,
    config: Config = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="For machines; docs/status.md explains the keys.")] = False,
) -> None:
    """What every director holds and how it is doing, asked over SSH now. Exits 1 when one does not answer."""
    _terminal(config, _command(Verb.STATUS, name), lambda t, c: t.status(c.name, as_json=as_json))


@lvs.command()
def drain(
    real_server: Annotated[str, typer.Argument(help="The real server, for example web1.")],
    config: Config = DEFAULT,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even if it is the last healthy one, or a director does not answer.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the commands and change nothing.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the last connection.")] = False,
) -> None:
    """Take a real server out of service on every director without dropping a connection, and wait until it is empty."""
    command = _command(Verb.DRAIN, real_server, *(["--force"] if force else []))
    _change(config, command, yes=yes, dry_run=dry_run, wait=not no_wait)


@lvs.command()
def restore(
    real_server: Annotated[str, typer.Argument(help="The real server, for example web1.")],
    config: Config = DEFAULT,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even if a director does not answer: it gets its weight there once it does.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the commands and change nothing.")] = False,
) -> None:
    """Give a drained real server the weights back that it had."""
    command = _command(Verb.RESTORE, real_server, *(["--force"] if force else []))
    _change(config, command, yes=yes, dry_run=dry_run, wait=True)


AsJson = Annotated[bool, typer.Option("--json", help="For machines; docs/hands.md explains the keys.")]
Number = Annotated[str, typer.Argument(help="The incident's number, for example 42 or site/42.")]
Named = Annotated[str, typer.Argument(help="A cluster, director, instance, service or real server.")]
HowLong = Annotated[str, typer.Argument(help="90s, 15m, 1h, 2h30m or 1d; from 1 minute to 30 days.")]
Reason = Annotated[list[str] | None, typer.Argument(help="Why, for your colleagues.")]


@lvs.command()
def incidents(
    which: Annotated[
        list[str] | None, typer.Argument(help="open (the default) or 24h, and a cluster to narrow it down.")
    ] = None,
    config: Config = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """The open incidents, or with 24h those too that were over within a day."""
    command = _command(Verb.INCIDENTS, *(which or []))
    _terminal(config, command, lambda t, c: t.incidents(c, as_json=as_json))


@lvs.command()
def incident(number: Number, config: Config = DEFAULT, as_json: AsJson = False) -> None:
    """The whole story of one incident."""
    _terminal(config, _command(Verb.INCIDENT, number), lambda t, c: t.incident(c, as_json=as_json))


@lvs.command()
def ack(number: Number, config: Config = DEFAULT) -> None:
    """Say that you are on it: its message in Slack shows who."""
    _record(config, _command(Verb.ACK, number))


@lvs.command()
def mute(name: Named, time: HowLong, reason: Reason = None, config: Config = DEFAULT) -> None:
    """Say nothing about something for a while; it is recorded all the same."""
    _record(config, _command(Verb.MUTE, name, time, *(reason or [])))


@lvs.command()
def maintenance(name: Named, time: HowLong, reason: Reason = None, config: Config = DEFAULT) -> None:
    """Announce work: nothing is told about it for a while, and what happens to it meanwhile is planned."""
    _record(config, _command(Verb.MAINTENANCE, name, time, *(reason or [])))


@lvs.command()
def unmute(name: Named, config: Config = DEFAULT) -> None:
    """End a mute or a maintenance before its time."""
    _record(config, _command(Verb.UNMUTE, name))


@lvs.command()
def mutes(config: Config = DEFAULT, as_json: AsJson = False) -> None:
    """What is muted or in maintenance, by whom and until when."""
    _terminal(config, _command(Verb.MUTES), lambda t, _: t.mutes(as_json=as_json))


@lvs.command()
def test(
    what: Annotated[str, typer.Argument(help="alert: the path that alerts take.")],
    cluster: Annotated[str | None, typer.Argument(help="A cluster; all if left out.")] = None,
    config: Config = DEFAULT,
) -> None:
    """Have the running bot try the alert path from every director to Slack. Exits 1 where an event is lost."""
    _terminal(config, _command(Verb.TEST, what, cluster), lambda t, c: t.test(c))


@lvs.command()
def doctor(
    name: Annotated[
        str | None, typer.Argument(help="A cluster, director, instance, service or real server; all if left out.")
    ] = None,
    config: Config = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Examine the directors and say what to do next; nothing is changed. Exits 1 when something is bad."""
    _terminal(config, _command(Verb.DOCTOR, name), lambda t, c: t.examine(c.name, as_json=as_json))


@lvs.command()
def export(number: Number, config: Config = DEFAULT) -> None:
    """Print the draft of a post-mortem for an incident that is over, in Markdown."""
    _terminal(config, _command(Verb.EXPORT, number), lambda t, c: t.export(c))


def _record(config: Path, command: Command) -> None:
    _terminal(config, command, lambda t, c: t.record(c))


def _change(config: Path, command: Command, *, yes: bool, dry_run: bool, wait: bool) -> None:
    def asked() -> bool:
        try:
            return typer.confirm(f"{command.verb.value.capitalize()} {command.name}?", err=True)
        except typer.Abort:
            return False  # who closes the line (Ctrl-D) has not said yes

    confirmed = None if yes else asked
    if confirmed and not dry_run and not sys.stdin.isatty():
        err.print("nobody is there to confirm: say --yes, or --dry-run to see the commands", style="red")
        raise typer.Exit(2)
    _terminal(config, command, lambda t, c: t.change(c, confirmed=confirmed, dry_run=dry_run, wait=wait))


def _command(verb: Verb, *words: str | None) -> Command:
    """The command, through the same grammar as in Slack. Exits 2 with what to type instead."""
    found = parse(" ".join((verb.value, *(word for word in words if word))))
    if isinstance(found, Misspelt):
        err.print(f"{found.problem} Try: python -m bot lvs {found.instead}", markup=False, highlight=False)
        raise typer.Exit(2)
    return found


def _terminal(config: Path, command: Command, work: Callable[..., Awaitable[int]]) -> None:
    from bot.bootstrap import open_parts
    from bot.entrypoints.terminal import Terminal

    logs.configure(level="ERROR")
    settings = _settings(config)

    async def main() -> None:
        parts = await open_parts(settings, "terminal")
        try:
            terminal = Terminal(
                parts.chronicle,
                parts.operator(),
                parts.hands(),
                parts.self_test_requests(),
                parts.doctor(),
                parts.shell,
                parts.clock,
                console(),
                err,
                channels=settings.slack.channels,
            )
            status = await work(terminal, command)
        finally:
            await parts.close()
        raise typer.Exit(status)

    _go(main)


def _settings(config: Path):  # type: ignore[no-untyped-def]  # importing Settings here would load pydantic for --help
    from bot.settings import SettingsError, load_settings

    try:
        return load_settings(config, os.environ)
    except SettingsError as error:
        for problem in error.problems:
            err.print(str(problem), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


def _go(main: Callable[[], Awaitable[None]]) -> None:
    """Run *main*; whatever it did not expect becomes one clear line with a reference, never a traceback."""
    from bot.entrypoints.server import ListenFailed
    from bot.flows.ports import JournalUnavailable

    try:
        with contextlib.suppress(KeyboardInterrupt):
            _run(main)
    except (ListenFailed, JournalUnavailable) as error:
        err.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    except typer.Exit:
        raise
    except Exception:
        reference = secrets.token_hex(4)
        structlog.get_logger(__name__).exception("the program failed", reference=reference)
        err.print(f"Something unexpected happened; the log above has it under reference {reference}.", style="red")
        raise typer.Exit(70) from None


def _run(main: Callable[[], Awaitable[None]]) -> None:
    import uvloop

    async def whole() -> None:
        await main()

    uvloop.run(whole())


def main() -> None:
    """The program. The lab and the demo are only loaded when they are asked for: a director site never needs them."""
    if len(sys.argv) == 1 or sys.argv[1] in ("lab", "demo", "--help", "-h"):
        from bot.local.cli import add_to

        add_to(app)
    app()
