"""RemoteShell over Fabric: a lane per director with its own few threads, so that a dead one delays nobody else."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from bot.adapters.shell.link import Attempt, Link, LinkLost, Output, ResultLost, decoded
from bot.adapters.shell.opening import CannotOpen, SshLogin, open_link
from bot.adapters.shell.script import Script
from bot.domain.fleet import Address, Director, SshAccess
from bot.domain.observed import CommandResult
from bot.flows.ports import OutcomeUnknown, Unreachable


class Lane:
    """Everything for one director: its threads, its warm connection, its lock."""

    def __init__(self, director: Director, login: SshLogin, threads: int) -> None:
        self._director = director
        self._login = login
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"ssh-{director.name}")
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self.changing = asyncio.Lock()

    async def run(self, attempt: Attempt) -> Output:
        """Run *attempt* on the warm connection; on a new one if that is found dead before the command was sent.

        Raises CannotOpen, LinkLost (did not run) or ResultLost (may have run). Cancelled, it gives up: what was not
        sent is never sent, and a connection that kept us waiting gets no new command.
        """
        link = await self._linked()
        try:
            return await self._run_on(link, attempt)
        except LinkLost:
            link.retire()
        link = await self._linked()
        try:
            return await self._run_on(link, attempt)
        except LinkLost:
            link.retire()
            raise

    async def _run_on(self, link: Link, attempt: Attempt) -> Output:
        with link.awaited():
            try:
                return await asyncio.wrap_future(self._pool.submit(link.run, attempt))
            except asyncio.CancelledError:
                attempt.give_up()
                link.retire()
                raise

    async def _linked(self) -> Link:
        """The warm connection, or a new one; all who wait for it wait for the same one."""
        if self._link is not None and self._link.usable:
            return self._link
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            # If everybody who waited has given up, nobody is left to take its error.
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Link:
        if self._link is not None:
            self._link.retire()
        loop = asyncio.get_running_loop()
        self._link = await loop.run_in_executor(self._pool, open_link, self._director, self._login)
        return self._link

    async def close(self) -> None:
        """Close the connection and end the threads; a connection in the making is waited for and closed as well."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._link is not None:
            self._link.close()
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


class FabricShell:
    """Runs argv lists on directors over SSH (implements ``bot.flows.ports.RemoteShell``).

    ``per_director`` bounds the commands side by side on one director; it must stay below sshd's MaxSessions (10).
    """

    def __init__(self, login: SshLogin, *, per_director: int = 4, patience: float = 3.0) -> None:
        self.patience = patience
        self._login = login
        self._per_director = per_director
        self._lanes: dict[tuple[Address, SshAccess], Lane] = {}

    def _lane(self, director: Director) -> Lane:
        # By where it is and not by name: two clusters may each have a director called lb1.
        key = (director.address, director.ssh)
        if key not in self._lanes:
            self._lanes[key] = Lane(director, self._login, self._per_director)
        return self._lanes[key]

    async def run(
        self,
        director: Director,
        argv: Sequence[str],
        *,
        deadline: float = 10.0,
        sudo: bool = False,
        user: str | None = None,
    ) -> CommandResult:
        """Run *argv* on *director* within *deadline* seconds (see ``RemoteShell.run``)."""
        full = through_sudo(argv, user) if sudo else tuple(argv)
        output = await self._run(director, full, Attempt(quoted(full), deadline=deadline), deadline)
        return CommandResult(
            director=director.name,
            argv=full,
            exit_status=output.exit_status,
            stdout=output.stdout,
            stderr=output.stderr,
            duration_s=output.duration_s,
        )

    async def ask(
        self, director: Director, commands: Sequence[Sequence[str]], *, deadline: float = 10.0
    ) -> tuple[CommandResult, ...]:
        """Run *commands* on *director* in one go within *deadline* seconds (see ``RemoteShell.ask``)."""
        script = Script([quoted(argv) for argv in commands])
        attempt = Attempt(script.text, deadline=deadline)
        took = deadline
        try:
            output = await self._run(director, tuple(commands[0]), attempt, deadline)
            parts, took = script.parts(output.stdout, output.stderr), output.duration_s
        except OutcomeUnknown:
            parts = script.parts(decoded(attempt.stdout), decoded(attempt.stderr))
            if not parts:
                raise
        if not parts:
            raise _unknown(director, tuple(commands[0]), f"its shell said only {output.stderr.strip()[-200:]!r}")
        return tuple(
            CommandResult(
                director=director.name,
                argv=tuple(argv),
                exit_status=part.exit_status,
                stdout=part.stdout,
                stderr=part.stderr,
                duration_s=took,
            )
            for argv, part in zip(commands, parts, strict=False)
        )

    async def _run(self, director: Director, full: tuple[str, ...], attempt: Attempt, deadline: float) -> Output:
        """What *attempt* left behind; *full* is what it is called in an error. Raises a ShellError."""
        try:
            async with asyncio.timeout(deadline):
                return await self._lane(director).run(attempt)
        except TimeoutError as error:
            waited = f"no answer within {deadline:g} s"
            if attempt.give_up():
                raise _unknown(director, full, waited) from error
            raise Unreachable(director.name, full, f"{waited}; the command was not sent") from error
        except CannotOpen as error:
            raise error.error(director.name, full, error.reason) from error
        except LinkLost as error:
            raise Unreachable(director.name, full, f"the connection was lost before the command: {error}") from error
        except ResultLost as error:
            raise _unknown(director, full, str(error)) from error

    @asynccontextmanager
    async def changing(self, director: Director) -> AsyncIterator[None]:
        """Hold the director's lock; who asked first gets it first. To hold several, ask in the fleet file's order."""
        async with self._lane(director).changing:
            yield

    async def close(self) -> None:
        """Close every connection; a command still running gets an OutcomeUnknown."""
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))


def through_sudo(argv: Sequence[str], user: str | None) -> tuple[str, ...]:
    """*argv* run by sudo(8), which never asks for a password, as *user* (None: root)."""
    return ("sudo", "-n", *(("-u", user) if user else ()), *argv)


def quoted(argv: Sequence[str]) -> str:
    """The one command line that a POSIX shell splits into exactly *argv*; raises ValueError where none exists."""
    if not argv:
        raise ValueError("an empty argv: there is no command to run")
    if any("\0" in argument for argument in argv):
        raise ValueError(f"a NUL character in {list(argv)!r}: no command can be given one")
    line = shlex.join(argv)
    line.encode()  # a lone surrogate raises here, before anything is on its way
    return line


def _unknown(director: Director, argv: Sequence[str], why: str) -> OutcomeUnknown:
    reason = f"`{shlex.join(argv)}` was sent, but {why}. It may have run: look at the director before trying again"
    return OutcomeUnknown(director.name, argv, reason, why)
