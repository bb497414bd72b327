"""What every shell does, the fake and the real one; and what the real one does over a real sshd."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.shell import FabricShell, SshLogin
from bot.adapters.shell.hostkeys import KnownHostsUnreadable, PinnedKeys
from bot.domain.fleet import Director, SshAccess
from bot.domain.observed import CommandResult
from bot.flows.details import PROCESSES
from bot.flows.ports import (
    AuthenticationRefused,
    HostKeyRefused,
    OutcomeUnknown,
    RemoteShell,
    ShellError,
    Unreachable,
)
from bot.lvs import sysctl
from bot.lvs.date import parse_now, show_now
from bot.lvs.processes import parse_processes
from tests.contracts.sshd import Sshd, free_port, new_key, public
from tests.fakes.shell import FakeHost, FakeShell, Reply

NASTY = (
    "a b",
    "",
    "'single' \"double\"",
    "$(touch /tmp/owned)",
    "`id`",
    "; false #",
    "&& ||",
    "new\nline",
    "tab\there",
    "back\\slash\\n",
    "*",
    "~root",
    "-n",
    "!history",
    "é→漢",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A shell with two directors that answer and one that is not there."""

    shell: RemoteShell
    sv1: Director
    sv2: Director
    gone: Director


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_key(tmp_path_factory.mktemp("keys") / "id")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Iterator[tuple[Sshd, Sshd]]:
    folder = tmp_path_factory.mktemp("sshd")
    servers = Sshd(folder / "sv1", key=key), Sshd(folder / "sv2", key=key, address="127.0.0.2")
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.sshd)])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    if request.param == "fake":
        directors = [Director(name=n, address=ip_address(a), interface="br0") for n, a in GONE_AND_FAKE.items()]
        here = {"net.ipv4.ip_forward": "0", "kernel.random.boot_id": str(uuid.uuid4())}
        shell = FakeShell({"sv1": FakeHost(sysctls=here), "sv2": FakeHost()}, now=lambda: datetime.now(UTC))
        shell.programs |= {"printf": printf, "false": fails, "sleep": sleep}
        yield Site(shell=shell, sv1=directors[0], sv2=directors[1], gone=directors[2])
        return
    one, two = request.getfixturevalue("hosts")
    gone = Director(
        name="gone", address=ip_address("127.0.0.3"), interface="br0", ssh=SshAccess(port=free_port("127.0.0.3"))
    )
    real = real_shell(tmp_path, request.getfixturevalue("key"), one.pin, two.pin)
    yield Site(shell=real, sv1=one.director("sv1"), sv2=two.director("sv2"), gone=gone)
    await real.close()


GONE_AND_FAKE = {"sv1": "10.100.0.10", "sv2": "10.100.0.20", "gone": "10.100.0.30"}


