"""What the bot's own probes found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.domain.health import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged:
    """Probes found a target's health changed. ``since`` is the start of the first probe that said so.

    ``real_server`` is None where the VIP of ``service`` was probed.
    """

    cluster: str
    service: str
    real_server: str | None
    outcome: Outcome
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageMeasured:
    """A run of failed probes ended with a good one: what the bot's own probes can say of an outage, and how exactly.

    It lasted at least from ``first_bad_at`` to ``last_bad_at`` and at most from ``last_good_at`` to ``first_good_at``.
    Where there were ``good`` probes among the ``failed``, it came and went in that time. Seconds by which the bot's
    clock was set ahead in it are ``set_ahead_s``: if the bot's machine stood still then, it lasted that much longer.
    """

    cluster: str
    service: str
    real_server: str | None
    last_good_at: datetime | None
    first_bad_at: datetime
    last_bad_at: datetime
    first_good_at: datetime
    failed: int
    good: int = 0
    set_ahead_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateChanged:
    """A TLS probe found that a certificate is about to end (``expiring``), or that it no longer is."""

    cluster: str
    service: str
    real_server: str | None
    expiring: bool
    ends_at: datetime
    least_days: int
