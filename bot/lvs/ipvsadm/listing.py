"""What the listings of ipvsadm share: headings, how a service is named, and which lines belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bot.domain.fleet import Protocol
from bot.domain.observed import ServiceKey
from bot.lvs.lines import Line, lines_of

TOOL = "ipvsadm"
ARROW = "  -> "
VERSION = re.compile(r"IP Virtual Server version [0-9]+\.[0-9]+\.[0-9]+ \(size=[0-9]+\)", re.ASCII)
# The words that every listing starts a service's line with (ipvsadm.c, print_service_entry).
SERVICE = r"(?:(?P<protocol>TCP|UDP|SCTP) +(?P<at>\S+)|FWM  (?P<mark>-?[0-9]{1,10})(?P<six> IPv6)?)"


def body(text: str, *titles: Sequence[str]) -> tuple[int, list[Line]]:
    """Which of *titles* (the two heading lines, in words) stands above the listing, and the lines below it.

    Raises Unreadable where there is no such heading: an empty table has one, so that nothing at all is no table.
    """
    lines = lines_of(TOOL, text)
    if len(lines) < 3:
        last = lines[-1] if lines else Line(tool=TOOL, number=1, text=text)
        raise last.unreadable("the listing ends before its heading does")
    lines[0].matched(VERSION, "the heading of an IPVS table")
    for which, (first, second) in enumerate(titles):
        if lines[1].text.split() == first.split() and lines[2].text.split() == second.split():
            return which, lines[3:]
    raise lines[1].unreadable("not the columns that were asked for")


def grouped(lines: Sequence[Line], destination: str = ARROW) -> Iterator[tuple[Line, list[Line]]]:
    """Each service's line with those of its destinations, which begin with *destination*.

    Raises Unreadable for a destination of no service.
    """
    start = 0
    while start < len(lines):
        if lines[start].text.startswith(destination):
            raise lines[start].unreadable("a destination before any service")
        end = start + 1
        while end < len(lines) and lines[end].text.startswith(destination):
            end += 1
        yield lines[start], list(lines[start + 1 : end])
        start = end


def key_in(line: Line, match: re.Match[str]) -> ServiceKey:
    """The service that *match*, of a pattern that contains SERVICE, names. Raises Unreadable."""
    if match["mark"] is not None:
        return ServiceKey(fwmark=mark_of(line, match["mark"]), family=6 if match["six"] else 4)
    address, port = line.endpoint(match["at"])
    protocol = Protocol(match["protocol"].lower())
    return ServiceKey(protocol=protocol, address=address, port=port, family=address.version)


def mark_of(line: Line, digits: str) -> int:
    """A firewall mark, which ipvsadm prints as a signed number though the kernel's is not. Raises Unreadable."""
    mark = line.whole(digits.removeprefix("-"), "firewall mark", 2**32 - 1)
    if digits.startswith("-"):
        mark = 2**32 - mark
    if not 0 < mark < 2**32 or (digits.startswith("-") and mark < 2**31):
        raise line.unreadable(f"{digits!r} is no firewall mark")
    return mark


def netmask_in(line: Line, mask: str | None, family: int) -> str | None:
    """A persistence mask as ipvsadm prints it: dotted for IPv4, a prefix length for IPv6. Raises Unreadable."""
    if mask is None:
        return None
    if family == 6:
        return str(line.whole(mask, "prefix length", 128))
    if line.address(mask).version != 4:
        raise line.unreadable(f"{mask!r} is no IPv4 netmask")
    return mask


def flags_in(flags: str | None) -> tuple[str, ...]:
    """``sh-fallback,sh-port`` as words. The list may be empty: ipvsadm hides flags that its ``sh`` and ``mh`` lack."""
    return tuple(flags.split(",")) if flags else ()
