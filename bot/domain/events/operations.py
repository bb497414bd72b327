"""What operators asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.domain.events.actors import Actor


class OperationKind(StrEnum):
    """What an operator can ask for that changes something."""

    DRAIN = "drain"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change on one director: exactly this argv will run, to move this weight. ``active`` is what it found."""

    number: int
    director: str
    service: str
    argv: tuple[str, ...]
    before: int
    after: int
    active: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRequested:
    """Somebody asked for a change and was shown ``steps``. ``forced``: whoever is left alone or does not answer."""

    operation: str
    kind: OperationKind
    cluster: str
    real_server: str
    by: Actor
    steps: tuple[Step, ...]
    channel: str | None = None
    forced: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationDenied:
    """Somebody asked for a change and was refused. ``operation`` is None where nothing had been planned yet."""

    operation: str | None
    request: str
    by: Actor
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationConfirmed:
    """Somebody pressed the button (or said ``--yes``); the process ``runner`` is to carry it out."""

    operation: str
    by: Actor
    runner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCancelled:
    """Somebody called it off, or what was confirmed no longer held; ``reason`` says which."""

    operation: str
    by: Actor | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationStarted:
    """The steps, observed again after the confirmation, are about to run in the process ``runner``."""

    operation: str
    runner: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A step is about to be run: from here until StepFinished its outcome is unknown."""

    operation: str
    step: int


class StepOutcome(StrEnum):
    """How a step ended. FOUND_DONE: the table already showed it, so nothing was run again."""

    DONE = "done"
    FOUND_DONE = "found done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """What came of a step. The ``weight`` is what the table showed afterwards; None: it could not be read."""

    operation: str
    step: int
    outcome: StepOutcome
    weight: int | None
    detail: str = ""
    duration_s: float = 0.0


class Verdict(StrEnum):
    """How an operation ended, judged by the tables and not by exit codes."""

    DONE = "done"
    DRAINED = "drained"
    STILL_CONNECTED = "still connected"
    FAILED = "failed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFinished:
    """An operation is over."""

    operation: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideSet:
    """An operator wants a real server drained. ``weights`` is (director, service, weight before)."""

    cluster: str
    real_server: str
    operation: str
    by: Actor
    weights: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideCleared:
    """The real server is back in service. ``owed`` is (director, service, weight) of those that did not answer then."""

    cluster: str
    real_server: str
    operation: str
    by: Actor
    owed: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCaughtUp:
    """A director that did not answer when a real server was restored does now; it was ``found`` with this weight there.

    The bot gave it its weight where that was 0; with an ``error``, it could not, and tries again.
    """

    cluster: str
    real_server: str
    director: str
    service: str
    found: int
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideReasserted:
    """A director had given a drained real server a weight again (a flap, a restart); the bot took it back to 0."""

    cluster: str
    real_server: str
    director: str
    service: str
    found: int
    error: str | None = None
