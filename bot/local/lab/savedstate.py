"""The settled state of a lab, kept in the cache under a hash of all that it was made from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.local.lab.commands import run
from bot.local.lab.image import Image
from bot.local.lab.places import Progress, alone, cache_root, forget
from bot.local.lab.qemu import KERNEL_ARGUMENTS, MEMORY, accelerator
from bot.local.lab.seed import seed_key

KEPT = 3  # states: each is some 350 MB, and a changed agent or fleet makes a new one
FORMAT = 1  # counted up when QEMU's arguments change: a resume needs the very same ones


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """A directory with each guest's memory, devices and disk, or where they are going to be."""

    home: Path

    @property
    def incomplete(self) -> bool:
        """Whether there is nothing to resume from yet."""
        return not self.home.is_dir()

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A directory to save into; it becomes ``home`` at the end, or is removed when something fails."""
        part = self.home.with_name(self.home.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        try:
            yield part
            part.rename(self.home)
            forget(self.home.parent, keep=KEPT)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def saved_state(image: Image, seeds: Mapping[str, bytes], progress: Progress) -> Iterator[SavedState]:
    """The state for guests of *image* with *seeds*, locked, so that two labs do not make the same one at once."""
    version = run(["qemu-system-x86_64", "--version"]).stdout
    made_from = (FORMAT, image.key, seed_key(seeds), version, accelerator(), MEMORY, KERNEL_ARGUMENTS)
    key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
    with alone(cache_root() / f"state-{key}.lock", progress):
        yield SavedState(home=cache_root() / "states" / key)
