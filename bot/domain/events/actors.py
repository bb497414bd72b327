"""Who asked for something, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Via(StrEnum):
    """Where a request came from."""

    SLACK = "slack"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asked: a Slack user id or an account of the bot's machine, with the name to show."""

    id: str
    name: str
    via: Via
