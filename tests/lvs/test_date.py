"""A director's clock, as date of GNU coreutils 9.1 printed it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.lvs.date import parse_now, show_now
from bot.lvs.errors import Unreadable
from tests.lvs.captured import captured


def test_the_command() -> None:
    assert show_now() == ("date", "+%s.%N")


def test_the_time_to_the_microsecond() -> None:
    assert captured("coreutils-9.1/now") == "1795633064.396997838\n"
    assert parse_now(captured("coreutils-9.1/now")) == datetime(2026, 11, 25, 18, 57, 44, 396997, UTC)


@pytest.mark.parametrize(
    "text", ["", "1.5\n", "1795633064\n", "1795633064.%N\n", "1795633064.396997838\nmore\n", "-1.000000000\n"]
)
def test_what_is_no_time_is_an_error(text: str) -> None:
    with pytest.raises(Unreadable, match="time"):
        parse_now(text)
