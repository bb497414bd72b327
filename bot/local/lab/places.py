"""Where a lab keeps things: a cache that outlives it, a run directory that does not, and its names."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.local.lab.errors import LabError

RUN_ROOT = Path("/run/lvs-chatops")

Progress = Callable[[str], None]  # told of each step as it begins


def silent(_: str) -> None:
    """Progress for nobody."""


def cache_root() -> Path:
    """The directory for images, keys and saved states (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "lvs-chatops"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The names and paths of the lab called *name*."""

    name: str

    @classmethod
    def of(cls, name: str) -> Places:
        """The places of lab *name*. Raises LabError for a name that could not be a namespace's."""
        if re.fullmatch(r"[a-z][a-z0-9-]{0,15}", name) is None:
            raise LabError(f"{name!r} cannot be a lab's name: use up to 16 small letters, digits and dashes")
        return cls(name=name)

    @property
    def run(self) -> Path:
        """What exists while the lab is up."""
        return RUN_ROOT / self.name

    @property
    def lock(self) -> Path:
        """Held by whoever starts, resets or ends the lab."""
        return RUN_ROOT / f"{self.name}.lock"

    @property
    def net(self) -> str:
        """The namespace with the bridge; it has no way out."""
        return f"lvs-{self.name}-net"

    @property
    def ops(self) -> str:
        """The namespace where the bot and the clients are."""
        return f"lvs-{self.name}-ops"

    def guest(self, host: str) -> str:
        """The name that the guest's process carries on its command line."""
        return f"lvs-{self.name}-{host}"


@contextmanager
def alone(path: Path, progress: Progress = silent) -> Iterator[None]:
    """Hold the lock file *path*, after whoever has it now. The kernel lets go of it however the holder ends.

    The holder may delete the file: whoever waited for it begins anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress(f"waiting for another process that is at the same (lock: {path})")
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(path, file.fileno()):
                yield
                return


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def forget(home: Path, *, keep: int) -> None:
    """Delete all but the *keep* newest directories in *home*; one that a running lab resumes from stays too."""
    in_use = {link.resolve() for link in RUN_ROOT.glob("*/saved")}
    whole = [path for path in home.iterdir() if not path.suffix]
    for path in sorted(whole, key=lambda path: path.stat().st_mtime)[:-keep]:
        if path.resolve() not in in_use:
            shutil.rmtree(path)
