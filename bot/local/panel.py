"""The chat page's side panel: the lab's hosts with their state, and the switches that break and mend them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.domain.observed import UnitActive
from bot.local.lab.errors import LabError
from bot.local.lab.lab import HostState, Lab
from bot.local.slack.panel import PanelItem
from bot.lvs import iproute, systemd
from bot.lvs.errors import Unreadable

LOOK_EVERY = 8.0  # seconds between two looks at each director: a login costs an emulated processor a good second
SWITCH_PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """One director as the panel last saw it."""

    state: HostState
    keepalived: bool | None = None
    nginx: bool | None = None
    holds_vip: bool = False

    @property
    def words(self) -> str:
        """The state in words."""
        if self.state is not HostState.RUNNING:
            return self.state.value
        if self.keepalived is None:
            return "running, not asked yet"
        if self.holds_vip:
            return "holds the VIP"
        return "keepalived runs" if self.keepalived else "keepalived is stopped"


class LabPanel:
    """See :class:`bot.local.slack.panel.Panel`. *changed* is called whenever the panel would show something new."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
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
        well = running and view.keepalived is not False
        rows: list[PanelItem] = [
            {
                "id": f"{name}:state",
                "label": "host",
                "kind": "state",
                "detail": view.words,
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
        try:
            seen = await asyncio.to_thread(self._ask, name)
        except (LabError, Unreadable):
            # It is going down or coming up: what was seen last stays until it can be asked.
            return
        if seen != self._views[name]:
            self._views[name] = seen
            self.changed()

    def _ask(self, name: str) -> HostView:
        state = dict(self._lab.status().hosts)[name]
        if state is not HostState.RUNNING:
            return HostView(state=state)
        script = f"ip -j addr; echo; {' '.join(systemd.show_unit())}; echo; systemctl is-active nginx || true"
        done = self._lab.exec(name, ["sh", "-c", script], timeout=30.0)
        addresses, unit, nginx = done.stdout.rstrip().split("\n\n")
        held = {a.address.ip for a in iproute.parse_addresses(addresses)}
        vips = {vip.ip for i in self._lab.site.cluster.vrrp_instances for vip in i.virtual_addresses}
        return HostView(
            state=state,
            keepalived=systemd.parse_unit(unit).active is UnitActive.ACTIVE,
            nginx=nginx.strip() == "active",
            holds_vip=bool(held & vips),
        )
