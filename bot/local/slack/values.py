"""What people enter: the value of each interactive element, checked against what the app offered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.local.slack.blocks import elements_of, options_of
from bot.local.slack.wire import Json, SlackError

# By element type: the field that carries its value, and the one that the app may preset it with.
_FIELDS: dict[str, tuple[str, str]] = {
    "plain_text_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "rich_text_input": ("rich_text_value", "initial_value"),
    "static_select": ("selected_option", "initial_option"),
    "external_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "overflow": ("selected_option", ""),
    "checkboxes": ("selected_options", "initial_options"),
    "multi_static_select": ("selected_options", "initial_options"),
    "multi_external_select": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "channels_select": ("selected_channel", "initial_channel"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
    "file_input": ("files", ""),
}
_FREE = {"external_select", "multi_external_select"}
REQUIRED = "Please complete this required field."


def value_of(element: Json, given: Any) -> Json:
    """*element*'s value as an action or a view's state has it: *given* by the person, else what the app preset.

    *given* is Slack's own form (``{"selected_option": {…}}``) or the plain value (for an option: its ``value``).
    Raises SlackError for an option that was not offered.
    """
    kind = element["type"]
    if kind not in _FIELDS:  # a button has only what the app gave it
        return {key: element[key] for key in ("type", "text", "value", "style", "url") if key in element}
    name, preset = _FIELDS[kind]
    value = given.get(name) if isinstance(given, Mapping) else given
    if value is None:
        value = element.get(preset, [] if name.endswith("s") else None)
    if name in ("selected_option", "selected_options") and kind not in _FREE:
        value = [_offered(element, v) for v in value] if isinstance(value, list) else value and _offered(element, value)
    return {"type": kind, name: value}


def state_of(blocks: list[Json], given: Any) -> Json:
    """The ``state`` of a message or a view: every element that holds a value.

    *given* is what the person entered: Slack's ``{"values": …}``, its inside, or plain values by action id.
    """
    values = given.get("values", given) if isinstance(given, Mapping) else {}
    state: dict[str, Json] = {}
    for block, element in _holders(blocks):
        entered = values.get(block["block_id"], {}).get(element["action_id"], values.get(element["action_id"]))
        state.setdefault(block["block_id"], {})[element["action_id"]] = value_of(element, entered)
    return {"values": state}


def missing(blocks: list[Json], state: Json) -> dict[str, str]:
    """What Slack itself refuses to submit: required inputs that are empty, by block id."""
    errors = {}
    for block, element in _holders(blocks):
        name = _FIELDS[element["type"]][0]
        empty = not state["values"][block["block_id"]][element["action_id"]][name]
        if block["type"] == "input" and not block.get("optional") and empty:
            errors[block["block_id"]] = REQUIRED
    return errors


def _holders(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    for block in blocks:
        for element in elements_of(block):
            if element["type"] in _FIELDS and element["type"] != "overflow":
                yield block, element


def _offered(element: Json, chosen: Any) -> Json:
    wanted = chosen.get("value") if isinstance(chosen, Mapping) else chosen
    for option in options_of(element):
        if option.get("value") == wanted:
            return dict(option)
    raise SlackError("invalid_option", f"{element.get('action_id')}: {wanted!r} was not offered")
