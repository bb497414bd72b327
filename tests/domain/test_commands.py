"""The /lvs grammar: what is understood, what is suggested, and that nothing harmful gets through."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.commands import GRAMMAR, LONGEST, SHORTEST, WORD, Command, Misspelt, Verb, parse, span_of, spelt


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("", Command(verb=Verb.HELP)),
        ("?", Command(verb=Verb.HELP)),
        ("help drain", Command(verb=Verb.HELP, names=("drain",))),
        ("status", Command(verb=Verb.STATUS)),
        ("  STATUS   web1 ", Command(verb=Verb.STATUS, names=("web1",))),
        ("drain web1", Command(verb=Verb.DRAIN, names=("web1",))),
        ("drain --force web1", Command(verb=Verb.DRAIN, names=("web1",), flags=("--force",))),
        ("drain web1 —force", Command(verb=Verb.DRAIN, names=("web1",), flags=("--force",))),
        ("restore web1 --force", Command(verb=Verb.RESTORE, names=("web1",), flags=("--force",))),
        ("restore site/web1", Command(verb=Verb.RESTORE, names=("site/web1",))),
        ("test alert", Command(verb=Verb.TEST, choice="alert")),
        ("test ALERT site", Command(verb=Verb.TEST, choice="alert", names=("site",))),
        ("incidents", Command(verb=Verb.INCIDENTS)),
        ("incidents OPEN", Command(verb=Verb.INCIDENTS, choice="open")),
        ("incidents 24h", Command(verb=Verb.INCIDENTS, choice="24h")),
        ("incidents site", Command(verb=Verb.INCIDENTS, names=("site",))),
        ("incidents 24h site", Command(verb=Verb.INCIDENTS, choice="24h", names=("site",))),
        ("incident 42", Command(verb=Verb.INCIDENT, names=("42",))),
        ("incident #42", Command(verb=Verb.INCIDENT, names=("42",))),
        ("ack site/42", Command(verb=Verb.ACK, names=("site/42",))),
        ("mute web1 90s", Command(verb=Verb.MUTE, names=("web1",), span=timedelta(seconds=90))),
        (
            "mute web1 2h30m  new   disks — and *more* <@U0BOB> --force",
            Command(
                verb=Verb.MUTE,
                names=("web1",),
                span=timedelta(hours=2, minutes=30),
                reason="new disks — and *more* <@U0BOB> --force",
            ),
        ),
        (
            "maintenance site/sv2 1D\nkernel\u202e\x00 update",
            Command(verb=Verb.MAINTENANCE, names=("site/sv2",), span=timedelta(days=1), reason="kernel update"),
        ),
        ("unmute web1", Command(verb=Verb.UNMUTE, names=("web1",))),
        ("mutes", Command(verb=Verb.MUTES)),
    ],
)
def test_what_is_understood(text: str, command: Command) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "problem", "instead"),
    [
        ("drian web1", "`drian` is not a command.", "drain <real server> [--force]"),
        ("stat", "`stat` is not a command.", "status [name]"),
        ("xyzzy", "`xyzzy` is not a command.", "help"),
        ("test", "`test` needs to know which one.", "test alert [cluster]"),
        ("test site", "`test` knows no `site`.", "test alert [cluster]"),
        ("test alert site now", "`test` takes one name; `now` is too much.", "test alert [cluster]"),
        ("drain", "`drain` needs to know which one.", "drain <real server> [--force]"),
        ("drain web1 web2", "`drain` takes one name; `web2` is too much.", "drain <real server> [--force]"),
        ("drain web1 --forse", "`drain` has no option `--forse`.", "drain web1 --force"),
        ("status --json", "`status` has no option `--json`.", "status"),
        ("drain web1;reboot", "`web1;reboot` cannot be a name: letters, digits and . _ - / : only.", None),
        ("drain $(reboot)", "`$(reboot)` cannot be a name: letters, digits and . _ - / : only.", None),
        ("drain `id`", "`id` cannot be a name: letters, digits and . _ - / : only.", None),
        (
            "incidents yesterday site",
            "`incidents` takes one name; `site` is too much.",
            "incidents [open|24h] [cluster]",
        ),
        ("incident", "`incident` needs to know which one.", "incident <number>"),
        ("incident web1", "`web1` is not the number of an incident, such as 42 or site/42.", "incident 42"),
        ("ack 42 43", "`ack` takes one number; `43` is too much.", "ack <number>"),
        ("mute", "`mute` needs to know which one.", "mute <name> <time> [reason…]"),
        ("mute web1", "`mute` needs to know for how long.", "mute web1 1h"),
        ("mute web1 soon", "`soon` is not a time: write 90s, 15m, 1h, 2h30m or 1d.", "mute web1 1h"),
        ("mute web1 15", "`15` is not a time: write 90s, 15m, 1h, 2h30m or 1d.", "mute web1 1h"),
        ("mute web1 -1h", "`mute` has no option `-1h`.", "mute web1"),
        ("mute web1 59s", "`59s` is too short: from 1 minute (1m) to 30 days (30d).", "mute web1 1m"),
        ("maintenance sv2 31d", "`31d` is too long: from 1 minute (1m) to 30 days (30d).", "maintenance sv2 30d"),
        ("mute web1 999999d", "`999999d` is too long: from 1 minute (1m) to 30 days (30d).", "mute web1 30d"),
        ("mute web1;reboot 1h", "`web1;reboot` cannot be a name: letters, digits and . _ - / : only.", None),
        ("mutes all", "`mutes` takes no name; `all` is too much.", "mutes"),
    ],
)
def test_what_is_refused_says_what_was_wrong_and_what_to_type(text: str, problem: str, instead: str | None) -> None:
    found = parse(text)
    assert isinstance(found, Misspelt)
    assert found.problem == problem
    if instead:
        assert found.instead == instead


def test_a_very_long_text_is_refused_without_being_repeated() -> None:
    found = parse("status " + "a" * 5000)
    assert isinstance(found, Misspelt)
    assert len(found.text) <= 200


@given(st.text(max_size=250))
def test_any_text_gives_a_command_of_plain_words_or_a_suggestion(text: str) -> None:
    found = parse(text)
    if isinstance(found, Command):
        assert all(WORD.match(name) for name in found.names)
        assert found.reason.isprintable()
        assert parse(str(found)) == found, "what is journalled of a request can be typed again"
    else:
        assert found.problem
        assert found.instead


def test_every_example_in_the_help_parses() -> None:
    for row in GRAMMAR:
        assert isinstance(parse(row.example), Command), row.example


@given(st.timedeltas(SHORTEST, LONGEST).map(lambda span: timedelta(seconds=round(span.total_seconds()))))
def test_a_time_reads_back_as_it_is_spelt(span: timedelta) -> None:
    assert span_of(spelt(span)) == span


@given(
    st.sampled_from([Verb.MUTE, Verb.MAINTENANCE]),
    st.text(max_size=100),
)
def test_a_reason_is_kept_as_it_was_written_but_for_what_cannot_be_printed(verb: Verb, reason: str) -> None:
    found = parse(f"{verb} web1 1h {reason}")
    assert isinstance(found, Command)
    assert found.reason.split() == ["".join(c for c in w if c.isprintable()) for w in reason.split() if _printed(w)]


def _printed(word: str) -> str:
    return "".join(c for c in word if c.isprintable())
