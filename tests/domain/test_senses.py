"""The bot tells of its own blindness: not of a hiccup, once, and once more when it sees again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.events import Sense, SenseChanged
from bot.domain.senses import Awareness, Reading, changes, observe, unwell

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Life:
    """A bot that looks at itself once a second, with a journal that takes what it finds."""

    def __init__(self, known: dict[Sense, SenseChanged] | None = None) -> None:
        self.known = known or {}
        self.awareness = Awareness.after(sense for sense, event in self.known.items() if event.lost)
        self.at = 0.0
        self.started = self.missed = self.unmeasured = 0
        self.told: list[tuple[float, Sense, bool, float]] = []
        self.details: list[str] = []

    def look(
        self,
        *,
        slack: str = "",
        started: int = 8,
        missed: int = 0,
        unmeasured: int = 0,
        silent_s: float = 0.0,
        after: float = 1.0,
    ) -> None:
        self.at += after
        self.started += started
        self.missed += missed
        self.unmeasured += unmeasured
        reading = Reading(
            at=self.at,
            started=self.started,
            missed=self.missed,
            unmeasured=self.unmeasured,
            why="connecting: the bot has no file descriptor left",
            silent_s=silent_s,
            slack=slack,
        )
        self.awareness = observe(self.awareness, reading)
        now = NOON + timedelta(seconds=self.at)
        for event in changes(self.awareness, self.known, "site", now):
            self.told.append((self.at, event.sense, event.lost, (event.since - NOON).total_seconds()))
            self.details.append(event.detail)
            self.known[event.sense] = event

    def well(self, seconds: int) -> None:
        for _ in range(seconds):
            self.look()

    def without_slack(self, seconds: int) -> None:
        for _ in range(seconds):
            self.look(slack="Slack takes no message")

    def slipping(self, seconds: int) -> None:
        for _ in range(seconds):
            self.look(started=3, missed=5)


def test_a_bot_that_is_well_says_nothing_of_itself() -> None:
    life = Life()
    life.well(100)
    assert life.told == []


def test_slack_is_lost_after_half_a_minute_and_back_after_ten_seconds() -> None:
    life = Life()
    life.well(5)
    life.without_slack(60)
    life.well(60)
    assert life.told == [(36, Sense.SLACK, True, 6), (76, Sense.SLACK, False, 66)]
    assert life.details == ["Slack takes no message", ""]


def test_a_reconnection_is_no_loss() -> None:
    life = Life()
    for _ in range(10):
        life.without_slack(29)
        life.well(1)
    assert life.told == []


def test_a_schedule_that_makes_less_than_half_of_its_probes_for_ten_seconds_is_lost() -> None:
    life = Life()
    life.well(20)
    life.slipping(30)
    life.well(30)
    (at, sense, lost, since), (back_at, _, back, _) = life.told
    assert (sense, lost, back) == (Sense.SCHEDULE, True, False)
    assert since >= at - 11
    assert 26 < at <= 30 < 60 <= back_at <= 72
    assert life.details[0] == "45 of 80 probes were not made in 10 s"


def test_a_bot_most_of_whose_probes_measure_nothing_for_ten_seconds_is_blind_and_says_why() -> None:
    life = Life()
    life.well(20)
    for _ in range(30):
        life.look(unmeasured=8)
    life.well(30)
    (at, sense, lost, since), (back_at, _, back, _) = life.told
    assert (sense, lost, back) == (Sense.SCHEDULE, True, False)
    assert 20 < at <= 30 < 50 <= back_at <= 72
    assert since >= at - 11
    assert life.details[0] == (
        "48 of 80 probes measured nothing in 10 s; the last: connecting: the bot has no file descriptor left"
    )


def test_those_that_were_not_made_and_those_that_measured_nothing_are_added_up() -> None:
    life = Life()
    for _ in range(30):
        life.look(started=6, missed=2, unmeasured=3)
    assert [lost for _, _, lost, _ in life.told] == [True]


def test_a_few_probes_that_measure_nothing_are_no_loss_of_the_bots_sight() -> None:
    life = Life()
    for _ in range(60):
        life.look(unmeasured=4)
    assert life.told == []


def test_a_beat_passed_over_now_and_then_is_no_loss() -> None:
    life = Life()
    for _ in range(60):
        life.look(started=7, missed=1)
    assert life.told == []


def test_a_bot_that_stood_still_says_for_how_long() -> None:
    life = Life()
    life.well(5)
    life.look(after=17, started=0, missed=130)
    life.well(40)
    (at, sense, lost, since), (_, _, back, _) = life.told
    assert (at, sense, lost, since) == (22, Sense.SCHEDULE, True, 5)
    assert life.details[0] == "the bot stood still for 17 s"
    assert not back


def test_a_schedule_that_has_died_is_lost_though_nothing_was_missed() -> None:
    life = Life()
    life.well(20)
    for silent_s in (15, 16, 17):
        life.look(started=0, silent_s=silent_s)
    assert life.told == [(21, Sense.SCHEDULE, True, 6)]
    assert life.details == ["probes are due that were last begun 15 s ago"]


def test_without_probes_a_schedule_is_never_late() -> None:
    life = Life()
    for _ in range(60):
        life.look(started=0)
    assert life.told == []


def test_a_restarted_bot_goes_on_from_what_was_told() -> None:
    before = Life()
    before.without_slack(40)
    after = Life(before.known)
    after.without_slack(40)
    assert after.told == []
    after.well(30)
    assert [(sense, lost) for _, sense, lost, _ in after.told] == [(Sense.SLACK, False)]


def test_a_cluster_that_is_new_is_told_too() -> None:
    life = Life()
    life.without_slack(40)
    found = list(changes(life.awareness, {}, "new", NOON))
    assert [(event.cluster, event.sense, event.lost) for event in found] == [("new", Sense.SLACK, True)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "away"]), st.integers(0, 9), st.integers(0, 9), st.sampled_from([1.0, 1.0, 12.0])
        ),
        max_size=80,
    )
)
def test_each_sense_is_lost_and_found_by_turns(looks: list[tuple[str, int, int, float]]) -> None:
    life = Life()
    for slack, started, missed, after in looks:
        life.look(slack=slack, started=started, missed=missed, after=after)
    for sense in Sense:
        turns = [lost for _, which, lost, _ in life.told if which is sense]
        assert turns == [number % 2 == 0 for number in range(len(turns))]
    assert all(since <= at for at, _, _, since in life.told)


def test_a_bot_is_well_when_it_probes_calls_and_is_answered() -> None:
    called = {"site": 95.0, "other": 80.0}
    assert unwell(schedule=False, called=called, at=100, patience_s=30, answering=True) == ()
    assert unwell(schedule=True, called=called, at=100, patience_s=30, answering=True) == (
        "the probe schedule is late",
    )
    assert unwell(schedule=False, called=called, at=120, patience_s=30, answering=True) == (
        "the last roll call of other was 40 s ago",
    )
    assert unwell(schedule=False, called={"site": None}, at=1, patience_s=30, answering=False) == (
        "no roll call of site yet",
    )
    assert unwell(schedule=False, called=called, at=100, patience_s=30, answering=False) == ("no director answers",)
