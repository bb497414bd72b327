"""Is this Block Kit? Slack's own types as a schema, its documented limits, and ids that are unique."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import fastjsonschema

from bot.local.slack.limits import (
    EVERYWHERE,
    LIMITS,
    MESSAGE_BLOCKS,
    MESSAGE_MARKDOWN,
    MESSAGE_ONLY,
    MESSAGE_TABLES,
    VIEW_BLOCKS,
    Limit,
)
from bot.local.slack.wire import Json, SlackError

# An object without a "type" of its own goes by the key that it stands under.
_KIND_BY_KEY = {"confirm": "confirm", "options": "option", "option_groups": "option_group"}


def check_blocks(blocks: list[Any], pointer: str = "/blocks", *, error: str = "invalid_blocks") -> None:
    """Raise SlackError(*error*) with one message for each fault of *blocks*, worded and pointed to as Slack does."""
    faults = [*_faults(blocks, pointer, MESSAGE_BLOCKS)] or [*_message_faults(blocks, pointer)]
    if faults:
        raise SlackError(error, *dict.fromkeys(faults))


def check_view(view: Json) -> None:
    """Raise SlackError("invalid_arguments") with one message for each fault of a view that an app sends."""
    kind = view.get("type")
    if kind not in ("modal", "home"):
        raise SlackError("invalid_arguments", "must be a valid enum value [json-pointer:/view/type]")
    frame = {key: value for key, value in view.items() if key != "blocks"}
    faults = [*_schema_faults(frame, _root(kind), "/view")]
    faults = faults or [*_limit_faults(frame, kind, "/view")]
    blocks = view.get("blocks")
    if not isinstance(blocks, list):
        faults.append("missing required field: blocks [json-pointer:/view]")
    else:
        block_faults = [*_faults(blocks, "/view/blocks", VIEW_BLOCKS)]
        faults += block_faults or _view_faults(blocks, view)
    if faults:
        raise SlackError("invalid_arguments", *dict.fromkeys(faults))


def _faults(blocks: list[Any], pointer: str, most: int) -> Iterator[str]:
    if len(blocks) > most:
        yield f"no more than {most} items allowed [json-pointer:{pointer}]"
    for index, block in enumerate(blocks):
        at = f"{pointer}/{index}"
        schema_faults = [*_schema_faults(block, {"$ref": "#/definitions/KnownBlock"}, at)]
        # The limits are about objects of the right shape only: one fault should give one message.
        yield from schema_faults or [*_walk(block, "block", at), *_rules(block, at)]
    yield from _repeated([b.get("block_id") for b in blocks if isinstance(b, dict)], "block_id", pointer)


def _message_faults(blocks: list[Json], pointer: str) -> Iterator[str]:
    if sum(block["type"] == "table" for block in blocks) > MESSAGE_TABLES:
        yield f"only_one_table_allowed [json-pointer:{pointer}]"
    if sum(len(block["text"]) for block in blocks if block["type"] == "markdown") > MESSAGE_MARKDOWN:
        yield f"markdown blocks must be less than {MESSAGE_MARKDOWN + 1} characters together [json-pointer:{pointer}]"


def _view_faults(blocks: list[Json], view: Json) -> Iterator[str]:
    for index, block in enumerate(blocks):
        if block["type"] in MESSAGE_ONLY:
            yield f"unsupported type: {block['type']} [json-pointer:/view/blocks/{index}/type]"
    if view["type"] == "modal" and "submit" not in view and any(block["type"] == "input" for block in blocks):
        yield "missing required field: submit [json-pointer:/view]"


# --- the schema ------------------------------------------------------------------------------------------------------


@cache
def _definitions() -> Json:
    text = files("bot.local.slack.schema").joinpath("block-kit.json").read_text(encoding="utf-8")
    definitions: Json = json.loads(text)["definitions"]
    return definitions


def _root(name: str) -> Json:
    schema: Json = _definitions()["Roots"]["properties"][name]
    return schema


@cache
def _validator(schema: str) -> Callable[[Any], Any]:
    compiled: Callable[[Any], Any] = fastjsonschema.compile(
        {**json.loads(schema), "definitions": _definitions()}, use_formats=False
    )
    return compiled


def _branches(schema: Json) -> Iterator[Json]:
    """The alternatives that *schema* stands for, references and nested unions resolved."""
    while "$ref" in schema:
        schema = _definitions()[schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        for branch in schema["anyOf"]:
            yield from _branches(branch)
    else:
        yield schema


def _schema_faults(value: Any, schema: Json, pointer: str) -> Iterator[str]:
    """At most one fault. A union is narrowed by the value's own ``type``, so that the message says what is wrong."""
    branches = [*_branches(schema)]
    if len(branches) > 1:
        kind = value.get("type") if isinstance(value, dict) else None
        named = [b for b in branches if b.get("properties", {}).get("type", {}).get("const") == kind]
        if not named:
            allowed = any("const" in b.get("properties", {}).get("type", {}) for b in branches)
            what = f"unsupported type: {kind}" if kind and allowed else "failed to match all allowed schemas"
            yield f"{what} [json-pointer:{pointer}]"
            return
        branches = named
    attempts = [_first_fault(value, branch, pointer) for branch in branches]
    if None not in attempts:
        yield from [a for a in attempts if a][:1]


def _first_fault(value: Any, schema: Json, pointer: str) -> str | None:
    try:
        _validator(json.dumps(schema))(value)
    except fastjsonschema.JsonSchemaValueException as fault:
        path = [str(part) for part in fault.path[1:]]
        if fault.rule == "anyOf":
            inner = value
            for part in path:
                inner = inner[int(part)] if isinstance(inner, list) else inner[part]
            deeper = [*_schema_faults(inner, fault.definition, "/".join([pointer, *path]))]
            return deeper[0] if deeper else None
        return _worded(fault, "/".join([pointer, *path]))
    return None


