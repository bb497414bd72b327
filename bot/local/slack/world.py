"""Everything that the stand-in remembers, in one place, for the code that serves it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.local.slack.changes import Changes
from bot.local.slack.config import Config
from bot.local.slack.faults import Faults
from bot.local.slack.modals import Modals
from bot.local.slack.triggers import Triggers
from bot.local.slack.wire import Json
from bot.local.slack.workspace import Workspace

KEPT = 10_000
"""How many calls and deliveries are remembered: enough for any test, and a demo may run for weeks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One Web API call as it arrived. ``answer`` is the body, or None where the caller got none.

    ``status`` is the HTTP status (0: the connection was cut); ``at`` is seconds since the epoch.
    """

    method: str
    args: Json
    at: float
    status: int
    answer: Json | None

    @property
    def ok(self) -> bool:
        """Whether the caller was told that it worked."""
        return self.answer is not None and self.answer.get("ok") is True


@dataclass(slots=True, kw_only=True)
class UploadedFile:
    """A file on its way (``shared`` false) or in a channel. ``length`` is what the app announced, in bytes."""

    id: str
    name: str
    length: int
    ticket: str
    title: str = ""
    content: bytes | None = None
    shared: bool = False


class World:
    """The workspace and all that belongs to it. ``new_socket_url`` is set by Socket Mode."""

    def __init__(self, config: Config, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.changes = Changes()
        self.workspace = Workspace(config, clock, self.changes)
        self.modals = Modals(config, self.changes)
        self.triggers = Triggers(config, clock)
        self.faults = Faults(clock)
        self.files: dict[str, UploadedFile] = {}
        self.calls: deque[ApiCall] = deque(maxlen=KEPT)
        self.page_origin = ""
        """``http://127.0.0.1:port``, where a browser on this machine finds us: links for people lead there."""
        self.origin = ""
        """``http://host:port`` as the app last reached us: response URLs have to be reachable for it, too."""
        self.new_socket_url: Callable[[str], str] = lambda origin: ""
        self.on_message: Callable[[str, Json], None] = lambda channel, message: None
        """Called with each new message that everybody in a channel sees: the Events API tells the app."""

    def team(self) -> Json:
        """The team, as interaction payloads and the page carry it."""
        return {"id": self.config.team_id, "domain": self.config.domain, "name": self.config.team_name}

    def user(self, user_id: str) -> Json:
        """A user object (users.info), of a person or of the app's bot."""
        config = self.config
        if user_id in (config.bot_user_id, config.bot_name):
            return self._user_object(config.bot_user_id, config.bot_name, config.bot_name, "", is_bot=True)
        person = self.workspace.person(user_id)
        return self._user_object(person.id, person.name, person.real_name, person.title, is_bot=False)

    def users(self) -> list[Json]:
        """Every user object."""
        return [self.user(user_id) for user_id in (*self.workspace.people, self.config.bot_user_id)]

    def _user_object(self, user_id: str, name: str, real_name: str, title: str, *, is_bot: bool) -> Json:
        profile: dict[str, Any] = {"real_name": real_name, "display_name": name, "title": title}
        if is_bot:
            profile |= {"api_app_id": self.config.app_id, "bot_id": self.config.bot_id}
        return {
            "id": user_id, "team_id": self.config.team_id, "name": name, "real_name": real_name, "deleted": False,
            "is_bot": is_bot, "is_app_user": False, "tz": "Etc/UTC", "tz_label": "UTC", "tz_offset": 0,
            "profile": profile,
        }  # fmt: skip
