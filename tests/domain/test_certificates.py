"""A certificate about to end is told once, whatever servers stand behind the VIP, and once more when it is gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.certificates import SURE, Certificate, Ending, observe, sure_after

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OLD, OLDER, NEW = (NOON + timedelta(days=days) for days in (13, 5, 90))


def told(
    *ends: datetime, state: Certificate | None = None, least_days: int = 14, real_servers: int = 1
) -> list[Ending]:
    """What is told of probes that saw *ends*, one after the other."""
    state = state or Certificate()
    news = []
    for number, ends_at in enumerate(ends):
        now = NOON + timedelta(seconds=2 * number)
        state, ending = observe(state, ends_at, now=now, least_days=least_days, sure=sure_after(real_servers))
        news += [ending] if ending else []
    return news


def test_it_is_told_once() -> None:
    assert told(*[OLD] * 50) == [Ending(expiring=True, ends_at=OLD)]


def test_one_that_is_good_for_long_is_not_told() -> None:
    assert told(*[NEW] * 50) == []


def test_it_is_told_on_the_day_it_falls_short() -> None:
    ends_at = NOON + timedelta(days=14, seconds=9)
    assert told(*[ends_at] * 5) == []
    assert told(*[ends_at] * 6) == [Ending(expiring=True, ends_at=ends_at)]


def test_a_renewal_is_told_when_no_probe_has_seen_the_old_one_for_a_while() -> None:
    assert told(OLD, *[NEW] * (SURE - 1)) == [Ending(expiring=True, ends_at=OLD)]
    assert told(OLD, *[NEW] * SURE) == [Ending(expiring=True, ends_at=OLD), Ending(expiring=False, ends_at=NEW)]


def test_two_real_servers_that_take_turns_with_an_old_and_a_new_one_are_one_story() -> None:
    assert told(*[OLD, NEW] * 50) == [Ending(expiring=True, ends_at=OLD)]


@pytest.mark.parametrize("other", [OLD, NEW])
def test_a_certificate_of_one_among_many_real_servers_is_one_story(other: datetime) -> None:
    once_in_thirty = [OLDER, *[other] * 29]
    assert told(*once_in_thirty * 20, real_servers=30) == [Ending(expiring=True, ends_at=OLDER)]
    gone = told(*once_in_thirty * 2, *[other] * 200, real_servers=30)
    assert gone[1:] == [Ending(expiring=other == OLD, ends_at=other)]


def test_an_end_that_comes_nearer_is_news() -> None:
    assert told(OLD, OLDER, OLD, OLDER) == [
        Ending(expiring=True, ends_at=OLD),
        Ending(expiring=True, ends_at=OLDER),
    ]


def test_after_a_restart_what_was_told_is_known() -> None:
    known = Certificate(told=OLD)
    assert told(*[OLD] * 50, state=known) == []
    assert told(*[NEW] * (SURE - 1), state=known) == []
    assert told(*[NEW] * SURE, state=known) == [Ending(expiring=False, ends_at=NEW)]


def test_fewer_days_asked_for_take_the_warning_back() -> None:
    assert told(OLD, state=Certificate(told=OLD), least_days=7) == [Ending(expiring=False, ends_at=OLD)]


@given(st.lists(st.sampled_from([OLD, OLDER, NEW]), max_size=60))
def test_the_same_is_never_told_twice_in_a_row(ends: list[datetime]) -> None:
    news = told(*ends)
    assert all(before != after for before, after in pairwise(news))
    assert not news or news[0].expiring
