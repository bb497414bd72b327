"""keepalived's processes, as ps of procps-ng 4.0.2 printed them."""

from __future__ import annotations

import pytest

from bot.domain.events import KeepalivedProcess, ProcessRole
from bot.lvs.errors import Unreadable
from bot.lvs.processes import ROLES, list_processes, parse_processes
from tests.lvs.captured import captured

PARENT, VRRP, CHECKERS, CHILD = ProcessRole.PARENT, ProcessRole.VRRP, ProcessRole.CHECKERS, ProcessRole.CHILD


def processes(name: str, main_pid: int = 0) -> list[tuple[int, ProcessRole, str]]:
    found = parse_processes(captured(f"procps-4.0.2/keepalived-{name}"), main_pid)
    return [(process.pid, process.role, process.state) for process in found]


def test_the_command_asks_by_name_and_needs_no_root() -> None:
    assert list_processes() == (
        "ps",
        "-C",
        "keepalived,keepalived_vrrp,keepalived_lvs,keepalived_ipvs,keepalived_bfd",
        "-o",
        "pid=,ppid=,stat=,comm=",
    )


def test_no_name_is_longer_than_what_the_kernel_keeps() -> None:
    assert max(map(len, ROLES)) <= 15


@pytest.mark.parametrize("main_pid", [0, 159])
def test_the_parent_and_its_two_children(main_pid: int) -> None:
    assert processes("running", main_pid) == [(159, PARENT, "S"), (160, CHECKERS, "S"), (161, VRRP, "S")]


@pytest.mark.parametrize(
    ("name", "stopped"), [("parent-stopped", PARENT), ("checker-stopped", CHECKERS), ("vrrp-stopped", VRRP)]
)
def test_one_that_a_signal_stopped_is_told_from_the_others(name: str, stopped: ProcessRole) -> None:
    assert [role for _, role, state in processes(name) if state == "T"] == [stopped]
    assert len(processes(name)) == 3


def test_a_killed_vrrp_process_is_known_by_the_pid_of_the_next_one() -> None:
    assert processes("vrrp-killed") == [(159, PARENT, "S"), (160, CHECKERS, "S"), (459, VRRP, "S")]


def test_a_dead_child_that_nobody_waited_for_is_a_zombie() -> None:
    assert (160, CHECKERS, "Z") in processes("zombie")


@pytest.mark.parametrize("main_pid", [0, 159])
def test_a_child_that_lost_its_parent_is_no_parent(main_pid: int) -> None:
    assert processes("parent-killed", main_pid) == [(459, VRRP, "S")]


def test_no_output_is_no_process() -> None:
    assert processes("none") == []


@pytest.mark.parametrize("main_pid", [0, 578])
def test_without_process_names_the_children_do_not_say_which_they_are(main_pid: int) -> None:
    assert processes("unnamed", main_pid) == [(578, PARENT, "S"), (579, CHILD, "S"), (580, CHILD, "S")]


def test_a_keepalived_in_a_container_is_not_taken_for_the_directors_own() -> None:
    text = (
        captured("procps-4.0.2/keepalived-running")
        + "   9001    9000 Ss   keepalived\n   9002    9001 S    keepalived\n"
    )
    assert [process.pid for process in parse_processes(text, 159)] == [159, 160, 161]
    assert [process.pid for process in parse_processes(text)] == [159, 160, 161, 9001, 9002]


def test_what_a_child_has_just_started_does_not_count() -> None:
    text = captured("procps-4.0.2/keepalived-running") + "    777     161 R    keepalived_vrrp\n"
    assert [process.pid for process in parse_processes(text)] == [159, 160, 161]


def test_older_versions_mark_a_zombie_and_the_man_page_has_another_name_for_the_checkers() -> None:
    text = "  1 0 Ss keepalived\n  2 1 Z keepalived_ipvs <defunct>\n  3 1 S keepalived_bfd\n"
    assert parse_processes(text) == (
        KeepalivedProcess(pid=1, role=PARENT, state="S"),
        KeepalivedProcess(pid=2, role=CHECKERS, state="Z"),
        KeepalivedProcess(pid=3, role=CHILD, state="S"),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("159 1 Ss\n", "not a process"),
        ("159 1 Ss keepalived more\n", "not a process"),
        ("159 1 Ss bash\n", "'bash' was not asked for"),
        ("99999999999 1 Ss keepalived\n", "no process id"),
        ("PID PPID STAT COMMAND\n", "not a process"),
    ],
)
def test_what_is_no_process_of_keepalived_is_an_error(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        parse_processes(text)
