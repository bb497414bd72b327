"""The agent's spool: whatever is cut off, damaged, wiped or too much, no line goes without a word about it."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bot.agent.lvs_agent import Agent, Config, Record, Spool

ROOM = 1 << 20


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(str(tmp_path), ROOM)


def taken_off(spool: Spool) -> list[Record]:
    """Everything that *spool* has to deliver, all of it taken by the bot."""
    taken: list[Record] = []
    while batch := spool.unsent():
        taken += batch
        spool.acknowledge(batch[-1].counter)
    return taken


def texts(spool: Spool) -> list[str | None]:
    return [record.line for record in spool.unsent()]


def test_lines_come_back_in_order_until_they_are_acknowledged(spool: Spool) -> None:
    spool.append("a", "b", "c")
    assert texts(spool) == ["a", "b", "c"]
    spool.acknowledge(spool.unsent()[1].counter)
    assert texts(spool) == ["c"]


def test_a_second_process_sees_the_same_queue(spool: Spool, tmp_path: Path) -> None:
    spool.append("a")
    other = Spool(str(tmp_path), ROOM)
    other.append("b")
    spool.append("c")
    assert texts(spool) == texts(other) == ["a", "b", "c"]
    assert len({record.counter for record in spool.unsent()}) == 3


def test_a_wiped_spool_uses_no_counter_again(spool: Spool, tmp_path: Path) -> None:
    spool.append("a", "b")
    used = {record.counter for record in spool.unsent()}
    for path in tmp_path.iterdir():
        path.unlink()
    fresh = Spool(str(tmp_path), ROOM)
    fresh.append("c")
    assert fresh.last_counter() not in used


def wipe(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


@pytest.mark.parametrize("by_another", [False, True])
def test_a_spool_that_is_wiped_under_a_running_agent_goes_on_delivering(tmp_path: Path, by_another: bool) -> None:
    for number in range(20):  # its new counters start anywhere: above the old ones or below
        directory = tmp_path / str(number)
        directory.mkdir()
        spool = Spool(str(directory), ROOM)
        spool.append("a", "b")
        spool.acknowledge(spool.unsent()[-1].counter)
        wipe(directory)
        (Spool(str(directory), ROOM) if by_another else spool).append("c")
        assert spool.last_counter() - spool.sent == 1, "that is what the heartbeats tell"
        assert texts(spool) == ["c"]


def test_what_the_bot_took_of_a_spool_that_was_wiped_meanwhile_says_nothing_of_the_new_one(tmp_path: Path) -> None:
    for number in range(20):
        directory = tmp_path / str(number)
        directory.mkdir()
        spool = Spool(str(directory), ROOM)
        spool.append("a")
        batch = spool.unsent()
        wipe(directory)
        Spool(str(directory), ROOM).append("b")
        spool.acknowledge(batch[-1].counter)
        assert texts(spool) == ["b"]


def test_a_write_that_was_cut_off_becomes_a_gap(tmp_path: Path) -> None:
    Spool(str(tmp_path), ROOM).append("a", "b")
    events = tmp_path / "events"
    events.write_bytes(events.read_bytes()[:-7])
    spool = Spool(str(tmp_path), ROOM)
    spool.append("c")
    first, gap, last = spool.unsent()
    assert (first.line, gap.gap, last.line) == (
        "a",
        {"lost": 1, "why": "a write to the spool was cut off"},
        "c",
    )
    assert first.counter < gap.counter < last.counter


@pytest.mark.parametrize(
    "damage", [b"\0" * 40, b"{}", b'{"boot":1}', b'{"boot":"b","counter":2,"at":NaN,"mono":1}', b""]
)
def test_a_damaged_line_becomes_a_gap_and_the_others_are_delivered(tmp_path: Path, damage: bytes) -> None:
    Spool(str(tmp_path), ROOM).append("a", "b", "c")
    events = tmp_path / "events"
    first, _, third = events.read_bytes().splitlines()
    events.write_bytes(b"\n".join([first, damage, third, b""]))
    spool = Spool(str(tmp_path), ROOM)
    got = taken_off(spool)
    assert [record.line for record in got] == ["a", "c", None]
    assert got[-1].gap == {"lost": 1, "why": "a line of the spool was damaged on the disk"}


@pytest.mark.parametrize("damaged", [[0], [1], [2], [0, 1], [1, 2]])
def test_a_damaged_line_becomes_a_gap_also_where_the_spool_is_rewritten_first(
    tmp_path: Path, damaged: list[int]
) -> None:
    spool = Spool(str(tmp_path), ROOM)
    spool.append("sent", "a", "b", "c")
    spool.acknowledge(spool.unsent()[0].counter)
    events = tmp_path / "events"
    sent, *lines = events.read_bytes().splitlines()
    lines = [b"\0" * 40 if number in damaged else line for number, line in enumerate(lines)]
    events.write_bytes(b"\n".join([sent, *lines, b""]))
    emitter = Spool(str(tmp_path), ROOM)
    for _ in range(2):
        with emitter.locked():
            emitter._compact()
    spool.append("d")
    left = [text for number, text in enumerate("abc") if number not in damaged]
    got = taken_off(spool)
    assert [record.line for record in got] == [*left, None, "d"]
    assert [record.gap["lost"] for record in got if record.gap] == [len(damaged)]
    assert len({record.counter for record in got}) == len(got)


def test_a_rewriting_drops_no_write_that_was_cut_off(spool: Spool, tmp_path: Path) -> None:
    spool.append("a", "b")
    events = tmp_path / "events"
    events.write_bytes(events.read_bytes()[:-7])
    with spool.locked():
        spool._compact()
    assert [(record.line, record.gap is None) for record in taken_off(spool)] == [("a", True), (None, False)]


def test_damage_in_what_the_bot_has_is_no_loss(spool: Spool, tmp_path: Path) -> None:
    spool.append("a", "b")
    spool.acknowledge(spool.unsent()[1].counter)
    events = tmp_path / "events"
    events.write_bytes(b"\n".join([b"\0" * 40, events.read_bytes().splitlines()[1], b""]))
    with spool.locked():
        spool._compact()
    assert taken_off(spool) == []


def test_a_lost_note_of_what_was_sent_means_to_send_it_again_under_the_same_keys(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), ROOM)
    spool.append("a", "b")
    before = spool.unsent()
    spool.acknowledge(before[-1].counter)
    (tmp_path / "sent").write_bytes(b"")
    again = Spool(str(tmp_path), ROOM)
    assert again.unsent() == before


def test_a_full_spool_gives_up_the_oldest_lines_and_says_so_in_their_place(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 8192)
    for number in range(200):
        spool.append(f"line {number}")
    assert (tmp_path / "events").stat().st_size <= 8192
    gap, *rest = spool.unsent()
    assert gap.gap is not None
    assert gap.gap["lost"] + len(rest) == 200
    assert rest[-1].line == "line 199"
    assert [record.counter for record in rest] == list(range(gap.counter + 1, gap.counter + 1 + len(rest)))


def test_where_there_is_no_room_to_rewrite_a_full_spool_each_line_is_stored_once_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo, directory = tmp_path / "fifo", tmp_path / "spool"
    directory.mkdir()
    agent = Agent(
        Config(
            director="sv1",
            url="http://127.0.0.1:1/",
            secret_file="none",
            fifo=str(fifo),
            spool=str(directory),
            spool_max_bytes=4096,
        )
    )
    agent._fifo.look_after()
    keepalived = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    replace = Spool._replace
    room = False

    def replace_if_there_is_room(self: Spool, name: str, data: bytes, durable: bool) -> None:
        if name == "events" and not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(self, name, data, durable)

    monkeypatch.setattr(Spool, "_replace", replace_if_there_is_room)
    said = [f"line {number}" for number in range(60)]
    for line in said:
        os.write(keepalived, line.encode() + b"\n")
    for _ in range(5):
        agent._take_lines()
    os.close(keepalived)
    assert "No space left" in (agent._troubles.told() or "")
    assert [record.line for record in taken_off(Spool(str(directory), ROOM))] == said
    room = True
    agent._take_lines()
    assert agent._troubles.told() is None
    assert (directory / "events").stat().st_size < 4096


def test_a_rewriting_that_found_no_room_leaves_nothing_behind(spool: Spool, tmp_path: Path) -> None:
    spool.append("a")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
    try:
        with spool.locked(), pytest.raises(OSError):
            spool._compact()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list(tmp_path.glob("*.new"))
    assert texts(spool) == ["a"]


def test_a_spool_that_is_always_emptied_does_not_grow(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), ROOM)
    for _ in range(60):
        spool.append(*["x" * 1000] * 20)
        while batch := spool.unsent():
            spool.acknowledge(batch[-1].counter)
    assert (tmp_path / "events").stat().st_size < ROOM // 2


class Queue(RuleBasedStateMachine):
    """Two writers, a deliverer that may lose its answer, and a kill at any point between."""

    @initialize()
    def begin(self) -> None:
        self.home = TemporaryDirectory()
        self.limit = 3000
        self.agent = Spool(self.home.name, self.limit)
        self.emitter = Spool(self.home.name, self.limit)
        self.written = 0
        self.bot: dict[int, Record] = {}

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.deliver_all()
            self.everything_arrived_or_is_covered_by_a_gap()
            self.home.cleanup()

    def lines(self, count: int) -> list[str]:
        first, self.written = self.written, self.written + count
        return [str(number) for number in range(first, first + count)]

    @rule(count=st.integers(1, 8))
    def agent_writes(self, count: int) -> None:
        self.agent.append(*self.lines(count))

    @rule()
    def emitter_writes(self) -> None:
        self.emitter.append(*self.lines(1))

    @rule(answered=st.booleans(), meanwhile=st.integers(0, 12))
    def deliver(self, answered: bool, meanwhile: int) -> None:
        batch = self.agent.unsent()
        for record in batch:
            self.bot.setdefault(record.counter, record)
        if meanwhile:
            self.emitter.append(*self.lines(meanwhile))
        if batch and answered:
            self.agent.acknowledge(batch[-1].counter)

    @rule()
    def agent_is_killed_and_started_again(self) -> None:
        self.agent = Spool(self.home.name, self.limit)

    def deliver_all(self) -> None:
        while batch := self.agent.unsent():
            for record in batch:
                self.bot.setdefault(record.counter, record)
            self.agent.acknowledge(batch[-1].counter)

    @invariant()
    def the_bot_has_each_line_once_and_in_order(self) -> None:
        if hasattr(self, "bot"):
            got = [int(record.line) for _, record in sorted(self.bot.items()) if record.line is not None]
            assert got == sorted(set(got))

    def everything_arrived_or_is_covered_by_a_gap(self) -> None:
        got = {int(record.line) for record in self.bot.values() if record.line is not None}
        told = sum(record.gap["lost"] for record in self.bot.values() if record.gap is not None)
        assert self.written - len(got) <= told
        if self.written:
            assert self.written - 1 in got, "the newest line is never given up"


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_an_emitter_run_by_root_leaves_files_that_the_agents_user_can_write(tmp_path: Path) -> None:
    spool_directory = tmp_path / "spool"
    spool_directory.mkdir()
    try:
        shutil.chown(spool_directory, 65534, 65534)
    except PermissionError:
        return  # not root: then it cannot be run by root either
    Spool(str(spool_directory), ROOM).append("a")
    assert {path.stat().st_uid for path in spool_directory.iterdir()} == {65534}
