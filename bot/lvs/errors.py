"""What a line cannot be read as is an error that names the line; nothing is guessed."""

from __future__ import annotations

SHOWN = 200  # characters of the line that the message shows: it may end up in Slack


class Unreadable(ValueError):
    """A tool printed something that the bot cannot read.

    ``tool`` is the command's name, ``line_number`` counts from 1, ``line`` is the whole line and ``why`` says in words
    what was wrong with it. Nothing of the output that the line is part of may be used.
    """

    def __init__(self, tool: str, line_number: int, line: str, why: str) -> None:
        shown = line if len(line) <= SHOWN else line[:SHOWN] + "…"
        super().__init__(f"{tool}, line {line_number}: {why}: {shown!r}")
        self.tool = tool
        self.line_number = line_number
        self.line = line
        self.why = why
