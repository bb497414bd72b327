"""conversations.* and users.conversations: channels and what was said in them."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from bot.local.slack.methods.chat import joined
from bot.local.slack.wire import Args, Json, SlackError
from bot.local.slack.workspace import Channel, without_metadata
from bot.local.slack.world import World

MOST_PER_PAGE = 999


def page(items: list[Any], args: Args, *, default: int = 100) -> tuple[list[Any], Json]:
    """One page of *items* and what an answer says of the next one (``response_metadata``). Raises invalid_cursor."""
    limit = args.number("limit", default, least=1, most=MOST_PER_PAGE)
    start = 0
    if cursor := args.text("cursor"):
        try:
            start = int(base64.b64decode(cursor, validate=True).removeprefix(b"from:"))
        except (ValueError, binascii.Error):
            raise SlackError("invalid_cursor") from None
    more = start + limit < len(items)
    following = base64.b64encode(f"from:{start + limit}".encode()).decode() if more else ""
    return items[start : start + limit], {"response_metadata": {"next_cursor": following}}


def channel_object(world: World, channel: Channel) -> Json:
    """A conversation object, as conversations.info returns it."""
    if channel.is_im:
        user = next(m for m in channel.members if m != world.config.bot_user_id)
        return {"id": channel.id, "is_im": True, "is_channel": False, "user": user, "is_archived": False}
    return {
        "id": channel.id, "name": channel.name, "name_normalized": channel.name, "is_channel": True, "is_im": False,
        "is_private": False, "is_archived": False, "is_member": world.config.bot_user_id in channel.members,
        "num_members": len(channel.members), "topic": {"value": channel.topic, "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }  # fmt: skip


def list_(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.list"""
    chosen, metadata = page(_of_types(world, args), args)
    return {"channels": [channel_object(world, c) for c in chosen], **metadata}


def of_user(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/users.conversations"""
    user = args.text("user") or world.config.bot_user_id
    world.user(user)
    chosen, metadata = page([c for c in _of_types(world, args) if user in c.members], args)
    return {"channels": [channel_object(world, c) for c in chosen], **metadata}


def _of_types(world: World, args: Args) -> list[Channel]:
    types = set(args.names("types")) or {"public_channel"}
    if unknown := types - {"public_channel", "private_channel", "mpim", "im"}:
        raise SlackError("invalid_types", f"unknown type: {min(unknown)}")
    kinds = {"im": True, "public_channel": False}
    wanted = {kinds[t] for t in types if t in kinds}
    return [c for c in world.workspace.channels.values() if c.is_im in wanted]


def info(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.info"""
    return {"channel": channel_object(world, world.workspace.channel(args.required("channel")))}


def members(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.members"""
    chosen, metadata = page(sorted(world.workspace.channel(args.required("channel")).members), args)
    return {"members": chosen, **metadata}


def join(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.join"""
    channel = world.workspace.channel(args.required("channel"))
    channel.members.add(world.config.bot_user_id)
    return {"channel": channel_object(world, channel)}


def open_(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.open, for one person"""
    if args.given("channel"):
        return {"channel": channel_object(world, world.workspace.channel(args.text("channel")))}
    users = args.names("users")
    if len(users) != 1:
        raise SlackError("users_list_not_supplied" if not users else "method_not_supported_for_channel_type")
    if users[0] not in world.workspace.people:
        raise SlackError("user_not_found")
    return {"channel": {"id": world.workspace.direct(users[0]).id}}


def history(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.history: the newest first, replies left out"""
    channel = joined(world, args.required("channel"))
    messages = [
        m
        for m in channel.messages.values()
        if m.get("thread_ts", m["ts"]) == m["ts"] or m.get("subtype") == "thread_broadcast"
    ]
    return _messages(list(reversed(messages)), args)


def replies(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.replies: the parent, then its replies, oldest first"""
    channel = joined(world, args.required("channel"))
    ts = args.required("ts")
    if ts not in channel.messages:
        raise SlackError("thread_not_found")
    root = channel.messages[ts].get("thread_ts", ts)
    return _messages([m for m in channel.messages.values() if root in (m["ts"], m.get("thread_ts"))], args)


def _messages(messages: list[Json], args: Args) -> Json:
    oldest, latest, inclusive = args.text("oldest"), args.text("latest"), args.flag("inclusive")
    edges = {edge for edge in (oldest, latest) if edge}

    def within(ts: str) -> bool:
        if ts in edges:
            return inclusive
        return (not oldest or float(ts) > float(oldest)) and (not latest or float(ts) < float(latest))

    try:
        chosen, metadata = page([m for m in messages if within(m["ts"])], args)
    except ValueError:
        raise SlackError("invalid_ts_latest" if latest else "invalid_ts_oldest") from None
    has_more = bool(metadata["response_metadata"]["next_cursor"])
    shown = chosen if args.flag("include_all_metadata") else without_metadata(chosen)
    return {"messages": shown, "has_more": has_more, **(metadata if has_more else {})}
