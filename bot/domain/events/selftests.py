"""The alert path being tried."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.domain.events.actors import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestStarted:
    """The alert path is being tested. ``by`` is None for the scheduled one, ``channel`` where the result is wanted."""

    cluster: str
    test: str
    by: Actor | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestHeard:
    """A self-test's marked event came from a director's agent.

    ``written_at`` is when the agent took it from the FIFO, by the director's clock; ``received_at`` when its POST
    reached the webhook, by the bot's.
    """

    cluster: str
    director: str
    test: str
    written_at: datetime
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestFinished:
    """A self-test is over. ``stages`` is (director, stage, milliseconds); ``failed`` is (director, why).

    ``margins`` is (director, stage, milliseconds) for stages that are known only so exactly, either way. What is the
    same for every director (Slack) stands under a name of its own.
    """

    cluster: str
    test: str
    stages: tuple[tuple[str, str, float], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    margins: tuple[tuple[str, str, float], ...] = ()
