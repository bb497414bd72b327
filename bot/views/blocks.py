"""The few Block Kit shapes in use (api.slack.com/reference/block-kit), with Slack's lengths kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bot.views.words import cut

Block = dict[str, Any]


def section(text: str) -> Block:
    """A paragraph of mrkdwn; at most 3,000 characters."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, 3000)}}


def preformatted(lines: Iterable[str]) -> list[Block]:
    """Lines in fixed width, in as many sections as Slack's length asks for."""
    blocks: list[Block] = []
    part: list[str] = []
    for line in lines:
        if sum(len(p) + 1 for p in part) + len(line) > 2900:
            blocks.append(section("```" + "\n".join(part) + "```"))
            part = []
        part.append(cut(line, 2800))
    if part:
        blocks.append(section("```" + "\n".join(part) + "```"))
    return blocks


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


def limited(blocks: Sequence[Block], last: Sequence[Block] = ()) -> tuple[Block, ...]:
    """At most the fifty blocks that Slack takes, ending with *last*; where some had to go, a line says so."""
    room = 50 - len(last)
    if len(blocks) <= room:
        return (*blocks, *last)
    kept = blocks[: room - 1]
    more = f"… and {len(blocks) - len(kept)} more blocks: ask for one name to see less."
    return (*kept, context(more), *last)
