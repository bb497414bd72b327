"""What should stand in Slack, by what the journal adds up to: threads, reminders, escalations, mutes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.domain.events import Event, IncidentAcknowledged, MessagePosted, MuteCleared, MuteSet, Recorded
from bot.domain.incidents import Incident, Incidents, Matter, Trouble
from bot.domain.incidents.work import KEPT
from bot.flows.announcing import Announcement
from bot.flows.chronicle import SUMMED_UP, World, fold
from bot.flows.projecting import in_words, projection
from bot.views.incident import incident_message
from bot.views.message import SlackMessage
from tests.domain.reference import FLEET
from tests.flows.desk import ALICE, NOON, incident


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


@dataclass
class Story:
    """One incident, what was said of it and what is muted; minutes after noon."""

    incident: Incident = field(default_factory=lambda: incident(1, NOON, subject="web1"))
    escalate_to: str | None = None
    call: tuple[str, ...] = ()
    world: World = field(default_factory=lambda: World.of(FLEET))

    def happens(self, minutes: float, event: Event) -> Story:
        sequence = self.world.sequence + 1
        fold(
            self.world, Recorded(sequence=sequence, recorded_at=at(minutes), at_source=at(minutes), event=event), FLEET
        )
        return self

    def posted(self, minutes: float, *whats: str, digest: str = "x") -> Story:
        for what in whats or ("",):
            key = f"incident:site:1:{what}" if what else "incident:site:1"
            self.happens(minutes, MessagePosted(key=key, channel="C0SITE", ts=f"{minutes}.0", digest=digest))
        return self

    def muted(self, since: float, until: float, subject: str = "web1", *, maintenance: bool = False) -> Story:
        mute = MuteSet(cluster="site", subject=subject, until=at(until), by=ALICE, maintenance=maintenance)
        return self.happens(since, mute)

    def now(self, **changes: Any) -> Story:
        self.incident = replace(self.incident, **changes)
        return self

    def due(self, minutes: float) -> dict[str, Announcement]:
        """What should stand in Slack then, by the end of its key."""
        return {key: a for key, a in self.drawn_up(minutes).items() if not a.only_if_standing}

    def drawn_up(self, minutes: float) -> dict[str, Announcement]:
        """As :meth:`due`, with what is never posted but may stand there all the same."""
        self.world.incidents["site"] = Incidents(all=(self.incident,))
        escalate_to = {"site": self.escalate_to} if self.escalate_to else None
        project = projection({"site": "#lvs-site"}, lambda _op: None, escalate_to=escalate_to, call=self.call)
        return {a.key.removeprefix("incident:site:1").lstrip(":"): a for a in project(self.world, at(minutes))}

    def keys(self, minutes: float) -> list[str]:
        return list(self.due(minutes))


# --- the thread ------------------------------------------------------------------------------------------------------


def test_the_story_is_told_in_the_thread_of_one_that_stood_open_in_the_channel() -> None:
    story = Story().posted(0).now(resolved_at=at(5))
    over = story.due(5)["over"]
    assert (over.thread_of, over.broadcast) == ("incident:site:1", False)
    assert Story().now(resolved_at=at(5)).posted(6).keys(6) == [""]


def test_what_flapped_and_was_told_as_over_says_that_it_began_again() -> None:
    story = Story().posted(0).posted(1, "over").posted(2, "over:2").now(changes=3)
    assert story.keys(3) == ["", "flapping"]
    story.posted(3, "flapping")
    assert story.keys(4) == [""]
    story.posted(20, "over:3").now(changes=4)
    assert story.keys(21) == ["", "again:4"]
    story.posted(21, "again:4")
    assert story.keys(22) == [""]


@pytest.mark.parametrize(
    ("recorded", "ts", "thread"),
    [
        (6, at(0), ["over"]),  # it stood there all the time
        (6, at(5.9), []),
        (5.1, at(4.95), []),  # as if: Slack's clock is a little behind
        (6, at(0) - timedelta(days=30), []),  # no time that can be meant
        (6, at(60), []),
    ],
)
def test_a_record_that_came_late_does_not_make_the_message_new(
    recorded: float, ts: datetime, thread: list[str]
) -> None:
    event = MessagePosted(key="incident:site:1", channel="C0SITE", ts=f"{ts.timestamp():.6f}", digest="x")
    assert Story().now(resolved_at=at(5)).happens(recorded, event).keys(7) == ["", *thread]


def test_each_reminder_is_a_reply_of_its_own_that_the_channel_sees() -> None:
    story = Story().posted(0).now(reminders=1, reminded_at=at(30))
    reminder = story.due(30)["reminder:1"]
    assert (reminder.thread_of, reminder.broadcast) == ("incident:site:1", True)
    assert "Still open after 30 min, and nobody has acknowledged it: web1 is down" in reminder.message.text
    story.posted(30, "reminder:1").now(reminders=2, reminded_at=at(60))
    assert story.keys(60) == ["", "reminder:2"]


def test_a_reminder_that_came_too_late_is_none() -> None:
    reminded = {"reminders": 1, "reminded_at": at(30)}
    assert Story().posted(31).now(**reminded).keys(31) == [""]
    assert Story().posted(0).now(**reminded, acknowledged_by=ALICE).keys(31) == [""]
    assert "reminder:1" not in Story().posted(0).now(**reminded, resolved_at=at(31)).keys(31)


def test_one_that_was_told_as_over_and_begins_again_says_so_in_its_thread() -> None:
    story = Story().posted(0).now(changes=1)
    assert story.keys(3) == [""]
    story.posted(2, "over")
    assert story.due(3)["again:1"].message.text == ":repeat: It has begun again: web1 is down"
    story.posted(3, "again:1").now(resolved_at=at(4))
    assert story.keys(4) == ["", "over:1"]
    story.posted(4, "over:1").now(changes=2, resolved_at=None)
    assert story.keys(5) == ["", "again:2"]


def test_that_more_than_a_real_server_has_begun_again_is_told_in_the_channel() -> None:
    """Somebody was told that it is over, and does not follow the thread any more."""
    server = Trouble(matter=Matter.REAL_SERVER, subject="web1")
    for trouble, broadcast in ((server, False), (Trouble(matter=Matter.ROLE, subject="VI_1"), True)):
        story = Story().posted(0).posted(2, "over").now(changes=1, seen=frozenset({trouble}))
        assert story.due(3)["again:1"].broadcast is broadcast


def test_that_it_has_begun_again_is_told_when_it_is_known_what_it_is_this_time() -> None:
    story = Story().posted(0).posted(2, "over").now(changes=1, settled=False, hold_until=at(3.1))
    assert story.keys(3) == [""]
    assert story.keys(3.2) == ["", "again:1"]
    assert story.now(settled=True).keys(3) == ["", "again:1"]


def test_one_that_flaps_says_so_once() -> None:
    story = Story().posted(0).posted(1, "over").posted(2, "again:1").now(changes=3)
    assert story.keys(3) == ["", "flapping"]
    story.posted(3, "flapping")
    assert story.now(changes=7).keys(4) == [""]


def test_that_clients_feel_what_was_told_as_less_is_said_in_its_thread_for_the_channel_to_see() -> None:
    story = Story().posted(0).now(felt_since=at(10), worse=1, worse_at=at(25))
    said = story.due(25)["worse:1"]
    assert said.message.text == ":rotating_light: It has become worse, for 15 min now: web1 is down"
    assert said.broadcast
    assert story.posted(25, "worse:1").keys(26) == [""]
    assert story.now(felt_since=None).keys(30) == [""]


def test_one_that_was_summed_up_gets_no_thread_until_it_is_told_by_itself() -> None:
    story = Story().now(resolved_at=at(5)).posted(6, digest=SUMMED_UP)
    assert story.keys(7) == [""]
    story.now(resolved_at=None, changes=1, reminders=1, reminded_at=at(8))
    assert story.keys(8) == [""]
    story.posted(8).now(resolved_at=at(9))
    assert story.keys(9) == ["", "over:1"]


# --- escalation ------------------------------------------------------------------------------------------------------


def test_an_escalation_goes_to_the_second_channel_and_calls_those_who_are_to_be_called() -> None:
    story = Story(escalate_to="#duty", call=("U0ALICE", "S0OPS")).posted(0)
    assert story.keys(15) == [""]
    escalation = story.now(escalated_at=at(15)).due(15)["escalation"]
    assert (escalation.channel, escalation.thread_of) == ("#duty", None)
    assert escalation.message.text == (
        ":rotating_light: <@U0ALICE> <!subteam^S0OPS> web1 is down\nIt has been open for 15 min, and nobody has"
        " acknowledged it"
    )
    assert "told in <#C0SITE>" in str(escalation.message.blocks)


def test_without_a_second_channel_people_are_called_in_the_thread_where_the_channel_sees_it() -> None:
    escalation = Story(call=("U0ALICE",)).posted(0).now(escalated_at=at(15)).due(15)["escalation"]
    assert (escalation.channel, escalation.thread_of, escalation.broadcast) == ("#lvs-site", "incident:site:1", True)
    assert Story().posted(0).now(escalated_at=at(15)).keys(15) == [""]


def test_an_escalation_is_made_although_the_first_channel_takes_nothing() -> None:
    assert Story(escalate_to="#duty").now(escalated_at=at(15)).keys(15) == ["", "escalation"]
    assert Story(call=("U0ALICE",)).now(escalated_at=at(15)).keys(15) == [""]


def test_an_escalation_goes_on_being_kept_up_to_date() -> None:
    story = Story(escalate_to="#duty", call=("U0ALICE",)).now(escalated_at=at(15)).posted(0).posted(15, "escalation")
    taken = story.now(acknowledged_by=ALICE).due(16)["escalation"].message.text
    assert taken == ":rotating_light: web1 is down\n<@U0ALICE> is on it"
    over = story.now(resolved_at=at(20)).due(20)["escalation"].message.text
    assert over == ":large_green_circle: web1 is up again"


@pytest.mark.parametrize("changes", [{"acknowledged_by": ALICE}, {"resolved_at": at(14)}, {"withdrawn": True}])
def test_an_escalation_that_is_no_longer_needed_is_not_begun(changes: dict[str, Any]) -> None:
    story = Story(escalate_to="#duty").posted(0).now(escalated_at=at(15), **changes)
    assert "escalation" not in story.keys(16)


# --- mutes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("subject", "maintenance"), [("web1", False), ("web1", True), ("site", False)])
def test_what_is_muted_is_told_when_the_mute_ends_if_it_is_still_open(subject: str, maintenance: bool) -> None:
    story = Story().muted(-1, 10, subject, maintenance=maintenance)
    assert story.keys(5) == []
    assert story.keys(10) == [""]


def test_a_mute_of_something_else_changes_nothing() -> None:
    assert Story().muted(-1, 10, "web2").keys(5) == [""]


def test_what_ended_under_a_mute_is_never_told() -> None:
    story = Story().muted(-1, 10).now(resolved_at=at(5))
    assert story.keys(6) == []
    assert story.keys(11) == []
    assert story.muted(20, 30, "web2").keys(40) == []


def test_what_ended_under_a_mute_that_was_cleared_is_never_told_but_what_ended_after_it_is() -> None:
    cleared = MuteCleared(cluster="site", subject="web1", by=ALICE)
    assert Story().muted(-1, 60).now(resolved_at=at(5)).happens(10, cleared).keys(11) == []
    assert Story().muted(-1, 60).now(resolved_at=at(11)).happens(10, cleared).keys(11) == [""]


def test_what_was_told_before_it_was_muted_is_edited_and_ended_and_nothing_else() -> None:
    story = Story(escalate_to="#duty", call=("U0ALICE",)).posted(0).posted(0.5, "over").muted(1, 60)
    story.now(reminders=1, reminded_at=at(30), escalated_at=at(15), changes=1)
    assert story.keys(30) == [""]
    assert story.now(changes=3).keys(30) == [""]
    assert story.now(resolved_at=at(40)).keys(40) == ["", "over:3"]


def test_an_escalation_that_a_mute_held_back_is_made_when_it_ends() -> None:
    story = Story(escalate_to="#duty").posted(0).muted(1, 60).now(escalated_at=at(15))
    assert story.keys(59) == [""]
    assert story.keys(60) == ["", "escalation"]


def test_what_was_over_for_half_a_day_before_it_could_be_told_is_left_as_it_is() -> None:
    assert Story().now(resolved_at=at(5)).keys(12 * 60 + 6) == []


def test_a_fault_in_one_sentence_keeps_neither_that_alert_back_nor_another() -> None:
    broken = replace(Story().incident, id=1, kind=None)  # type: ignore[arg-type]  # nothing that any view knows
    told = in_words(incident_message, lambda i: SlackMessage(text=f"{i.subject}: something"), broken)
    assert told.text == "web1: something"


@pytest.mark.parametrize("changes", [{"withdrawn": True, "part_of": 2}, {"resolved_at": at(5)}, {}])
def test_what_is_not_to_be_told_any_more_is_worded_in_case_that_it_stands(changes: dict[str, Any]) -> None:
    story = Story().muted(1, 60).now(**changes)
    assert story.keys(6) == []
    assert [(key, a.only_if_standing) for key, a in story.drawn_up(6).items()] == [("", True)]
    assert [a.only_if_standing for a in story.posted(6).drawn_up(7).values()][:1] == [False]


def test_what_is_too_early_to_be_told_is_not_worded() -> None:
    assert Story().now(settled=False, hold_until=at(5)).drawn_up(4) == {}


def test_an_escalation_that_somebody_has_answered_is_worded_in_case_that_it_stands() -> None:
    story = Story(escalate_to="#duty").posted(0).now(escalated_at=at(15), acknowledged_by=ALICE)
    assert story.drawn_up(20)["escalation"].only_if_standing


@pytest.mark.parametrize(("posted", "hours", "kept"), [(True, 1, True), (False, 1, False), (True, 13, False)])
def test_what_stands_in_slack_and_is_withdrawn_is_remembered_however_much_is_over_since(
    posted: bool, hours: int, kept: bool
) -> None:
    world = World.of(FLEET)
    withdrawn = replace(incident(1, NOON), withdrawn=True, part_of=2)
    newer = tuple(replace(incident(n, NOON), resolved_at=at(1)) for n in range(2, 2 + 2 * KEPT))
    told = [withdrawn, *newer] if posted else [*newer]
    events: list[tuple[timedelta, Event]] = [
        (timedelta(minutes=1), MessagePosted(key=f"incident:site:{i.id}", channel="C1", ts="1.0", digest="x"))
        for i in told
    ]
    last = incident(newer[-1].id + 1, NOON)
    events.append((timedelta(hours=hours), IncidentAcknowledged(cluster="site", incident=last.id, by=ALICE)))
    world.incidents["site"] = Incidents(all=(withdrawn, *newer, last))
    for sequence, (after, event) in enumerate(events, 1):
        recorded = Recorded(sequence=sequence, recorded_at=NOON + after, at_source=NOON + after, event=event)
        fold(world, recorded, FLEET)
    remembered = [i.id for i in world.incidents["site"].all]
    assert (1 in remembered) is kept
    assert 2 not in remembered
