"""Snapshots: what is begun with one goes on as if all had been folded from the beginning, or is not begun with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from datetime import timedelta
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bot.domain.events import (
    Actor,
    Event,
    IncidentAcknowledged,
    MessagePosted,
    MuteSet,
    OperationKind,
    OperationRequested,
    OverrideSet,
    Recorded,
    Step,
    Via,
)
from bot.domain.fleet import Fleet
from bot.domain.health import Outcome
from bot.flows.chronicle import MESSAGES, Chronicle, World, fold
from bot.flows.packing import packer
from bot.flows.ports import Entry, JournalUnavailable
from bot.flows.projecting import projection
from bot.flows.snapshots import CODE, Snapshot, Snapshots, Unusable, made, name_of, opened
from tests.adapters.journal.test_codec import PLAIN
from tests.domain.reference import FLEET, NOON, SITE, Pen
from tests.domain.test_incidents import clean_stop, died
from tests.fakes.journal import MemoryJournal, Store

ALICE = Actor(id="U1", name="alice", via=Via.SLACK)
STEP = Step(number=1, director="sv1", service="http", argv=("ipvsadm",), before=1, after=0)


def a_bit_of_everything() -> list[Event]:
    """Events that leave something in every part of the world."""
    return [
        *(line.event for line in died().lines),
        *(line.event for line in clean_stop().lines),
        MuteSet(cluster="site", subject="web1", until=NOON + timedelta(days=1), by=ALICE),
        OperationRequested(
            operation="op-1", kind=OperationKind.DRAIN, cluster="site", real_server="web1", by=ALICE, steps=(STEP,)
        ),
        OverrideSet(cluster="site", real_server="web1", operation="op-1", by=ALICE, weights=(("sv1", "http", 1),)),
        MessagePosted(key="incident:site:2", channel="C1", ts="1.1", digest="d"),
        MessagePosted(key="operation:op-1", channel="C1", ts="1.2", digest="d"),
        IncidentAcknowledged(cluster="site", incident=2, by=ALICE),
    ]


def folded(world: World, lines: list[Recorded]) -> World:
    for line in lines:
        fold(world, line, FLEET)
    return world


def through_a_snapshot(world: World) -> World:
    return opened(made(world, "me"), world.sequence)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Every value that fits a type hint of the domain."""
    if hint in PLAIN:
        return PLAIN[hint]
    if is_dataclass(hint) and isinstance(hint, type):
        return st.builds(hint, **{name: values_of(inner) for name, inner in get_type_hints(hint).items()})
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return st.one_of(*map(values_of, arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments))
    if origin is frozenset:
        return st.frozensets(values_of(arguments[0]), max_size=2)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(*map(values_of, arguments), max_size=2)
    return st.from_type(hint)


@settings(max_examples=60, deadline=None)
@given(values_of(World))
def test_whatever_a_world_may_hold_comes_back_equal(world: World) -> None:
    assert through_a_snapshot(world) == world


@settings(deadline=None)
@given(events=st.permutations(a_bit_of_everything()), cuts=st.sets(st.integers(0, 30), max_size=3))
def test_folding_on_from_snapshots_ends_where_folding_from_the_beginning_does(
    events: list[Event], cuts: set[int]
) -> None:
    pen = Pen()
    for second, event in enumerate(events):
        pen.at(second, event)
    world = World.of(FLEET)
    for number, line in enumerate(pen.lines):
        if number in cuts:
            world = through_a_snapshot(world)
        fold(world, line, FLEET)
    whole = folded(World.of(FLEET), pen.lines)
    assert world == whole
    # What the folds do next may depend on the order of what they hold.
    assert list(world.posted) == list(whole.posted)
    assert list(world.operations.by_id) == list(whole.operations.by_id)


def test_a_snapshot_shows_nothing_that_is_folded_in_after_it() -> None:
    lines = died().lines
    world = folded(World.of(FLEET), lines[:5])
    copy = world.copy()
    folded(world, [*lines[5:], replace(lines[-1], event=MessagePosted(key="k", channel="C", ts="1", digest="d"))])
    assert copy == folded(World.of(FLEET), lines[:5])


