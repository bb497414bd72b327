"""The directors' agent: the command that makes it pass a marked event on, and what that prints."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from bot.lvs.errors import Unreadable

PROGRAM = "/usr/local/sbin/lvs-agent"
USER = "lvs-agent"
"""The account that the agent runs as: the FIFO and the spool are its own."""

TEST_ID = "[a-z0-9]{8,16}"
"""What names a self-test, as an extended regular expression: sudoers(5) lets nothing else through."""
_TEST = re.compile(f"TEST (?P<test>{TEST_ID})", re.ASCII)


def emit_test(test: str) -> tuple[str, ...]:
    """The command that writes the self-test *test*'s marked line into the FIFO, as keepalived would."""
    return (PROGRAM, "emit", "--through-fifo", "TEST", test)


def read_test(line: str) -> str | None:
    """The self-test whose marked line *line* is; None for every other line."""
    found = _TEST.fullmatch(line)
    return found["test"] if found else None


def parse_emitted(text: str) -> datetime:
    """When the marked line was written, by the director's clock: what :func:`emit_test` printed. Raises Unreadable."""
    try:
        return datetime.fromtimestamp(json.loads(text)["at"], UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError) as error:
        raise Unreadable("lvs-agent emit", 1, text.strip()[:200], 'not {"at": SECONDS}') from error
