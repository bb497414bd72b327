"""Rise and fall, measured outages, and results that overtake each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.health import (
    Gathered,
    HealthChange,
    HealthState,
    InOrder,
    Outage,
    Outcome,
    ProbeResult,
    gather,
    observe,
)

T0 = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SPACING_S = 0.25
LETTERS = {"H": Outcome.HEALTHY, "U": Outcome.UNHEALTHY, "-": Outcome.UNMEASURED}

outcomes = st.lists(st.sampled_from(list(Outcome)), max_size=60)
thresholds = st.integers(1, 4)


def at(number: float) -> datetime:
    """The start of the probe with this number."""
    return T0 + timedelta(seconds=SPACING_S * number)


def result(number: int, outcome: Outcome) -> ProbeResult:
    reason = "" if outcome is Outcome.HEALTHY else f"reason {number}"
    return ProbeResult(probe="vip:http", outcome=outcome, started_at=at(number), latency_s=0.001, reason=reason)


def watch(
    found: str | list[Outcome], *, rise: int = 2, fall: int = 3
) -> tuple[HealthState, list[HealthChange], list[Outage]]:
    """Observe one result after another: H healthy, U unhealthy, - unmeasured."""
    state, changes, outages = HealthState(), [], []
    for number, outcome in enumerate(LETTERS.get(each, each) for each in found):
        seen = observe(state, result(number, Outcome(outcome)), rise=rise, fall=fall)
        state = seen.state
        changes += [seen.change] if seen.change else []
        outages += [seen.outage] if seen.outage else []
    return state, changes, outages


@pytest.mark.parametrize(
    ("found", "verdicts"),
    [
        ("", []),
        ("H", []),
        ("HH", ["healthy"]),
        ("UU", []),
        ("UUU", ["unhealthy"]),
        ("HHUU", ["healthy"]),
        ("HHUUHHUUHH", ["healthy"]),
        ("HHUUU", ["healthy", "unhealthy"]),
        ("HHUUUHUHUHH", ["healthy", "unhealthy", "healthy"]),
        ("HH--", ["healthy"]),
        ("HH---", ["healthy", "unmeasured"]),
        ("HH---HH", ["healthy", "unmeasured", "healthy"]),
        ("HH---H-H", ["healthy", "unmeasured", "healthy"]),
        ("HHU-U-U", ["healthy", "unhealthy"]),
        ("HHUUUHH---U", ["healthy", "unhealthy", "healthy", "unmeasured"]),
        ("HHUU---U", ["healthy", "unmeasured"]),
    ],
)
def test_a_verdict_needs_its_proof_in_a_row(found: str, verdicts: list[str]) -> None:
    assert [change.after for change in watch(found)[1]] == verdicts


def test_a_change_says_since_when_and_the_last_reason() -> None:
    _, changes, _ = watch("HHHUUU")
    assert changes[-1] == HealthChange(
        probe="vip:http",
        before=Outcome.HEALTHY,
        after=Outcome.UNHEALTHY,
        since=at(3),
        reason="reason 5",
    )


def test_an_outage_is_bounded_by_the_probes_inside_and_around_it() -> None:
    _, _, (outage,) = watch("HHUUUUH")
    assert (outage.last_good_at, outage.first_bad_at) == (at(1), at(2))
    assert (outage.last_bad_at, outage.first_good_at) == (at(5), at(6))
    assert (outage.at_least_s, outage.at_most_s, outage.failed) == (0.75, 1.25, 4)


def test_an_outage_shorter_than_the_fall_is_measured_although_the_verdict_stands() -> None:
    _, changes, outages = watch("HHUHH")
    assert [change.after for change in changes] == ["healthy"]
    assert [(o.failed, o.at_least_s, o.at_most_s) for o in outages] == [(1, 0.0, 0.5)]


def test_an_outage_that_nobody_saw_begin_has_no_upper_bound() -> None:
    _, _, (outage,) = watch("UUH")
    assert outage.last_good_at is None
    assert outage.at_most_s is None


def test_probes_that_could_not_be_made_do_not_end_an_outage() -> None:
    _, _, (outage,) = watch("HHU-UH")
    assert (outage.first_bad_at, outage.last_bad_at, outage.failed) == (at(2), at(4), 2)


@given(found=outcomes, rise=thresholds, fall=thresholds)
def test_each_change_differs_from_the_one_before(found: list[Outcome], rise: int, fall: int) -> None:
    _, changes, _ = watch(found, rise=rise, fall=fall)
    before = None
    for change in changes:
        assert change.before is before
        assert change.after is not before
        before = change.after


@given(found=outcomes, rise=thresholds, fall=thresholds)
def test_a_change_is_proved_by_that_many_results_in_a_row(found: list[Outcome], rise: int, fall: int) -> None:
    state = HealthState()
    for number, outcome in enumerate(found):
        seen = observe(state, result(number, outcome), rise=rise, fall=fall)
        if seen.change is not None:
            needed = rise if outcome is Outcome.HEALTHY else fall
            blind = outcome is Outcome.UNMEASURED
            seen_before = [f for f in found[: number + 1] if blind or f is not Outcome.UNMEASURED]
            assert seen_before[-needed:] == [outcome] * needed
            assert at(0) <= seen.change.since <= at(number)
        state = seen.state


@given(found=outcomes, rise=thresholds, fall=thresholds)
def test_every_failed_probe_before_a_good_one_belongs_to_exactly_one_outage(
    found: list[Outcome], rise: int, fall: int
) -> None:
    _, _, outages = watch(found, rise=rise, fall=fall)
    goods = [number for number, outcome in enumerate(found) if outcome is Outcome.HEALTHY]
    ended = found[: goods[-1] + 1] if goods else []
    assert sum(outage.failed for outage in outages) == ended.count(Outcome.UNHEALTHY)


@given(found=outcomes, rise=thresholds, fall=thresholds)
def test_an_outage_lasts_at_least_as_long_as_seen_and_at_most_between_the_good_ones(
    found: list[Outcome], rise: int, fall: int
) -> None:
    _, _, outages = watch(found, rise=rise, fall=fall)
    ends = [at(-1)]
    for outage in outages:
        assert ends[-1] < outage.first_bad_at <= outage.last_bad_at < outage.first_good_at
        assert outage.last_good_at is None or outage.last_good_at < outage.first_bad_at
        assert outage.at_most_s is None or 0 <= outage.at_least_s < outage.at_most_s
        ends.append(outage.first_good_at)


@given(found=outcomes, rise=thresholds, fall=thresholds)
def test_what_could_not_be_measured_is_never_called_unhealthy(found: list[Outcome], rise: int, fall: int) -> None:
    blind: list[Outcome] = [Outcome.UNMEASURED if f is Outcome.UNHEALTHY else f for f in found]
    _, changes, outages = watch(blind, rise=rise, fall=fall)
    assert not outages
    assert all(change.after is not Outcome.UNHEALTHY for change in changes)


@given(order=st.integers(0, 8).flatmap(lambda n: st.permutations(range(n))))
def test_results_come_out_in_the_order_in_which_their_probes_started(order: list[int]) -> None:
    line = InOrder()
    tickets = [line.start() for _ in order]
    out: list[ProbeResult] = []
    for number in order:
        out += line.finish(tickets[number], result(number, Outcome.HEALTHY))
    assert [each.started_at for each in out] == [at(number) for number in range(len(order))]
    assert line.out == 0


@given(st.data())
def test_a_result_is_held_only_while_an_earlier_probe_is_under_way(data: st.DataObject) -> None:
    line = InOrder()
    out: set[int] = set()
    due: list[ProbeResult] = []
    abandoned = 0
    finished = 0
    for _ in range(data.draw(st.integers(0, 40))):
        if not out or data.draw(st.booleans()):
            out.add(line.start())
            continue
        ticket = data.draw(st.sampled_from(sorted(out)))
        out.discard(ticket)
        finished += 1
        dropped = data.draw(st.booleans())
        abandoned += dropped
        due += line.finish(ticket, None if dropped else result(ticket, Outcome.HEALTHY))
        assert all(each.started_at < at(min(out)) for each in due if out)
        assert out or len(due) == finished - abandoned
        assert line.out == len(out)
    assert [each.started_at for each in due] == sorted(each.started_at for each in due)


def test_a_ticket_can_be_handed_in_only_once() -> None:
    line = InOrder()
    first, second = line.start(), line.start()
    line.finish(second, None)
    for ticket in (second, 7, -1):
        with pytest.raises(ValueError, match="not out"):
            line.finish(ticket, None)
    line.finish(first, None)
    with pytest.raises(ValueError, match="not out"):
        line.finish(first, None)


def tell(found: str | list[Outcome], *, fall: int = 3) -> list[Outage]:
    """The outages that are told of one result after another."""
    state, gathered = HealthState(), Gathered()
    told: list[Outage] = []
    for number, outcome in enumerate(LETTERS.get(each, each) for each in found):
        one = result(number, Outcome(outcome))
        seen = observe(state, one, rise=2, fall=fall)
        state = seen.state
        gathered, outages = gather(gathered, one, seen.outage, fall=fall)
        told += outages
    return told


CALM = "H" * 41


def test_the_first_short_outage_is_told_at_once() -> None:
    assert [o.failed for o in tell("HHUH")] == [1]


def test_short_outages_that_follow_one_another_are_told_as_one_that_came_and_went() -> None:
    first, rest = tell("HH" + "UH" * 10 + CALM)
    assert (first.failed, first.good) == (1, 0)
    assert (rest.failed, rest.good, rest.first_bad_at, rest.last_bad_at) == (9, 8, at(4), at(20))
    assert rest.first_good_at == at(21)


def test_an_outage_that_is_long_enough_to_be_one_is_told_for_itself() -> None:
    told = tell("HH" + "UH" * 3 + "UUUUHH")
    assert [(o.failed, o.good) for o in told] == [(1, 0), (2, 1), (4, 0)]


def test_what_comes_and_goes_for_hours_is_told_once_a_minute() -> None:
    probes = 4 * 60 * 10
    assert 10 <= len(tell("HH" + "UH" * (probes // 2))) <= 12


@given(st.lists(st.sampled_from([Outcome.HEALTHY, Outcome.UNHEALTHY]), max_size=120), thresholds)
def test_no_failed_probe_is_told_twice_or_not_at_all(found: list[Outcome], fall: int) -> None:
    every = [*found, *[Outcome.HEALTHY] * 45]
    told = tell(every, fall=fall)
    assert sum(o.failed for o in told) == every.count(Outcome.UNHEALTHY)
    for outage in told:
        inside = [at(n) for n in range(len(every)) if outage.first_bad_at <= at(n) <= outage.last_bad_at]
        assert outage.failed + outage.good == len(inside)
    assert all(a.first_good_at <= b.first_bad_at for a, b in pairwise(told))