def _worded(fault: fastjsonschema.JsonSchemaValueException, pointer: str) -> str:
    match fault.rule:
        case "required":
            missing = [key for key in fault.rule_definition if key not in fault.value]
            what = f"missing required field: {missing[0]}"
        case "additionalProperties":
            unknown = sorted(set(fault.value) - set(fault.definition["properties"]))
            what = f"invalid additional property: {unknown[0]}"
        case "enum" | "const":
            what = "must be a valid enum value"
        case "type":
            what = f"must be of type {fault.rule_definition}"
        case _:
            what = fault.message.removeprefix(f"{fault.name} ")
    return f"{what} [json-pointer:{pointer}]"


# --- limits and rules ------------------------------------------------------------------------------------------------


def _walk(value: Any, key: str, pointer: str) -> Iterator[str]:
    """The limits of *value* and of all that it contains."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, key, f"{pointer}/{index}")
    elif isinstance(value, dict):
        yield from _limit_faults(value, value.get("type") or _KIND_BY_KEY.get(key, ""), pointer)
        for name, inner in value.items():
            yield from _walk(inner, name, f"{pointer}/{name}")


def _limit_faults(value: Json, kind: str, pointer: str) -> Iterator[str]:
    for limit in (*LIMITS.get(kind, ()), *EVERYWHERE):
        for found, at in _at(value, limit.path.split("."), pointer):
            yield from _measured(found, limit, at)
    if kind in ("plain_text", "mrkdwn"):
        yield from _measured(value["text"], Limit("text", 3000, 1), f"{pointer}/text")


def _at(value: Any, path: list[str], pointer: str) -> Iterator[tuple[Any, str]]:
    """What stands at *path* below *value*, and where; nothing if it is not there."""
    if not path:
        yield value, pointer
        return
    key, each = path[0].removesuffix("[]"), path[0].endswith("[]")
    if not isinstance(value, dict) or key not in value:
        return
    inner, pointer = value[key], f"{pointer}/{key}"
    for index, item in enumerate(inner) if each else [(None, inner)]:
        yield from _at(item, path[1:], pointer if index is None else f"{pointer}/{index}")


def _measured(value: Any, limit: Limit, pointer: str) -> Iterator[str]:
    if not isinstance(value, (str, list)):
        return
    is_text = isinstance(value, str)
    if len(value) > limit.most:
        what = (
            f"must be less than {limit.most + 1} characters" if is_text else f"no more than {limit.most} items allowed"
        )
        yield f"{what} [json-pointer:{pointer}]"
    if len(value) < limit.least:
        what = "must be more than 0 characters" if is_text else f"no fewer than {limit.least} items required"
        yield f"{what} [json-pointer:{pointer}]"


def _rules(block: Json, pointer: str) -> Iterator[str]:
    """What neither a schema nor a length can say."""
    if block["type"] == "section" and "text" not in block and "fields" not in block:
        yield f"missing required field: text [json-pointer:{pointer}]"
    for element in elements_of(block):
        if element["type"] in ("static_select", "multi_static_select"):
            yield from _option_faults(element, pointer)
    yield from _repeated([e.get("action_id") for e in elements_of(block)], "action_id", pointer)


def _option_faults(element: Json, pointer: str) -> Iterator[str]:
    if ("options" in element) == ("option_groups" in element):
        yield f"must provide either options or option_groups [json-pointer:{pointer}]"
    preset = element.get("initial_options", [element["initial_option"]] if "initial_option" in element else [])
    if any(option not in options_of(element) for option in preset):
        yield f"initial_option is not one of the options [json-pointer:{pointer}]"


def _repeated(ids: list[Any], name: str, pointer: str) -> Iterator[str]:
    for repeated in sorted({i for i in ids if i is not None and ids.count(i) > 1}):
        yield f"`{name}` already exists: {repeated} [json-pointer:{pointer}]"


# --- reading blocks --------------------------------------------------------------------------------------------------


def elements_of(block: Json) -> list[Json]:
    """The elements of *block* that a person can work: its own, its accessory, its input."""
    inner = [
        *(block.get("elements") or []),
        block.get("accessory"),
        block.get("element"),
        *(block.get("actions") or []),
    ]
    return [e for e in inner if isinstance(e, dict) and e.get("type") not in (None, "image", "plain_text", "mrkdwn")]


def options_of(element: Json) -> list[Json]:
    """The options that a menu offers, its groups taken together."""
    groups = element.get("option_groups") or [element]
    return [option for group in groups for option in group.get("options", [])]


def find_element(blocks: list[Json], action_id: str, block_id: str | None = None) -> tuple[Json, Json] | None:
    """The block and the element with *action_id* (in the block *block_id*, if given), or None."""
    for block in blocks:
        if block_id is not None and block.get("block_id") != block_id:
            continue
        for element in elements_of(block):
            if element.get("action_id") == action_id:
                return block, element
    return None


def with_ids(blocks: list[Json], new_id: Callable[[], str]) -> list[Json]:
    """A copy of *blocks* in which every block and element has its id: Slack makes those up that the app left out."""
    copy: list[Json] = json.loads(json.dumps(blocks))
    for block in copy:
        for thing, key in ((block, "block_id"), *((element, "action_id") for element in elements_of(block))):
            if key not in thing:
                thing[key] = new_id()
    return copy
