"""Fits a document to its shapes: everything wrong becomes a problem, everything right goes on to the cross-checks."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Collection, Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from bot.settings.document import Document
from bot.settings.fields import NAME, show
from bot.settings.problems import Key, Problem

_SECRET_KEY = re.compile(r"token|secret|passw|auth_pass$", re.IGNORECASE)


class Shape(BaseModel):
    """The shape of one mapping in a file: unknown keys are errors; a key without a value is as if it were not there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = cls.model_fields
        return {
            name: {} if value is None else value
            for name, value in data.items()
            if value is not None or name not in known or _shape_in(known[name].annotation) is not None
        }


S = TypeVar("S", bound=Shape)


class Reader:
    """Reads one document piece by piece and collects its problems."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = list(document.problems)

    def at(self, key: Key) -> Any:
        """The raw value at *key*, or None."""
        value = self.document.data
        for part in key:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def report(self, key: Key, what: str, instead: str, *, at_key: bool = False) -> None:
        """Note a problem with the value at *key*, or with the key itself."""
        self.problems.append(self.document.problem(key, what, instead, at_key=at_key))

    def fit(self, shape: type[S], key: Key) -> S | None:
        """The mapping at *key* as *shape*; what is wrong is reported.

        Wrong parts that have a default are then left out, so that one slip does not hide the next; None where
        nothing usable is left.
        """
        value = self.at(key)
        value = {} if value is None else value
        try:
            return shape.model_validate(value)
        except ValidationError as error:
            errors = error.errors(include_url=False)
        for detail in errors:
            self._explain(shape, key, detail)
        pruned = copy.deepcopy(value)
        for detail in sorted(errors, key=lambda d: d["loc"][-1:] if _is_index(d) else (), reverse=True):
            _prune(pruned, detail["loc"])
        try:
            return shape.model_validate(pruned)
        except ValidationError:
            return None

    def entries(self, shape: type[S], key: Key, kind: str) -> dict[str, S | None]:
        """The named entries of the mapping at *key*: None for one that is there but cannot be used."""
        value = self.at(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.report(key, f"{show(value)} is not a mapping", f"one `name: {{…}}` for each {kind}")
            return {}
        for name in value:
            if not NAME.fullmatch(name):
                self.report(
                    (*key, name),
                    f"{show(name)} is not a name",
                    f"a name for the {kind} of letters, digits, _ . and -, at most 63, not beginning with a sign",
                    at_key=True,
                )
        return {name: self.fit(shape, (*key, name)) for name in value}

    def unknown(self, key: Key, name: str, kind: str, known: Collection[str], *, at_key: bool = False) -> None:
        """Report that *name* at *key* is no *kind* that exists, and name the nearest that does."""
        self.report(key, f"there is no {kind} {show(name)}", nearest(name, known), at_key=at_key)

    def _explain(self, shape: type[Shape], base: Key, detail: ErrorDetails) -> None:
        key = (*base, *detail["loc"])
        last = str(key[-1]) if key else ""
        match detail["type"]:
            case "value":
                context = detail.get("ctx", {})
                self.report(key, context["what"], context["instead"])
            case "extra_forbidden":
                holder = _shape_at(shape, detail["loc"][:-1])
                known = tuple(holder.model_fields) if holder else ()
                self.report(key, f"unknown key {show(last)}", _instead_of_key(last, known), at_key=True)
            case "missing":
                self.report(key, f"{last} is missing", f"`{last}: {_example(shape, detail['loc'])}`")
            case "model_type" | "model_attributes_type" | "dict_type":
                self.report(
                    key,
                    f"{show(detail['input'])} is not a mapping",
                    f"keys with values: {_example(shape, detail['loc'])}",
                )
            case "list_type" | "tuple_type":
                self.report(key, f"{show(detail['input'])} is not a list", f"a list: {_example(shape, detail['loc'])}")
            case _:
                self.report(key, f"{show(detail['input'])}: {detail['msg']}", _example(shape, detail["loc"]))


def nearest(name: str, known: Collection[str]) -> str:
    """What may have been meant by *name*."""
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"did you mean {close[0]}?"
    return f"one of: {', '.join(known)}" if known else "remove it: there are none"


def _instead_of_key(name: str, known: Collection[str]) -> str:
    if _SECRET_KEY.search(name):
        return "remove it: secrets come from the environment only (see config/bot.env.example)"
    return nearest(name, known)


def _is_index(detail: ErrorDetails) -> bool:
    return bool(detail["loc"]) and isinstance(detail["loc"][-1], int)


def _prune(data: Any, loc: tuple[int | str, ...]) -> None:
    """Remove what stands at *loc*, where it is there at all."""
    for part in loc[:-1]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return
    match data, loc[-1:]:
        case dict(), (name,) if name in data:
            del data[name]
        case list(), (int(index),) if index < len(data):
            del data[index]


def _shapes(annotation: Any) -> Iterator[type[Shape]]:
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        yield annotation
    for argument in get_args(annotation):
        yield from _shapes(argument)


def _shape_in(annotation: Any) -> type[Shape] | None:
    """The shape that a field holds directly (``S`` or ``S | None``), or None."""
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return annotation
    direct = [a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, Shape)]
    return direct[0] if direct and type(None) in get_args(annotation) else None


def _shape_at(shape: type[Shape], loc: tuple[int | str, ...]) -> type[Shape] | None:
    current: type[Shape] | None = shape
    for part in loc:
        if current is None:
            return None
        if part in current.model_fields:
            current = next(_shapes(current.model_fields[str(part)].annotation), None)
    return current


def _example(shape: type[Shape], loc: tuple[int | str, ...]) -> str:
    names = [part for part in loc if isinstance(part, str)]
    while names:
        holder = _shape_at(shape, tuple(names[:-1]))
        if holder and names[-1] in holder.model_fields and (examples := holder.model_fields[names[-1]].examples):
            return str(examples[0])
        names.pop()
    return "…; config/ has an example with every key"
