"""Reminders, escalations, backlogs and words by other ways: Slack takes them all, and they say what is so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.incidents import Incident, Kind
from bot.views.notices import (
    Missed,
    again_message,
    backlog_message,
    bare_message,
    escalation_message,
    flapping_message,
    mention,
    plain_notice,
    reminder_message,
    worse_message,
)
from tests.domain.reference import NOON
from tests.views import strange
from tests.views.slack import assert_slack_takes, shown

QUICK = settings(max_examples=60, deadline=None)
missed = st.builds(
    lambda title, began, seconds: Missed(title=title, began=began, ended=began + timedelta(seconds=seconds)),
    strange.words,
    strange.times,
    st.floats(0, 1e6),
)


@QUICK
@given(strange.incidents(), st.one_of(st.none(), strange.times), st.one_of(st.none(), strange.actors))
def test_slack_takes_every_reply_about_every_incident(incident: Incident, at: object, by: object) -> None:
    changed = replace(incident, reminded_at=at, escalated_at=at, acknowledged_by=by)  # type: ignore[arg-type]
    for view in (reminder_message, again_message, flapping_message, worse_message, bare_message):
        assert_slack_takes(view(changed))
    for channel in (None, "C0SITE"):
        assert_slack_takes(escalation_message(changed, ("U0ALICE", "S0OPS"), channel))


@QUICK
@given(st.lists(missed, min_size=2, max_size=120), strange.times, st.booleans())
def test_slack_takes_every_backlog_and_it_says_how_many(several: list[Missed], since: object, away: bool) -> None:
    message = backlog_message(several, since, several[0].ended, slack_away=away)  # type: ignore[arg-type]
    assert_slack_takes(message)
    assert f"{len(several)} incidents" in message.text
    assert len(shown(message)) < 6000
    assert shown(message).count("• ") >= min(len(several), 20)


@QUICK
@given(strange.incidents(), st.one_of(st.none(), strange.times))
def test_a_word_by_another_way_has_one_line_as_its_title_and_no_markup(incident: Incident, away: object) -> None:
    notice = plain_notice(incident, away)  # type: ignore[arg-type]
    assert len(notice.title) <= 200
    assert f"incident {incident.id} of {incident.cluster}" in notice.text
    assert "<!date" not in notice.text


def test_what_began_on_another_day_is_told_with_its_day() -> None:
    began, ended = NOON, NOON + timedelta(days=1)
    incident = Incident(
        id=1, kind=Kind.REAL_SERVER_DOWN, cluster="site", subject="web1", opened_at=began, hold_until=began,
        escalated_at=ended,
    )  # fmt: skip
    assert f"since {began:%m-%d %H:%M:%S} UTC" in plain_notice(incident, None).text
    assert f"over at {ended:%H:%M:%S} UTC" in plain_notice(replace(incident, resolved_at=ended), None).text
    assert f"{began:%m-%d %H:%M:%S} UTC" in shown(escalation_message(incident, (), None))
    assert (
        f"({began:%m-%d %H:%M:%S} to {ended:%H:%M:%S} UTC)" in backlog_message([], began, ended, slack_away=True).text
    )


def test_a_user_and_a_user_group_are_mentioned_as_slack_wants_it() -> None:
    assert (mention("U0ALICE"), mention("W0BOB"), mention("S0OPS")) == ("<@U0ALICE>", "<@W0BOB>", "<!subteam^S0OPS>")
