"""What crosses the wire: JSON objects in Slack's own form, a call's arguments, and errors in Slack's own words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
"""A JSON object, with Slack's field names."""


class SlackError(Exception):
    """A call that Slack would answer with ``{"ok": false, "error": …}``.

    ``messages`` go into ``response_metadata.messages``, as Slack writes them; ``extra`` into the answer itself.
    """

    def __init__(self, error: str, *messages: str, **extra: Any) -> None:
        super().__init__(error if not messages else f"{error}: {'; '.join(messages)}")
        self.error = error
        self.messages = messages
        self.extra = extra

    def as_json(self) -> Json:
        """The body of the answer."""
        body: Json = {"ok": False, "error": self.error, **self.extra}
        if self.messages:
            body["errors"] = list(self.messages)
            body["response_metadata"] = {"messages": [f"[ERROR] {m}" for m in self.messages]}
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """The arguments of one Web API call, whichever way they came. ``origin`` is the server as the caller reached it."""

    values: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""

    def given(self, name: str) -> bool:
        """Whether *name* was sent with anything but null."""
        return self.values.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """The argument as text; *default* if it was not sent. Raises SlackError for an object or a list."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, (dict, list)):
            raise SlackError("invalid_arguments", f"must be a string [json-pointer:/{name}]")
        return str(value)

    def required(self, name: str) -> str:
        """The argument as text. Raises SlackError as Slack does if it is missing or empty."""
        value = self.text(name)
        if not value:
            raise SlackError("invalid_arguments", f"missing required field: {name}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """The argument as a boolean: true, True and 1 are true in forms and queries."""
        value = self.values.get(name)
        return default if value is None else str(value).lower() in {"1", "true"}

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """The argument as an integer. Raises SlackError outside *least* … *most*."""
        text = self.text(name, str(default))
        try:
            value = int(text)
        except ValueError:
            raise SlackError("invalid_arguments", f"must be an integer [json-pointer:/{name}]") from None
        if not least <= value <= most:
            raise SlackError("invalid_arguments", f"must be between {least} and {most} [json-pointer:/{name}]")
        return value

    def json(self, name: str, expected: type, error: str) -> Any:
        """The argument as *expected* (dict or list), decoded where a form carried it as text; None if not sent.

        Raises SlackError(*error*) for anything else.
        """
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise SlackError(error, f"must be valid JSON [json-pointer:/{name}]") from None
        if not isinstance(value, expected):
            wanted = "an object" if expected is dict else "an array"
            raise SlackError(error, f"must be {wanted} [json-pointer:/{name}]")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """A list argument: an array, or text with commas."""
        value = self.values.get(name)
        if isinstance(value, list):
            return tuple(str(v) for v in value)
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())