async def printf(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    return Reply(stdout="".join(f"{argument}|" for argument in argv[2:]))


async def fails(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    return Reply(exit_status=1)


async def sleep(host: FakeHost, argv: tuple[str, ...]) -> Reply:
    await asyncio.sleep(float(argv[1]))
    return Reply()


def real_shell(folder: Path, key: Path | None, *pins: str, **more: float) -> FabricShell:
    known_hosts = folder / "known_hosts"
    known_hosts.write_text("# the directors\n" + "".join(pins))
    return FabricShell(SshLogin(known_hosts=known_hosts, identity=key, **more))


# --- the contract ---------------------------------------------------------------------------------------------------


async def test_a_result_says_what_ran_where_and_what_it_printed(site: Site) -> None:
    result = await site.shell.run(site.sv1, ("printf", "%s|", "hello"))
    assert (result.director, result.argv) == ("sv1", ("printf", "%s|", "hello"))
    assert (result.exit_status, result.stdout, result.stderr) == (0, "hello|", "")
    assert result.duration_s > 0


async def test_an_exit_status_other_than_zero_is_a_result(site: Site) -> None:
    assert (await site.shell.run(site.sv1, ("false",))).exit_status == 1


async def test_an_unknown_program_is_a_result_too(site: Site) -> None:
    result = await site.shell.run(site.sv1, ("no-such-program",))
    assert result.exit_status == 127
    assert "not found" in result.stderr


async def test_arguments_arrive_as_they_are(site: Site) -> None:
    result = await site.shell.run(site.sv1, ("printf", "%s|", *NASTY))
    assert result.stdout == "".join(f"{argument}|" for argument in NASTY)


async def test_sudo_is_asked_never_to_prompt(site: Site) -> None:
    result = await site.shell.run(site.sv1, ("printf", "%s|", "as root"), sudo=True)
    assert result.argv == ("sudo", "-n", "printf", "%s|", "as root")
    assert result.stdout == "as root|"


async def test_sudo_can_be_asked_for_another_account_than_root(site: Site) -> None:
    result = await site.shell.run(site.sv1, ("printf", "%s|", "as it"), sudo=True, user="lvs-agent")
    assert result.argv == ("sudo", "-n", "-u", "lvs-agent", "printf", "%s|", "as it")
    assert result.stdout == "as it|"


async def test_ps_that_finds_no_process_fails_without_a_word(site: Site) -> None:
    result = await site.shell.run(site.sv1, ("ps", "-C", "no-such-program", "-o", "pid=,ppid=,stat=,comm="))
    assert (result.exit_status, result.stdout, result.stderr) == (1, "", "")


async def test_whatever_keepalived_there_is_its_processes_can_be_listed(site: Site) -> None:
    result = await site.shell.run(site.sv1, PROCESSES.argv)
    assert PROCESSES.answered_by(result)
    parse_processes(result.stdout)


async def test_sysctl_passes_over_a_setting_that_does_not_exist(site: Site) -> None:
    keys = (sysctl.IP_FORWARD, "net.ipv4.no.such.setting", sysctl.BOOT_ID)
    result = await site.shell.run(site.sv1, sysctl.read(keys))
    assert result.exit_status == 0
    values = sysctl.parse_values(result.stdout, keys)
    assert sysctl.switched_on(values, sysctl.IP_FORWARD) is not None
    assert values["net.ipv4.no.such.setting"] is None
    assert uuid.UUID(values[sysctl.BOOT_ID])


async def test_date_tells_the_time_of_the_moment_of_asking(site: Site) -> None:
    before = datetime.now(UTC)
    result = await site.shell.run(site.sv1, show_now())
    assert before <= parse_now(result.stdout) <= datetime.now(UTC)


async def test_several_questions_in_one_go_are_answered_one_by_one(site: Site) -> None:
    commands = [("printf", "%s|", "one", "two\n"), ("false",), ("no-such-program",), ("printf", "%s|", *NASTY)]
    results = await site.shell.ask(site.sv1, commands)
    assert [r.argv for r in results] == commands
    assert {r.director for r in results} == {"sv1"}
    assert [r.exit_status for r in results] == [0, 1, 127, 0]
    assert [r.stdout for r in results] == ["one|two\n|", "", "", "".join(f"{argument}|" for argument in NASTY)]
    assert ["not found" in r.stderr for r in results] == [False, False, True, False]
    assert all(r.duration_s > 0 for r in results)


async def test_what_was_answered_before_a_question_that_hangs_counts(site: Site) -> None:
    await site.shell.run(site.sv1, ("printf", "%s|", "warm"))
    commands = [("printf", "%s|", "one"), ("printf", "%s|", "two"), ("sleep", "30"), ("printf", "%s|", "never")]
    results: Sequence[CommandResult] = []
    for deadline in (1.0, 5.0, 25.0):  # this machine may have other things to do, and be slow to answer
        with suppress(ShellError):
            results = await site.shell.ask(site.sv1, commands, deadline=deadline)
        if len(results) > 1:
            break
    assert [(r.exit_status, r.stdout) for r in results] == [(0, "one|"), (0, "two|")]
    assert [r.stdout for r in await site.shell.ask(site.sv1, commands[:2])] == ["one|", "two|"]


async def outlasted(ask: Callable[[float], Awaitable[object]]) -> OutcomeUnknown:
    """What is said where a deadline is up after the command had begun, which may take a busy machine a while."""
    for deadline in (0.2, 2.0):
        with pytest.raises((OutcomeUnknown, Unreachable)) as early:
            await ask(deadline)
        if isinstance(early.value, OutcomeUnknown):
            return early.value
    with pytest.raises(OutcomeUnknown) as caught:
        await ask(20.0)
    return caught.value


async def test_where_the_first_question_hangs_there_is_no_answer(site: Site) -> None:
    await site.shell.run(site.sv1, ("printf", "%s|", "warm"))
    questions = [("sleep", "30"), ("printf", "%s|", "two")]
    said = await outlasted(lambda deadline: site.shell.ask(site.sv1, questions, deadline=deadline))
    assert (said.director, said.argv) == ("sv1", ("sleep", "30"))


async def test_questions_to_a_director_that_is_not_there_have_no_answer(site: Site) -> None:
    with pytest.raises(Unreachable):
        await site.shell.ask(site.gone, [("printf", "%s|", "one"), ("printf", "%s|", "two")])


async def test_a_question_that_no_command_line_can_carry_is_refused_before_any_is_asked(site: Site) -> None:
    with pytest.raises(ValueError, match="NUL"):
        await site.shell.ask(site.sv1, [("printf", "%s|", "one"), ("printf", "nul\0")])


@pytest.mark.parametrize("argv", [(), ("printf", "nul\0"), ("printf", "\ud800")], ids=["empty", "nul", "surrogate"])
async def test_what_no_command_line_can_carry_is_refused_before_it_is_sent(site: Site, argv: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"argv|NUL|surrogates"):
        await site.shell.run(site.sv1, argv)


async def test_a_command_that_outlasts_its_deadline_has_an_unknown_outcome(site: Site) -> None:
    await site.shell.run(site.sv1, ("printf", "%s|", "warm"))
    said = await outlasted(lambda deadline: site.shell.run(site.sv1, ("sleep", "30"), deadline=deadline))
    assert (said.director, said.argv) == ("sv1", ("sleep", "30"))
    assert (await site.shell.run(site.sv1, ("printf", "%s|", "again"))).stdout == "again|"


async def test_a_director_that_is_not_there_is_unreachable_and_the_others_answer(site: Site) -> None:
    results = await asyncio.gather(
        *(site.shell.run(d, ("printf", "%s|", d.name)) for d in (site.sv1, site.gone, site.sv2)),
        return_exceptions=True,
    )
    assert isinstance(results[1], Unreachable)
    assert [r.stdout for r in (results[0], results[2]) if not isinstance(r, BaseException)] == ["sv1|", "sv2|"]


async def test_changes_of_one_director_take_turns_in_the_order_of_asking(site: Site) -> None:
    order: list[str] = []

    async def change(number: int) -> None:
        async with site.shell.changing(site.sv1):
            order.append(f"begin {number}")
            await site.shell.run(site.sv1, ("printf", "%s|", str(number)))
            order.append(f"end {number}")

    await asyncio.gather(*(change(number) for number in range(4)))
    assert order == [f"{what} {number}" for number in range(4) for what in ("begin", "end")]


async def test_a_change_of_one_director_does_not_hold_up_another(site: Site) -> None:
    async with site.shell.changing(site.sv1), site.shell.changing(site.sv2):
        assert (await site.shell.run(site.sv2, ("printf", "%s|", "free"))).stdout == "free|"


# --- over a real sshd -----------------------------------------------------------------------------------------------

Starter = Callable[..., Sshd]


@pytest.fixture
def start(tmp_path: Path, key: Path) -> Iterator[Starter]:
    """Starts an sshd of the test's own; all of them are stopped afterwards."""
    with ExitStack() as started:

        def begin(name: str = "own", *, key: Path = key, **where: Any) -> Sshd:
            server = Sshd(tmp_path / name, key=key, **where)
            started.callback(server.stop)
            return server

        yield begin


async def fate(shell: FabricShell, director: Director, *argv: str, deadline: float = 10.0) -> str:
    """What a command printed, or the name of the error that it ended in."""
    try:
        return (await shell.run(director, argv or ("printf", "%s", "ok"), deadline=deadline)).stdout
    except ShellError as error:
        return type(error).__name__
    finally:
        await shell.close()


@pytest.mark.sshd
async def test_one_login_serves_many_commands(start: Starter, tmp_path: Path, key: Path) -> None:
    host = start()
    shell = real_shell(tmp_path, key, host.pin)
    await asyncio.gather(*(shell.run(host.director(), ("true",)) for _ in range(12)))
    for _ in range(3):
        await shell.run(host.director(), ("true",))
    await shell.close()
    assert host.accepted() == 1


@pytest.mark.sshd
async def test_commands_on_one_director_run_side_by_side(start: Starter, tmp_path: Path, key: Path) -> None:
    host, pipe = start(), tmp_path / "pipe"
    os.mkfifo(pipe)
    shell = real_shell(tmp_path, key, host.pin)
    # Opening a FIFO waits for its other end: neither command ends unless both run at once.
    results = await asyncio.gather(
        shell.run(host.director(), ("cat", str(pipe))),
        shell.run(host.director(), ("sh", "-c", 'echo met > "$1"', "sh", str(pipe))),
    )
    await shell.close()
    assert results[0].stdout == "met\n"


@pytest.mark.sshd
async def test_one_director_never_takes_more_than_its_threads(start: Starter, tmp_path: Path, key: Path) -> None:
    host = start()
    shell = real_shell(tmp_path, key, host.pin)
    many = [asyncio.create_task(shell.run(host.director("crowd"), ("sleep", "0.1"))) for _ in range(12)]
    await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
    threads = [t.name for t in threading.enumerate() if t.name.startswith("ssh-crowd")]
    results = await asyncio.gather(*many)
    await shell.close()
    assert len(threads) == 4
    assert {result.exit_status for result in results} == {0}


@pytest.mark.sshd
async def test_a_changed_host_key_is_refused_with_both_fingerprints_and_the_line(
    start: Starter, tmp_path: Path, key: Path
) -> None:
    host = start()
    other = new_key(tmp_path / "other")
    shell = real_shell(tmp_path, key, f"[{host.address}]:{host.port} {public(other)}\n")
    with pytest.raises(HostKeyRefused) as caught:
        await shell.run(host.director(), ("true",))
    await shell.close()
    for part in (fingerprint(host.host_key), fingerprint(other), "(line 2)", str(tmp_path / "known_hosts")):
        assert part in caught.value.reason
    assert host.accepted() == 0


@pytest.mark.sshd
async def test_a_changed_key_of_another_type_is_refused_as_well(start: Starter, tmp_path: Path, key: Path) -> None:
    host = start()
    other = new_key(tmp_path / "other", "ecdsa")
    pin = f"[{host.address}]:{host.port} {public(other)}\n"
    assert await fate(real_shell(tmp_path, key, pin), host.director()) == "HostKeyRefused"


@pytest.mark.sshd
async def test_an_unknown_host_is_refused_with_the_line_to_add(start: Starter, tmp_path: Path, key: Path) -> None:
    host = start()
    shell = real_shell(tmp_path, key)
    with pytest.raises(HostKeyRefused) as caught:
        await shell.run(host.director(), ("true",))
    assert fingerprint(host.host_key) in caught.value.reason
    assert host.pin.strip() in caught.value.reason
    # The file is read for each connection: a corrected one is used without a restart.
    (tmp_path / "known_hosts").write_text(host.pin)
    assert await fate(shell, host.director()) == "ok"


async def test_a_port_that_nobody_listens_on_is_told_in_the_systems_words(tmp_path: Path, key: Path) -> None:
    port = free_port("127.0.0.1")
    director = Director(name="sv1", address=ip_address("127.0.0.1"), interface="br0", ssh=SshAccess(port=port))
    shell = real_shell(tmp_path, key)
    with pytest.raises(Unreachable) as caught:
        await shell.run(director, ("true",))
    await shell.close()
    assert caught.value.reason == f"no SSH connection to 127.0.0.1 port {port}: Connection refused"


@pytest.mark.sshd
async def test_hashed_host_names_are_understood(start: Starter, tmp_path: Path, key: Path) -> None:
    host = start()
    shell = real_shell(tmp_path, key, host.pin)
    hash_names(tmp_path / "known_hosts")
    assert host.address not in (tmp_path / "known_hosts").read_text()
    assert await fate(shell, host.director()) == "ok"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("@revoked * ssh-ed25519 AAAA\n", "line 1: @revoked markers are not supported"),
        ("\n10.0.0.1 ssh-ed25519\n", "line 2: not a host key"),
        ("10.0.0.1 ssh-ed25519 ####\n", "line 1: not a host key"),
        ("10.0.0.1 no-such-type AAAA\n", "line 1: not a host key"),
    ],
)
def test_a_line_that_cannot_be_honoured_is_an_error_and_not_passed_over(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "known_hosts").write_text(text)
    with pytest.raises(KnownHostsUnreadable, match=why):
        PinnedKeys(tmp_path / "known_hosts")


