"""What an interaction hands to the app: a trigger that opens views for 3 s, and a URL that takes 5 answers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from bot.local.slack.config import Config
from bot.local.slack.wire import SlackError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Lets the app open one view for ``user``. ``born`` is seconds since the epoch."""

    id: str
    user: str
    born: float


@dataclass(slots=True, kw_only=True)
class ResponseUrl:
    """Where the app may answer an interaction. ``original_ts`` is the message that it was about, if there was one."""

    token: str
    user: str
    channel: str
    born: float
    original_ts: str | None
    ephemeral: bool
    uses_left: int


class Triggers:
    """Issues triggers and response URLs and knows which are still good."""

    def __init__(self, config: Config, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._triggers: dict[str, Trigger] = {}
        self._spent: set[str] = set()
        self._urls: dict[str, ResponseUrl] = {}

    def new_trigger(self, user: str) -> str:
        """A trigger id for something that *user* has just done."""
        now = self._clock()
        trigger_id = f"{int(now * 1000)}.{secrets.randbelow(10**10)}.{secrets.token_hex(16)}"
        self._triggers[trigger_id] = Trigger(id=trigger_id, user=user, born=now)
        return trigger_id

    def spend(self, trigger_id: str) -> Trigger:
        """Use a trigger up. Raises SlackError: invalid_trigger_id, expired_trigger_id, exchanged_trigger_id."""
        trigger = self._triggers.get(trigger_id)
        if trigger is None:
            raise SlackError("invalid_trigger_id")
        if trigger_id in self._spent:
            raise SlackError("exchanged_trigger_id")
        if self._clock() - trigger.born > self._config.deadlines.trigger:
            raise SlackError("expired_trigger_id")
        self._spent.add(trigger_id)
        return trigger

    def new_url(
        self, user: str, channel: str, *, original_ts: str | None = None, ephemeral: bool = True
    ) -> ResponseUrl:
        """A response URL for *user*'s interaction in *channel*."""
        url = ResponseUrl(
            token=secrets.token_urlsafe(24),
            user=user,
            channel=channel,
            born=self._clock(),
            original_ts=original_ts,
            ephemeral=ephemeral,
            uses_left=self._config.response_url_uses,
        )
        self._urls[url.token] = url
        return url

    def use(self, token: str) -> ResponseUrl:
        """Use a response URL once. Raises SlackError: expired_url, used_url, or invalid_url for one never issued."""
        url = self._urls.get(token)
        if url is None:
            raise SlackError("invalid_url")
        if self._clock() - url.born > self._config.deadlines.response_url:
            raise SlackError("expired_url")
        if url.uses_left == 0:
            raise SlackError("used_url")
        url.uses_left -= 1
        return url
