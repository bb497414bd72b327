"""How outages, spans and lists are worded: true to what was measured, and no finer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.events import OutageMeasured
from bot.domain.moments import moment
from bot.domain.wording import listed
from bot.views.words import escape, outage, slack_moment, span
from tests.domain.reference import NOON


def measured(service: str, *seconds: float | None, failed: int = 4) -> OutageMeasured:
    """Last good, first bad, last bad and first good probe, in seconds after noon."""
    last_good, first_bad, last_bad, first_good = (s if s is None else NOON + timedelta(seconds=s) for s in seconds)
    assert first_bad is not None
    assert last_bad is not None
    assert first_good is not None
    return OutageMeasured(
        cluster="site",
        service=service,
        real_server=None,
        last_good_at=last_good,
        first_bad_at=first_bad,
        last_bad_at=last_bad,
        first_good_at=first_good,
        failed=failed,
    )


def test_one_measurement_gives_its_middle_and_its_uncertainty() -> None:
    assert outage(measured("http", 0, 0.25, 3.25, 3.5)) == "3.2 s ± 0.2 s (4 failed probes)"


def test_several_services_bound_one_outage_more_closely() -> None:
    assert outage(measured("http", 0, 0.5, 3, 3.5), measured("dns", -1, 0.25, 2.5, 3.25)) == (
        "3.0 s ± 0.2 s (8 failed probes)"
    )


def test_where_services_contradict_each_other_the_finest_measurement_counts() -> None:
    slow = measured("dns", -1, 0.1, 5, 6)
    assert outage(measured("http", 0, 0.25, 3.25, 3.5), slow).startswith("3.2 s ± 0.2 s (8 failed")


def test_what_failed_after_the_outage_is_told_apart() -> None:
    again = measured("http", 4, 4.25, 6, 6.25, failed=3)
    assert outage(measured("http", 0, 0.25, 3.25, 3.5), again) == (
        "3.2 s ± 0.2 s (4 failed probes); 3 more probes failed until 12:00:06 UTC"
    )


def both(*seconds: float) -> tuple[OutageMeasured, OutageMeasured]:
    begins, ends = seconds
    return (
        measured("http", begins - 0.25, begins, ends, ends + 0.25, failed=100),
        measured("dns", begins - 0.1, begins + 0.15, ends - 0.1, ends + 0.15, failed=90),
    )


def test_a_further_outage_of_all_services_is_told_as_such_and_not_as_a_few_failed_probes() -> None:
    blip = measured("http", 8, 8.25, 8.25, 8.5, failed=1)
    assert outage(*both(0, 3), blip, *both(20, 63)) == (
        "3.1 s ± 0.1 s (190 failed probes), again for 43.1 s ± 0.1 s (190 failed probes) from 12:00:20 UTC; "
        "1 more probe failed until 12:00:08 UTC"
    )


def test_what_one_service_alone_had_again_was_no_outage_of_the_vip() -> None:
    alone = measured("http", 8, 8.25, 12.25, 12.5, failed=9)
    assert outage(*both(0, 3), alone).endswith("; 9 more probes failed until 12:00:12 UTC")


def test_of_many_further_outages_the_longest_are_told() -> None:
    words = outage(*(one for begins in range(0, 600, 60) for one in both(begins, begins + 3 + begins / 60)))
    assert words.count("again for") == 3
    assert words.index("12:07:00") < words.index("12:08:00") < words.index("12:09:00")
    assert words.endswith(" UTC, and 6 more times")


def test_of_what_came_and_went_it_is_told_how_many_probes_failed() -> None:
    flicker = replace(measured("http", 0, 0.25, 4.25, 4.5, failed=9), good=8)
    assert outage(flicker) == "9 of 17 probes within 4.0 s"
    assert outage(measured("http", -9, -8, -5, -4.5), flicker) == (
        "3.8 s ± 0.8 s (4 failed probes); 9 more probes failed until 12:00:04 UTC"
    )


def test_without_a_good_probe_before_only_the_least_is_known() -> None:
    assert outage(measured("http", None, 1, 3, 3.25)) == "at least 2.0 s (4 failed probes)"


def test_what_a_machine_that_stood_still_can_have_missed_is_told() -> None:
    paused = replace(measured("http", 0, 0.25, 3.25, 3.5), set_ahead_s=6.7)
    longer = "4 failed probes; up to 6.7 s longer, for the bot's clock was set ahead by that much in it"
    assert outage(paused) == f"3.2 s ± 0.2 s ({longer})"
    began = replace(measured("http", None, 1, 3, 3.25), set_ahead_s=6.7)
    assert outage(began) == f"at least 2.0 s ({longer})"
    flicker = replace(measured("http", 0, 0.25, 4.25, 4.5, failed=9), good=8, set_ahead_s=6.7)
    assert outage(flicker) == (
        "9 of 17 probes within 4.0 s (up to 6.7 s longer, for the bot's clock was set ahead by that much in it)"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.06, "60 ms"), (3.24, "3.2 s"), (60, "1 min"), (125, "2 min 5 s"), (7260, "2 h 1 min")],
)
def test_spans_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_lists_read_as_sentences_do() -> None:
    assert [listed(names) for names in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == ["", "a", "a and b", "a, b and c"]


def test_slacks_control_characters_are_escaped() -> None:
    assert escape("<@U1> & <!here>") == "&lt;@U1&gt; &amp; &lt;!here&gt;"


def test_a_moment_of_another_day_is_told_with_its_day() -> None:
    assert moment(NOON - timedelta(hours=12), NOON) == "00:00:00"
    assert moment(NOON - timedelta(hours=12, seconds=1), NOON) == "02-28 23:59:59"
    assert moment(NOON + timedelta(days=7), NOON) == "03-08 12:00:00"
    assert "date_short" not in slack_moment(NOON - timedelta(hours=11), NOON)
    assert "{date_short_pretty} {time_secs}|02-28 23:00:00 UTC" in slack_moment(NOON - timedelta(hours=13), NOON)
