"""How fast Slack may be written to, channel by channel: its pace, where it asked for patience, and until when."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Act(StrEnum):
    """What is done to a channel; Slack limits each by itself."""

    POST = "post"
    UPDATE = "update"
    FIND = "find"


class Pace:
    """Slack's limit of about one message a second a channel (api.slack.com/docs/rate-limits), with a short burst."""

    def __init__(self, rate: float = 1.0, burst: float = 4.0) -> None:
        self._rate = rate
        self._burst = burst
        self._left: dict[str, tuple[float, float]] = {}

    def wait_for(self, channel: str, now: float) -> float:
        """The seconds to wait before *channel* may be written to; 0 takes a place."""
        left, at = self._left.get(channel, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        if left >= 1:
            self._left[channel] = (left - 1, now)
            return 0.0
        self._left[channel] = (left, now)
        return (1 - left) / self._rate


class Limits:
    """Where Slack asked for patience, and until when; and what it has not taken since when, for whatever reason."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, Act], float] = {}
        self._since: dict[tuple[str, Act], datetime] = {}

    def block(self, channel: str, act: Act, until: float, now: datetime) -> None:
        """Slack wants no *act* in *channel* before *until* (monotonic)."""
        self._until[channel, act] = until
        self.failed(channel, act, now)

    def failed(self, channel: str, act: Act, now: datetime) -> None:
        """An *act* in *channel* came to nothing. That another act passes there does not mean that this one would."""
        self._since.setdefault((channel, act), now)

    def passed(self, channel: str, act: Act) -> None:
        """Slack took an *act* in *channel*."""
        self._since.pop((channel, act), None)

    def keep(self, wanted: Set[tuple[str, Act]]) -> None:
        """Forget what came to nothing where nothing waits for it any more: it says nothing about what is due later."""
        self._since = {place: at for place, at in self._since.items() if place in wanted}

    def wait_for(self, channel: str, act: Act, now: float) -> float:
        """The seconds to wait before *act* may be tried in *channel*."""
        return max(0.0, self._until.get((channel, act), now) - now)

    def since(self, wanted: Set[tuple[str, Act]]) -> datetime | None:
        """Since when one of *wanted* comes to nothing; None where none does, or was not tried."""
        return min((at for place, at in self._since.items() if place in wanted), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """When nothing could be posted in one channel, because Slack asked for much patience there."""

    since: datetime
    until: datetime
