"""The /lvs grammar: what is understood, what is suggested, and that nothing harmful gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.commands import GRAMMAR, WORD, Command, Misspelt, Verb, parse


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
        ("restore site/web1", Command(verb=Verb.RESTORE, names=("site/web1",))),
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
        ("drain", "`drain` needs to know which one.", "drain <real server> [--force]"),
        ("drain web1 web2", "`drain` takes one name; `web2` is too much.", "drain <real server> [--force]"),
        ("drain web1 --forse", "`drain` has no option `--forse`.", "drain web1 --force"),
        ("status --json", "`status` has no option `--json`.", "status"),
        ("drain web1;reboot", "`web1;reboot` cannot be a name: letters, digits and . _ - / : only.", None),
        ("drain $(reboot)", "`$(reboot)` cannot be a name: letters, digits and . _ - / : only.", None),
        ("drain `id`", "`id` cannot be a name: letters, digits and . _ - / : only.", None),
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
    else:
        assert found.problem
        assert found.instead


def test_every_example_in_the_help_parses() -> None:
    for row in GRAMMAR:
        assert isinstance(parse(row.example), Command), row.example
