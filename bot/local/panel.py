"""The chat page's side panel: the lab's hosts with their state, and the switches that break and mend them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from subprocess import CompletedProcess
from typing import Protocol

from bot.domain.observed import UnitActive
from bot.local.lab.errors import LabError
from bot.local.lab.lab import HostState, LabStatus
from bot.local.lab.site import Site
from bot.local.slack.panel import PanelItem
from bot.lvs import iproute, systemd
from bot.lvs.errors import Unreadable

LOOK_EVERY = 8.0  # seconds between two looks at each director: a login costs an emulated processor a good second
SWITCH_PATIENCE = 60.0
LOOK = f"ip -j addr; echo; {' '.join(systemd.show_unit())}; echo; systemctl is-active nginx || true"
PARTS = ("ip", "systemctl show", "nginx")


class Hosts(Protocol):
    """What the panel asks of the lab: see :class:`bot.local.lab.lab.Lab`."""

    site: Site

    def status(self) -> LabStatus: ...
    def exec(self, host: str, argv: Sequence[str], timeout: float = 30.0) -> CompletedProcess[str]: ...
    def kill(self, host: str) -> None: ...
    def start(self, host: str, timeout: float = 120.0) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """One director as the panel last saw it."""

    state: HostState
    keepalived: bool | None = None
    nginx: bool | None = None
    holds_vip: bool = False
    answers: bool = True

    @property
    def words(self) -> str:
        """The state in words."""
        if self.state is not HostState.RUNNING:
            return self.state.value
        if not self.answers:
            return "does not answer"
        if self.keepalived is None:
            return "running, not asked yet"
        if self.holds_vip:
            return "holds the VIP"
        return "keepalived runs" if self.keepalived else "keepalived is stopped"


class LabPanel:
    """See :class:`bot.local.slack.panel.Panel`. *changed* is called whenever the panel would show something new."""

    def __init__(self, lab: Hosts) -> None:
        self._lab = lab
        self._vips = {vip.ip for i in lab.site.cluster.vrrp_instances for vip in i.virtual_addresses}
        self._views = {name: HostView(state=HostState.RUNNING) for name in lab.site.directors}
        self._busy: set[str] = set()
        self._look = asyncio.Event()
        self.changed: Callable[[], None] = lambda: None

    def items(self) -> Sequence[PanelItem]:
        """For each director: its state, keepalived's switch, its plug, and the real server that lives inside it."""
        return [item for name, view in self._views.items() for item in self._of(name, view)]

    def _of(self, name: str, view: HostView) -> list[PanelItem]:
        inside = self._lab.site.inside(name).name
        running = view.state is HostState.RUNNING
        nginx = {True: "nginx runs", False: "nginx is stopped", None: "not asked yet"}[view.nginx]
        well = running and view.answers and view.keepalived is not False
        rows: list[PanelItem] = [
            {
                "id": f"{name}:state",
                "label": "host",
                "kind": "state",
                "detail": "starting" if f"{name}:plug" in self._busy else view.words,
                "group": name,
                "danger": not well,
            }
        ]
        if running:
            verb = "stop" if view.keepalived is not False else "start"
            rows.append(self._button(name, f"{verb}-keepalived", f"{verb.capitalize()} keepalived on {name}"))
            rows.append(
                {
                    "id": f"{inside}:state",
                    "label": "web server",
                    "kind": "state",
                    "detail": nginx,
                    "danger": view.nginx is False,
                    "group": inside,
                }
            )
            verb = "stop" if view.nginx is not False else "start"
            rows.append(
                {**self._button(name, f"{verb}-nginx", f"{verb.capitalize()} nginx in {inside}"), "group": inside}
            )
            rows.insert(2, self._button(name, "pull", f"Pull the plug on {name}", danger=True))
        else:
            rows.append(self._button(name, "plug", f"Start {name} again"))
        return rows

    def _button(self, name: str, what: str, label: str, *, danger: bool = False) -> PanelItem:
        key = f"{name}:{what}"
        return {
            "id": key,
            "label": label,
            "kind": "button",
            "danger": danger,
            "busy": any(busy.startswith(f"{name}:") for busy in self._busy),
            "group": name,
        }

    async def press(self, id: str) -> None:  # noqa: A002 - the page's word for it
        """Do what the button *id* says. Raises LabError."""
        name, _, what = id.partition(":")
        if name not in self._views or any(busy.startswith(f"{name}:") for busy in self._busy):
            raise LabError(f"{name} is busy with something else; wait until its switches are back")
        self._busy.add(id)
        self.changed()
        try:
            await asyncio.to_thread(self._switch, name, what)
            await self._see(name)
        finally:
            self._busy.discard(id)
            self.changed()

    def _switch(self, name: str, what: str) -> None:
        match what:
            case "pull":
                self._lab.kill(name)
            case "plug":
                self._lab.start(name)
            case "stop-keepalived" | "start-keepalived" | "stop-nginx" | "start-nginx":
                verb, unit = what.split("-")
                done = self._lab.exec(name, ["systemctl", verb, unit], timeout=SWITCH_PATIENCE)
                if done.returncode != 0:
                    raise LabError(f"{name}: `systemctl {verb} {unit}` failed: {done.stderr.strip()}")
            case _:
                raise LabError(f"there is no switch called {what}")

    async def watch(self) -> None:
        """Look at every director now and then, until cancelled."""
        while True:
            for name in self._views:
                await self._see(name)
            await asyncio.sleep(LOOK_EVERY)

    async def _see(self, name: str) -> None:
        seen = await asyncio.to_thread(self._ask, name)
        if seen != self._views[name]:
            self._views[name] = seen
            self.changed()

    def _ask(self, name: str) -> HostView:
        try:
            state = dict(self._lab.status().hosts)[name]
            if state is not HostState.RUNNING:
                return HostView(state=state)
            done = self._lab.exec(name, ["sh", "-c", LOOK], timeout=30.0)
            if done.returncode != 0:
                raise LabError(f"{name}: cannot be looked at: {done.stderr.strip()}")
            return view_of(done.stdout, self._vips)
        except (LabError, Unreadable):
            # It is going down or coming up. What it said before is no longer known to be so, and is not shown as such.
            return HostView(state=HostState.RUNNING, answers=False)


def view_of(text: str, vips: Collection[IPv4Address | IPv6Address]) -> HostView:
    """What :data:`LOOK` printed on a running director. Raises Unreadable where a part of it is missing."""
    parts = text.rstrip().split("\n\n")
    if len(parts) != len(PARTS):
        raise Unreadable("the panel's look", 1, text[:80], f"{len(PARTS)} parts ({', '.join(PARTS)}), not {len(parts)}")
    addresses, unit, nginx = parts
    held = {a.address.ip for a in iproute.parse_addresses(addresses)}
    return HostView(
        state=HostState.RUNNING,
        keepalived=systemd.parse_unit(unit).active is UnitActive.ACTIVE,
        nginx=nginx.strip() == "active",
        holds_vip=bool(held & set(vips)),
    )
