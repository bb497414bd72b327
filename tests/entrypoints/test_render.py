"""``python -m bot render``: what belongs on a director, as an operator would type it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli import app
from tests.settings_site import CONFIG

PASSWORD = "s3cret77"
WEBHOOK = "http://10.100.0.5:8780/events/keepalived"


def render(*words: object, env: Mapping[str, str | None] | None = None) -> Result:
    given = {"LVS_VRRP_VI_1": None, **(env or {})}
    return CliRunner().invoke(app, ["render", "--fleet", str(CONFIG / "fleet.yaml"), *map(str, words)], env=given)


def test_what_is_printed_needs_no_password_and_shows_none() -> None:
    shown = render("sv1", env={"LVS_VRRP_VI_1": PASSWORD})
    assert shown.exit_code == 0
    assert "# /etc/keepalived/keepalived.conf  (0600 root)" in shown.output
    assert "auth_pass ********" in shown.output
    assert PASSWORD not in shown.output
    assert render("sv1").output == shown.output


def test_without_a_webhook_no_file_of_the_agent_is_made() -> None:
    assert "lvs-agent.json" not in render("sv1").output
    assert "lvs-agent.json" in render("sv1", "--webhook", WEBHOOK).output


def test_what_is_written_is_complete_and_as_private_as_it_has_to_be(tmp_path: Path) -> None:
    done = render("sv2", "--webhook", WEBHOOK, "--out", tmp_path, env={"LVS_VRRP_VI_1": PASSWORD})
    assert done.exit_code == 0, done.output
    modes = {str(p.relative_to(tmp_path)): p.stat().st_mode & 0o777 for p in tmp_path.rglob("*") if p.is_file()}
    assert modes == {
        "etc/firewalld/direct.xml": 0o644,
        "etc/keepalived/keepalived.conf": 0o600,
        "etc/lvs-agent.json": 0o644,
        "etc/modules-load.d/lvs.conf": 0o644,
        "etc/sudoers.d/lvsbot": 0o440,
        "etc/sysctl.d/90-lvs.conf": 0o644,
        "etc/systemd/system/lvs-agent.service": 0o644,
        "usr/local/sbin/lvs-agent": 0o755,
    }
    assert f"auth_pass {PASSWORD}" in (tmp_path / "etc/keepalived/keepalived.conf").read_text()
    agent = json.loads((tmp_path / "etc/lvs-agent.json").read_text())
    assert (agent["director"], agent["url"]) == ("sv2", WEBHOOK)
    assert PASSWORD not in done.output


def test_writing_again_replaces_what_was_written(tmp_path: Path) -> None:
    for address in ("http://10.100.0.6/", WEBHOOK):
        assert render("sv1", "--webhook", address, "--out", tmp_path, env={"LVS_VRRP_VI_1": PASSWORD}).exit_code == 0
    assert json.loads((tmp_path / "etc/lvs-agent.json").read_text())["url"] == WEBHOOK


def test_the_snat_rule_is_kept_by_what_the_director_has() -> None:
    assert "/etc/firewalld/direct.xml" in render("sv1").output
    unit = render("sv1", "--firewall", "iptables").output
    assert "/etc/systemd/system/lvs-snat.service" in unit
    assert "direct.xml" not in unit


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("sv9",), "sv9 is not one director of the fleet file; it has: sv1, sv2"),
        (("web1",), "web1 is not one director"),
        (("sv1", "--out", os.devnull), "LVS_VRRP_VI_1 must be 1 to 8"),
    ],
)
def test_what_cannot_be_rendered_is_told_with_what_there_is(words: tuple[str, ...], told: str) -> None:
    refused = render(*words)
    assert refused.exit_code == 2
    assert told in refused.output


def test_a_place_that_cannot_be_written_is_told_without_a_traceback() -> None:
    refused = render("sv1", "--out", os.devnull, env={"LVS_VRRP_VI_1": PASSWORD})
    assert refused.exit_code == 2
    assert "Not a directory" in refused.output
