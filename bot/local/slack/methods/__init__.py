"""The Web API methods that the stand-in has, with the scope that each needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.local.slack.methods import chat, conversations, files, people, views
from bot.local.slack.wire import Args, Json
from bot.local.slack.world import World


@dataclass(frozen=True, slots=True)
class Method:
    """A Web API method: what it does, and the OAuth scope without which Slack answers ``missing_scope``.

    ``token`` is what it takes: ``bot``, ``app`` (an app-level token) or an empty text for none.
    """

    run: Callable[[World, Args], Json]
    scope: str = ""
    token: str = "bot"  # noqa: S105 - the kind of token, not one


METHODS: dict[str, Method] = {
    "api.test": Method(people.api_test, token=""),
    "auth.test": Method(people.auth_test),
    "apps.connections.open": Method(people.open_connection, token="app"),  # noqa: S106 - the kind of token
    "bots.info": Method(people.bot_info, "users:read"),
    "chat.postMessage": Method(chat.post_message, "chat:write"),
    "chat.update": Method(chat.update, "chat:write"),
    "chat.delete": Method(chat.delete, "chat:write"),
    "chat.postEphemeral": Method(chat.post_ephemeral, "chat:write"),
    "chat.getPermalink": Method(chat.get_permalink),
    "conversations.list": Method(conversations.list_, "channels:read"),
    "conversations.info": Method(conversations.info, "channels:read"),
    "conversations.members": Method(conversations.members, "channels:read"),
    "conversations.history": Method(conversations.history, "channels:history"),
    "conversations.replies": Method(conversations.replies, "channels:history"),
    "conversations.join": Method(conversations.join, "channels:join"),
    "conversations.open": Method(conversations.open_, "im:write"),
    "files.getUploadURLExternal": Method(files.get_upload_url, "files:write"),
    "files.completeUploadExternal": Method(files.complete_upload, "files:write"),
    "pins.add": Method(chat.add_pin, "pins:write"),
    "reactions.add": Method(chat.add_reaction, "reactions:write"),
    "usergroups.list": Method(people.usergroups, "usergroups:read"),
    "usergroups.users.list": Method(people.usergroup_users, "usergroups:read"),
    "users.conversations": Method(conversations.of_user, "channels:read"),
    "users.info": Method(people.info, "users:read"),
    "users.list": Method(people.list_, "users:read"),
    "views.open": Method(views.open_),
    "views.push": Method(views.push),
    "views.update": Method(views.update),
    "views.publish": Method(views.publish),
}
