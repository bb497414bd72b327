"""The few Block Kit shapes in use (api.slack.com/reference/block-kit), with Slack's lengths kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from bot.views.words import cut, plural

Block = dict[str, Any]

MOST = 50
"""The blocks that Slack takes of one message."""

TOGETHER = 10_000
"""The characters of all its blocks together: Slack takes some 11,000 (msg_blocks_too_long), and writes no number."""


def section(text: str) -> Block:
    """A paragraph of mrkdwn; at most 3,000 characters."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, 3000)}}


def preformatted(lines: Iterable[str]) -> list[Block]:
    """Lines in fixed width, in as many sections as Slack's length asks for."""
    return [section("```" + "\n".join(part) + "```") for part in _parts(lines)]


def paragraphs(lines: Iterable[str]) -> list[Block]:
    """Lines of mrkdwn, in as many sections as Slack's length asks for."""
    return [section("\n".join(part)) for part in _parts(lines)]


def _parts(lines: Iterable[str]) -> list[list[str]]:
    parts: list[list[str]] = []
    room = 0
    for line in (cut(line, 2800) for line in lines):
        if not parts or len(line) + 1 > room:
            parts.append([])
            room = 2900
        parts[-1].append(line)
        room -= len(line) + 1
    return parts


def context(*texts: str) -> Block:
    """Small grey remarks; at most ten."""
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": cut(t, 2000)} for t in texts[:10]]}


def actions(block_id: str, buttons: Sequence[Block]) -> Block:
    """A row of buttons."""
    return {"type": "actions", "block_id": block_id, "elements": list(buttons)}


def button(
    text: str, *, action: str, value: str, style: str | None = None, confirm: tuple[str, str, str] | None = None
) -> Block:
    """A button. *confirm* is (title, question, yes): Slack asks before it sends the click."""
    made: Block = {
        "type": "button",
        "text": {"type": "plain_text", "text": cut(text, 75), "emoji": True},
        "action_id": action,
        "value": value,
    }
    if style:
        made["style"] = style
    if confirm:
        title, question, yes = confirm
        made["confirm"] = {
            "title": {"type": "plain_text", "text": cut(title, 100)},
            "text": {"type": "mrkdwn", "text": cut(question, 300)},
            "confirm": {"type": "plain_text", "text": cut(yes, 30)},
            "deny": {"type": "plain_text", "text": "Not now"},
        }
        if style:
            made["confirm"]["style"] = style
    return made


def size(blocks: Any) -> int:
    """The characters of every text in *blocks*."""
    if isinstance(blocks, dict):
        return sum(len(v) if k == "text" and isinstance(v, str) else size(v) for k, v in blocks.items())
    return sum(size(block) for block in blocks) if isinstance(blocks, list | tuple) else 0


def shortened(lines: Sequence[str], room: int) -> list[str]:
    """*lines*, without so much of their middle that they take *room* characters; a line says how many are left out."""
    lines = [cut(line, 1000) for line in lines]
    if sum(len(line) + 1 for line in lines) <= room or not lines:
        return lines
    left = room - len(_left_out(len(lines))) - 1
    head, tail = 0, 0
    while head + tail < len(lines):
        # From both ends in turn: how it began, and how it stands.
        line = lines[head] if head <= tail else lines[-1 - tail]
        left -= len(line) + 1
        if left < 0:
            break
        head, tail = (head + 1, tail) if head <= tail else (head, tail + 1)
    return [*lines[:head], _left_out(len(lines) - head - tail), *lines[len(lines) - tail :]]


def how_many(lines: Sequence[str], room: int) -> int:
    """How many of *lines*, from the first on, take at most *room* characters."""
    ends = accumulate(len(line) + 1 for line in lines)
    return sum(1 for end in ends if end <= room)


def _left_out(count: int) -> str:
    return f"… {plural(count, 'line is', 'lines are')} left out here …"


def fits(blocks: Sequence[Block]) -> bool:
    """Whether Slack takes *blocks* in one message."""
    if len(blocks) > MOST:
        return False
    # As JSON they are longer than their texts, and counted much sooner: it settles nearly all.
    return len(json.dumps(blocks)) <= TOGETHER or size(blocks) <= TOGETHER


def fitted(blocks: Sequence[Block], last: Sequence[Block] = ()) -> tuple[Block, ...]:
    """As many of *blocks* as Slack takes in one message, also by their characters together, ending with *last*."""
    if fits([*blocks, *last]):
        return (*blocks, *last)
    room, left = MOST - len(last), TOGETHER - size(list(last)) - len(_more(len(blocks)))
    kept = 0
    for block in blocks[: room - 1]:
        left -= size(block)
        if left < 0:
            break
        kept += 1
    return _with(blocks, kept, last)


def _with(blocks: Sequence[Block], kept: int, last: Sequence[Block]) -> tuple[Block, ...]:
    if kept == len(blocks):
        return (*blocks, *last)
    return (*blocks[:kept], context(_more(len(blocks) - kept)), *last)


def _more(count: int) -> str:
    return f"… and {count} more blocks: ask for one name to see less."
