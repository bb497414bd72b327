"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.settings.fields import parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0.25, 0.25),
        (3, 3),
        ("5s", 5),
        ("250ms", 0.25),
        ("1.5m", 90),
        ("30m", 1800),
        ("12h", 43_200),
        ("7d", 604_800),
        ("2w", 1_209_600),
        (" 10 s ", 10),
        ("4", 4),
    ],
)
def test_a_duration_is_seconds_or_a_number_with_a_unit(written: object, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    ["", "s", "-5s", -1, "5 minutes", "1h30m", "1e3", "٥s", True, None, float("nan"), float("inf"), 10**400, [5]],
)
def test_anything_else_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("written", "size"), [(65536, 65536), ("64KiB", 65536), ("1MiB", 1048576), ("10 kB", 10_000), ("12B", 12), ("7", 7)]
)
def test_a_size_is_bytes_or_a_number_with_a_unit(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["", "64K", "1.5MiB", -1, 1.5, True, None, {}])
def test_anything_else_is_no_size(written: object) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(written)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none(), st.lists(st.integers())))
def test_parsing_gives_a_finite_number_or_a_value_error_and_nothing_else(written: object) -> None:
    for parse in (parse_duration, parse_size):
        try:
            number = parse(written)
        except ValueError:
            continue
        assert 0 <= number < float("inf")
