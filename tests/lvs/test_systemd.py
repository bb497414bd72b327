"""A unit's state, as systemd 252 printed it."""

from __future__ import annotations

import pytest

from bot.domain.observed import UnitActive, UnitState
from bot.lvs.errors import Unreadable
from bot.lvs.systemd import parse_unit, show_unit
from tests.lvs.captured import captured


def unit(name: str) -> UnitState:
    return parse_unit(captured(f"systemd-252/{name}"))


def test_the_command_asks_for_what_is_read_and_for_nothing_else() -> None:
    assert show_unit() == (
        "systemctl",
        "show",
        "keepalived.service",
        "--property=Id,LoadState,ActiveState,SubState,Result,MainPID",
    )


def test_a_running_keepalived() -> None:
    assert unit("active") == UnitState(
        unit="keepalived.service",
        active=UnitActive.ACTIVE,
        sub="running",
        result="success",
        main_pid=331,
        load="loaded",
    )


@pytest.mark.parametrize(
    ("name", "active", "sub", "result", "load"),
    [
        ("activating", UnitActive.ACTIVATING, "start", "success", "loaded"),
        ("deactivating", UnitActive.DEACTIVATING, "stop-sigterm", "success", "loaded"),
        ("stopped", UnitActive.INACTIVE, "dead", "success", "loaded"),
        ("never-started", UnitActive.INACTIVE, "dead", "success", "loaded"),
        ("killed", UnitActive.FAILED, "failed", "signal", "loaded"),
        ("not-found", UnitActive.INACTIVE, "dead", "success", "not-found"),
    ],
)
def test_each_state_that_a_unit_was_seen_in(name: str, active: UnitActive, sub: str, result: str, load: str) -> None:
    state = unit(name)
    assert (state.active, state.sub, state.result, state.load) == (active, sub, result, load)


def test_a_state_that_is_new_to_the_bot_is_unknown() -> None:
    text = captured("systemd-252/active").replace("ActiveState=active", "ActiveState=refreshing")
    assert parse_unit(text).active is UnitActive.UNKNOWN


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("SubState=running\n", "", "ends without SubState"),
        ("SubState=running\n", "SubState=running\nSubState=dead\n", "printed twice"),
        ("SubState=running\n", "SubState=running\nNice=0\n", "not asked for"),
        ("SubState=running\n", "running\n", "not a property"),
        ("MainPID=331\n", "MainPID=\n", "no process id"),
        ("MainPID=331\n", "MainPID=-1\n", "no process id"),
    ],
)
def test_what_is_missing_or_makes_no_sense_is_an_error(old: str, new: str, why: str) -> None:
    text = captured("systemd-252/active")
    assert old in text
    with pytest.raises(Unreadable, match=why):
        parse_unit(text.replace(old, new))


def test_no_output_is_no_state() -> None:
    with pytest.raises(Unreadable, match="ends without Id, LoadState"):
        parse_unit("")
