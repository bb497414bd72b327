"""The lab: a whole site of real directors on this machine, started, broken and put right by method calls."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bot.domain.fleet import Fleet
from bot.local.lab import network
from bot.local.lab.botconfig import write_bot_config
from bot.local.lab.commands import attempt
from bot.local.lab.errors import LabError, LabIsDown, LabIsUp
from bot.local.lab.image import Image, ensure_image
from bot.local.lab.keys import Keys, ensure_keys
from bot.local.lab.knownhosts import known_hosts
from bot.local.lab.places import Places, Progress, alone, silent
from bot.local.lab.qemu import Guest, Saved
from bot.local.lab.savedstate import saved_state
from bot.local.lab.seed import mac, seed
from bot.local.lab.settling import settle, vip_answers
from bot.local.lab.site import Site, site_of
from bot.settings import secret_variable

LAB_PASSWORD = "lab-7890"  # noqa: S105 - VRRP's password in the lab, where nobody else is
OPS = "ops"


class HostState(StrEnum):
    """What a guest's process does."""

    RUNNING = "running"
    PAUSED = "paused"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """What is there of a lab. ``hosts`` is (director, its state); ``up`` that its namespaces are there."""

    name: str
    up: bool
    hosts: tuple[tuple[str, HostState], ...]


