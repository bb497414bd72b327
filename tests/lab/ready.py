"""Bots that start at once: a process that has loaded the bot's modules, and forks for each that is started.

Loading them takes a second of processor time, which a scenario would spend four times while emulated directors want it.
Everything after that is a bot's own: its process, environment and log, and what kills it. All other tests with a whole
bot start it as people do, with ``python -m bot run``.

Both ends are here: :class:`Ready` in the tests, :func:`serve` in the process in ``ops``. They speak lines of JSON: one
with what to start and a number of its own; answers with that number and a process id, and with its exit status when it
has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path


class Forked:
    """A process that was forked; what :class:`asyncio.subprocess.Process` has, as far as the tests want it."""

    def __init__(self, pid: int, ended: Future[int]) -> None:
        self.pid = pid
        self._ended = ended

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for the signal that ended it; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    def kill(self) -> None:
        """kill -9."""
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait until it has ended; its exit status."""
        return await asyncio.shield(asyncio.wrap_future(self._ended))

    def _send(self, number: signal.Signals) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Ready:
    """The process that forks. Several tasks may start bots by it at once.

    *inside* makes a command line one that runs where the bots are to run: a lab's ``ops_argv``.
    """

    def __init__(self, inside: Callable[[Sequence[str]], list[str]]) -> None:
        argv = inside([sys.executable, "-m", "tests.lab.ready"])
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._asked: dict[int, Future[Forked]] = {}
        self._running: dict[int, Future[int]] = {}
        self._numbers = itertools.count()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    async def start(self, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> Forked:
        """A bot with the command line *argv*, which writes its log to the end of *log*."""
        assert self._process.stdin is not None
        number = next(self._numbers)
        started = self._asked[number] = Future[Forked]()
        wanted = {"number": number, "argv": list(argv), "environment": dict(environment), "log": str(log)}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        return await asyncio.shield(asyncio.wrap_future(started))

    def close(self) -> None:
        """End it, and with it what it has started."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._listening.join()
        self._process.stdout.close()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "status" in said:
                self._running.pop(said["pid"]).set_result(said["status"])
            else:
                ended = self._running[said["pid"]] = Future()
                self._asked.pop(said["number"]).set_result(Forked(said["pid"], ended))
        gone = RuntimeError("what starts the bots has ended")
        for asked in self._asked.values():
            asked.set_exception(gone)
        for running in self._running.values():
            running.set_exception(gone)


def serve() -> None:
    """Fork for each line of the standard input; at its end, kill what still runs."""
    import bot.bootstrap
    import bot.cli

    running: set[int] = set()

    def say(**words: int) -> None:
        os.write(1, (json.dumps(words) + "\n").encode())  # at once, for it may be said in the middle of another thing

    def reap(*_signal: object) -> None:
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            running.discard(pid)
            say(pid=pid, status=os.waitstatus_to_exitcode(status))

    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        wanted = json.loads(line)
        number = wanted.pop("number")
        # One that ended at once would be told of before it was told that it has begun.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            _become(**wanted)
            bot.cli.main()
            return
        running.add(pid)
        say(number=number, pid=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for pid in tuple(running):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _become(argv: Sequence[str], environment: Mapping[str, str], log: str) -> None:
    """Be the process that was asked for, and have nothing left of the one that forked."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    nothing, written = os.open(os.devnull, os.O_RDWR), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for taken, standard in ((nothing, 0), (nothing, 1), (written, 2)):
        os.dup2(taken, standard)
    os.close(nothing)
    os.close(written)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = argv


if __name__ == "__main__":
    serve()
