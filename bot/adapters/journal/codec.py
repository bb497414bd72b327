"""Events as the journal stores them: a kind (the class's name) and a JSON body, and back."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from bot.domain.events import Event

_CLASSES: dict[str, type] = {cls.__name__: cls for cls in get_args(Event)}
_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Unstorable(ValueError):
    """An event cannot be written so that it reads back the same."""


class UnreadableRecord(ValueError):
    """A stored event is of a kind, or has a field, that this version does not know, or is damaged."""


_adapters: dict[type, TypeAdapter[Any]] = {}


def _adapter(cls: type) -> TypeAdapter[Any]:
    # Built at first use: most processes meet only a few kinds, and each adapter costs time and memory.
    adapter = _adapters.get(cls)
    if adapter is None:
        # pydantic takes a configuration for a foreign dataclass only where it stands inside of another type.
        inside: Any = cls | None
        adapter = _adapters[cls] = TypeAdapter(inside, config=_CONFIG)
    return adapter


def encode(event: Event) -> tuple[str, str]:
    """The kind and the JSON body of *event*.

    It is read back before it is let go: a record that cannot be read would stop every later start of the bot.
    Raises Unstorable.
    """
    cls = type(event)
    kind = cls.__name__
    if _CLASSES.get(kind) is not cls:
        raise Unstorable(f"{kind} is not one of the events in bot/domain/events")
    adapter = _adapter(cls)
    try:
        body: bytes = adapter.dump_json(event, warnings="error")
        same = adapter.validate_json(body) == event
    except (PydanticSerializationError, ValidationError, UnicodeEncodeError) as error:
        raise Unstorable(f"{kind} has a value that JSON cannot hold: {_first_line(error)}") from error
    if not same:
        raise Unstorable(f"{kind} would read back as something else: {event!r}")
    return kind, body.decode()


def decode(kind: str, body: str) -> Event:
    """The event that :func:`encode` made *kind* and *body* of. Raises UnreadableRecord."""
    cls = _CLASSES.get(kind)
    if cls is None:
        raise UnreadableRecord(
            f"events of the kind {kind!r} are not known to this version: run the version that wrote them"
        )
    try:
        event: Event | None = _adapter(cls).validate_json(body)
    except ValidationError as error:
        unknown = [".".join(map(str, e["loc"])) for e in error.errors() if e["type"] == "unexpected_keyword_argument"]
        if unknown:
            fields = ", ".join(unknown)
            raise UnreadableRecord(
                f"{kind} has fields that this version does not know ({fields}): run the version that wrote them"
            ) from error
        raise UnreadableRecord(f"{kind} cannot be read: {_explain(error)}") from error
    if event is None:
        raise UnreadableRecord(f"{kind} has no body")
    return event


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first["loc"] else first["msg"]


def _first_line(error: Exception) -> str:
    return _explain(error) if isinstance(error, ValidationError) else str(error).splitlines()[0]
