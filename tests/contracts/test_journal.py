"""What every journal promises: the fake in memory, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.adapters.journal import SqlJournal, open_journal
from bot.domain.events import AgentGap, BotStarted, Recorded
from bot.domain.health import Outcome, ProbeResult
from bot.flows.ports import Entry, JournalUnavailable
from bot.flows.snapshots import Snapshot
from tests.fakes.journal import MemoryJournal, Store

AnyJournal = MemoryJournal | SqlJournal
Opener = Callable[[], Awaitable[AnyJournal]]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def started(number: int, key: str | None = None) -> Entry:
    return Entry(event=BotStarted(version="1", runner=str(number)), source_key=key)


def runners(recorded: tuple[Recorded, ...]) -> list[str]:
    return [r.event.runner for r in recorded if isinstance(r.event, BotStarted)]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def opener(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens the same journal again and again, as separate processes would; closes what was opened."""
    opened: list[AnyJournal] = []
    store = Store()
    url = f"sqlite:///{tmp_path}/new/journal.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database()

    async def open_one() -> AnyJournal:
        journal = (
            MemoryJournal(store)
            if request.param == "memory"
            else await open_journal(url, poll_s=0.01, busy_timeout_s=2)
        )
        opened.append(journal)
        return journal

    yield open_one
    for journal in opened:
        await journal.close()


@pytest.fixture
async def journal(opener: Opener) -> AnyJournal:
    return await opener()


async def test_a_new_journal_is_empty(journal: AnyJournal) -> None:
    assert await journal.last_sequence() == 0
    assert await journal.read() == ()


async def test_entries_are_numbered_from_one_in_the_order_in_which_they_were_appended(journal: AnyJournal) -> None:
    first = await journal.append(started(1), started(2))
    second = await journal.append(started(3))
    assert [r.sequence for r in (*first, *second) if r] == [1, 2, 3]
    assert await journal.read() == (*first, *second)
    assert await journal.last_sequence() == 3


async def test_what_is_appended_at_the_same_time_keeps_the_order_of_the_calls(journal: AnyJournal) -> None:
    results = await asyncio.gather(*(journal.append(started(n), started(n)) for n in range(200)))
    sequences = [r.sequence for result in results for r in result if r]
    assert sequences == list(range(1, 401))
    assert runners(await journal.read()) == [str(n) for n in range(200) for _ in "ab"]


async def test_appending_nothing_records_nothing(journal: AnyJournal) -> None:
    assert await journal.append() == ()
    assert await journal.last_sequence() == 0


async def test_a_source_key_is_recorded_once_however_often_it_comes(opener: Opener, journal: AnyJournal) -> None:
    assert [r and r.sequence for r in await journal.append(started(1, "k"), started(2, "k"), started(3))] == [
        1,
        None,
        2,
    ]
    assert await journal.append(started(4, "k")) == (None,)
    together = await asyncio.gather(*(journal.append(started(n, "other")) for n in range(20)))
    assert [r.sequence for (r,) in together if r] == [3]
    another = await opener()
    assert await another.append(started(5, "k"), started(6, "other")) == (None, None)
    assert runners(await another.read()) == ["1", "3", "0"]


async def test_entries_without_a_source_key_are_all_recorded(journal: AnyJournal) -> None:
    await journal.append(started(1), started(1))
    assert runners(await journal.read()) == ["1", "1"]


async def test_many_source_keys_in_one_append_are_told_apart(journal: AnyJournal) -> None:
    await journal.append(*(started(n, f"key {n}") for n in range(0, 1500, 2)))
    again = await journal.append(*(started(n, f"key {n}") for n in range(1500)))
    assert [n for n, r in enumerate(again) if r] == list(range(1, 1500, 2))


async def test_reading_can_be_limited_by_place_kind_and_number(journal: AnyJournal) -> None:
    gap = Entry(event=AgentGap(cluster="site", director="sv1", lost=0, why="restart"))
    await journal.append(started(1), gap, started(2), gap, started(3))
    assert [r.sequence for r in await journal.read(after=2)] == [3, 4, 5]
    assert [r.sequence for r in await journal.read(limit=2)] == [1, 2]
    assert [r.sequence for r in await journal.read(kinds=["AgentGap"])] == [2, 4]
    assert [r.sequence for r in await journal.read(kinds=["BotStarted", "AgentGap"], after=1, limit=3)] == [2, 3, 4]
    assert await journal.read(kinds=["NoSuchKind"]) == ()
    assert await journal.read(after=5) == ()


