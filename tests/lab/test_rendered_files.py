"""Rendered files of a cluster that the lab is not, read by the tools that would read them."""

from __future__ import annotations

import shlex

import pytest

from bot.domain.fleet import Director
from bot.local.lab.lab import Lab
from bot.lvs.rendering import render_director
from tests.lvs.exotic import EXOTIC

READERS = {
    "/etc/keepalived/keepalived.conf": "keepalived --config-test --use-file",
    "/etc/sudoers.d/lvsbot": "visudo --check --strict --quiet --file",
}


@pytest.mark.parametrize("director", EXOTIC.directors, ids=lambda director: director.name)
def test_an_uncommon_cluster_is_accepted_without_a_word(site: Lab, director: Director) -> None:
    site.exec("sv2", ["sh", "-c", "ip link add eth9 type bridge && ip link set eth9 up"], timeout=60)
    for file in render_director(EXOTIC, director, auth_passes={}):
        if reader := READERS.get(file.path):
            content = shlex.quote(file.content.replace("eth0", "eth9"))
            script = f"umask 077; printf %s {content} >/root/tried; {reader} /root/tried 2>&1"
            done = site.exec("sv2", ["sh", "-c", script], timeout=60)
            assert (done.returncode, done.stdout) == (0, ""), file.path
