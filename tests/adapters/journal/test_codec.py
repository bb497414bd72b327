"""Every event comes back from the journal as it went in, and what cannot is refused in words."""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.adapters.journal.codec import UnreadableRecord, Unstorable, decode, encode
from bot.domain.events import (
    Actor,
    BotStarted,
    Event,
    MessagePosted,
    OperationDenied,
    OutageMeasured,
    RealServerChanged,
    StepFinished,
    StepOutcome,
    Via,
)
from bot.domain.fleet import Protocol
from bot.domain.observed import ServiceKey

PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    # A lone surrogate is no text: UTF-8 cannot carry it.
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    float: st.floats(allow_nan=False, allow_infinity=False),
    datetime: st.timedeltas(timedelta(0), timedelta(days=80_000)).map(
        lambda since: datetime(1970, 1, 1, tzinfo=UTC) + since
    ),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Every value that fits a type hint of the domain and that JSON can carry."""
    if hint in PLAIN:
        return PLAIN[hint]
    if is_dataclass(hint) and isinstance(hint, type):
        return st.builds(hint, **{name: values_of(inner) for name, inner in get_type_hints(hint).items()})
    arguments = get_args(hint)
    if get_origin(hint) is UnionType:
        return st.one_of(*map(values_of, arguments))
    if get_origin(hint) is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=4).map(tuple)
    if get_origin(hint) is tuple:
        return st.tuples(*map(values_of, arguments))
    return st.from_type(hint)


CLASSES = get_args(Event)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_event_comes_back_as_it_was(cls: type, data: st.DataObject) -> None:
    event: Any = data.draw(values_of(cls))
    kind, body = encode(event)
    assert kind == cls.__name__
    assert isinstance(json.loads(body), dict)
    assert decode(kind, body) == event


def test_addresses_of_both_families_and_nested_values_keep_their_types() -> None:
    key = ServiceKey(protocol=Protocol.UDP, address=IPv6Address("2001:db8::5"), port=53, family=6)
    event = RealServerChanged(
        cluster="site", director="sv1", service=key, address=IPv4Address("10.100.0.11"), port=53, up=False
    )
    back = decode(*encode(event))
    assert back == event
    assert isinstance(back, RealServerChanged)
    assert isinstance(back.service.address, IPv6Address)
    assert back.service.protocol is Protocol.UDP


def test_a_record_without_a_field_that_has_a_default_now_is_read() -> None:
    event = decode("StepFinished", '{"operation": "o", "step": 1, "outcome": "done", "weight": 0}')
    assert event == StepFinished(operation="o", step=1, outcome=StepOutcome.DONE, weight=0)


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("VipMelted", "{}", "events of the kind 'VipMelted' are not known to this version"),
        (
            "BotStarted",
            '{"version": "1", "runner": "r", "mood": "good"}',
            "fields that this version does not know (mood)",
        ),
        (
            "OperationDenied",
            '{"operation": null, "request": "", "reason": "", "by": {"id": "", "name": "", "via": "slack", "x": 7}}',
            "fields that this version does not know (by.x)",
        ),
        ("BotStarted", '{"version": "1"}', "runner: "),
        ("BotStarted", '{"version": 1, "runner": "r"}', "version: Input should be a valid string"),
        ("BotStarted", '{"version": "1", "runner"', "BotStarted cannot be read"),
        ("BotStarted", "null", "BotStarted has no body"),
        (
            "StepFinished",
            '{"operation": "o", "step": 1, "outcome": "half done", "weight": 0}',
            "outcome: Input should be 'done', 'found done' or 'failed'",
        ),
    ],
)
def test_a_record_that_this_version_cannot_read_says_what_is_wrong(kind: str, body: str, words: str) -> None:
    with pytest.raises(UnreadableRecord) as raised:
        decode(kind, body)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "event",
    [
        BotStarted(version="1", runner=7),  # type: ignore[arg-type]
        BotStarted(version="\ud800", runner="r"),
        StepFinished(operation="o", step=1, outcome=StepOutcome.DONE, weight=0, duration_s=float("nan")),
        StepFinished(operation="o", step=1, outcome=StepOutcome.DONE, weight=0, duration_s=float("inf")),
        OperationDenied(operation=None, request="r", by=Actor(id="1", name="n", via="phone"), reason="x"),  # type: ignore[arg-type]
        Actor(id="1", name="n", via=Via.SLACK),
    ],
)
def test_what_would_not_read_back_is_refused_when_it_is_written(event: Any) -> None:
    with pytest.raises(Unstorable):
        encode(event)


def test_kinds_and_fields_keep_the_names_that_are_in_journals_already() -> None:
    """A renamed class or field would make old journals unreadable: this is the moment to add a migration instead."""
    posted = MessagePosted(key="k", channel="C1", ts="1.2", digest="d")
    assert encode(posted) == ("MessagePosted", '{"key":"k","channel":"C1","ts":"1.2","digest":"d"}')
    moment = datetime(2026, 3, 1, 12, 0, 0, 250000, tzinfo=UTC)
    outage = OutageMeasured(
        cluster="site",
        service="http",
        real_server=None,
        last_good_at=None,
        first_bad_at=moment,
        last_bad_at=moment,
        first_good_at=moment,
        failed=1,
    )
    assert json.loads(encode(outage)[1])["first_bad_at"] == "2026-03-01T12:00:00.250000Z"
