"""What every message has to be: blocks that Slack takes, and nothing that Slack would read as its own markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bot.local.slack.blocks import check_blocks
from bot.views.blocks import size
from bot.views.message import SlackMessage

# What our messages may contain of Slack's markup: a time in the reader's zone, a person or a group of them, a channel.
OWN_MARKUP = re.compile(
    r"<!date\^\d+\^(?:\{date_short_pretty\} )?\{time_secs\}\|(?:\d\d-\d\d )?\d\d:\d\d:\d\d UTC>"
    r"|<@[UW][A-Z0-9]+>|<!subteam\^S[A-Z0-9]+>|<#C[A-Z0-9]+>"
)
TEXT_LIMIT = 4000  # chat.update refuses a longer text (docs: msg_too_long)
BLOCKS_LIMIT = 11_000  # of all blocks together, some more of which Slack refuses (docs: msg_blocks_too_long)


def assert_slack_takes(message: SlackMessage) -> None:
    """*message* can be posted and edited, and mentions nobody that it does not mean to."""
    check_blocks(list(message.blocks))
    assert 0 < len(message.text) <= TEXT_LIMIT
    assert size(list(message.blocks)) <= BLOCKS_LIMIT
    for text in (message.text, *mrkdwn(list(message.blocks))):
        assert not re.search("[<>]", OWN_MARKUP.sub("", text)), text[:200]


def mrkdwn(value: Any) -> Iterator[str]:
    """Every text in *value* whose markup Slack reads."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from mrkdwn(item)
    elif isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            yield value["text"]
        for item in value.values():
            yield from mrkdwn(item)


def shown(message: SlackMessage) -> str:
    """All that a person reads in the message's blocks."""
    return "\n".join([*mrkdwn(list(message.blocks)), *(b["text"] for b in _plain(list(message.blocks)))])


def _plain(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _plain(item)
    elif isinstance(value, dict):
        if value.get("type") == "plain_text":
            yield value
        for item in value.values():
            yield from _plain(item)


def buttons(message: SlackMessage) -> list[str]:
    """The labels of the buttons."""
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return [element["text"]["text"] for row in rows for element in row]
