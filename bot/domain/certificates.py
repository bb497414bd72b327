"""When a certificate is about to end: what TLS probes saw of its end, and when that is worth a word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

SURE = 10
"""How many probes in a row have to show a certificate before the one that was about to end counts as gone.

A VIP's real servers may each have a certificate of their own: one good answer does not say that all are renewed.
"""

ROUNDS = 5
"""How many probes for each real server it takes at least: of a large pool, each is seen but now and then."""


def sure_after(real_servers: int) -> int:
    """How many probes in a row leave out a certificate that is gone, where so many real servers stand behind them."""
    return max(SURE, ROUNDS * real_servers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What is known of one target's certificate. ``ends`` are the ends that the last probes saw, as many as it takes.

    ``told`` is the end of the one that was last said to be about to end; None: there is none such.
    """

    told: datetime | None = None
    ends: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """News: the certificate that ends at ``ends_at`` is about to (``expiring``), or no longer is the one in use."""

    expiring: bool
    ends_at: datetime


def observe(
    state: Certificate, ends_at: datetime, *, now: datetime, least_days: int, sure: int = SURE
) -> tuple[Certificate, Ending | None]:
    """Count a probe made at *now* that saw a certificate end at *ends_at*; *least_days* have to be left.

    The earliest end of the last probes counts. An end that comes nearer is told at once, one that is gone is told when
    *sure* probes in a row did not see it (:func:`sure_after`).
    """
    ends = (*state.ends, ends_at)[-sure:]
    seen_all = len(ends) == sure
    earliest = min(ends) if state.told is None or seen_all else min(*ends, state.told)
    expiring = earliest - now < timedelta(days=least_days)
    if expiring and earliest != state.told:
        return Certificate(told=earliest, ends=ends), Ending(expiring=True, ends_at=earliest)
    if not expiring and state.told is not None:
        return Certificate(told=None, ends=ends), Ending(expiring=False, ends_at=earliest)
    return Certificate(told=state.told, ends=ends), None
