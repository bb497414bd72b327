"""`python -m bot lab`: the lab from a terminal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.local.lab.errors import LabError, LabIsUp
from bot.local.lab.lab import HostState, Lab
from bot.local.lab.packages import install_packages
from bot.local.lab.places import Progress, cache_root
from bot.settings import SettingsError, load_fleet

app = typer.Typer(
    help="A whole site of real directors on this machine: two QEMU guests with keepalived and IPVS, each with a real "
    "server inside, on a network that has no way out. Needs root.\n\n"
    "Try: `lab up`, `lab exec ops curl -s http://10.100.5.11/`, `lab exec sv1 ipvsadm -Ln`, "
    "`lab exec sv1 systemctl stop keepalived`, `lab status`, `lab down`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Option("--name", "-n", help="Which lab: several can run side by side.")]
FleetFile = Annotated[Path, typer.Option("--fleet", "-f", help="The fleet file; the lab is its first cluster.")]
Host = Annotated[str, typer.Argument(help="A director (sv1), a real server (web1) or ops, where the clients are.")]
DirectorName = Annotated[str, typer.Argument(help="A director, for example sv1.")]
FLEET = Path("config/fleet.yaml")
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
err = Console(stderr=True, highlight=False)


@app.command()
def install() -> None:
    """Install the Debian packages that the lab needs and this machine lacks (apt-get, through sudo if need be)."""
    with _told():
        install_packages(_progress())


@app.command()
def up(name: Name = "lab", fleet: FleetFile = FLEET) -> None:
    """Start it. The first time builds an image and boots (a minute or two); later times take seconds."""
    try:
        with _told():
            progress = _progress()
            lab = _lab(name, fleet)
            lab.up(progress)
            progress(f"lab {name} is up; a client is `python -m bot lab exec --name {name} ops curl …`")
    except LabIsUp as already:
        err.print(str(already))


@app.command()
def down(name: Name = "lab", fleet: FleetFile = FLEET) -> None:
    """End it: no process, namespace or file of its run is left, whatever state it was in."""
    with _told():
        _lab(name, fleet).down()


@app.command()
def fresh(name: Name = "lab", fleet: FleetFile = FLEET) -> None:
    """Put it back, in seconds, into the state that `up` ended with."""
    with _told():
        _lab(name, fleet).fresh()


@app.command()
def status(
    name: Name = "lab",
    fleet: FleetFile = FLEET,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """What is there of it. Exits 0 when all of it runs and 3 otherwise."""
    with _told():
        seen = _lab(name, fleet).status()
    if as_json:
        typer.echo(json.dumps({"name": seen.name, "up": seen.up, "hosts": dict(seen.hosts)}))
    else:
        typer.echo(f"lab {seen.name} is {'up' if seen.up else 'down'}")
        for host, state in seen.hosts:
            typer.echo(f"  {host}  {state}")
    if not seen.up or any(state is not HostState.RUNNING for _, state in seen.hosts):
        raise typer.Exit(3)


@app.command()
def ssh(host: Host, name: Name = "lab", fleet: FleetFile = FLEET) -> None:
    """Log in to a host as root."""
    with _told():
        lab = _lab(name, fleet)
        argv = lab.ops_argv(["bash", "-l"]) if host == "ops" else lab.ssh_argv(host, terminal=True)
    os.execvp(argv[0], argv)  # noqa: S606 - an argv list that we built


@app.command(name="exec", context_settings=PASS_ON)
def execute(context: typer.Context, host: Host, name: Name = "lab", fleet: FleetFile = FLEET) -> None:
    """Run a command on a host as root: `lab exec sv1 ipvsadm -Ln`. Its exit status becomes this one's."""
    argv = context.args[1:] if context.args[:1] == ["--"] else context.args
    if not argv:
        raise typer.BadParameter("say what to run, for example: lab exec sv1 ipvsadm -Ln")
    with _told():
        lab = _lab(name, fleet)
        whole = lab.ops_argv(argv) if host == "ops" else lab.ssh_argv(host, argv)
    raise typer.Exit(subprocess.run(whole, check=False).returncode)


@app.command()
def kill(host: DirectorName, name: Name = "lab", fleet: FleetFile = FLEET) -> None:
    """Pull the plug of a director: `kill -9` of its QEMU, with the real server inside."""
    with _told():
        _lab(name, fleet).kill(host)


@app.command()
def start(host: DirectorName, name: Name = "lab", fleet: FleetFile = FLEET) -> None:
    """Boot a director that is down, from its own disk (some 20 s under emulation)."""
    with _told():
        progress = _progress()
        progress(f"booting {host}")
        _lab(name, fleet).start(host)
        progress(f"one can log in to {host}")


@app.command()
def clean() -> None:
    """Delete what the cache holds: images, saved states and the lab's keys. Take the labs down first."""
    shutil.rmtree(cache_root(), ignore_errors=True)


def _lab(name: str, fleet: Path) -> Lab:
    return Lab(name, fleet=load_fleet(fleet), fleet_file=fleet)


def _progress() -> Progress:
    began = time.monotonic()
    return lambda text: err.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {text}")


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong inside is told in its own words, without a traceback."""
    try:
        yield
    except LabIsUp:
        raise
    except (LabError, SettingsError) as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
