"""Rise and fall: probe results in, changes of health and measured outages out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """What one probe found. UNMEASURED: the probe itself could not be made, which says nothing of the target."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One measurement. ``latency_s`` is seconds from start to verdict; ``reason`` says what was wrong, in words.

    ``started_at`` is when the first packet was asked for: what an outage is measured by.
    """

    probe: str
    outcome: Outcome
    started_at: datetime
    latency_s: float
    reason: str = ""
    detail: str = ""
