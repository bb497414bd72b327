"""The cache's and the run directory's habits: locks that may be deleted, and what is forgotten."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from bot.local.lab.places import alone, forget


def test_one_at_a_time_even_when_the_holder_deletes_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    inside: list[int] = []
    seen: list[int] = []

    def enter() -> None:
        for _ in range(50):
            with alone(lock):
                inside.append(1)
                seen.append(len(inside))
                inside.pop()
                lock.unlink()  # the last thing: from here on another may enter

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 200


def test_whoever_has_to_wait_is_told(tmp_path: Path) -> None:
    told = threading.Event()

    def wait() -> None:
        with alone(tmp_path / "lock", lambda _: told.set()):
            pass

    with alone(tmp_path / "lock"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert told.wait(30)
    waiting.join()


def test_the_newest_are_kept_and_one_being_made_is_left_alone(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "middle", "old", "being-made.part"]):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))
    forget(tmp_path, keep=2)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "middle", "being-made.part"}
