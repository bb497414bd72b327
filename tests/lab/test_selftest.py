"""The self-test on real directors: through sudo's rule, keepalived's FIFO and the agents; what is lost is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.local.lab.lab import Lab
from tests.bench import lab as bench
from tests.lab.work import at_work

STAGES = (
    "command over SSH",
    "FIFO → read by the agent",
    "agent's disk → webhook",
    "webhook → durable",
    "journal → message",
)


async def test_both_directors_pass_it_and_one_without_an_agent_is_found(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        await work.command("/lvs test alert")
        shown = await work.until_shown("site: the alert path works")
        assert all(stage in shown for stage in STAGES), shown
        assert "sv1" in shown
        assert "sv2" in shown
        # keepalived itself holds the FIFO open: beside it, the line would wait in the pipe for an agent.
        await work.on("sv2", "systemctl", "stop", "keepalived", "lvs-agent")
        status, said, _ = await work.terminal("lvs", "test", "alert")
        assert status == 1
        assert "site: the alert path is broken: sv2 did not pass the test" in said
        assert "sv2: `sudo -n -u lvs-agent" in said
        assert "nobody reads the FIFO" in said
        assert "look at `systemctl status lvs-agent` on sv2" in said


@pytest.mark.parametrize(
    "words",
    [
        ("emit", "INSTANCE", "VI_1", "MASTER", "100"),
        ("emit", "TEST", "0123abcd"),
        ("emit", "--through-fifo", "TEST", "0123ABCD"),
        ("emit", "--through-fifo", "TEST", "0123abcd", "INSTANCE"),
        ("run",),
        ("test",),
    ],
    ids=" ".join,
)
def test_sudo_lets_the_bot_have_no_other_line_written(lab: Lab, words: tuple[str, ...]) -> None:
    argv = ["runuser", "-u", "lvsbot", "--", "sudo", "-n", "-u", "lvs-agent", "/usr/local/sbin/lvs-agent", *words]
    done = lab.exec("sv1", argv, 60.0)
    assert done.returncode == 1
    assert "a password is required" in done.stderr


async def test_the_bench_of_the_whole_way_gives_a_figure(site: Lab, tmp_path: Path) -> None:
    [result] = await bench.measure_in(site.places.name, tmp_path, 2)
    assert result.ours > 0
    assert "the director's clock is known to ±" in result.note
