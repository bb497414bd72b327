"""What an event comes to is worked out while the disk is busy with it, and is told only once the disk has it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot.adapters.journal import SqlJournal, open_journal, writer
from bot.domain import incidents
from bot.domain.events import BotStarted, Event, HealthChanged, MessagePosted, Recorded
from bot.domain.health import Outcome
from bot.flows.chronicle import Chronicle, World
from bot.flows.ports import Entry, JournalUnavailable
from tests.domain.reference import FLEET, NOON, Pen
from tests.domain.test_incidents import died
from tests.fakes.journal import MemoryJournal

DOWN = HealthChanged(
    cluster="site", service="http", real_server="web1", outcome=Outcome.UNHEALTHY, reason="refused", since=NOON
)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqlJournal]:
    journal = await open_journal(f"sqlite:///{tmp_path}/journal.db")
    yield journal
    await journal.close()


def started(number: int, key: str | None = None) -> Entry:
    return Entry(event=BotStarted(version="1", runner=str(number)), source_key=key)


async def test_an_entry_alone_is_foretold_as_it_is_recorded(journal: SqlJournal) -> None:
    await journal.append(started(0))  # before it, nobody knows which numbers are taken
    foreseen: list[Recorded] = []
    journal.foretell(foreseen.append)
    (first,) = await journal.append(started(1, "k"))
    assert await journal.append(started(2, "k")) == (None,), "it is known: what was foreseen does not happen"
    await journal.append(started(3), started(4))
    (last,) = await journal.append(started(5))
    assert [id(recorded) for recorded in (foreseen[0], foreseen[2])] == [id(first), id(last)]
    assert [recorded.sequence for recorded in foreseen] == [2, 3, 5]
    assert [recorded.sequence for recorded in await journal.read()] == [1, 2, 3, 4, 5]


async def test_what_another_process_was_quicker_with_comes_first(tmp_path: Path, journal: SqlJournal) -> None:
    """A terminal command writes to the same file: its entry has the number that ours was foretold to get."""
    chronicle = Chronicle(journal, FLEET)
    told: list[Recorded] = []
    chronicle.listen(told.append)
    foreseen: list[Recorded] = []

    def foresee(recorded: Recorded) -> None:
        foreseen.append(recorded)
        chronicle.foresee(recorded)

    journal.foretell(foresee)
    await chronicle.append(started(1))
    other = await open_journal(f"sqlite:///{tmp_path}/journal.db")
    try:
        await other.append(Entry(event=DOWN))
    finally:
        await other.close()
    await chronicle.append(started(2))
    assert [recorded.sequence for recorded in foreseen] == [2]
    kinds = [(recorded.sequence, type(recorded.event).__name__) for recorded in told]
    assert kinds == [(1, "BotStarted"), (2, "HealthChanged"), (3, "BotStarted")]
    assert [r.recorded_at for r in told] == sorted(r.recorded_at for r in told)
    assert chronicle.world.situations["site"].health, "the other's was folded, and not what was foreseen in its place"
    (last,) = await chronicle.append(started(4))
    assert last is foreseen[-1]


@pytest.mark.parametrize(("code", "unsure"), [(None, False), (5, False), (10, True), (10 | 4 << 8, True)])
async def test_an_entry_alone_that_the_store_does_not_take_is_said_to_be_kept_or_not(
    journal: SqlJournal, monkeypatch: pytest.MonkeyPatch, code: int | None, unsure: bool
) -> None:
    """SQLITE_BUSY (5) and what never came to SQLite have written nothing; of SQLITE_IOERR (10) it is not known."""
    await journal.append(started(1))
    error = sqlite3.OperationalError("the store is at fault")
    if code is not None:
        error.sqlite_errorcode = code

    def fails(*_: object) -> bool:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(writer, "append_as_expected", fails)
        with pytest.raises(JournalUnavailable) as caught:
            await journal.append(started(2))
    assert ("not known" in str(caught.value)) is unsure
    (recorded,) = await journal.append(started(3))
    assert recorded is not None
    assert recorded.sequence == 2


async def test_nothing_is_prepared_from_what_the_bot_says_itself(journal: SqlJournal) -> None:
    """Its record may fail; a page that was drawn up as if it stood would keep it from ever being recorded."""
    chronicle = Chronicle(journal, FLEET)
    rehearsed: list[World] = []
    chronicle.rehearse(rehearsed.append)
    journal.foretell(chronicle.foresee)
    await chronicle.append(started(1))
    await chronicle.append(Entry(event=MessagePosted(key="incident:site:1", channel="C1", ts="1.0", digest="d")))
    assert rehearsed == []
    assert chronicle.world.posted["incident:site:1"].digest == "d"
    await chronicle.append(Entry(event=DOWN))
    assert len(rehearsed) == 1


async def test_what_cannot_be_prepared_is_recorded_all_the_same(journal: SqlJournal) -> None:
    chronicle = Chronicle(journal, FLEET)
    journal.foretell(chronicle.foresee)
    await chronicle.append(started(1))

    def fails(_: World) -> None:
        raise KeyError("web9")

    chronicle.rehearse(fails)
    (recorded,) = await chronicle.append(started(2))
    assert recorded is not None
    assert chronicle.world.sequence == 2


async def test_what_was_foreseen_is_the_world_as_it_is_folded(journal: SqlJournal) -> None:
    """The same events through a chronicle that foresees and through one that does not."""
    seeing = Chronicle(journal, FLEET)
    rehearsed: list[World] = []
    seeing.rehearse(rehearsed.append)
    told: list[int] = []
    seeing.listen(lambda recorded: told.append(recorded.sequence))
    journal.foretell(seeing.foresee)
    await seeing.append(started(1))
    for line in died().lines:
        await seeing.append(Entry(event=line.event))
    plain = Chronicle(journal, FLEET)
    await plain.catch_up()
    assert seeing.world == plain.world
    assert len(rehearsed) == len(told) - 1 == len(died().lines)


async def test_nothing_shows_of_what_the_disk_did_not_take() -> None:
    chronicle = Chronicle(MemoryJournal(), FLEET)
    told: list[Recorded] = []
    chronicle.listen(told.append)
    before = chronicle.world.copy()
    foreseen = Pen().at(0, DOWN).lines[0]
    chronicle.foresee(foreseen)
    assert chronicle.world == before
    assert told == []
    other: Event = BotStarted(version="1", runner="r")
    await chronicle.append(Entry(event=other))  # takes the number that the other had been given
    assert [recorded.event for recorded in told] == [other]
    assert not chronicle.world.incidents["site"].all


async def test_what_comes_out_of_turn_is_not_foreseen() -> None:
    chronicle = Chronicle(MemoryJournal(), FLEET)
    rehearsed: list[World] = []
    chronicle.rehearse(rehearsed.append)
    chronicle.foresee(Pen().at(0, DOWN).at(1, DOWN).lines[1])
    assert rehearsed == []


@pytest.mark.parametrize("foresees", [True, False])
async def test_an_event_that_cannot_be_folded_is_passed_over_and_said_in_the_log(
    journal: SqlJournal, monkeypatch: pytest.MonkeyPatch, foresees: bool
) -> None:
    """It is in the journal for ever: a bot that ended at it would end at each start."""
    chronicle = Chronicle(journal, FLEET)
    told: list[int] = []
    chronicle.listen(lambda recorded: told.append(recorded.sequence))
    rehearsed: list[World] = []
    chronicle.rehearse(rehearsed.append)
    if foresees:
        journal.foretell(chronicle.foresee)
    await chronicle.append(Entry(event=started(1).event))
    before = chronicle.world.copy()
    real = incidents.fold

    def fails(*args: object) -> object:
        raise KeyError("sv3")

    monkeypatch.setattr(incidents, "fold", fails)
    with capture_logs() as logs:
        await chronicle.append(Entry(event=DOWN))
    assert [(entry["sequence"], entry["kind"]) for entry in logs] == [(2, "HealthChanged")]
    assert chronicle.world.sequence == 2
    before.sequence = 2
    assert chronicle.world == before, "nothing of it shows: not in the situation either"
    monkeypatch.setattr(incidents, "fold", real)
    await chronicle.append(started(3))
    assert told == [1, 2, 3]
    assert len(rehearsed) == (1 if foresees else 0)