# --- which snapshot is used -----------------------------------------------------------------------------------------


@dataclass
class Desk:
    """A journal with its snapshots, opened again and again."""

    store: Store

    def open(self, fleet: Fleet = FLEET, every: int = 1) -> tuple[Chronicle, Snapshots, ReadingJournal]:
        journal = ReadingJournal(self.store)
        chronicle = Chronicle(journal, fleet)
        return chronicle, Snapshots(chronicle, journal, every=every), journal

    async def write(self, *events: Event) -> None:
        await MemoryJournal(self.store).append(*(Entry(event=event) for event in events))

    async def snapshot(self) -> World:
        """One more, of everything so far."""
        chronicle, snapshots, _ = self.open()
        await chronicle.catch_up()
        await snapshots.keep()
        return chronicle.world


class ReadingJournal(MemoryJournal):
    """Says from where it was read first."""

    first_read: int | None = None

    async def read(self, *, after: int = 0, kinds: Any = (), limit: int = 1000) -> tuple[Recorded, ...]:
        self.first_read = after if self.first_read is None else self.first_read
        return await super().read(after=after, kinds=kinds, limit=limit)


@pytest.fixture
async def desk() -> Desk:
    desk = Desk(Store())
    events = a_bit_of_everything()
    await desk.write(*events[:12])
    await desk.snapshot()
    await desk.write(*events[12:18])
    await desk.snapshot()
    await desk.write(*events[18:])
    return desk


async def world_without(desk: Desk, fleet: Fleet = FLEET) -> World:
    chronicle, _, _ = desk.open(fleet)
    await chronicle.catch_up()
    return chronicle.world


async def begun(desk: Desk, fleet: Fleet = FLEET) -> int | None:
    """From where the journal is read at a start; the world is then the same as without any snapshot."""
    chronicle, snapshots, journal = desk.open(fleet)
    assert await snapshots.recall() == chronicle.world.sequence
    await chronicle.catch_up()
    assert chronicle.world == await world_without(desk, fleet)
    return journal.first_read


async def test_a_start_folds_only_what_came_after_the_newest_snapshot(desk: Desk) -> None:
    assert await begun(desk) == 18


async def test_only_the_two_newest_are_kept_and_none_is_made_of_what_there_is_one_of(desk: Desk) -> None:
    world = await desk.snapshot()
    assert sorted(desk.store.snapshots) == [18, world.sequence]
    before = dict(desk.store.snapshots)
    _, snapshots, journal = desk.open()
    await snapshots.recall()
    journal.fail = "nothing may be written"
    await snapshots.keep()
    assert desk.store.snapshots == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: replace(s, body=s.body[:-1] + bytes([s.body[-1] ^ 1])),
        lambda s: replace(s, body=s.body[:100]),
        lambda s: replace(s, body=b""),
        lambda s: replace(s, digest="0"),
        lambda s: replace(s, made_by="somebody else"),
        lambda s: replace(made(World.of(FLEET), s.made_by), sequence=18),
        lambda s: replace(made(World.of(FLEET), s.made_by), sequence=1000),
    ],
    ids=["a flipped bit", "cut off", "empty", "digest", "other code", "another place", "beyond the journal's end"],
)
async def test_a_damaged_one_is_passed_over_for_the_one_before_it(desk: Desk, damage: Any) -> None:
    broken: Snapshot = damage(desk.store.snapshots.pop(18))
    desk.store.snapshots[broken.sequence] = broken
    assert await begun(desk) == 12


async def test_without_a_usable_one_the_journal_is_folded_from_the_beginning(desk: Desk) -> None:
    desk.store.snapshots = {n: replace(s, digest="0") for n, s in desk.store.snapshots.items()}
    assert await begun(desk) == 0


async def test_one_of_another_fleet_is_not_used(desk: Desk) -> None:
    lighter = replace(SITE.vrrp_instances[0], priorities=(("sv1", 90), ("sv2", 100)))
    other = Fleet(clusters=(replace(SITE, vrrp_instances=(lighter,)),))
    assert await begun(desk, other) == 0


