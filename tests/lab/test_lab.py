"""The lab is the reference site: what its description says holds on real directors, and what breaks comes back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.domain.fleet import Fleet
from bot.local.lab.errors import LabError, LabIsDown, LabIsUp
from bot.local.lab.lab import HostState, Lab
from bot.settings import check, load_fleet
from tests.lab.client import (
    EVERYBODY,
    VIP,
    as_the_bot,
    behind,
    eventually,
    holders,
    said,
    served_by,
    snat_packets,
)
from tests.lab.conftest import FLEET


def test_the_bots_account_sets_a_weight_and_a_fresh_site_has_forgotten_it(site: Lab) -> None:
    command = "ipvsadm -e -t 10.100.5.11:80 -r 10.100.0.11:80 -m -w 0"
    with_thresholds = f"{command} -x 100 -y 50"
    assert as_the_bot(site, "sv1", with_thresholds.split(), command.split()) == [(0, ""), (0, "")]
    assert behind(site, "sv1", "http") == {"web1": 0, "web2": 1}
    assert {served_by(site) for _ in range(4)} == {"web2"}
    site.fresh()
    assert behind(site, "sv1", "http") == EVERYBODY


def test_a_stopped_keepalived_hands_the_vip_over_and_takes_it_back(site: Lab) -> None:
    said(site, "sv1", "systemctl", "stop", "keepalived")
    eventually(lambda: holders(site) == ["sv2"])
    eventually(lambda: {served_by(site) for _ in range(4)} == {"web1", "web2"})
    assert snat_packets(site, "sv2") > 0
    said(site, "sv1", "systemctl", "start", "keepalived")
    eventually(lambda: holders(site) == ["sv1"])
    eventually(lambda: {served_by(site) for _ in range(4)} == {"web1", "web2"})


def test_a_pulled_plug_takes_the_real_server_inside_along_and_both_return(site: Lab) -> None:
    said(site, "sv1", "sh", "-c", "echo kept >/root/note; sync")
    site.kill("sv1")
    assert dict(site.status().hosts) == {"sv1": HostState.DOWN, "sv2": HostState.RUNNING}
    with pytest.raises(LabError, match="sv1 is down"):
        site.exec("sv1", ["true"])
    eventually(lambda: holders(site) == ["sv2"])
    eventually(lambda: behind(site, "sv2", "http") == {"web2": 1})
    assert served_by(site) == "web2"
    site.start("sv1")
    assert said(site, "sv1", "cat", "/root/note") == "kept\n"
    eventually(lambda: holders(site) == ["sv1"], within=120)
    eventually(lambda: behind(site, "sv2", "http") == EVERYBODY, within=120)
    eventually(lambda: {served_by(site) for _ in range(4)} == {"web1", "web2"}, within=120)


def test_a_real_server_whose_web_server_stops_leaves_both_tables_and_returns(site: Lab) -> None:
    said(site, "web1", "systemctl", "stop", "nginx")
    assert served_by(site, "10.100.0.11") is None
    for director in site.site.directors:
        eventually(lambda at=director: behind(site, at, "http") == {"web2": 1})  # type: ignore[misc]
    assert behind(site, "sv1", "dns-udp") == EVERYBODY
    said(site, "web1", "systemctl", "start", "nginx")
    for director in site.site.directors:
        eventually(lambda at=director: behind(site, at, "http") == EVERYBODY)  # type: ignore[misc]


def test_a_pulled_cable_cuts_a_director_off_until_it_is_plugged_in_again(site: Lab) -> None:
    site.link("sv1", up=False)
    eventually(lambda: served_by(site) == "web2")
    assert served_by(site, "10.100.0.11") is None
    site.link("sv1", up=True)
    eventually(lambda: served_by(site, "10.100.0.11") == "web1")
    eventually(lambda: holders(site) == ["sv1"])


def test_a_paused_director_goes_on_where_it_stopped(site: Lab) -> None:
    site.pause("sv2")
    assert dict(site.status().hosts) == {"sv1": HostState.RUNNING, "sv2": HostState.PAUSED}
    site.resume("sv2")
    assert dict(site.status().hosts)["sv2"] is HostState.RUNNING
    assert said(site, "sv2", "true") == ""


def test_a_resumed_director_knows_the_time_and_counts_as_a_boot_of_its_own(site: Lab) -> None:
    def boot() -> str:
        return said(site, "sv1", "cat", "/proc/sys/kernel/random/boot_id")

    before, first = time.time(), boot()
    assert before - 1 < float(said(site, "sv1", "date", "+%s.%N")) < time.time() + 1
    site.fresh()
    assert boot() != first


def test_a_slow_answer_holds_its_connection_while_others_come_and_go(site: Lab) -> None:
    with site.connect_in_ops(VIP, 80, 5.0) as slow:
        slow.sendall(b"GET /slow?s=5 HTTP/1.0\r\nHost: www.site.test\r\n\r\n")
        first = slow.recv(100)
        assert first.startswith(b"HTTP/1.1 200")
        assert served_by(site) is not None
        slow.settimeout(60)
        assert len(first) + sum(map(len, iter(lambda: slow.recv(65536), b""))) > 20480


def test_a_second_up_is_refused_and_changes_nothing(site: Lab) -> None:
    with pytest.raises(LabIsUp, match="is up already"):
        Lab(site.places.name, fleet=load_fleet_again()).up()
    assert holders(site) == ["sv1"]


def test_a_start_that_was_killed_half_way_is_swept_up_by_down(lab: Lab) -> None:
    code = (
        "import pathlib, sys; from bot.settings import load_fleet; from bot.local.lab.lab import Lab;"
        "path = pathlib.Path(sys.argv[1]);"
        "Lab(sys.argv[2], fleet=load_fleet(path), fleet_file=path).up(lambda text: print(text, flush=True))"
    )
    half = Lab(f"half-{os.getpid()}", fleet=load_fleet_again())
    with subprocess.Popen(
        [sys.executable, "-c", code, str(FLEET), half.places.name], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        for line in starter.stdout:
            if line.startswith("resuming"):
                break
        eventually(lambda: any(state is not HostState.DOWN for _, state in half.status().hosts))
        starter.kill()
    half.down()
    assert not half.status().up
    assert not half.places.run.exists()
    assert running_guests(half.places.guest("")) == []
    with pytest.raises(LabIsDown, match=f"lab up --name {half.places.name}"):
        half.exec("ops", ["true"])


def load_fleet_again() -> Fleet:
    return load_fleet(FLEET)


def running_guests(prefix: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [word for word in words if word.startswith(prefix)]
    return found


def test_a_bots_settings_for_the_lab_have_no_problem(site: Lab, tmp_path: Path) -> None:
    path = site.write_bot_config(tmp_path)
    tokens = {"SLACK_BOT_TOKEN": "xoxb-1-a", "SLACK_APP_TOKEN": "xapp-1-a"}
    report = check(path, {**site.bot_environment(), **tokens})
    assert report.exit_code == 0, report.text()
