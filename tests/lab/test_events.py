"""What keepalived says on a director arrives, signed, where the bot listens: through every reload, and in order."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bot.local.lab.lab import Lab
from bot.local.lab.site import WEBHOOK_PORT
from bot.settings import secret_variable
from tests.lab.client import eventually, said


class Heard:
    """The lines of properly signed posts, by director, in the order of their arrival."""

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {}
        self.boots: set[str] = set()

    def of(self, director: str) -> list[str]:
        """What *director* has said so far."""
        return list(self.lines.get(director, ()))


@contextmanager
def listening(lab: Lab) -> Iterator[Heard]:
    """A server where the agents report, for as long as the block lasts."""
    secrets = lab.bot_environment()
    heard = Heard()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            director = self.headers["X-LVS-Director"]
            signed = self.headers["X-LVS-Timestamp"].encode() + b"." + body
            secret = secrets[secret_variable(director)].encode()
            assert self.headers["X-LVS-Signature"] == "v1=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()
            records = json.loads(body).get("records", [])
            heard.boots |= {record["boot"] for record in records}
            heard.lines.setdefault(director, []).extend(record["line"] for record in records)
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads an access log here."""

    address = ("", WEBHOOK_PORT)
    with http.server.ThreadingHTTPServer(address, Handler, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = lab.socket_in_ops(str(lab.site.ops), WEBHOOK_PORT)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield heard
        finally:
            server.shutdown()
            thread.join()


def test_a_failover_is_told_by_both_directors(site: Lab) -> None:
    with listening(site) as heard:
        said(site, "sv1", "systemctl", "stop", "keepalived")
        eventually(lambda: 'INSTANCE "VI_1" STOP 100' in heard.of("sv1"))
        eventually(lambda: 'INSTANCE "VI_1" MASTER 90' in heard.of("sv2"))
        said(site, "sv1", "systemctl", "start", "keepalived")
        eventually(lambda: 'INSTANCE "VI_1" MASTER 100' in heard.of("sv1"))
        eventually(lambda: 'INSTANCE "VI_1" BACKUP 90' in heard.of("sv2"))


def test_events_still_arrive_after_two_reloads_and_a_reload_repeats_the_states(site: Lab) -> None:
    with listening(site) as heard:
        for count in (1, 2):
            said(site, "sv2", "systemctl", "reload", "keepalived")
            eventually(lambda n=count: heard.of("sv2").count('INSTANCE "VI_1" BACKUP 90') >= n)  # type: ignore[misc]
        said(site, "web1", "systemctl", "stop", "nginx")
        eventually(lambda: "RS [10.100.0.11]:tcp:80 [10.100.5.11]:tcp:80 DOWN" in heard.of("sv2"))


def test_what_happens_while_nobody_listens_arrives_later_in_order(site: Lab) -> None:
    said(site, "sv1", "systemctl", "stop", "keepalived")
    said(site, "sv1", "systemctl", "start", "keepalived")
    with listening(site) as heard:
        eventually(lambda: 'INSTANCE "VI_1" MASTER 100' in heard.of("sv1"))
        states = [line for line in heard.of("sv1") if line.startswith("INSTANCE")]
        assert states[0] == 'INSTANCE "VI_1" STOP 100'
        assert states[-1] == 'INSTANCE "VI_1" MASTER 100'


def test_events_of_two_resumes_of_one_saved_state_are_told_apart(site: Lab) -> None:
    boots: list[set[str]] = []
    for _ in range(2):
        site.fresh()
        with listening(site) as heard:
            said(site, "sv2", "systemctl", "reload", "keepalived")
            eventually(lambda: heard.of("sv2"))
            boots.append(heard.boots)
            assert heard.boots == {said(site, "sv2", "cat", "/proc/sys/kernel/random/boot_id").strip()}
    assert boots[0].isdisjoint(boots[1])


@pytest.mark.parametrize("late", ["ExecStart", "ExecStartPre"])
def test_an_agent_that_is_too_late_at_boot_hears_what_keepalived_said_meanwhile(site: Lab, late: str) -> None:
    """Whether its FIFO was there in time, or even that was too late and keepalived had to make it, as root."""
    lines = ("[Service]", f"{late}=", f"{late}=/bin/sleep 600", "TimeoutStartSec=1")
    drop_in = "/run/systemd/system/lvs-agent.service.d/late.conf"
    with listening(site) as heard:
        said(site, "sv2", "systemctl", "stop", "keepalived", "lvs-agent")
        said(site, "sv2", "rm", "-r", "/run/lvs-agent")  # as after a boot
        said(site, "sv2", "mkdir", "-p", drop_in.rpartition("/")[0])
        said(site, "sv2", "sh", "-c", f"printf '%s\\n' {shlex.join(lines)} > {drop_in}")
        said(site, "sv2", "systemctl", "daemon-reload")
        said(site, "sv2", "systemctl", "start", "--no-block", "lvs-agent", "keepalived")
        eventually(
            lambda: said(site, "sv2", "systemctl", "show", "-P", "ActiveState", "keepalived").strip() == "active"
        )
        if late == "ExecStartPre":
            assert said(site, "sv2", "stat", "-c", "%U", "/run/lvs-agent/notify.fifo").strip() == "root"
        said(site, "sv2", "rm", drop_in)
        said(site, "sv2", "systemctl", "daemon-reload")
        # Not "restart": the start that is under way ends by its timeout, and a restart that waits for it fails with it.
        said(site, "sv2", "systemctl", "stop", "lvs-agent")
        said(site, "sv2", "systemctl", "start", "lvs-agent")
        eventually(lambda: 'INSTANCE "VI_1" BACKUP 90' in heard.of("sv2"))
