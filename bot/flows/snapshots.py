"""Snapshots of what the journal adds up to, so that a start need not fold it from the beginning.

They are a cache, never the truth. One is used only by the very code, and with the very fleet, that made it: its name is
a digest of both. Whatever is wrong with one (its name, its digest, its inside) is logged, and the journal is folded
without it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Protocol

import structlog

from bot.domain.fleet import Fleet
from bot.flows.chronicle import Chronicle, World
from bot.flows.packing import packer
from bot.flows.ports import JournalUnavailable

log = structlog.get_logger(__name__)

EVENTS = 2000  # so many may have to be folded at a start after a crash: a fraction of a second
LOOK_S = 10.0  # no more often than this, however fast events come in
CODE = ("domain", "flows/chronicle.py", "flows/packing.py", "flows/ports.py", "flows/snapshots.py")
"""What decides how a journal is folded and how that is packed, below ``bot/``: a change of it voids every snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the first ``sequence`` events add up to, packed, with the ``digest`` of that; ``made_by`` names the code."""

    sequence: int
    made_by: str
    digest: str
    body: bytes


class SnapshotStore(Protocol):
    """Where snapshots are kept, beside the journal. Losing them costs time and nothing else."""

    async def last_sequence(self) -> int:
        """The highest sequence recorded so far; 0 for an empty journal."""
        ...

    async def keep_snapshot(self, snapshot: Snapshot) -> None:
        """Keep *snapshot* and of the others only the newest. Raises JournalUnavailable."""
        ...

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """The two that are kept, the newest first. Raises JournalUnavailable."""
        ...


class Unusable(Exception):
    """A snapshot is damaged, or does not belong to this journal; the message says which."""


class Snapshots:
    """Makes snapshots of *chronicle*'s world now and then, and begins a new chronicle with the last one."""

    def __init__(
        self, chronicle: Chronicle, store: SnapshotStore, *, every: int = EVENTS, look_s: float = LOOK_S
    ) -> None:
        self._chronicle = chronicle
        self._store = store
        self._every = every
        self._look_s = look_s
        self._made_by = name_of(chronicle.fleet)
        self._last = 0

    async def recall(self) -> int:
        """Begin with the newest snapshot that can be used; the sequence that it reaches to, 0 where there is none."""
        try:
            kept = await self._store.snapshots()
            last = await self._store.last_sequence()
        except JournalUnavailable as error:
            log.warning("no snapshot could be read: the journal is folded from the beginning", error=str(error))
            return 0
        for snapshot in kept:
            if snapshot.made_by != self._made_by:
                log.info("a snapshot of other code or of another fleet is passed over", sequence=snapshot.sequence)
                continue
            try:
                world = await asyncio.to_thread(opened, snapshot, last)
            except Unusable as error:
                log.warning("a snapshot is damaged and passed over", sequence=snapshot.sequence, error=str(error))
                continue
            self._chronicle.resume(world)
            self._last = world.sequence
            return world.sequence
        return 0

    async def run(self) -> None:
        """Make one whenever enough has come in since the last, until cancelled."""
        while True:
            if self._chronicle.world.sequence - self._last >= self._every:
                await self.keep()
            await asyncio.sleep(self._look_s)

    async def keep(self) -> None:
        """Make one now, unless there is nothing new. What goes wrong is logged: the next one may do."""
        world = self._chronicle.world.copy()
        if world.sequence == self._last:
            return
        try:
            # All that the copy holds is frozen: the thread packs it while the loop goes on folding.
            await self._store.keep_snapshot(await asyncio.to_thread(made, world, self._made_by))
        except Exception as error:
            log.warning("no snapshot was made", sequence=world.sequence, error=str(error))
        # After a failure too: it is not tried again before there is something new to try it with.
        self._last = world.sequence


def made(world: World, made_by: str) -> Snapshot:
    """The snapshot of *world*, which nobody changes meanwhile."""
    packed = packer(World).pack(world)
    body = zlib.compress(json.dumps(packed, separators=(",", ":")).encode(), 1)
    return Snapshot(sequence=world.sequence, made_by=made_by, digest=hashlib.sha256(body).hexdigest(), body=body)


def opened(snapshot: Snapshot, last: int) -> World:
    """The world in *snapshot* of a journal that ends at *last*. Raises Unusable."""
    if snapshot.sequence > last:
        raise Unusable(f"the journal ends before it, at {last}")
    if hashlib.sha256(snapshot.body).hexdigest() != snapshot.digest:
        raise Unusable("it is not what was written")
    try:
        world: World = packer(World).unpack(json.loads(zlib.decompress(snapshot.body)))
    except Exception as error:  # whatever it is: the journal has everything that it could have said
        raise Unusable(f"{type(error).__name__}: {error}") from error
    if world.sequence != snapshot.sequence:
        raise Unusable(f"it reaches to {world.sequence}")
    return world


def name_of(fleet: Fleet) -> str:
    """A digest of the code that folds the journal and of *fleet*, by which it folds."""
    packed = json.dumps(packer(Fleet).pack(fleet))
    return hashlib.sha256(f"{_code()}\n{packed}".encode()).hexdigest()[:32]


@cache
def _code() -> str:
    digest = hashlib.sha256()
    for part in CODE:
        for path, source in _sources(files("bot").joinpath(part), part):
            digest.update(f"{path} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def _sources(place: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    """Every Python file at or below *place*, in an order that is always the same."""
    if place.is_file():
        if path.endswith(".py"):
            yield path, place.read_bytes()
        return
    for inner in sorted(place.iterdir(), key=lambda inner: inner.name):
        yield from _sources(inner, f"{path}/{inner.name}")