async def test_a_store_that_cannot_be_read_or_written_costs_the_snapshot_and_nothing_else(desk: Desk) -> None:
    chronicle, snapshots, journal = desk.open()
    journal.fail = "the disk is gone"
    assert await snapshots.recall() == 0
    journal.fail = None
    await chronicle.catch_up()
    journal.fail = "the disk is gone"
    await snapshots.keep()
    with pytest.raises(JournalUnavailable):
        await journal.last_sequence()
    assert chronicle.world == await world_without(desk)


async def test_a_chronicle_that_has_begun_cannot_begin_with_another_world(desk: Desk) -> None:
    chronicle, _, _ = desk.open()
    await chronicle.catch_up()
    with pytest.raises(ValueError, match="cannot begin anew"):
        chronicle.resume(World.of(FLEET))


async def test_a_long_way_through_the_journal_is_told_on_the_way(desk: Desk) -> None:
    chronicle = Chronicle(MemoryJournal(desk.store), FLEET, progress_s=0.0)
    with capture_logs() as logged:
        await chronicle.catch_up()
    last = len(desk.store.recorded)
    assert {"event": "folding the journal", "log_level": "info", "sequence": last, "of": last} in logged


def test_what_is_not_a_world_inside_is_said_to_be_unusable() -> None:
    strange = made(World.of(FLEET), "me")
    with pytest.raises(Unusable, match="it reaches to 0"):
        opened(replace(strange, sequence=3), 5)


def test_the_name_changes_with_the_fleet_and_with_nothing_else() -> None:
    assert name_of(FLEET) == name_of(replace(FLEET))
    assert name_of(FLEET) != name_of(Fleet(clusters=()))


def test_all_the_code_that_folds_is_part_of_the_name() -> None:
    """A module that the folds import, and that is not digested, could change and leave snapshots of old folds valid."""
    program = "import sys, bot.flows.chronicle; print(*(n for n in sys.modules if n.split('.')[0] == 'bot'))"
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    digested = tuple(f"bot.{part.removesuffix('.py').replace('/', '.')}" for part in CODE)
    # ports.py imports the messages that Slack is given, for its Messenger's signatures only.
    besides = {"bot", "bot.flows", "bot.views", "bot.views.message"}
    assert {name for name in printed.split() if not name.startswith(digested)} <= besides


@pytest.mark.parametrize("hint", [list[int], set[str], object, bytes, dict[str, complex]])
def test_a_type_that_would_not_come_back_is_refused_in_words(hint: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot be packed: teach bot/flows/packing\.py"):
        packer(hint)


# --- what is remembered of messages ---------------------------------------------------------------------------------


def test_messages_of_long_ago_are_forgotten_and_none_is_ever_posted_twice() -> None:
    """A year of incidents, each told and resolved as the announcer would; one of the first stays open all the time."""
    world, pen = World.of(FLEET), Pen().all_well(0)
    project = projection({"site": "C1"}, lambda _operation: None)
    ever: set[str] = set()

    def tell() -> None:
        now = pen.lines[-1].recorded_at
        for announcement in list(project(world, now)):
            known = world.posted.get(announcement.key)
            assert known or announcement.key not in ever, f"{announcement.key} would be posted twice"
            if known is None or known.digest != announcement.digest:
                ever.add(announcement.key)
                said = MessagePosted(key=announcement.key, channel="C1", ts="1.1", digest=announcement.digest)
                pen.at((now - NOON).total_seconds(), said)
                fold(world, pen.lines[-1], FLEET)

    def happens(write: Pen) -> None:
        fold(world, write.lines[-1], FLEET)
        tell()

    happens(pen.silent(1, "sv2"))
    happens(pen.all_well(2))
    for number in range(700):
        seconds = 12 * 3600.0 * (number + 1)
        happens(pen.probe(seconds, "http", "web1", Outcome.UNHEALTHY))
        happens(pen.silent(seconds + 20, "sv2"))
        happens(pen.probe(seconds + 60, "http", "web1", Outcome.HEALTHY, ""))
        tell()
        assert len(world.posted) <= MESSAGES
    assert len(ever) > 2 * 600
    assert world.incidents["site"].open
