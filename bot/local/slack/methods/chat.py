"""chat.*, reactions.add and pins.add: what the app says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bot.local.slack.blocks import check_blocks
from bot.local.slack.limits import POST_TEXT, UPDATE_TEXT
from bot.local.slack.wire import Args, Json, SlackError
from bot.local.slack.workspace import Channel, without_metadata
from bot.local.slack.world import World

_EMOJI = re.compile(r"^[a-z0-9_+'-]+(::skin-tone-[2-6])?$")


def content_of(args: Args, *, most_text: int = POST_TEXT, empty_ok: bool = False) -> Json:
    """What a message consists of, checked. Raises no_text, msg_too_long, invalid_blocks, invalid_metadata_format."""
    content: Json = {}
    if args.given("text"):
        content["text"] = args.text("text")
    blocks = args.json("blocks", list, "invalid_blocks_format")
    if blocks is not None:
        check_blocks(blocks)
        content["blocks"] = blocks
    attachments = args.json("attachments", list, "invalid_attachments")
    if attachments is not None:
        _check_attachments(attachments)
        content["attachments"] = attachments
    metadata = args.json("metadata", dict, "invalid_metadata_format")
    if metadata is not None:
        _check_metadata(metadata)
        content["metadata"] = metadata
    if not (content.get("text") or blocks or attachments) and not empty_ok:
        raise SlackError("no_text")
    if len(content.get("text", "")) > most_text:
        raise SlackError("msg_too_long")
    return content


def _check_attachments(attachments: list[Any]) -> None:
    for index, attachment in enumerate(attachments):
        if not isinstance(attachment, dict):
            raise SlackError("invalid_attachments", f"must be an object [json-pointer:/attachments/{index}]")
        check_blocks(attachment.get("blocks", []), f"/attachments/{index}/blocks")


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    if metadata and not (
        isinstance(metadata.get("event_type"), str) and isinstance(metadata.get("event_payload"), dict)
    ):
        raise SlackError(
            "invalid_metadata_format", "event_type and event_payload are required [json-pointer:/metadata]"
        )
    for key, value in metadata.get("event_payload", {}).items():
        if not _is_payload(value):
            raise SlackError("invalid_metadata_schema", f"no such value [json-pointer:/metadata/event_payload/{key}]")


def _is_payload(value: object) -> bool:
    """Whether *value* may be in a payload: a plain one, an object of plain ones, a list of those (@slack/types)."""
    if isinstance(value, list):
        return all(isinstance(inner, dict) and _is_payload(inner) for inner in value)
    inner_values = value.values() if isinstance(value, dict) else (value,)
    return all(isinstance(inner, str | int | float | bool) for inner in inner_values)


def joined(world: World, which: str, *, by_name: bool = False) -> Channel:
    """The channel *which*, if the app is in it. Raises channel_not_found, not_in_channel."""
    channel = world.workspace.channel(which, by_name=by_name)
    if world.config.bot_user_id not in channel.members:
        raise SlackError("not_in_channel")
    return channel


def post_message(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/chat.postMessage"""
    which = args.required("channel")
    channel = world.workspace.direct(which) if which in world.workspace.people else joined(world, which, by_name=True)
    content = content_of(args)
    thread_ts = args.text("thread_ts") or None
    if thread_ts and thread_ts not in channel.messages:
        raise SlackError("thread_not_found")
    broadcast = args.flag("reply_broadcast")
    message = world.workspace.post(
        channel, content, user=world.config.bot_user_id, thread_ts=thread_ts, broadcast=broadcast
    )
    world.on_message(channel.id, message)
    return {"channel": channel.id, "ts": message["ts"], "message": without_metadata([message])[0]}


def update(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/chat.update"""
    channel = joined(world, args.required("channel"))
    message = channel.message(args.required("ts"))
    if message["user"] != world.config.bot_user_id:
        raise SlackError("cant_update_message")
    content = content_of(args, most_text=UPDATE_TEXT)
    world.workspace.update(channel, message["ts"], content, edited_by=world.config.bot_user_id)
    shown = without_metadata([message])[0]
    return {"channel": channel.id, "ts": message["ts"], "text": message["text"], "message": shown}


def delete(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/chat.delete"""
    channel = joined(world, args.required("channel"))
    message = channel.message(args.required("ts"))
    if message["user"] != world.config.bot_user_id:
        raise SlackError("cant_delete_message")
    world.workspace.delete(channel, message["ts"])
    return {"channel": channel.id, "ts": message["ts"]}


def post_ephemeral(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/chat.postEphemeral"""
    channel = joined(world, args.required("channel"), by_name=True)
    user = args.required("user")
    if user not in channel.members:
        raise SlackError("user_not_in_channel")
    content = content_of(args)
    message = world.workspace.whisper(channel, user, content, thread_ts=args.text("thread_ts") or None)
    return {"message_ts": message["ts"]}


def get_permalink(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/chat.getPermalink"""
    channel = world.workspace.channel(args.required("channel"))
    message = channel.message(args.required("message_ts"))
    link = f"{world.page_origin}/archives/{channel.id}/p{message['ts'].replace('.', '')}"
    if message.get("thread_ts", message["ts"]) != message["ts"]:
        link += f"?thread_ts={message['thread_ts']}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


def add_reaction(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/reactions.add"""
    channel = joined(world, args.required("channel"))
    message = channel.message(args.required("timestamp"))
    name = args.required("name").strip(":")
    if not _EMOJI.match(name):
        raise SlackError("invalid_name")
    reactions: list[Json] = message.setdefault("reactions", [])
    reaction = next((r for r in reactions if r["name"] == name), None)
    if reaction is None:
        reaction = {"name": name, "users": [], "count": 0}
        reactions.append(reaction)
    if world.config.bot_user_id in reaction["users"]:
        raise SlackError("already_reacted")
    reaction["users"].append(world.config.bot_user_id)
    reaction["count"] += 1
    world.workspace.touched(channel, message)
    return {}


def add_pin(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/pins.add"""
    channel = joined(world, args.required("channel"))
    message = channel.message(args.required("timestamp"))
    if message["ts"] in channel.pins:
        raise SlackError("already_pinned")
    channel.pins.append(message["ts"])
    message["pinned_to"] = [channel.id]
    world.workspace.touched(channel, message)
    return {}
