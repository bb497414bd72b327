"""Faults on demand: what Slack does on its bad days, so that the bot can be tried in them."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from bot.local.slack.wire import Json


class FaultKind(StrEnum):
    """What goes wrong with a Web API call."""

    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    RESET = "reset"


@dataclass(slots=True, kw_only=True)
class Fault:
    """A fault of the next ``calls`` calls (None: of all until cleared) of ``methods`` (empty: of every method).

    ``retry_after`` is the header's seconds (RATE_LIMITED), ``status`` the HTTP status (SERVER_ERROR), ``seconds`` how
    long the answer is withheld before the connection is cut (TIMEOUT). With ``after_effect`` the call is carried out
    and only its answer is lost: the worst case, since the app cannot know. It is carried out ``later`` seconds after
    that: worse still, for the app may have looked in vain meanwhile. With ``held`` that is when :meth:`Faults.let_go`
    says so, for a test that must not depend on how quick the machine is.
    """

    kind: FaultKind
    calls: int | None = 1
    methods: frozenset[str] = frozenset()
    retry_after: int = 1
    status: int = 503
    seconds: float = 60.0
    after_effect: bool = False
    later: float = 0.0
    held: bool = False

    def as_json(self) -> Json:
        """For ``GET /control/faults``."""
        return {
            "kind": self.kind.value, "calls": self.calls, "methods": sorted(self.methods), "seconds": self.seconds,
            "retry_after": self.retry_after, "status": self.status, "after_effect": self.after_effect,
            "later": self.later, "held": self.held,
        }  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Rate:
    """A lasting limit: at most ``per_second`` calls of ``method`` in any second, in each channel."""

    per_second: int
    method: str = "chat.postMessage"
    seen: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def exceeded(self, channel: str, now: float) -> bool:
        """Count a call and say whether it is one too many (those are not counted)."""
        recent = self.seen[channel]
        while recent and recent[0] <= now - 1.0:
            recent.popleft()
        if len(recent) >= self.per_second:
            return True
        recent.append(now)
        return False


class Faults:
    """The faults that are armed. All are off at first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._armed: list[Fault] = []
        self._rates: list[Rate] = []
        self._held: list[Callable[[], object]] = []
        self._down_until = float("-inf")
        self.slow_acks_by = 0.0
        self.cleared = asyncio.Event()
        self.on_down: Callable[[], None] = lambda: None

    def arm(self, fault: Fault) -> None:
        """Arm *fault*; several are used up in the order in which they were armed."""
        self._armed.append(fault)

    def rate_limited(
        self, calls: int | None = 1, *, retry_after: int = 1, methods: frozenset[str] = frozenset()
    ) -> None:
        """HTTP 429 with Retry-After for the next *calls* calls."""
        self.arm(Fault(kind=FaultKind.RATE_LIMITED, calls=calls, retry_after=retry_after, methods=methods))

    def server_error(self, calls: int | None = 1, *, status: int = 503, methods: frozenset[str] = frozenset()) -> None:
        """An HTTP 5xx for the next *calls* calls."""
        self.arm(Fault(kind=FaultKind.SERVER_ERROR, calls=calls, status=status, methods=methods))

    def rate(self, per_second: int, method: str = "chat.postMessage") -> None:
        """From now on 429 for all above *per_second* calls of *method* a second and channel."""
        self._rates.append(Rate(per_second=per_second, method=method))

    def down(self, seconds: float = float("inf")) -> None:
        """Slack is gone for *seconds*: sockets drop and every call's connection is reset."""
        self._down_until = self._clock() + seconds
        self.on_down()

    @property
    def is_down(self) -> bool:
        """Whether Slack is gone at this moment."""
        return self._clock() < self._down_until

    def slow_acks(self, seconds: float) -> None:
        """Every acknowledgement from the app arrives *seconds* later than it was sent; 0 ends that."""
        self.slow_acks_by = seconds

    def hold(self, call: Callable[[], object]) -> None:
        """Keep *call* until :meth:`let_go`."""
        self._held.append(call)

    def let_go(self) -> int:
        """Carry out, now, the calls that are held, and say how many they were."""
        held, self._held = self._held, []
        for call in held:
            call()
        return len(held)

    def clear(self) -> None:
        """All is well again; answers that a TIMEOUT withholds are cut off now, and calls that are held never made."""
        self._armed.clear()
        self._held.clear()
        self._rates.clear()
        self._down_until = float("-inf")
        self.slow_acks_by = 0.0
        self.cleared.set()
        self.cleared = asyncio.Event()

    def take(self, method: str, channel: str) -> Fault | None:
        """The fault that this call meets, if any; it is used up by that."""
        for rate in self._rates:
            if rate.method == method and rate.exceeded(channel, self._clock()):
                return Fault(kind=FaultKind.RATE_LIMITED, retry_after=1)
        for fault in self._armed:
            if not fault.methods or method in fault.methods:
                if fault.calls is not None:
                    fault.calls -= 1
                    if fault.calls <= 0:
                        self._armed.remove(fault)
                return fault
        return None

    def as_json(self) -> Json:
        """What is armed, for ``GET /control/faults``."""
        return {
            "armed": [f.as_json() for f in self._armed],
            "rates": [{"per_second": r.per_second, "method": r.method} for r in self._rates],
            "down": self.is_down,
            "slow_acks": self.slow_acks_by,
        }