def test_host_patterns_are_an_error(tmp_path: Path, key: Path) -> None:
    (tmp_path / "known_hosts").write_text(f"10.0.0.* {public(key)}\n")
    with pytest.raises(KnownHostsUnreadable, match="name each host"):
        PinnedKeys(tmp_path / "known_hosts")


@pytest.mark.sshd
async def test_without_known_hosts_nobody_is_trusted(start: Starter, tmp_path: Path, key: Path) -> None:
    host = start()
    shell = FabricShell(SshLogin(known_hosts=tmp_path / "missing", identity=key))
    assert await fate(shell, host.director()) == "HostKeyRefused"


@pytest.mark.sshd
async def test_a_key_that_the_host_does_not_know_is_refused(start: Starter, tmp_path: Path) -> None:
    host = start()
    for kind in ("ed25519", "rsa", "ecdsa"):
        shell = real_shell(tmp_path, new_key(tmp_path / kind, kind), host.pin)
        with pytest.raises(AuthenticationRefused, match=r"refused the bot's key for user .* authorized_keys"):
            await shell.run(host.director(), ("true",))
        await shell.close()


@pytest.mark.parametrize("content", [None, "no key at all\n"])
async def test_an_unusable_key_file_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "id").write_text(content)
    shell = real_shell(tmp_path, tmp_path / "id")
    director = Director(name="sv1", address=ip_address("127.0.0.1"), interface="br0")
    with pytest.raises(AuthenticationRefused, match=r"ssh\.identity"):
        await shell.run(director, ("true",))
    await shell.close()


