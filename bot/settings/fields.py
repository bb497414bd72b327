"""The kinds of value that a settings file has, each with what to write instead when it is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from enum import StrEnum
from ipaddress import ip_address, ip_interface, ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from bot.domain.fleet import Address, Interface, Network

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d|w)?")
_SIZE = re.compile(r"([0-9]{1,18})\s*(B|KiB|MiB|GiB|kB|MB)?")
_SECONDS = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "kB": 1000, "MB": 1000**2}
_SECRET_LOOKING = re.compile(r"xox|xapp|://[^/]*@", re.IGNORECASE)


def wrong(what: str, instead: str) -> PydanticCustomError:
    """The error of a value: *what* was wrong, what to write *instead*."""
    return PydanticCustomError("value", "{what}", {"what": what, "instead": instead})


def show(value: object) -> str:
    """*value* as an error may quote it: short, and never one that looks like a secret."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    if _SECRET_LOOKING.search(text):
        return "a value that looks like a secret"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def parse_duration(value: object) -> float:
    """Seconds from ``0.25``, ``5s``, ``250ms``, ``30m``, ``12h`` or ``7d``. Raises ValueError."""
    number = _number(value)
    if number is None and isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        number = float(match[1]) * _SECONDS[match[2]]
    if number is None or not 0 <= number <= 1e10:
        raise ValueError(f"{show(value)} is not a duration")
    return number


def parse_size(value: object) -> int:
    """Bytes from ``65536``, ``64KiB`` or ``1MiB``. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * _BYTES[match[2]]
    raise ValueError(f"{show(value)} is not a size")


def seconds(low: float, high: float, example: str, *, or_never: bool = False) -> PlainValidator:
    """A duration from *low* to *high* seconds; 0 too, where it can be *or_never*."""

    def check(value: object) -> float:
        try:
            number = parse_duration(value)
        except ValueError as error:
            raise wrong(str(error), f"seconds, or a number with ms, s, m, h or d: for example {example}") from None
        if not low <= number <= high and not (or_never and number == 0):
            never = ", or 0 for never" if or_never else ""
            instead = f"from {low:g} to {high:g} seconds{never}: for example {example}"
            raise wrong(f"{show(value)} is out of range", instead)
        return number

    return PlainValidator(check)


def size(low: int, high: int, example: str) -> PlainValidator:
    """A size from *low* to *high* bytes."""

    def check(value: object) -> int:
        try:
            number = parse_size(value)
        except ValueError as error:
            raise wrong(str(error), f"bytes, or a number with KiB or MiB: for example {example}") from None
        if not low <= number <= high:
            raise wrong(f"{show(value)} is out of range", f"from {low} to {high} bytes: for example {example}")
        return number

    return PlainValidator(check)


def whole(low: int, high: int, example: int) -> PlainValidator:
    """A whole number from *low* to *high*."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(f"{show(value)} is not a whole number", f"a whole number: for example {example}")
        if not low <= value <= high:
            raise wrong(f"{show(value)} is out of range", f"a number from {low} to {high}: for example {example}")
        return value

    return PlainValidator(check)


def boolean() -> PlainValidator:
    """Yes or no."""

    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise wrong(f"{show(value)} is neither true nor false", "true or false")
        return value

    return PlainValidator(check)


def matching(pattern: str, meaning: str, example: str) -> PlainValidator:
    """A text that is *meaning*: all of it matches *pattern*."""
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise wrong(f"{show(value)} is not {meaning}", f"{meaning}: for example {example}")
        if not compiled.fullmatch(value):
            raise wrong(f"{show(value)} is not {meaning}", f"{meaning}: for example {example}")
        return value

    return PlainValidator(check)


def word(kind: type[StrEnum]) -> PlainValidator:
    """One of the words of an enum."""

    def check(value: object) -> StrEnum:
        try:
            return kind(str(value))
        except ValueError:
            raise wrong(f"{show(value)} is not one of the words", f"one of: {', '.join(kind)}") from None

    return PlainValidator(check)


