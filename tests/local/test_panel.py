"""The demo's side panel shows what is so: also of a director that goes down, comes up and answers in halves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from bot.local import panel as panels
from bot.local.lab.errors import LabError
from bot.local.lab.lab import HostState, LabStatus
from bot.local.lab.site import site_of
from bot.local.panel import LabPanel, view_of
from bot.lvs.errors import Unreadable
from bot.settings import load_fleet

SITE = site_of(load_fleet(Path(__file__).parents[2] / "config" / "fleet.yaml"))
VIP = SITE.cluster.vrrp_instances[0].virtual_addresses[0]


def said(*, active: str = "active", vip: bool = False, nginx: str = "active") -> str:
    """What the panel's look prints on a director."""
    address = f'{{"family":"inet","local":"{VIP.ip}","prefixlen":{VIP.network.prefixlen}}}'
    state = {"Id": "keepalived.service", "LoadState": "loaded", "ActiveState": active, "SubState": "running"}
    unit = "\n".join(f"{name}={value}" for name, value in {**state, "Result": "success", "MainPID": "12"}.items())
    return f'[{{"ifname":"eth0","flags":["UP"],"addr_info":[{address if vip else ""}]}}]\n\n{unit}\n\n{nginx}\n'


class Hosts:
    """A lab whose directors say what the test wants them to say."""

    def __init__(self) -> None:
        self.site = SITE
        self.states = dict.fromkeys(SITE.directors, HostState.RUNNING)
        self.says: dict[str, str | LabError | int] = dict.fromkeys(SITE.directors, said())

    def status(self) -> LabStatus:
        return LabStatus(name="t", up=True, hosts=tuple(self.states.items()))

    def exec(self, host: str, argv: Sequence[str], timeout: float = 30.0) -> CompletedProcess[str]:
        answer = self.says[host]
        if isinstance(answer, LabError):
            raise answer
        if isinstance(answer, int):
            return CompletedProcess(list(argv), answer, "", "connection refused")
        return CompletedProcess(list(argv), 0, answer, "")

    def kill(self, host: str) -> None:
        self.states[host] = HostState.DOWN

    def start(self, host: str, timeout: float = 120.0) -> None:
        self.states[host] = HostState.RUNNING


def shown(panel: LabPanel, name: str) -> str:
    return next(item["detail"] for item in panel.items() if item["id"] == f"{name}:state")


def test_a_look_tells_keepalived_the_web_server_and_who_holds_the_vip() -> None:
    assert view_of(said(vip=True), [VIP.ip]).words == "holds the VIP"
    assert view_of(said(), [VIP.ip]).words == "keepalived runs"
    assert view_of(said(active="inactive"), [VIP.ip]).words == "keepalived is stopped"
    assert view_of(said(nginx="inactive"), [VIP.ip]).nginx is False


@pytest.mark.parametrize(
    "text", ["", "[]\n", "[]\n\nactive\n", said().partition("ActiveState")[0], "garbage\n\n\n\n\n"]
)
def test_half_an_answer_is_unreadable_and_not_an_accident(text: str) -> None:
    with pytest.raises(Unreadable):
        view_of(text, [VIP.ip])


@pytest.mark.parametrize("answer", ["", "[]\n", said()[:40], 255, LabError("sv1 took too long")])
async def test_the_panel_goes_on_looking_after_an_answer_it_cannot_use(
    answer: str | int | LabError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "LOOK_EVERY", 0.0)
    hosts = Hosts()
    panel = LabPanel(hosts)
    news = asyncio.Event()
    panel.changed = news.set
    watching = asyncio.create_task(panel.watch())

    async def until(words: str) -> None:
        while shown(panel, "sv1") != words:
            async with asyncio.timeout(10):
                await news.wait()
            news.clear()

    try:
        hosts.says["sv1"] = said(active="inactive")
        await until("keepalived is stopped")
        hosts.says["sv1"] = answer
        await until("does not answer")
        hosts.says["sv1"] = said(vip=True)
        await until("holds the VIP")
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def test_the_plug_is_pulled_and_put_back() -> None:
    hosts = Hosts()
    panel = LabPanel(hosts)
    seen: list[str] = []
    panel.changed = lambda: seen.append(shown(panel, "sv1"))
    await panel.press("sv1:pull")
    assert shown(panel, "sv1") == "down"
    await panel.press("sv1:plug")
    assert shown(panel, "sv1") == "keepalived runs"
    assert "starting" in seen
