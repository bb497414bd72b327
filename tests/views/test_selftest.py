"""A self-test as people read it: whether alerts come through, what each stage took, what is wrong and what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.events import Actor, SelfTestFinished, Via
from bot.domain.selftest import SLACK, SelfTest, Stage
from bot.views.selftest import headline, selftest_lines, selftest_message
from tests.views import strange
from tests.views.slack import assert_slack_takes, shown

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
THROUGH = SelfTestFinished(
    cluster="site",
    test="0123abcd",
    stages=(
        ("sv1", Stage.COMMAND, 61.2),
        ("sv1", Stage.READ, 0.41),
        ("sv1", Stage.RECEIVED, 3.9),
        ("sv1", Stage.JOURNALLED, 2.2),
        ("sv2", Stage.COMMAND, 1058.0),
        ("sv2", Stage.READ, 0.52),
        ("sv2", Stage.RECEIVED, 30.0),
        ("sv2", Stage.JOURNALLED, 2.3),
        (SLACK, Stage.POSTED, 34.5),
    ),
    margins=(("sv1", Stage.RECEIVED, 2.7), ("sv2", Stage.RECEIVED, 12.0)),
)
TEST = SelfTest(
    id="0123abcd",
    cluster="site",
    by=ALICE,
    channel="C0SITE",
    started_at=NOON,
    heard=("sv1", "sv2"),
    first_heard_at=NOON,
    finished=THROUGH,
    finished_at=NOON,
)
LOST = replace(THROUGH, failed=(("sv2", "it was written into the FIFO, and nothing came"),))


def test_a_test_that_passed_says_how_long_an_alert_takes_at_worst() -> None:
    said = "site: the alert path works: 33 ± 12 ms from sv2's FIFO to the journal, 34 ms from there to Slack"
    assert headline(TEST) == said
    assert selftest_lines(TEST) == [
        said,
        "                                    sv1           sv2",
        "  command over SSH, there and back  61 ms         1058 ms",
        "  FIFO → read by the agent          0.4 ms        0.5 ms",
        "  agent's disk → webhook            3.9 ± 2.7 ms  30 ± 12 ms",
        "  webhook → durable in the journal  2.2 ms        2.3 ms",
        "  journal → message in Slack        34 ms",
        "± where a stage leads from a director's clock to the bot's, as exactly as questions over SSH tell them apart",
    ]
    assert ":large_green_circle:" in shown(selftest_message(TEST))
    assert "<@U0ALICE>" in shown(selftest_message(TEST))


def test_while_it_runs_it_says_from_whom_an_event_came() -> None:
    running = replace(TEST, finished=None, heard=("sv1",))
    assert headline(running) == "site: testing the alert path: an event came from sv1"
    assert selftest_lines(running) == [headline(running)]


def test_a_lost_event_is_red_and_says_where_it_was_lost_and_that_it_came_after_all() -> None:
    lost = replace(TEST, finished=LOST, heard=("sv1",))
    assert headline(lost) == "site: the alert path is broken: sv2 did not pass the test"
    assert "• sv2: it was written into the FIFO, and nothing came" in shown(selftest_message(lost))
    assert ":red_circle:" in shown(selftest_message(lost))
    assert "it came after all, too late" in shown(selftest_message(replace(lost, heard=("sv1", "sv2"))))


def test_what_was_not_measured_has_no_number() -> None:
    stages = tuple(stage for stage in THROUGH.stages if stage[:2] != ("sv1", Stage.RECEIVED))
    partly = replace(TEST, finished=replace(THROUGH, stages=stages, margins=THROUGH.margins[1:]))
    assert "  agent's disk → webhook            -       30 ± 12 ms" in selftest_lines(partly)
    none = replace(TEST, finished=replace(THROUGH, stages=(), margins=()))
    assert selftest_lines(none) == ["site: the alert path works"]


def test_a_path_that_works_again_says_so() -> None:
    again = replace(TEST, by=None, after_failure=True)
    assert headline(again).startswith("site: the alert path works again: ")
    assert "the scheduled one" in shown(selftest_message(again))


results = st.builds(
    SelfTestFinished,
    cluster=strange.names,
    test=st.just("0123abcd"),
    stages=st.lists(st.tuples(strange.names, st.sampled_from([*map(str, Stage)]), st.floats(0, 1e9)), max_size=60).map(
        tuple
    ),
    failed=st.lists(st.tuples(strange.names, strange.words), max_size=80).map(tuple),
    margins=st.just(()),
)


@settings(max_examples=60, deadline=None)
@given(finished=st.none() | results, heard=st.lists(strange.names, max_size=40), by=st.none() | strange.actors)
def test_slack_takes_every_self_test(finished: SelfTestFinished | None, heard: list[str], by: Actor | None) -> None:
    assert_slack_takes(selftest_message(replace(TEST, finished=finished, heard=tuple(heard), by=by)))
