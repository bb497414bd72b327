"""How a moment is worded where it may be of another day."""

from __future__ import annotations

from datetime import datetime


def moment(at: datetime, now: datetime) -> str:
    """The time of day of *at* in UTC, to the second; with the day where that is not the day of *now*."""
    return at.strftime("%H:%M:%S" if at.date() == now.date() else "%m-%d %H:%M:%S")
