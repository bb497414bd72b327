"""What a workspace consists of when it starts: people, channels, the app, its tokens, and Slack's deadlines."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

EVERY_SCOPE = frozenset(
    {
        "app_mentions:read", "channels:history", "channels:join", "channels:read", "chat:write", "commands",
        "files:write", "im:history", "im:write", "pins:write", "reactions:write", "usergroups:read", "users:read",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who can be acted as in the page and in tests."""

    id: str
    name: str
    real_name: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSetup:
    """A public channel. ``members`` are ids of people; empty means everybody. ``has_bot``: the app was invited."""

    id: str
    name: str
    topic: str = ""
    members: tuple[str, ...] = ()
    has_bot: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class UserGroup:
    """A user group (``@operators``). ``members`` are ids of people."""

    id: str
    handle: str
    name: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlashCommand:
    """A slash command from the app's manifest."""

    command: str
    description: str = ""
    usage_hint: str = ""


def _token(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(16)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Slack's times, in seconds; tests shorten them, nothing else should.

    Sources: docs.slack.dev on interactivity (3 s to acknowledge, 3 s for a trigger, a response URL 5 times within
    30 minutes) and on the Events API (retries at once, after a minute, after five).
    """

    ack: float = 3.0
    trigger: float = 3.0
    response_url: float = 1800.0
    event_retries: tuple[float, ...] = (0.0, 60.0, 300.0)
    refresh_warning: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole workspace. ``events`` are the app's event subscriptions, by Slack's names (``app_mention`` …).

    Tokens and secrets are new for each Config unless they are given.
    """

    team_id: str = "T0LVS"
    team_name: str = "LVS site"
    domain: str = "lvs-site"
    people: tuple[Person, ...] = (
        Person(id="U0ALICE", name="alice", real_name="Alice Archer", title="operator"),
        Person(id="U0BOB", name="bob", real_name="Bob Baker", title="viewer"),
        Person(id="U0CAROL", name="carol", real_name="Carol Carter"),
    )
    channels: tuple[ChannelSetup, ...] = (
        ChannelSetup(id="C0SITE", name="lvs-site", topic="The reference site: sv1, sv2 and the VIP between them"),
        ChannelSetup(id="C0GENERAL", name="general", topic="Everything else", has_bot=False),
    )
    usergroups: tuple[UserGroup, ...] = (
        UserGroup(id="S0OPS", handle="operators", name="Operators", members=("U0ALICE",)),
    )
    commands: tuple[SlashCommand, ...] = (
        SlashCommand(command="/lvs", description="Look at and run the load balancers", usage_hint="status | help"),
    )
    events: frozenset[str] = frozenset({"app_mention", "message.im"})
    scopes: frozenset[str] = EVERY_SCOPE
    bot_name: str = "lvsbot"
    bot_user_id: str = "U0LVSBOT"
    bot_id: str = "B0LVSBOT"
    app_id: str = "A0LVSBOT"
    bot_token: str = field(default_factory=lambda: _token("xoxb-1"), repr=False)
    app_token: str = field(default_factory=lambda: _token("xapp-1"), repr=False)
    signing_secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    verification_token: str = field(default_factory=lambda: secrets.token_hex(12), repr=False)
    deadlines: Deadlines = Deadlines()
    response_url_uses: int = 5
    max_connections: int = 10
