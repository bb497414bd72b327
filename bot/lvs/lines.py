"""A tool's output line by line: each line knows its place, so that whatever is wrong with it can be named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from bot.domain.fleet import Address
from bot.lvs.errors import Unreadable

# Only ASCII digits, and no more of them than the kernel's largest counter (2^64 - 1) has: int() would take others.
WHOLE = re.compile(r"[0-9]{1,20}")
ENDPOINT = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of what ``tool`` printed; ``number`` counts from 1."""

    tool: str
    number: int
    text: str

    def unreadable(self, why: str) -> Unreadable:
        """The error to raise for this line."""
        return Unreadable(self.tool, self.number, self.text, why)

    def matched(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        """The match of *pattern* with the line, blanks at its end aside. Raises Unreadable: it is not *what*."""
        match = pattern.fullmatch(self.text.rstrip(" "))
        if match is None:
            raise self.unreadable(f"not {what}")
        return match

    def whole(self, digits: str, what: str, highest: int = 2**64 - 1) -> int:
        """*digits* as a number from 0 to *highest*. Raises Unreadable, which calls it *what*."""
        if not WHOLE.fullmatch(digits) or int(digits) > highest:
            raise self.unreadable(f"{digits!r} is no {what} (0 to {highest})")
        return int(digits)

    def address(self, text: str) -> Address:
        """*text* as an address. Raises Unreadable."""
        try:
            address = ip_address(text)
        except ValueError as error:
            raise self.unreadable(f"{text!r} is no IP address; was the tool asked for numbers?") from error
        if "%" in text:
            raise self.unreadable(f"{text!r} carries a zone, which IPVS does not know")
        return address

    def endpoint(self, text: str) -> tuple[Address, int]:
        """``10.0.0.1:80`` or ``[2001:db8::1]:80`` as address and port. Raises Unreadable."""
        match = ENDPOINT.fullmatch(text)
        if match is None:
            raise self.unreadable(f"{text!r} is no address:port; was the tool asked for numbers (-n)?")
        address = self.address(match["six"] or match["four"])
        if (address.version == 6) != (match["six"] is not None):
            raise self.unreadable(f"{text!r}: brackets are for IPv6 addresses, and for those only")
        return address, self.whole(match["port"], "port", 65535)


def numbered(text: str) -> list[tuple[int, str]]:
    """The lines of *text* that are not blank. Only a line feed ends one: str.splitlines knows ten other characters."""
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def lines_of(tool: str, text: str) -> list[Line]:
    """The lines of *text*, which *tool* printed, that are not blank."""
    return [Line(tool=tool, number=number, text=line) for number, line in numbered(text)]
