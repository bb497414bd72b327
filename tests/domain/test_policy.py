"""Policy: everybody may look, only operators may change, and nobody is an operator by default."""

from __future__ import annotations

import pytest

from bot.domain.commands import Command, Effect, Verb, grammar
from bot.domain.events import Actor, Via
from bot.domain.policy import Allowed, Denied, NeedsConfirmation, Roles, decide

ROLES = Roles(operators=frozenset({"U0ALICE"}), terminal=frozenset({"root"}))
DRAIN = Command(verb=Verb.DRAIN, names=("web1",))


def actor(name: str, via: Via = Via.SLACK) -> Actor:
    return Actor(id=name, name=name, via=via)


def test_everybody_may_look() -> None:
    assert decide(Command(verb=Verb.STATUS), actor("U0BOB"), ROLES) == Allowed()


def test_an_operator_may_change_after_confirming() -> None:
    assert decide(DRAIN, actor("U0ALICE"), ROLES) == NeedsConfirmation()


def test_everybody_else_is_refused_with_the_reason() -> None:
    decision = decide(DRAIN, actor("U0BOB"), ROLES)
    assert isinstance(decision, Denied)
    assert "U0BOB is not an operator" in decision.reason


def test_a_name_counts_only_where_it_comes_from() -> None:
    assert isinstance(decide(DRAIN, actor("root"), ROLES), Denied)
    assert isinstance(decide(DRAIN, actor("U0ALICE", Via.TERMINAL), ROLES), Denied)
    assert decide(DRAIN, actor("root", Via.TERMINAL), ROLES) == NeedsConfirmation()


def test_nobody_is_an_operator_by_default() -> None:
    empty = Roles(operators=frozenset(), terminal=frozenset())
    assert isinstance(decide(DRAIN, actor("U0ALICE"), empty), Denied)


@pytest.mark.parametrize("verb", [Verb.ACK, Verb.MUTE, Verb.UNMUTE, Verb.MAINTENANCE, Verb.EXPORT])
def test_what_is_written_down_needs_an_operator_and_no_confirmation(verb: Verb) -> None:
    command = Command(verb=verb, names=("web1",))
    assert decide(command, actor("U0ALICE"), ROLES) == Allowed()
    decision = decide(command, actor("U0BOB"), ROLES)
    assert isinstance(decision, Denied)
    assert f"{verb.value.capitalize()} is for operators" in decision.reason


@pytest.mark.parametrize("verb", [v for v in Verb if grammar(v).effect is Effect.LOOKS])
def test_everybody_may_look_at_everything(verb: Verb) -> None:
    assert decide(Command(verb=verb), actor("U0BOB"), ROLES) == Allowed()


def test_what_changes_production_is_always_shown_first() -> None:
    assert {v for v in Verb if grammar(v).effect is Effect.CHANGES} == {Verb.DRAIN, Verb.RESTORE}
