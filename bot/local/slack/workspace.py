"""The workspace in memory: channels, their messages and threads, and what only one person sees."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bot.local.slack.blocks import with_ids
from bot.local.slack.changes import Change, Changes
from bot.local.slack.config import Config, Person
from bot.local.slack.wire import Json, SlackError

Clock = Callable[[], float]
"""Seconds since the epoch."""

# What a message keeps of a call beside its text; blocks get ids on the way.
KEPT = ("attachments", "metadata", "files")


@dataclass(slots=True, kw_only=True)
class Channel:
    """A channel or a direct message (``is_im``), with its messages by ``ts``, oldest first."""

    id: str
    name: str
    topic: str = ""
    is_im: bool = False
    members: set[str] = field(default_factory=set)
    messages: dict[str, Json] = field(default_factory=dict)
    pins: list[str] = field(default_factory=list)

    def message(self, ts: str) -> Json:
        """The message at *ts*; raises SlackError("message_not_found")."""
        if ts not in self.messages:
            raise SlackError("message_not_found")
        return self.messages[ts]


@dataclass(slots=True, kw_only=True)
class Ephemeral:
    """A message that only ``user`` sees."""

    user: str
    channel: str
    message: Json


class Workspace:
    """Holds everything that is said, and publishes each change of it."""

    def __init__(self, config: Config, clock: Clock, changes: Changes) -> None:
        self.config = config
        self.clock = clock
        self.changes = changes
        self.people: dict[str, Person] = {p.id: p for p in config.people}
        self.channels: dict[str, Channel] = {}
        self.ephemerals: dict[str, Ephemeral] = {}
        self._last_ts = 0
        bot = config.bot_user_id
        for setup in config.channels:
            members = set(setup.members or self.people) | ({bot} if setup.has_bot else set())
            self.channels[setup.id] = Channel(id=setup.id, name=setup.name, topic=setup.topic, members=members)
        for person in config.people:
            direct = Channel(id=_direct_id(person.id), name=person.name, is_im=True, members={person.id, bot})
            self.channels[direct.id] = direct

    # --- looking up ---

    def person(self, who: str) -> Person:
        """The person with the id or the name *who*; raises SlackError("user_not_found")."""
        for person in self.people.values():
            if who in (person.id, person.name):
                return person
        raise SlackError("user_not_found")

    def channel(self, which: str, *, by_name: bool = False) -> Channel:
        """The channel with the id *which* (or ``#name``, where Slack takes one). Raises channel_not_found."""
        if which in self.channels:
            return self.channels[which]
        for channel in self.channels.values():
            if by_name and not channel.is_im and channel.name == which.removeprefix("#"):
                return channel
        raise SlackError("channel_not_found")

    def direct(self, user: str) -> Channel:
        """The direct message channel between the app and *user*."""
        return self.channels[_direct_id(self.person(user).id)]

    def shown(self, channel_id: str, user: str) -> Json:
        """A channel with all that *user* sees in it, as the page takes it."""
        channel = self.channels[channel_id]
        private = [e.message for e in self.ephemerals.values() if e.user == user and e.channel == channel_id]
        messages = sorted([*channel.messages.values(), *private], key=lambda m: m["ts"])
        name = self.config.bot_name if channel.is_im else channel.name
        return {"id": channel.id, "name": name, "topic": channel.topic, "is_im": channel.is_im, "messages": messages}

    # --- saying ---

    def new_ts(self) -> str:
        """A timestamp that no other message has."""
        self._last_ts = max(int(self.clock() * 1_000_000), self._last_ts + 1)
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def post(
        self, channel: Channel, content: Json, *, user: str, thread_ts: str | None = None, broadcast: bool = False
    ) -> Json:
        """Put a message into *channel* and return it; *broadcast* shows a reply outside of its thread, too.

        Raises SlackError("message_not_found") for a thread that does not exist.
        """
        message = self._message(content, user)
        parent = channel.message(thread_ts) if thread_ts else None
        if parent is not None:
            message["thread_ts"] = parent.get("thread_ts", parent["ts"])
            message["parent_user_id"] = parent["user"]
            if broadcast:
                message["subtype"] = "thread_broadcast"
        channel.messages[message["ts"]] = message
        self._publish("message", channel, message=message)
        if parent is not None:
            self._count_replies(channel, channel.messages[message["thread_ts"]])
        return message

    def update(self, channel: Channel, ts: str, content: Json, *, edited_by: str) -> Json:
        """Replace what *content* has of the message at *ts*; what it has not, stays (Slack: chat.update)."""
        message = channel.message(ts)
        self._replace(message, content)
        message["edited"] = {"user": edited_by, "ts": self.new_ts()}
        self._publish("message_changed", channel, message=message)
        return message

    def delete(self, channel: Channel, ts: str) -> None:
        """Take the message at *ts* away."""
        message = channel.message(ts)
        del channel.messages[ts]
        self._publish("message_deleted", channel, ts=ts)
        parent = channel.messages.get(message.get("thread_ts", ""))
        if parent is not None:
            self._count_replies(channel, parent)

    def whisper(self, channel: Channel, user: str, content: Json, *, thread_ts: str | None = None) -> Json:
        """Show a message in *channel* to *user* alone and return it."""
        message = self._message(content, self.config.bot_user_id) | {"ephemeral": True}
        if thread_ts:
            message["thread_ts"] = thread_ts
        self.ephemerals[message["ts"]] = Ephemeral(user=user, channel=channel.id, message=message)
        self._publish("message", channel, to=user, message=message)
        return message

    def change_whisper(self, ts: str, content: Json | None) -> None:
        """Replace the ephemeral message at *ts* with *content*, or take it away if that is None."""
        ephemeral = self.ephemerals.get(ts)
        if ephemeral is None:
            return
        channel = self.channels[ephemeral.channel]
        if content is None:
            del self.ephemerals[ts]
            self._publish("message_deleted", channel, to=ephemeral.user, ts=ts)
        else:
            self._replace(ephemeral.message, {"blocks": [], "attachments": [], **content})
            self._publish("message_changed", channel, to=ephemeral.user, message=ephemeral.message)

    def notice(self, user: str, channel_id: str, text: str) -> None:
        """Tell *user* what Slack itself has to say, for instance that a command failed."""
        self.changes.publish(
            Change(kind="notice", data={"channel": channel_id, "text": text}, to=user, channel=channel_id)
        )

    def touched(self, channel: Channel, message: Json) -> None:
        """Publish that *message* changed in place (a reaction, a pin)."""
        self._publish("message_changed", channel, message=message)

    # --- inside ---

    def _publish(self, kind: str, channel: Channel, to: str | None = None, **data: Any) -> None:
        self.changes.publish(Change(kind=kind, data={"channel": channel.id, **data}, to=to, channel=channel.id))

    def _message(self, content: Json, user: str) -> Json:
        message: Json = {"type": "message", "user": user, "text": "", "ts": self.new_ts(), "team": self.config.team_id}
        if user == self.config.bot_user_id:
            message |= {"bot_id": self.config.bot_id, "app_id": self.config.app_id}
        self._replace(message, content)
        return message

    def _replace(self, message: Json, content: Json) -> None:
        if "text" in content:
            message["text"] = content["text"]
        if content.get("blocks") is not None:
            message["blocks"] = with_ids(content["blocks"], new_id)
        for key in KEPT:
            if content.get(key) is not None:
                message[key] = content[key]
        for key in ("blocks", *KEPT):
            if key in message and not message[key]:
                del message[key]

    def _count_replies(self, channel: Channel, parent: Json) -> None:
        replies = [m for m in channel.messages.values() if m.get("thread_ts") == parent["ts"] and m is not parent]
        for key in ("thread_ts", "reply_count", "reply_users", "reply_users_count", "latest_reply"):
            parent.pop(key, None)
        if replies:
            users = list(dict.fromkeys(m["user"] for m in replies))
            parent |= {
                "thread_ts": parent["ts"],
                "reply_count": len(replies),
                "reply_users": users,
                "reply_users_count": len(users),
                "latest_reply": replies[-1]["ts"],
            }
        self._publish("message_changed", channel, message=parent)


def _direct_id(user: str) -> str:
    return f"D{user[1:]}"


def new_id() -> str:
    """A short id, as Slack makes up for blocks and actions that have none."""
    return secrets.token_urlsafe(4)


def without_metadata(messages: Iterable[Json]) -> list[Json]:
    """Messages as Slack returns them unless ``include_all_metadata`` asks for more."""
    return [{k: v for k, v in m.items() if k != "metadata"} for m in messages]
