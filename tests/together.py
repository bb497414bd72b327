"""``make test``: all that there is to test, as much side by side as each part bears.

Arguments are passed on to every pytest: ``make test PYTEST="-k failover"``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PYTHON = sys.executable
NOTHING_CHOSEN = 5  # pytest's exit status where its arguments leave no test


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Commands that run one after the other until one fails. ``spare``: only in time that nothing else wants."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    spare: bool = False


# Where it is set, each pytest would compile all tests, and each process of the bot all of the bot.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
AS_ROOT = () if os.geteuid() == 0 else ("sudo", "-E")


def pytest(which: str, name: str, extra: Sequence[str]) -> tuple[str, ...]:
    """The tests that the mark expression *which* names; each run has a cache of its own."""
    return (PYTHON, "-m", "pytest", "-m", which, "-o", f"cache_dir=.pytest_cache/{name}", *extra)


Lane = tuple[Job, ...]


def phases(extra: Sequence[str]) -> tuple[tuple[Lane, ...], ...]:
    """What there is to do: lanes that go side by side, each one job after the other, and those that come after them.

    What needs no lab takes the time that a lab leaves over, beside tests in a lab that are in no hurry; the scenarios
    that mostly wait follow it there, in two labs. All others tell of seconds that somebody lost, and a director that
    gets no processor loses some. So they have the machine for themselves: a second lab beside them, even one that asks
    for little, is too much for two cores.
    """
    static = ("make", "--no-print-directory", "static")
    tests = pytest("not lab", "fast", ("-n", "3", "--dist", "loadfile", *extra))

    # To look for them elsewhere takes ten seconds. Whoever says where to look means that.
    at_home = () if any(Path(word.partition("::")[0]).exists() for word in extra) else ("tests/lab",)

    def lab(name: str, which: str, *how: str) -> Job:
        return Job(name=name, commands=((*AS_ROOT, *pytest(which, name, ("-vv", *how, *extra, *at_home))),))

    fast = Job(name="fast", commands=(static, tests), spare=True)
    patient = lab("patient", "patient", "-n", "2")
    return (
        ((fast, patient), (lab("lab", "lab and not scenario"),)),
        ((lab("scenarios", "scenario and not patient"),),),
    )


def leave_the_rest() -> None:
    """Let this process run only when no other wants the processor (sched(7), SCHED_IDLE)."""
    os.nice(19)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def gist(lines: Sequence[str]) -> tuple[str, ...]:
    """What is worth repeating of what a command that failed printed: pytest's own summary, else its last lines."""
    found = tuple(line for line in lines if line.startswith(("FAILED ", "ERROR ")))
    return found or tuple(lines)[-8:]


async def carry_out(job: Job, say: Callable[[str, str], None]) -> tuple[str, ...] | None:
    """Run *job*; None if all of it succeeded, else what went wrong."""
    for command in job.commands:
        printed: deque[str] = deque(maxlen=2000)
        say(job.name, "$ " + " ".join(command[1:] if command[0] == PYTHON else command))
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 24,
            env=ENVIRONMENT,
            preexec_fn=leave_the_rest if job.spare else None,
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                printed.append(line.decode(errors="replace").rstrip())
                say(job.name, printed[-1])
        except asyncio.CancelledError:
            # Ctrl-C has reached it as well: it takes its lab down, and a second signal would keep it from that.
            rest, _ = await process.communicate()
            for left in rest.decode(errors="replace").splitlines():
                say(job.name, left)
            raise
        status = await process.wait()
        if status and not (status == NOTHING_CHOSEN and "pytest" in command):
            return (*gist(printed), f"failed with status {status}")
    return None


async def main(extra: Sequence[str]) -> int:
    """Run all jobs and say of each line whose it is; 1 if one failed."""
    began = time.monotonic()
    chosen = phases(extra)
    width = max(len(job.name) for phase in chosen for lane in phase for job in lane)
    results: dict[str, tuple[str, ...] | None] = {}

    def say(name: str, line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {name:<{width}} | {line}", flush=True)

    async def follow(lane: Lane) -> None:
        for job in lane:
            results[job.name] = await carry_out(job, say)

    for phase in chosen:
        await asyncio.gather(*(follow(lane) for lane in phase))
    # Whoever sees only the end of it sees what failed, also in the job that was done first.
    for name, wrong in results.items():
        for line in wrong or ():
            say(name, line)
        say(name, "passed" if wrong is None else "FAILED")
    return 0 if all(wrong is None for wrong in results.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(sys.argv[1:])))
    except KeyboardInterrupt:
        sys.exit(130)