class Lab:
    """One lab by name. Every object for a name speaks for the same lab, in whatever process it is.

    Each method raises LabError. Hosts are the directors' names; ``exec`` also takes the real servers' and ``ops``.
    """

    def __init__(self, name: str = "lab", *, fleet: Fleet, fleet_file: Path | None = None) -> None:
        self.places = Places.of(name)
        self.site: Site = site_of(fleet)
        self._fleet_file = fleet_file

    # --- as a whole ---

    def up(self, progress: Progress = silent) -> None:
        """Start it: from its saved state in seconds, else by booting it, which saves the state for the next time.

        Raises LabIsUp when it runs; whatever else fails, nothing of it is left behind.
        """
        if os.geteuid() != 0:
            raise LabError("the lab needs root, for network namespaces: run it with sudo")
        with self._exclusive():
            if any(guest.pid() for guest in self._guests().values()):
                raise LabIsUp(
                    f"lab {self.places.name} is up already (`python -m bot lab status --name {self.places.name}`)"
                )
            self._remove()
            try:
                self._make(progress)
            except BaseException:
                self._remove()
                raise

    def down(self) -> None:
        """End it: no process, namespace or file of its run is left. It may be down, half-started, or an orphan."""
        with self._exclusive():
            self._remove()
            self.places.lock.unlink()

    def fresh(self) -> None:
        """Put it back into the settled state that ``up`` ended with, in seconds, whatever was done to it.

        What the processes in ``ops`` had open to the guests is gone. Links are up, clocks are right.
        """
        with self._exclusive():
            self._require_up()
            self._resume()

    def status(self) -> LabStatus:
        """What is there of it, from any process."""
        up = network.exists(self.places.net) and network.exists(self.places.ops)
        hosts = tuple((name, self._state(guest)) for name, guest in self._guests().items())
        return LabStatus(name=self.places.name, up=up, hosts=hosts)

    # --- one host ---

    def exec(self, host: str, argv: Sequence[str], timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run *argv* as root on *host* and return what it said; a non-zero status is a result.

        *host* is a director (over SSH with the lab's own key), a real server (inside its container) or ``ops``.
        Raises LabError after *timeout* seconds: what was started may then still run.
        """
        self._require_up()
        if host == OPS:
            return attempt(self.ops_argv(argv), deadline=timeout)
        if self._guest(self._home_of(host)[0]).pid() is None:
            raise LabError(f"{host} is down: boot it with `start`")
        return attempt(self.ssh_argv(host, argv), deadline=timeout)

    def ssh_argv(self, host: str, argv: Sequence[str] = (), *, terminal: bool = False) -> list[str]:
        """The command that logs in to *host* as root, or runs *argv* there."""
        director, inner = self._home_of(host)
        options = [
            *("-F", "none", "-i", str(self._keys().root), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
            *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self._known_hosts()}"),
            *("-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "LogLevel=ERROR"),
            # A handshake takes a second under emulation, so that commands share one.
            *("-o", "ControlMaster=auto", "-o", f"ControlPath={self._guest(director).ssh}", "-o", "ControlPersist=60"),
            *(("-t",) if terminal else ()),
        ]
        address = str(self.site.cluster.director(director).address)
        remote = [*inner, *(argv or (("bash", "-l") if inner else ()))]
        return self.ops_argv(["ssh", *options, f"root@{address}", *([shlex.join(remote)] if remote else [])])

    def kill(self, host: str) -> None:
        """Pull the plug of director *host*: ``kill -9`` of its QEMU."""
        self._guest(host).kill()

    def start(self, host: str, timeout: float = 120.0) -> None:
        """Boot director *host* again from its own disk; returns when one can log in, within *timeout* seconds."""
        guest = self._guest(host)
        if guest.pid() is not None:
            raise LabError(f"{host} runs already; `kill` it first")
        guest.boot()
        self._reachable(host, timeout)

    def reboot(self, host: str, timeout: float = 120.0) -> None:
        """Have director *host* shut down in order and boot it again; returns when one can log in, as `start` does."""
        self.exec(host, ["systemctl", "reboot"])
        deadline = time.monotonic() + timeout
        # QEMU ends where a real machine would start anew.
        while self._guest(host).pid() is not None:
            if time.monotonic() > deadline:
                raise LabError(
                    f"{host} has not shut down within {timeout:g} s; its console is {self._guest(host).console}"
                )
            time.sleep(0.1)
        self.start(host, timeout)

    def pause(self, host: str) -> None:
        """Stop director *host*'s processor. Its clock stays behind when it goes on."""
        with self._guest(host).monitor() as monitor:
            monitor.command("stop")

    def resume(self, host: str) -> None:
        """Let a paused director *host* go on."""
        with self._guest(host).monitor() as monitor:
            monitor.command("cont")

    def link(self, host: str, up: bool) -> None:
        """Plug director *host*'s network cable in or out. Its bridge and its container stay up inside."""
        with self._guest(host).monitor() as monitor:
            monitor.command("set_link", name="nic", up=up)

    # --- the namespace where the bot is ---

    def ops_argv(self, argv: Sequence[str]) -> list[str]:
        """*argv* with what makes it run in the ``ops`` namespace."""
        return ["nsenter", f"--net=/run/netns/{self.places.ops}", "--", *argv]

    def socket_in_ops(self, address: str, port: int) -> socket.socket:
        """A TCP socket that listens in ``ops``; the caller itself stays in its own namespace. Raises OSError too."""
        return network.listen(self.places.ops, address, port)

    def connect_in_ops(self, address: str, port: int, timeout: float = 2.0) -> socket.socket:
        """A TCP connection out of ``ops``; *timeout* in seconds. Raises OSError too."""
        return network.connect(self.places.ops, address, port, timeout)

    # --- what the bot needs ---

    def bot_environment(self) -> dict[str, str]:
        """The environment variables with the secrets that a bot for this lab needs."""
        return {
            **{secret_variable(name): secret for name, secret in self._keys().secrets.items()},
            **{
                v.auth_pass_env: self._passwords()[v.name]
                for v in self.site.cluster.vrrp_instances
                if v.auth_pass_env is not None
            },
        }

    def write_bot_config(self, directory: Path, *, slack_base_url: str | None = None) -> Path:
        """Write a bot.yaml with all that it refers to into *directory*; returns its path."""
        if self._fleet_file is None:
            raise LabError("this lab was made without its fleet file: give Lab(..., fleet_file=...)")
        return write_bot_config(
            directory,
            site=self.site,
            keys=self._keys(),
            fleet_file=self._fleet_file,
            slack_base_url=slack_base_url,
        )

    # --- inside ---

    def _make(self, progress: Progress) -> None:
        image = ensure_image(progress)
        keys = ensure_keys(self.site.directors)
        self.places.run.mkdir(parents=True, mode=0o700)
        self._known_hosts().write_text(known_hosts(self.site, keys))
        seeds = {d.name: seed(self.site, d, keys, self._passwords()) for d in self.site.cluster.directors}
        for name, guest in self._guests().items():
            guest.initrd.write_bytes(image.initrd.read_bytes() + seeds[name])
        progress("network namespaces")
        network.build(self.places, self.site)
        with saved_state(image, seeds, progress) as state:
            (self.places.run / "saved").symlink_to(state.home)
            if state.incomplete:
                with state.writing() as home:
                    self._boot_and_save(home, progress)
        progress("resuming the saved state")
        self._resume()

    def _boot_and_save(self, home: Path, progress: Progress) -> None:
        progress(f"booting {' and '.join(self.site.directors)} (once; the settled state is kept)")
        for name, guest in self._guests().items():
            shutil.copy(guest.image.disk, guest.disk)
            guest.boot(memory=Saved.of(home, name).memory)
        self._on_each(lambda name: self._reachable(name, 180))
        progress("waiting until the site has settled")
        settle(self.site, self.exec, self.connect_in_ops, deadline=180)
        progress("saving the settled state")
        self._on_each(lambda name: self._must(name, ["/usr/local/sbin/lab-sleep"]))
        self._on_each(lambda name: self._guest(name).save(Saved.of(home, name)))

    def _resume(self) -> None:
        guests = self._guests()
        home = (self.places.run / "saved").resolve()
        for guest in guests.values():
            guest.kill()
        self._on_each(lambda name: guests[name].resume(Saved.of(home, name)))
        for name in guests:
            self.resume(name)
        self._on_each(lambda name: guests[name].wake())
        vip_answers(self.site, self.connect_in_ops, deadline=60)

    def _remove(self) -> None:
        for guest in self._guests().values():
            guest.kill()
        # Also what no pid file tells of: a guest whose starter was killed, a client that somebody left in `ops`.
        for name in (self.places.ops, self.places.net):
            network.end_members(name)
        network.remove(self.places)
        if self.places.run.exists():
            shutil.rmtree(self.places.run)

    def _reachable(self, host: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._guest(host).pid() is None:
                raise LabError(f"{host} ended while it started; its console is {self._guest(host).console}")
            try:
                self.connect_in_ops(str(self.site.cluster.director(host).address), 22, 1.0).close()
            except OSError:
                time.sleep(0.2)
                continue
            if self.exec(host, ["true"], timeout=60).returncode == 0:
                return
        raise LabError(f"one cannot log in to {host} after {timeout:g} s; its console is {self._guest(host).console}")

    def _must(self, host: str, argv: Sequence[str]) -> str:
        done = self.exec(host, argv, timeout=60)
        if done.returncode != 0:
            raise LabError(f"{host}: `{shlex.join(argv)}` failed with status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _on_each(self, work: Callable[[str], object]) -> None:
        with ThreadPoolExecutor(max_workers=len(self.site.directors)) as pool:
            list(pool.map(work, self.site.directors))

    def _state(self, guest: Guest) -> HostState:
        if guest.pid() is None:
            return HostState.DOWN
        with guest.monitor() as monitor:
            running = monitor.command("query-status")["running"]
        return HostState.RUNNING if running else HostState.PAUSED

    def _guests(self) -> dict[str, Guest]:
        return {name: self._guest(name) for name in self.site.directors}

    def _guest(self, host: str) -> Guest:
        if host not in self.site.directors:
            raise LabError(f"{host!r} is no director of this lab: choose one of {', '.join(self.site.directors)}")
        return Guest(
            host=host,
            label=self.places.guest(host),
            net=self.places.net,
            mac=mac(self.site.cluster.director(host).address),
            run=self.places.run,
            image=Image.current(),
        )

    def _home_of(self, host: str) -> tuple[str, tuple[str, ...]]:
        """The director to log in to for *host*, and what goes before a command there."""
        if host in self.site.directors:
            return host, ()
        for server in self.site.cluster.real_servers:
            if server.name == host and server.host is not None:
                return server.host, ("nsenter", f"--net=/run/netns/{host}", "--")
        names = (*self.site.directors, *(server.name for server in self.site.cluster.real_servers), OPS)
        raise LabError(f"{host!r} is no host of this lab: choose one of {', '.join(names)}")

    def _keys(self) -> Keys:
        return ensure_keys(self.site.directors)

    def _known_hosts(self) -> Path:
        return self.places.run / "known_hosts"

    def _passwords(self) -> dict[str, str]:
        return {
            v.name: os.environ.get(v.auth_pass_env, LAB_PASSWORD)
            for v in self.site.cluster.vrrp_instances
            if v.auth_pass_env is not None
        }

    def _require_up(self) -> None:
        if not network.exists(self.places.ops):
            name = self.places.name
            raise LabIsDown(f"lab {name} is down; start it with `python -m bot lab up --name {name}`")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with alone(self.places.lock):
            yield
