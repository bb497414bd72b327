"""One bot at a time: a lock on a file beside SQLite's, which the kernel lets go of when the process ends."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from bot.flows.ports import JournalUnavailable


class FileLock:
    """Held from :meth:`take` until :meth:`release`. The file says who holds it, and stays."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock. Raises JournalUnavailable, naming the holder, if another process (or journal) has it."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise JournalUnavailable(
                f"{self._path}: another `bot run` ({holder}) uses this journal: stop that one first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
