"""Slack's documented lengths and counts for Block Kit, which no published schema has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``most`` (and at least ``least``) characters of a text, or items of a list, at ``path``.

    ``path`` is keys joined by dots; ``[]`` after a key means each item of that list.
    """

    path: str
    most: int
    least: int = 0


# By the "type" of the object that the limit is about; "option", "confirm" and "option_group" have no type of their
# own and go by the key that they stand under. From docs.slack.dev/reference/block-kit, read through @slack/types.
LIMITS: dict[str, tuple[Limit, ...]] = {
    "section": (Limit("text.text", 3000, 1), Limit("fields", 10, 1), Limit("fields[].text", 2000, 1)),
    "actions": (Limit("elements", 25, 1),),
    "context": (Limit("elements", 10, 1),),
    "context_actions": (Limit("elements", 5, 1),),
    "header": (Limit("text.text", 150, 1),),
    "alert": (Limit("text.text", 3000, 1),),
    "markdown": (Limit("text", 12000, 1),),
    "image": (Limit("image_url", 3000, 1), Limit("alt_text", 2000), Limit("title.text", 2000)),
    "video": (Limit("alt_text", 2000), Limit("title.text", 199), Limit("author_name", 49)),
    "input": (Limit("label.text", 2000, 1), Limit("hint.text", 2000, 1)),
    "table": (Limit("rows", 100, 1), Limit("rows[]", 20, 1), Limit("column_settings", 20)),
    "button": (
        Limit("text.text", 75, 1),
        Limit("value", 2000),
        Limit("url", 3000, 1),
        Limit("accessibility_label", 75),
    ),
    "static_select": (Limit("options", 100, 1), Limit("option_groups", 100, 1)),
    "multi_static_select": (Limit("options", 100, 1), Limit("option_groups", 100, 1)),
    "overflow": (Limit("options", 5, 1),),
    "checkboxes": (Limit("options", 10, 1),),
    "radio_buttons": (Limit("options", 10, 1),),
    "plain_text_input": (Limit("initial_value", 3000),),
    "option": (Limit("text.text", 75, 1), Limit("value", 150, 1), Limit("description.text", 75, 1)),
    "option_group": (Limit("label.text", 75, 1), Limit("options", 100, 1)),
    "confirm": (
        Limit("title.text", 100, 1),
        Limit("text.text", 300, 1),
        Limit("confirm.text", 30, 1),
        Limit("deny.text", 30, 1),
    ),
    "modal": (
        Limit("title.text", 24, 1),
        Limit("submit.text", 24, 1),
        Limit("close.text", 24, 1),
        Limit("private_metadata", 3000),
        Limit("callback_id", 255),
        Limit("external_id", 255),
    ),
    "home": (Limit("private_metadata", 3000), Limit("callback_id", 255), Limit("external_id", 255)),
}

# What holds for every object that has the key.
EVERYWHERE = (Limit("block_id", 255, 1), Limit("action_id", 255, 1), Limit("placeholder.text", 150, 1))

# Blocks that Slack shows in messages only (docs.slack.dev/reference/block-kit/blocks, "Available in surfaces").
MESSAGE_ONLY = frozenset({"context_actions", "markdown", "plan", "table", "task_card"})

MESSAGE_BLOCKS = 50
MESSAGE_TABLES = 1
MESSAGE_MARKDOWN = 12_000
VIEW_BLOCKS = 100
POST_TEXT = 40_000
UPDATE_TEXT = 4_000
