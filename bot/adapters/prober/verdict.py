"""What a single measurement can end in, and which of the kernel's errors are the bot's own and not the target's."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from datetime import datetime

from bot.domain.health import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one measurement ended; ``reason`` is empty when healthy, ``detail`` is what was seen.

    ``certificate_ends_at`` is the end of a certificate that was found good.
    """

    outcome: Outcome
    reason: str = ""
    detail: str = ""
    certificate_ends_at: datetime | None = None


def healthy(detail: str = "", *, certificate_ends_at: datetime | None = None) -> Verdict:
    """The target answered as it should."""
    return Verdict(outcome=Outcome.HEALTHY, detail=detail, certificate_ends_at=certificate_ends_at)


def unhealthy(reason: str, detail: str = "") -> Verdict:
    """The target did not answer, or not as it should."""
    return Verdict(outcome=Outcome.UNHEALTHY, reason=reason, detail=detail)


def unmeasured(reason: str) -> Verdict:
    """The question could not be put: that says nothing of the target."""
    return Verdict(outcome=Outcome.UNMEASURED, reason=reason)


# errno(3): what the bot's own host lacks, with what to do about it. A missing route or interface is the bot's side as
# well; EHOSTUNREACH is not among them, because that is what a silent neighbour gives (ARP failed, or a router said so).
OWN_SIDE = {
    errno.ENETUNREACH: "the bot's host has no route to it",
    errno.ENETDOWN: "the bot's own network interface is down",
    errno.EADDRNOTAVAIL: "the bot's host has no free local port or no such address",
    errno.EAFNOSUPPORT: "the bot's host does not speak this address family",
    errno.EMFILE: "the bot has no file descriptor left: raise LimitNOFILE",
    errno.ENFILE: "the bot's host has no file descriptor left: raise fs.file-max",
    errno.ENOBUFS: "the bot's host has no buffer space left",
    errno.ENOMEM: "the bot's host has no memory left",
    errno.EPERM: "a firewall on the bot's own host forbids it",
    errno.EACCES: "the bot's process may not open such a socket",
    errno.EINVAL: "the bot's host refuses the address",
}

FOREIGN = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EHOSTUNREACH: "no route to host",
    errno.ETIMEDOUT: "no answer",
    errno.EPIPE: "connection closed by the target",
}


def of_error(error: OSError, doing: str) -> Verdict:
    """The verdict on an *error* of the socket while *doing* something."""
    number = error.errno or 0
    if number in OWN_SIDE:
        return unmeasured(f"{doing}: {OWN_SIDE[number]} ({errno.errorcode[number]})")
    return unhealthy(f"{doing}: {FOREIGN.get(number) or (os.strerror(number) if number else str(error))}")
