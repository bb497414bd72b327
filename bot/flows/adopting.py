"""Operations that nobody carries on any more: a dead bot's, a killed terminal's, and this bot's own after a mishap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from bot.domain.operations import Operation
from bot.flows.chronicle import Chronicle
from bot.flows.errands import Errands
from bot.flows.operating import Operator
from bot.flows.ports import Clock

log = structlog.get_logger(__name__)

BREAK_S = 2.0  # before what went wrong is tried a second time
LONGEST_BREAK_S = 300.0  # and at most, however often it went wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """How often something was tried, and when it may be again (monotonic seconds)."""

    count: int = 0
    next_at: float = 0.0

    def after(self, now: float) -> Try:
        """One more, at *now*: each time it waits for longer."""
        return Try(count=self.count + 1, next_at=now + min(BREAK_S * 2**self.count, LONGEST_BREAK_S))


IsLeft = Callable[[str, str, timedelta], bool]
"""Whether what a runner had in hand is left behind, as seen by the one called so, so long after it was asked for."""


class Adopter:
    """Carries on what was confirmed and is in nobody's hand."""

    def __init__(
        self, chronicle: Chronicle, operator: Operator, errands: Errands, clock: Clock, *, own: str, is_left: IsLeft
    ) -> None:
        self._chronicle = chronicle
        self._operator = operator
        self._errands = errands
        self._clock = clock
        self._own = own
        self._is_left = is_left
        self._dropped: frozenset[str] = frozenset()
        self._tries: dict[str, Try] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(BREAK_S)

    def look(self) -> None:
        """Start what is to be carried on. It ends by itself; where it fails, it is found again, a while later."""
        now = self._clock.monotonic()
        in_hand = [o for o in self._chronicle.world.operations.by_id.values() if o.in_hand]
        free = [o for o in in_hand if o.id not in self._operator.carrying]
        # This bot's own count when they are found twice: between the button and the work there is a moment, too.
        before, self._dropped = self._dropped, frozenset(o.id for o in free if o.runner == self._own)
        for operation in free:
            last = self._tries.get(operation.id, Try())
            if now >= last.next_at and (operation.id in self._dropped & before or self._is_a_strangers(operation)):
                self._tries[operation.id] = last.after(now)
                log.warning("carrying on an operation", operation=operation.id, phase=operation.phase.value)
                self._errands.start(self._operator.carry_out(operation.id), f"carry on {operation.id}")

    def _is_a_strangers(self, operation: Operation) -> bool:
        runner, age = operation.runner, self._clock.now() - operation.requested_at
        return runner is not None and runner != self._own and self._is_left(runner, self._own, age)