async def test_the_time_at_the_source_is_kept_in_utc_and_is_that_of_recording_where_none_is_given(
    journal: AnyJournal,
) -> None:
    event = BotStarted(version="1", runner="r")
    there = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=-7)))
    given_there, given_none = await journal.append(Entry(event=event, at_source=there), Entry(event=event))
    assert given_there and given_none
    assert given_there.at_source == there
    assert given_there.at_source.utcoffset() == timedelta(0)
    assert given_none.at_source == given_none.recorded_at
    assert await journal.read() == (given_there, given_none)


async def test_a_time_without_a_zone_is_refused_and_nothing_is_recorded(journal: AnyJournal) -> None:
    naive = Entry(event=BotStarted(version="1", runner="r"), at_source=NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="no time zone"):
        await journal.append(started(1), naive)
    assert await journal.last_sequence() == 0


async def test_an_event_that_would_not_read_back_is_refused_and_nothing_is_recorded(journal: AnyJournal) -> None:
    wrong = Entry(event=BotStarted(version="1", runner=7))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="BotStarted"):
        await journal.append(started(1), wrong)
    assert await journal.last_sequence() == 0


async def test_text_of_any_kind_comes_back_as_it_was(journal: AnyJournal) -> None:
    texts = ["", "ä€😀", "\x00\x01\n\t", "'; DROP TABLE journal; --", '{"a": 1}', "%s %(x)s :x ?", "\u2028"]
    await journal.append(*(Entry(event=BotStarted(version=text, runner="r")) for text in texts))
    assert [r.event.version for r in await journal.read() if isinstance(r.event, BotStarted)] == texts


async def test_entries_outlive_the_journal_that_wrote_them(opener: Opener, journal: AnyJournal) -> None:
    recorded = await journal.append(started(1, "k"))
    await journal.close()
    assert await (await opener()).read() == recorded


async def test_closing_waits_for_what_is_queued_and_refuses_what_comes_later(
    opener: Opener, journal: AnyJournal
) -> None:
    queued = [asyncio.create_task(journal.append(started(n))) for n in range(50)]
    await asyncio.sleep(0)
    await journal.close()
    await journal.close()
    assert all([await task for task in queued])
    for use in (journal.append(started(99)), journal.read(), journal.last_sequence()):
        with pytest.raises(JournalUnavailable, match="closed"):
            await use
    assert await (await opener()).last_sequence() == 50


async def test_what_another_process_appends_is_read_and_numbered_in_one_order(opener: Opener) -> None:
    one, two = await opener(), await opener()
    for number in range(5):
        await one.append(started(number * 2))
        await two.append(started(number * 2 + 1))
    assert runners(await one.read()) == [str(n) for n in range(10)]
    assert await one.read() == await two.read()


async def test_waiting_for_news_ends_at_an_entry_of_this_process(journal: AnyJournal) -> None:
    waiting = asyncio.create_task(journal.wait_for_news(0))
    await asyncio.sleep(0)
    await journal.append(started(1))
    assert await waiting == 1
    assert await journal.wait_for_news(0) == 1


