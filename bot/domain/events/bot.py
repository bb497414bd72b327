"""What the bot says of itself: its starts, its senses, what it told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class BotStarted:
    """A bot process began; ``runner`` names it (host, pid, start)."""

    version: str
    runner: str


class Sense(StrEnum):
    """What the bot itself needs in order to see and be heard."""

    SLACK = "Slack"
    SCHEDULE = "probe schedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenseChanged:
    """The bot lost one of its senses (``lost``), or has it back. ``since`` is when that began; told in each cluster."""

    cluster: str
    sense: Sense
    lost: bool
    since: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePosted:
    """Slack took a message (or an edit of it). ``key`` is what it is about; ``digest`` is of what was said."""

    key: str
    channel: str
    ts: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackSent:
    """What could not be said in Slack was said another way. ``way`` names it (``webhook``, ``email``)."""

    key: str
    way: str
    digest: str
