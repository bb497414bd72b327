"""Several commands in one command line: what each left behind is told apart, whatever it printed."""

from __future__ import annotations

import shlex
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.shell.script import Part, Script

PRINTED = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def ran(script: Script) -> tuple[Part, ...]:
    done = subprocess.run(["sh", "-c", script.text], capture_output=True, check=False)
    return script.parts(done.stdout.decode(), done.stderr.decode())


@given(st.lists(st.tuples(PRINTED, PRINTED, st.integers(0, 255)), min_size=1, max_size=4))
def test_each_commands_outputs_and_status_come_back_as_they_were(wanted: list[tuple[str, str, int]]) -> None:
    lines = [
        f"sh -c {shlex.quote(f'printf %s {shlex.quote(out)}; printf %s {shlex.quote(err)} >&2; exit {status}')}"
        for out, err, status in wanted
    ]
    assert ran(Script(lines)) == tuple(Part(stdout=out, stderr=err, exit_status=s) for out, err, s in wanted)


def test_what_a_login_shell_prints_before_is_no_output() -> None:
    script = Script(["echo one"], mark="m")
    parts = script.parts("Welcome!\n\nm\none\n\nm 0\n", "motd\n\nm\n\nm\n")
    assert parts == (Part(stdout="one\n", stderr="", exit_status=0),)


def test_what_has_not_ended_has_no_result_yet() -> None:
    script = Script(["echo one", "sleep 9"], mark="m")
    assert script.parts("\nm\none\n\nm 0\nhalf a li", "") == (Part(stdout="one\n", stderr="", exit_status=0),)
    assert script.parts("\nm\none\n\nm", "") == ()
    assert script.parts("", "sh: no fork") == ()


def test_the_mark_is_another_one_each_time() -> None:
    assert Script(["echo"]).text != Script(["echo"]).text