async def test_waiting_for_news_ends_at_an_entry_of_another_process(opener: Opener) -> None:
    one, two = await opener(), await opener()
    await two.append(started(1))
    waiting = asyncio.create_task(one.wait_for_news(1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await two.append(started(2))
    assert await waiting == 2


async def test_following_gives_what_is_there_and_what_comes_each_once(opener: Opener) -> None:
    one, two = await opener(), await opener()
    await one.append(started(1), started(2))
    seen: list[int] = []

    async def follow() -> None:
        async for recorded in one.follow(after=1):
            seen.append(recorded.sequence)
            if recorded.sequence == 5:
                return

    following = asyncio.create_task(follow())
    await two.append(started(3))
    await one.append(started(4))
    await two.append(started(5))
    await following
    assert seen == [2, 3, 4, 5]


async def test_samples_are_kept_by_probe_and_stay_out_of_the_journal(journal: AnyJournal) -> None:
    results = [
        ProbeResult(
            probe=f"vip:{n % 2}",
            outcome=Outcome.HEALTHY if n else Outcome.UNHEALTHY,
            started_at=NOON + timedelta(seconds=n),
            latency_s=n / 7,
            reason="" if n else "refused",
        )
        for n in range(6)
    ]
    await journal.add_samples(results)
    await journal.add_samples([])
    assert await journal.samples("vip:0", since=NOON) == tuple(results[0::2])
    assert await journal.samples("vip:1", since=NOON + timedelta(seconds=2)) == (results[3], results[5])
    assert await journal.samples("vip:0", since=NOON, limit=1) == (results[0],)
    assert await journal.last_sequence() == 0


async def test_retention_deletes_the_older_samples_only(journal: AnyJournal) -> None:
    results = [
        ProbeResult(probe="p", outcome=Outcome.HEALTHY, started_at=NOON + timedelta(seconds=n), latency_s=0.1)
        for n in range(12_000)
    ]
    await journal.add_samples(results)
    await journal.append(started(1))
    assert await journal.retain_samples(NOON) == 0
    assert await journal.retain_samples(NOON + timedelta(seconds=11_000)) == 11_000
    assert await journal.samples("p", since=NOON) == tuple(results[11_000:])
    assert await journal.retain_samples(NOON + timedelta(days=1)) == 1000
    assert await journal.last_sequence() == 1


def snapshot(sequence: int, body: bytes = b"\x00\xffbody") -> Snapshot:
    return Snapshot(sequence=sequence, made_by="me", digest="d", body=body)


async def test_the_two_newest_snapshots_are_kept_and_the_newest_comes_first(
    opener: Opener, journal: AnyJournal
) -> None:
    assert await journal.snapshots() == ()
    for sequence in (3, 20, 100):
        await journal.keep_snapshot(snapshot(sequence))
    assert await journal.snapshots() == (snapshot(100), snapshot(20))
    await journal.keep_snapshot(snapshot(5))
    await journal.keep_snapshot(snapshot(100, b"another"))
    assert await (await opener()).snapshots() == (snapshot(100, b"another"), snapshot(20))
    assert await journal.last_sequence() == 0


async def test_one_bot_at_a_time_holds_the_lock_while_others_may_append(opener: Opener) -> None:
    one, two = await opener(), await opener()
    await one.hold_bot_lock()
    await one.hold_bot_lock()
    with pytest.raises(JournalUnavailable, match="another `bot run`"):
        await two.hold_bot_lock()
    assert await two.append(started(1)) != (None,)
    await one.close()
    await two.hold_bot_lock()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    appends=st.lists(
        st.tuples(st.booleans(), st.lists(st.one_of(st.none(), st.sampled_from("abcdef")), max_size=4)), max_size=25
    )
)
async def test_whatever_two_processes_append_at_once_is_numbered_without_gaps_and_each_key_once(
    opener: Opener, appends: list[tuple[bool, list[str | None]]]
) -> None:
    run = uuid.uuid4().hex
    journals = await opener(), await opener()
    before = await journals[0].last_sequence()
    entries = [
        (which, tuple(started(n, key and f"{run} {key}") for key in keys)) for n, (which, keys) in enumerate(appends)
    ]
    results = await asyncio.gather(*(journals[which].append(*group) for which, group in entries))
    kept = await journals[1].read(after=before)
    assert [r.sequence for r in kept] == list(range(before + 1, before + 1 + len(kept)))
    acknowledged = sorted((r for result in results for r in result if r), key=lambda r: r.sequence)
    assert tuple(acknowledged) == kept
    keys = {entry.source_key for _, group in entries for entry in group if entry.source_key}
    keyless = sum(entry.source_key is None for _, group in entries for entry in group)
    assert len(kept) == len(keys) + keyless
    for result in results:
        sequences = [r.sequence for r in result if r]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences))) if sequences else True
    for journal in journals:
        await journal.close()
