"""The main job, end to end: status, drain and restore from Slack, on real directors."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bot.domain.events import (
    OperationFinished,
    OperationRequested,
    OutageMeasured,
    OverrideCleared,
    OverrideSet,
    StepFinished,
)
from bot.local.lab.lab import Lab
from bot.views.operation import CONFIRM
from tests.lab.client import VIP, behind, destination, holders, table_of
from tests.lab.work import CHANNEL, Work, at_work, loaded, words_of

PATIENCE_S = 0.9  # of the bot's probes of the VIP
DRAINED = {"web1": 0, "web2": 1}
BOTH = {"web1": 1, "web2": 1}


async def compare_with_the_directors(work: Work) -> None:
    """What the status message shows is what the tools on both directors say."""
    shown = await work.until_shown("asked over SSH")
    assert "sv1: VI_1 MASTER; holds 10.100.5.11; keepalived active" in shown
    assert "sv2: VI_1 BACKUP; holds no VIP; keepalived active" in shown
    assert await asyncio.to_thread(holders, work.lab) == ["sv1"]
    for director in ("sv1", "sv2"):
        table = await asyncio.to_thread(table_of, work.lab, director)
        assert len(table.services) == 3
        for service in work.lab.site.cluster.services:
            assert f"{service.name}  {service.protocol} {service.address}:{service.port}  rr, masquerading" in shown
            assert await asyncio.to_thread(behind, work.lab, director, service.name) == BOTH
    rows = [line.split() for line in shown.splitlines() if line.strip().startswith(("web1 ", "web2 "))]
    assert len(rows) == 6
    assert all(row[1:3] == ["w", "1"] and row[4:6] == ["w", "1"] for row in rows), rows
    assert shown.count("VIP answers") == 3


async def test_status_in_socket_mode_shows_what_both_directors_say(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        await work.until_recorded("HealthChanged", at_least=9)
        await work.command("/lvs status")
        await compare_with_the_directors(work)
        status, out, _ = await work.terminal("lvs", "status", "--json")
        assert status == 0
        (cluster,) = json.loads(out)
        assert cluster["holders"] == {VIP: ["sv1"]}
        assert not cluster["differences"]


@asynccontextmanager
async def relay(lab: Lab, port: int) -> AsyncIterator[str]:
    """Slack lives outside of the site's network: what comes to a port here is handed on to the bot inside ``ops``."""

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside = await asyncio.to_thread(lab.connect_in_ops, str(lab.site.ops), port)
        inside.setblocking(False)
        to_reader, to_writer = await asyncio.open_connection(sock=inside)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while chunk := await source.read(65536):
                sink.write(chunk)
                await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(hand_on, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/slack/events"


async def test_status_in_http_mode_is_the_same(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path, mode="http", start=False) as work, relay(site, 8780) as url:
        work.slack.use_http(url)
        await work.start()
        await work.until_recorded("HealthChanged", at_least=9)
        await work.command("/lvs status")
        await compare_with_the_directors(work)


async def test_a_drain_and_a_restore_under_load_lose_no_request(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        async with loaded(work, VIP) as requests:
            await work.until(lambda: len(requests) > 40, "some requests before")
            await work.command("/lvs drain web1")
            await work.press(CONFIRM, containing="Drain web1?")
            await work.until_shown("web1 is drained: weight 0 on sv1 and sv2, no active connection left")
            drained_at = len(requests)
            for director in ("sv1", "sv2"):
                for service in ("http", "dns-udp", "dns-tcp"):
                    assert await asyncio.to_thread(behind, site, director, service) == DRAINED
            await work.until(lambda: len(requests) > drained_at + 60, "some requests while it is drained")
            restored_from = len(requests)
            await work.command("/lvs restore web1")
            await work.press(CONFIRM, containing="Restore web1?")
            await work.until_shown("web1 is back in service: weight 1 on sv1 and sv2")
            back_at = len(requests)
            await work.until(lambda: len(requests) > back_at + 60, "some requests after")
        assert [r for r in requests if r["error"]] == []
        begun = sorted(requests, key=lambda r: r["at"])
        assert set(Counter(r["server"] for r in begun[:40])) == {"web1", "web2"}
        assert set(Counter(r["server"] for r in begun[drained_at + 5 : restored_from - 5])) == {"web2"}
        assert set(Counter(r["server"] for r in begun[back_at + 5 :])) == {"web1", "web2"}
        await check_the_journal(work)
        # An emulated site stands still at times: what its client felt at the same time is no false alarm.
        felt = await were_felt(work, requests)
        assert [alert for alert in work.alerts() if not (felt and "the VIP" in alert)] == []


async def were_felt(work: Work, requests: list[dict[str, Any]]) -> bool:
    """Whether some request was slow during each outage of the VIP that the probes measured."""
    slow = [(r["at"], r["at"] + r["took"]) for r in requests if r["took"] > PATIENCE_S / 2]
    outages = [o for o in await work.events("OutageMeasured") if isinstance(o, OutageMeasured) and not o.real_server]
    return bool(outages) and all(
        any(began <= o.first_good_at.timestamp() and o.first_bad_at.timestamp() <= ended for began, ended in slow)
        for o in outages
    )


async def check_the_journal(work: Work) -> None:
    """Who, what, when, before and after."""
    drain, restore = await work.events("OperationRequested")
    assert isinstance(drain, OperationRequested)
    assert isinstance(restore, OperationRequested)
    assert (drain.by.name, drain.real_server, {s.before for s in drain.steps}) == ("alice", "web1", {1})
    assert {s.after for s in restore.steps} == {1}
    finished = [e for e in await work.events("StepFinished") if isinstance(e, StepFinished)]
    assert [f.weight for f in finished] == [0] * 6 + [1] * 6
    ended: list[Any] = [e for e in await work.events("OperationFinished") if isinstance(e, OperationFinished)]
    assert [e.verdict.value for e in ended] == ["drained", "done"]
    override, cleared = await work.events("OverrideSet", "OverrideCleared")
    assert isinstance(override, OverrideSet)
    assert isinstance(cleared, OverrideCleared)
    assert cleared.owed == ()


def hold_open(lab: Lab, held: ExitStack, server: str, wanted: int) -> None:
    """Begin requests through the VIP that take a minute, until *wanted* of them are at *server*.

    Whose turn it is depends on the bot's own probes in between.
    """
    address = str(lab.site.cluster.real_server(server).address)
    there = 0
    for _ in range(10 * wanted):
        channel = held.enter_context(lab.connect_in_ops(VIP, 80, 5.0))
        channel.sendall(b"GET /slow?s=60 HTTP/1.0\r\nHost: www.site.test\r\n\r\n")
        there += destination(lab, "sv1", channel) == address
        if there == wanted:
            return
    raise AssertionError(f"{there} of {10 * wanted} connections went to {server}")


async def test_open_connections_are_counted_down_until_the_last_one_is_gone(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        with ExitStack() as held:
            await asyncio.to_thread(hold_open, site, held, "web1", 2)
            await work.command("/lvs drain web1")
            # One of the bot's own probes may be on its way to web1 in just that moment.
            asked = await work.until_shown("active connections right now")
            assert re.search(r"Drain web1\? [23] active connections right now", asked), asked
            await work.press(CONFIRM, containing="Drain web1?")
            await work.until_shown("Draining web1: 2 active connections left")
            first = await asyncio.to_thread(table_of, site, "sv1")
            web1 = str(site.site.cluster.real_server("web1").address)
            assert sum(d.active for s in first.services for d in s.destinations if str(d.address) == web1) in (2, 3)
        await work.until_shown("web1 is drained")
        drains = [t for t in work.texts() if "web1" in t]
        assert len(drains) == 1, drains


async def test_the_last_healthy_real_server_is_refused_and_everybody_who_is_no_operator_too(
    site: Lab, tmp_path: Path
) -> None:
    async with at_work(site, tmp_path) as work:
        await work.command("/lvs drain web1", user="bob")
        await work.until(lambda: any("not an operator" in m["text"] for m in work.slack.ephemerals("bob")), "a refusal")
        await work.command("/lvs drain web1")
        await work.press(CONFIRM, containing="Drain web1?")
        await work.until_shown("web1 is drained")
        await work.command("/lvs drain web2")
        await work.until(
            lambda: any("last healthy real server" in m["text"] for m in work.slack.ephemerals("alice")), "a refusal"
        )
        assert [e.by.name for e in await work.events("OperationDenied")] == ["bob", "alice"]  # type: ignore[union-attr]
        assert await asyncio.to_thread(behind, site, "sv1", "http") == DRAINED


async def test_a_drain_outlives_a_restart_of_keepalived(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        await work.command("/lvs drain web1")
        await work.press(CONFIRM, containing="Drain web1?")
        await work.until_shown("web1 is drained")
        await work.on("sv2", "systemctl", "restart", "keepalived")
        await work.until_recorded("OverrideReasserted", lambda e: e.director == "sv2" and e.error is None)
        await work.until(lambda: behind(site, "sv2", "http") == DRAINED, "weight 0 again on sv2")


async def test_the_only_one_left_is_restored_past_a_dead_director_which_gets_the_weight_later(
    site: Lab, tmp_path: Path
) -> None:
    async with at_work(site, tmp_path) as work:
        await work.command("/lvs drain web2")
        await work.press(CONFIRM, containing="Drain web2?")
        await work.until_shown("web2 is drained")
        await asyncio.to_thread(site.pause, "sv1")  # and with it web1, which lives there
        await work.until_shown("restoring it gives it its weight back, with --force while sv1 does not answer")
        await work.command("/lvs restore web2")
        await work.until(
            lambda: any("/lvs restore web2 --force" in words_of(m) for m in work.slack.ephemerals("alice")), "a refusal"
        )
        await work.command("/lvs restore web2 --force")
        await work.press(CONFIRM, containing="Restore web2?")
        shown = await work.until_shown("web2 is back in service: weight 1 on sv2")
        assert "sv1 cannot be reached" in shown
        assert (await asyncio.to_thread(behind, site, "sv2", "http"))["web2"] == 1
        await work.until_recorded("OutageMeasured", lambda e: e.service == "http" and e.real_server is None)
        await asyncio.to_thread(site.resume, "sv1")
        services = len(site.site.cluster.services)
        await work.until_recorded(
            "RestoreCaughtUp", lambda e: (e.director, e.error) == ("sv1", None), at_least=services
        )
        for service in site.site.cluster.services:
            assert (await asyncio.to_thread(behind, site, "sv1", service.name))["web2"] == 1
        assert not [alert for alert in work.alerts() if "not this bot" in alert]


async def test_a_terminal_drains_and_restores_beside_the_running_bot(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        status, _, err = await work.terminal("lvs", "drain", "web1", "--dry-run")
        assert status == 0
        assert "sv1: sudo ipvsadm -e -t 10.100.5.11:80 -r 10.100.0.11:80 -m -w 0" in err
        assert await asyncio.to_thread(behind, site, "sv1", "http") == BOTH
        status, out, err = await work.terminal("lvs", "drain", "web1", "--yes")
        assert status == 0, err
        assert "web1 is drained" in out
        assert await asyncio.to_thread(behind, site, "sv2", "http") == DRAINED
        shown = await work.until_shown("web1 is drained: weight 0 on sv1 and sv2")
        assert "(terminal)" in shown
        await work.command("/lvs status web1")
        await work.until_shown("drained by root")
        status, out, err = await work.terminal("lvs", "restore", "web1", "--yes")
        assert status == 0, err
        assert "web1 is back in service" in out
        status, _, err = await work.terminal("lvs", "drain", "wbe1", "--yes")
        assert status == 1
        assert "drain web1" in err
        assert [m["text"] for m in work.slack.messages(CHANNEL) if "web1?" in m["text"]] == []