def one_of(words: Collection[str]) -> PlainValidator:
    """One of *words*."""

    def check(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise wrong(f"{show(value)} is not one of the words", f"one of: {', '.join(words)}")

    return PlainValidator(check)


def _ip(parse: Callable[[Any], object], meaning: str, example: str) -> PlainValidator:
    def check(value: object) -> object:
        try:
            if not isinstance(value, str):
                raise ValueError(value)
            return parse(value)
        except ValueError:
            raise wrong(f"{show(value)} is not {meaning}", f"{meaning}: for example {example}") from None

    return PlainValidator(check)


def _network(value: object) -> Network:
    example = "for example 10.100.5.0/24"
    try:
        if not isinstance(value, str):
            raise ValueError(value)
        network = ip_network(value, strict=False)
    except ValueError:
        raise wrong(f"{show(value)} is not a network", f"a network: {example}") from None
    if str(network.network_address) != value.partition("/")[0].lower():
        raise wrong(f"{show(value)} is an address inside of a network", f"the network itself: {network}")
    return network


def _interface(value: object) -> Interface:
    if isinstance(value, str) and "/" not in value:
        raise wrong(
            f"{show(value)} has no prefix length", f"the address with its prefix length: {value}/24, for example"
        )
    try:
        if not isinstance(value, str):
            raise ValueError(value)
        return ip_interface(value)
    except ValueError:
        raise wrong(f"{show(value)} is not an address", "an address with its prefix length: 10.100.5.11/21") from None


def is_this_machine(host: str) -> bool:
    """Whether what goes to *host* never leaves this machine."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _web_base(value: object) -> str:
    meaning = "https://… (or http:// to this machine only), for example https://slack.com/api/"
    if not isinstance(value, str):
        raise wrong(f"{show(value)} is not a URL", meaning)
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong(f"{show(value)} is not a URL", meaning) from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
        raise wrong(f"{show(value)} is not the base of a Web API", meaning)
    if parts.scheme == "http" and not is_this_machine(host):
        raise wrong("tokens would travel in clear to another machine", meaning)
    return value if value.endswith("/") else value + "/"


def _storage(value: object) -> str:
    meaning = "sqlite:///var/lvsbot.db or postgresql+psycopg://user@host/database"
    if not isinstance(value, str):
        raise wrong("not a database URL", meaning)
    try:
        parts = urlsplit(value)
        secret, _ = parts.password, parts.port
    except ValueError:
        raise wrong("not a database URL", meaning) from None
    if secret is not None or "password=" in parts.query:
        raise wrong("a password stands in the file", "the URL without it, and the password in LVSBOT_STORAGE_PASSWORD")
    if parts.scheme == "sqlite":
        if parts.netloc or parts.path in ("", "/") or ":memory:" in parts.path:
            raise wrong(f"{show(value)} names no file", "sqlite:///relative/path.db or sqlite:////absolute/path.db")
        return value
    if parts.scheme != "postgresql+psycopg":
        raise wrong(f"{show(parts.scheme)} is no storage that the bot knows", meaning)
    if parts.path in ("", "/"):
        raise wrong("the URL names no database", meaning)
    return value


AnyAddress = Annotated[Address, _ip(ip_address, "an IP address", "10.100.0.10")]
VirtualAddress = Annotated[Interface, PlainValidator(_interface)]
AnyNetwork = Annotated[Network, PlainValidator(_network)]
Port = Annotated[int, whole(1, 65535, 80)]
Word = Annotated[str, matching(r"\S+", "one word", "br0")]
Text = Annotated[str, matching(r"(?s).+", "a text (in quotes if it looks like a number)", '"ok"')]
Variable = Annotated[str, matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable", "LVS_VRRP_VI_1")]
Device = Annotated[str, matching(r"[^\s/:]{1,15}", "the name of a network interface", "br0")]
HostName = Annotated[
    str, matching(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?", "a host name", "www.site.test")
]
HostOrAddress = Annotated[
    str,
    matching(
        r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*",
        "a host name or an IP address",
        "mail.example.net",
    ),
]
MailAddress = Annotated[
    str, matching(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+", "a mail address", "duty@example.net")
]
UrlPath = Annotated[str, matching(r"/[!-~]*", "a path that begins with /", "/")]
Account = Annotated[str, matching(r"[a-z_][a-z0-9_-]{0,31}", "an account's name", "lvsbot")]
Jump = Annotated[
    str,
    matching(
        r"[a-z_][a-z0-9_-]*@(?:[A-Za-z0-9_.-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?", "user@host:port", "ops@bastion:22"
    ),
]
WebBase = Annotated[str, PlainValidator(_web_base)]
StorageUrl = Annotated[str, PlainValidator(_storage)]
