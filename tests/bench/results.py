"""What a measurement found: figures, the goal that they are held against, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a figure stands to its goal. NOTED: it has none."""

    MET = "met"
    MISSED = "missed"
    NOTED = "noted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the table.

    ``ours`` and ``bare`` are in ``unit``; ``bare`` is what the same work costs without the bot, or None. ``goal`` is
    the most that ``figure`` may be. ``note`` says what else was seen.
    """

    what: str
    unit: str
    ours: float
    bare: float | None = None
    goal: float | None = None
    note: str = ""

    @property
    def figure(self) -> float:
        """What the goal is about: how many times the bare figure ours is, or ours itself where there is none."""
        return self.ours if self.bare is None else self.ours / self.bare

    @property
    def verdict(self) -> Verdict:
        """Whether the goal was met."""
        if self.goal is None:
            return Verdict.NOTED
        return Verdict.MET if self.figure <= self.goal else Verdict.MISSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured: ``rounds`` of each side, ``seconds`` where time counts, a ``crowd`` of probes.

    ``journal`` is how many events the bot starts with, ``tail`` how many came after its last snapshot.
    """

    rounds: int
    seconds: float
    crowd: int
    journal: int
    tail: int


FULL = Size(rounds=200, seconds=8.0, crowd=500, journal=1_000_000, tail=2_000)
QUICK = Size(rounds=40, seconds=2.0, crowd=500, journal=50_000, tail=2_000)
TINY = Size(rounds=2, seconds=0.5, crowd=60, journal=3_000, tail=500)
"""For the test that nothing here has rotted: its figures mean nothing."""


def at(samples: Sequence[float], share: float) -> float:
    """The value below which *share* of *samples* lie (0.5: the median); raises ValueError where there are none."""
    if not samples:
        raise ValueError("nothing was measured")
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def p50(samples: Sequence[float]) -> float:
    """The median."""
    return at(samples, 0.5)


def p99(samples: Sequence[float]) -> float:
    """The 99th percentile; the largest of fewer than a hundred."""
    return at(samples, 0.99)
