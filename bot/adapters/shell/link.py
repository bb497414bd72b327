"""One warm SSH connection, and one command on its way through it; this side blocks and runs in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from fabric import Connection
from fabric.runners import Remote
from paramiko.ssh_exception import NoValidConnectionsError, SSHException

# What Paramiko, Invoke and the socket raise when a connection fails under a command.
BROKEN = (SSHException, EOFError, OSError)

WINDOW = 16 * 2**20
"""Bytes that a command may have written before we read them: standard error is read after standard output."""


class LinkLost(Exception):
    """The connection was found unusable before the command was sent: it did not run."""


class ResultLost(Exception):
    """The command was sent and no exit status came back: it may have run."""


class Attempt:
    """One command on its way. Whether it was sent is decided once, so that "it did not run" is never a guess.

    ``stdout`` and ``stderr`` are what has come back so far, also where the deadline passes before its end.
    """

    def __init__(self, command: str, *, deadline: float) -> None:
        self.command = command
        self.ends_at = time.monotonic() + deadline
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._lock = Lock()
        self._sent = False
        self._given_up = False

    @property
    def left_s(self) -> float:
        """The seconds until the deadline; never below one millisecond, which Paramiko would take for "no limit"."""
        return max(self.ends_at - time.monotonic(), 0.001)

    def claim(self) -> bool:
        """Called right before sending: whether it may still be sent. From then on the command may have run."""
        with self._lock:
            self._sent = not self._given_up
            return self._sent

    @property
    def sent(self) -> bool:
        """Whether the command may have run."""
        return self._sent

    def give_up(self) -> bool:
        """Make sure that the command is not sent any more; True when it had been sent already."""
        with self._lock:
            self._given_up = True
            return self._sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a command left behind; ``duration_s`` is seconds from opening its channel to its exit status."""

    exit_status: int
    stdout: str
    stderr: str
    duration_s: float


class WarmConnection(Connection):  # type: ignore[misc]  # Fabric ships no types
    """A Fabric connection that never reconnects by itself: a closed one stays closed, and nothing runs unseen."""

    def create_session(self) -> Any:
        """A new channel; raises LinkLost when there is no connection to open one on."""
        if not self.is_connected:
            raise LinkLost("the connection was closed")
        return self.transport.open_session(window_size=WINDOW)


class Runner(Remote):  # type: ignore[misc]  # Fabric ships no types
    """Fabric's runner, made exact and quick for commands that nobody types into.

    Fabric starts two threads for the output of each command and looks every 10 ms whether it has ended; here the
    thread that sent the command reads what comes back, until the deadline.
    """

    def __init__(self, *, context: Connection, attempt: Attempt) -> None:
        # Not inline: the environment then travels in SSH's own request and never through a shell's parser.
        super().__init__(context=context, inline_env=False)
        self.attempt = attempt

    def send_start_message(self, command: str) -> None:
        """Send the command unless its caller has given up, and let it read an empty input."""
        if not self.attempt.claim():
            raise LinkLost("the deadline passed before the command was sent")
        super().send_start_message(command)
        self._end_input()

    def _end_input(self) -> None:
        """Tell the command that its input ends here, unless it has ended itself.

        Paramiko's ``shutdown_write`` lets go of the channel's lock before it sends: where the command was quicker, the
        message left after the channel's close, and OpenSSH ended the whole connection with every other command on it
        ("ieof packet referred to nonexistent channel"; one of some 3,000 commands, seen in tests/bench).
        """
        with self.channel.lock:
            message = self.channel._send_eof()  # noqa: SLF001 - what shutdown_write calls; None once it is closed
            if message is not None:
                self.channel.transport._send_user_message(message)  # noqa: SLF001 - what shutdown_write calls

    def create_io_threads(self) -> tuple[dict[Any, Any], list[str], list[str]]:
        """None: :meth:`wait` reads."""
        return {}, [], []

    def wait(self) -> None:
        """Read both outputs to their ends, then wait for the exit status. Raises TimeoutError at the deadline."""
        self.stdout.append(self._read(self.channel.recv, self.attempt.stdout))
        self.stderr.append(self._read(self.channel.recv_stderr, self.attempt.stderr))
        if not self.channel.status_event.wait(self.attempt.left_s):
            raise TimeoutError

    def _read(self, receive: Callable[[int], bytes], output: bytearray) -> str:
        """One output as a whole: decoded in pieces, characters would be cut apart at the seams."""
        self.channel.settimeout(self.attempt.left_s)
        while piece := receive(65536):
            output += piece
            self.channel.settimeout(self.attempt.left_s)
        return decoded(output)


class Link:
    """A connection with its jump host, if any, and the number of callers that wait for an answer on it."""

    def __init__(self, connection: WarmConnection, gateway: WarmConnection | None) -> None:
        self._connection = connection
        self._gateway = gateway
        self._waiting = 0
        self._retired = False

    @property
    def usable(self) -> bool:
        """Whether a new command may be tried on it."""
        gateway = self._gateway
        return not self._retired and self._connection.is_connected and (gateway is None or gateway.is_connected)

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """While somebody waits for an answer on it, a retired connection stays open."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._close_if_over()

    def retire(self) -> None:
        """Take no new command; close once nobody waits any more, so that one late command does not end its siblings."""
        self._retired = True
        self._close_if_over()

    def _close_if_over(self) -> None:
        if self._retired and self._waiting == 0:
            self.close()

    def close(self) -> None:
        """Close the sockets, which ends whatever still waits on them."""
        self._retired = True
        # The jump host first: closing a channel of a dead one cannot wait for anything.
        for connection in (self._gateway, self._connection):
            if connection is not None:
                connection.client.close()

    def run(self, attempt: Attempt) -> Output:
        """Run the command of *attempt* and wait for it (blocks). Raises LinkLost or ResultLost."""
        started = time.perf_counter()
        runner = Runner(context=self._connection, attempt=attempt)
        try:
            result = runner.run(
                attempt.command,
                env={"LC_ALL": "C"},  # a host that does not take it (AcceptEnv in sshd_config(5)) ignores it
                warn=True,
                hide=True,
                in_stream=False,
                pty=False,
            )
        except TimeoutError as error:
            if not attempt.sent:
                raise LinkLost("no answer to the request for a channel") from error
            raise ResultLost("it had not ended at the deadline") from error
        except BROKEN as error:
            if attempt.sent:
                raise ResultLost(f"the connection broke: {said(error)}") from error
            raise LinkLost(said(error)) from error
        if result.exited < 0:
            raise ResultLost("it ended without an exit status: killed by a signal, or the connection broke")
        return Output(
            exit_status=result.exited,
            stdout=result.stdout,
            stderr=result.stderr,
            duration_s=time.perf_counter() - started,
        )


def decoded(output: bytes | bytearray) -> str:
    """What a program printed, as text; what is no UTF-8 is shown as such."""
    return output.decode("utf-8", "replace")


def said(error: BaseException) -> str:
    """An error in words; some of Paramiko's have none, and one says "Errno None" of what it was told by the system."""
    if isinstance(error, NoValidConnectionsError):
        return "; ".join(dict.fromkeys(said(inner) for inner in error.errors.values()))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
