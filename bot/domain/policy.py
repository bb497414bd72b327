"""Who may do what: deny by default, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from bot.domain.commands import Command, Effect
from bot.domain.events import Actor, Via


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Go ahead at once: no production is changed by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsConfirmation:
    """Go ahead once the person has seen exactly what will run and said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """No, and why, in words that can be shown to the person."""

    reason: str


Decision = Allowed | NeedsConfirmation | Denied


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Who is an operator: Slack user ids (members of user groups resolved already) and accounts of this machine."""

    operators: frozenset[str]
    terminal: frozenset[str]


def is_operator(actor: Actor, roles: Roles) -> bool:
    """Whether *actor* may change anything."""
    return actor.id in (roles.operators if actor.via is Via.SLACK else roles.terminal)


def decide(command: Command, actor: Actor, roles: Roles) -> Decision:
    """What *actor* may do about *command*."""
    if command.effect is Effect.LOOKS:
        return Allowed()
    if is_operator(actor, roles):
        return NeedsConfirmation() if command.effect is Effect.CHANGES else Allowed()
    where = "roles.operator" if actor.via is Via.SLACK else "roles.terminal"
    verb = command.verb.value.capitalize()
    what = f"{verb} changes production" if command.effect is Effect.CHANGES else f"{verb} is for operators"
    return Denied(reason=f"{what}, and {actor.name} is not an operator here (`{where}` in bot.yaml says who is).")
