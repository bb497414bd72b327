"""Several commands as one command line, and their results out of what that printed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one of the commands left behind."""

    exit_status: int
    stdout: str
    stderr: str


class Script:
    """*lines*, each a command, run one after the other by a POSIX shell, whatever becomes of the one before.

    After each one a mark and its exit status are printed, and the mark on the standard error as well: what cannot be
    guessed cannot be part of an output by chance.
    """

    def __init__(self, lines: Sequence[str], mark: str | None = None) -> None:
        self._mark = mark or secrets.token_hex(8)
        ends = f"s=$?; printf '\\n%s %d\\n' {self._mark} $s; printf '\\n%s\\n' {self._mark} >&2"
        # What a login shell's own files print is no command's output.
        begins = f"printf '\\n%s\\n' {self._mark}; printf '\\n%s\\n' {self._mark} >&2"
        self.text = "; ".join([begins, *(f"{line}; {ends}" for line in lines)])

    def parts(self, stdout: str, stderr: str) -> tuple[Part, ...]:
        """The results of the commands that have ended, in order: fewer than there are where one has not ended yet."""
        _, _, printed = stdout.partition(f"\n{self._mark}\n")
        said = stderr.split(f"\n{self._mark}\n")[1:]
        parts: list[Part] = []
        # Not by a regular expression: as each mark is used once, one would be compiled for every answer.
        end = f"\n{self._mark} "
        while end in printed:
            stdout, _, after = printed.partition(end)
            status, line_feed, printed = after.partition("\n")
            if not (line_feed and status.isascii() and status.isdecimal()):
                break  # the rest of it has not come
            error = said[len(parts)] if len(parts) < len(said) else ""
            parts.append(Part(exit_status=int(status), stdout=stdout, stderr=error))
        return tuple(parts)
