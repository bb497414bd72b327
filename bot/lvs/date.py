"""date(1): a director's clock. One that stays behind tells of a host that stood still, or of a missing NTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from bot.lvs.errors import Unreadable
from bot.lvs.lines import lines_of

TOOL = "date"
NOW = re.compile(r"(?P<seconds>[0-9]{1,11})\.(?P<fraction>[0-9]{9})", re.ASCII)


def show_now() -> tuple[str, ...]:
    """The seconds since 1970, with nine digits behind the point: GNU's date has ``%N``, not every date does."""
    return ("date", "+%s.%N")


def parse_now(text: str) -> datetime:
    """What :func:`show_now`'s command printed, in UTC. Raises Unreadable."""
    lines = lines_of(TOOL, text)
    if len(lines) != 1:
        raise Unreadable(TOOL, max(len(lines), 1), text, "not one line with the time")
    match = lines[0].matched(NOW, "a time (SECONDS.NANOSECONDS)")
    return datetime.fromtimestamp(int(match["seconds"]), UTC) + timedelta(microseconds=int(match["fraction"]) // 1000)