@pytest.mark.sshd
async def test_through_a_jump_host(start: Starter, tmp_path: Path, key: Path) -> None:
    bastion, host = start("bastion", address="127.0.0.4"), start("behind", address="127.0.0.5")
    director = host.director(jump=f"{host.director().ssh.user}@127.0.0.4:{bastion.port}")
    assert await fate(real_shell(tmp_path, key, bastion.pin, host.pin), director) == "ok"
    assert (bastion.accepted(), host.accepted()) == (1, 1)


@pytest.mark.sshd
async def test_the_jump_hosts_key_is_pinned_too(start: Starter, tmp_path: Path, key: Path) -> None:
    bastion, host = start("bastion"), start("behind")
    director = host.director(jump=f"{host.director().ssh.user}@127.0.0.1:{bastion.port}")
    assert await fate(real_shell(tmp_path, key, host.pin), director) == "HostKeyRefused"
    assert await fate(real_shell(tmp_path, key, bastion.pin), director) == "HostKeyRefused"
    assert host.accepted() == 0


@pytest.mark.sshd
async def test_a_jump_host_that_cannot_reach_the_director_says_so(start: Starter, tmp_path: Path, key: Path) -> None:
    bastion = start("bastion")
    access = SshAccess(user=bastion.director().ssh.user, port=free_port("127.0.0.1"), jump=f"127.0.0.1:{bastion.port}")
    director = Director(name="sv1", address=ip_address("127.0.0.1"), interface="br0", ssh=access)
    shell = real_shell(tmp_path, key, bastion.pin)
    with pytest.raises(Unreachable, match=r"the jump host cannot reach 127\.0\.0\.1"):
        await shell.run(director, ("true",))
    await shell.close()


