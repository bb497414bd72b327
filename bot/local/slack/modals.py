"""The views that people have open: a stack of at most three modals each, and App Home."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from bot.local.slack.blocks import check_view, with_ids
from bot.local.slack.changes import Change, Changes
from bot.local.slack.config import Config
from bot.local.slack.wire import Json, SlackError
from bot.local.slack.workspace import new_id

MOST_MODALS = 3
_FRAME = (
    "title",
    "submit",
    "close",
    "private_metadata",
    "callback_id",
    "external_id",
    "clear_on_close",
    "notify_on_close",
)


@dataclass(slots=True, kw_only=True)
class Open:
    """A view that ``user`` has before them; ``view`` is Slack's view object."""

    user: str
    view: Json


@dataclass(slots=True)
class Modals:
    """Every open modal, in the order of opening, and every published App Home."""

    config: Config
    changes: Changes
    opened: dict[str, Open] = field(default_factory=dict)
    homes: dict[str, Json] = field(default_factory=dict)

    def stack(self, user: str) -> list[Json]:
        """The modals of *user*, the one on top last."""
        return [o.view for o in self.opened.values() if o.user == user]

    def find(self, view_id: str = "", external_id: str = "") -> Open:
        """An open modal by one of its ids; raises SlackError("not_found")."""
        for opened in self.opened.values():
            if view_id == opened.view["id"] or (external_id and external_id == opened.view["external_id"]):
                return opened
        raise SlackError("not_found")

    def open(self, user: str, view: Json) -> Json:
        """A new modal for *user*, in place of whatever was open (views.open)."""
        _must_be(view, "modal")
        check_view(view)
        self._unused(view)
        self.clear(user)
        return self._show(user, view, below=None)

    def push(self, user: str, view: Json) -> Json:
        """A modal on top of the open one. Raises SlackError("push_limit_reached") above three."""
        _must_be(view, "modal")
        check_view(view)
        stack = self.stack(user)
        if not stack:
            raise SlackError("not_found")
        self._unused(view)
        if len(stack) >= MOST_MODALS:
            raise SlackError("push_limit_reached")
        return self._show(user, view, below=stack[-1])

    def update(self, opened: Open, view: Json, *, hash_: str = "") -> Json:
        """Replace an open modal's content. Raises SlackError("hash_conflict") if it changed since *hash_*."""
        _must_be(view, "modal")
        check_view(view)
        if hash_ and hash_ != opened.view["hash"]:
            raise SlackError("hash_conflict")
        # What a person typed stays where the block and the element keep their ids.
        kept = opened.view["state"]
        opened.view.update(self._content(view), hash=new_hash(), state=kept)
        self._publish("view_updated", opened.user, view_id=opened.view["id"], view=opened.view)
        return opened.view

    def publish(self, user: str, view: Json) -> Json:
        """Set *user*'s App Home (views.publish)."""
        _must_be(view, "home")
        check_view(view)
        self.homes[user] = self._new(view)
        self._publish("home_published", user, view=self.homes[user])
        return self.homes[user]

    def close(self, view_id: str) -> None:
        """Close one modal."""
        opened = self.find(view_id)
        del self.opened[view_id]
        self._publish("view_closed", opened.user, view_id=view_id)

    def clear(self, user: str) -> None:
        """Close every modal of *user*."""
        for view in reversed(self.stack(user)):
            self.close(view["id"])

    def complain(self, opened: Open, errors: Json) -> None:
        """Show *errors* (by block id; ``*`` for the whole view) in an open modal."""
        self._publish("view_errors", opened.user, view_id=opened.view["id"], errors=errors)

    def _unused(self, view: Json) -> None:
        taken = {o.view["external_id"] for o in self.opened.values()}
        if view.get("external_id") and view["external_id"] in taken:
            raise SlackError("duplicate_external_id")

    def _show(self, user: str, view: Json, below: Json | None) -> Json:
        shown = self._new(view)
        shown["previous_view_id"] = below["id"] if below else None
        shown["root_view_id"] = below["root_view_id"] if below else shown["id"]
        self.opened[shown["id"]] = Open(user=user, view=shown)
        self._publish("view_opened", user, view=shown)
        return shown

    def _new(self, view: Json) -> Json:
        view_id = f"V{secrets.token_hex(5).upper()}"
        return {
            "id": view_id,
            "team_id": self.config.team_id,
            "app_id": self.config.app_id,
            "bot_id": self.config.bot_id,
            "app_installed_team_id": self.config.team_id,
            "hash": new_hash(),
            "state": {"values": {}},
            "previous_view_id": None,
            "root_view_id": view_id,
            **self._content(view),
        }

    def _content(self, view: Json) -> Json:
        blanks: Json = {"private_metadata": "", "callback_id": "", "external_id": "", "submit": None, "close": None}
        blanks |= {"clear_on_close": False, "notify_on_close": False}
        given = {key: view[key] for key in _FRAME if key in view}
        return {**blanks, **given, "type": view["type"], "blocks": with_ids(view["blocks"], new_id)}

    def _publish(self, kind: str, user: str, **data: Any) -> None:
        self.changes.publish(Change(kind=kind, data=data, to=user))


def new_hash() -> str:
    """A view's version."""
    return secrets.token_hex(8)


def _must_be(view: Json, kind: str) -> None:
    if view.get("type") != kind:
        raise SlackError("invalid_arguments", "must be a valid enum value [json-pointer:/view/type]")