@pytest.mark.sshd
async def test_a_connection_that_breaks_under_a_command_leaves_its_outcome_unknown(
    start: Starter, tmp_path: Path, key: Path
) -> None:
    host, running = start(), tmp_path / "running"
    shell = real_shell(tmp_path, key, host.pin)
    command = asyncio.create_task(shell.run(host.director(), ("sh", "-c", f"touch {running}; sleep 30")))
    await until(running.exists)
    host.drop_connections()
    with pytest.raises(OutcomeUnknown):
        await command
    assert await fate(shell, host.director()) == "ok"


@pytest.mark.sshd
async def test_a_command_that_is_killed_has_an_unknown_outcome(start: Starter, tmp_path: Path, key: Path) -> None:
    host = start()
    assert (
        await fate(real_shell(tmp_path, key, host.pin), host.director(), "sh", "-c", "kill -9 $$") == "OutcomeUnknown"
    )


@pytest.mark.sshd
async def test_a_connection_found_dead_is_replaced_and_the_command_runs_once(
    start: Starter, tmp_path: Path, key: Path
) -> None:
    host, log = start(), tmp_path / "runs"
    shell = real_shell(tmp_path, key, host.pin)
    await shell.run(host.director(), ("true",))
    host.drop_connections()
    await shell.run(host.director(), ("sh", "-c", f"echo ran >> {log}"))
    await shell.close()
    assert log.read_text() == "ran\n"
    assert host.accepted() == 2


@pytest.mark.sshd
async def test_a_frozen_connection_did_not_run_the_command_and_never_will(
    start: Starter, tmp_path: Path, key: Path
) -> None:
    host, ran = start(), tmp_path / "ran"
    shell = real_shell(tmp_path, key, host.pin)
    await shell.run(host.director(), ("true",))
    frozen = host.serving()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(Unreachable):
        await shell.run(host.director(), ("touch", str(ran)), deadline=0.3)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    assert await fate(shell, host.director()) == "ok"
    assert not ran.exists()


@pytest.mark.sshd
async def test_a_late_command_does_not_end_its_siblings(start: Starter, tmp_path: Path, key: Path) -> None:
    host, late = start(), tmp_path / "late"
    shell = real_shell(tmp_path, key, host.pin)
    await shell.run(host.director(), ("true",))
    waits = f"while [ ! -e {late} ]; do sleep 0.02; done; echo done"
    sibling = asyncio.create_task(shell.run(host.director(), ("sh", "-c", waits)))
    await outlasted(lambda deadline: shell.run(host.director(), ("sleep", "30"), deadline=deadline))
    late.touch()
    assert (await sibling).stdout == "done\n"
    await shell.close()


@pytest.mark.sshd
async def test_hosts_that_accept_and_say_nothing_delay_nobody(start: Starter, tmp_path: Path, key: Path) -> None:
    host = start()
    shell = real_shell(tmp_path, key, host.pin, connect_timeout=600)
    with socket.socket() as silent:
        silent.bind(("127.0.0.6", 0))
        silent.listen(64)
        access = SshAccess(port=silent.getsockname()[1])
        dead = Director(name="dead", address=ip_address("127.0.0.6"), interface="br0", ssh=access)
        # Nothing ends them but the host itself, so that what runs meanwhile may take as long as it takes.
        hanging = [asyncio.create_task(shell.run(dead, ("true",), deadline=600)) for _ in range(40)]
        for _ in range(5):
            assert (await shell.run(host.director(), ("printf", "%s", "ok"))).stdout == "ok"
        assert not any(task.done() for task in hanging)
    errors = await asyncio.gather(*hanging, return_exceptions=True)  # it is gone, and says so
    assert {type(error) for error in errors} == {Unreachable}
    await shell.close()


@pytest.mark.sshd
async def test_a_silent_host_is_unreachable_at_the_connect_timeout(tmp_path: Path, key: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(4)
        access = SshAccess(port=silent.getsockname()[1])
        dead = Director(name="dead", address=ip_address("127.0.0.1"), interface="br0", ssh=access)
        assert await fate(real_shell(tmp_path, key, connect_timeout=0.2), dead) == "Unreachable"


@pytest.mark.sshd
async def test_long_output_arrives_whole_with_its_characters(start: Starter, tmp_path: Path, key: Path) -> None:
    host = start()
    shell = real_shell(tmp_path, key, host.pin)
    script = 'i=0; while [ $i -lt 3000 ]; do printf "%0100dé漢\\n" $i; i=$((i+1)); done'
    both = await shell.run(host.director(), ("sh", "-c", f"{{ {script}; }} >&2; {script}"), deadline=30)
    await shell.close()
    assert both.stdout == both.stderr == "".join(f"{i:0100d}é漢\n" for i in range(3000))


@pytest.mark.sshd
async def test_a_command_reads_an_empty_input_and_speaks_the_c_locale(
    start: Starter, tmp_path: Path, key: Path
) -> None:
    host = start()
    shell = real_shell(tmp_path, key, host.pin)
    assert (await shell.run(host.director(), ("cat",))).stdout == ""
    assert await fate(shell, host.director(), "printenv", "LC_ALL") == "C\n"


@pytest.mark.sshd
async def test_closing_ends_what_is_under_way(start: Starter, tmp_path: Path, key: Path) -> None:
    host, running = start(), tmp_path / "running"
    shell = real_shell(tmp_path, key, host.pin)
    command = asyncio.create_task(shell.run(host.director("closing"), ("sh", "-c", f"touch {running}; sleep 30")))
    await until(running.exists)
    await shell.close()
    with pytest.raises(OutcomeUnknown):
        await command
    assert not [t.name for t in threading.enumerate() if t.name.startswith("ssh-closing")]


def fingerprint(key: Path) -> str:
    """As ssh-keygen shows it."""
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


def hash_names(known_hosts: Path) -> None:
    """Hide the host names in *known_hosts*, as HashKnownHosts of ssh_config(5) does."""
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known_hosts)], check=True, capture_output=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*, which another process brings about; a wait in vain ends the test."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")
