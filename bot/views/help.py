"""Help, and what a misspelt command is answered with."""

from __future__ import annotations

from bot.domain.commands import GRAMMAR, Effect, Grammar, Misspelt, Verb, grammar
from bot.views.blocks import context, fitted, section
from bot.views.message import SlackMessage
from bot.views.words import code, escape


def help_message(name: str | None, *, command: str = "/lvs") -> SlackMessage:
    """All commands, or everything about the one called *name*."""
    verbs = [v.value for v in Verb]
    if name and name.casefold() in verbs:
        row = grammar(Verb(name.casefold()))
        usage = escape(f"{command} {row.usage}")
        who = "For operators: `roles` in bot.yaml names them." if row.effect is not Effect.LOOKS else "For everybody."
        text = f"*{usage}*\n{row.summary[:1].upper()}{row.summary[1:]}. {who}\n\n{row.explanation}"
        example = f"For example: {code(f'{command} {row.example}')}"
        return SlackMessage(text=f"{usage}: {row.summary}", blocks=(section(text), context(example)))
    lines = [_line(row, command) for row in GRAMMAR]
    note = f"There is no command {code(name)}." if name else "Whatever changes production shows its commands first."
    return SlackMessage(
        text=f"{command}: " + ", ".join(verbs),
        blocks=fitted([section("\n".join(lines)), context(escape(note) if name is None else note)]),
    )


def _line(row: Grammar, command: str) -> str:
    operators = "" if row.effect is Effect.LOOKS else " _(operators)_"
    return f"{code(f'{command} {row.usage}')}{operators}\n{row.summary}"


def misspelt_message(found: Misspelt, *, command: str = "/lvs") -> SlackMessage:
    """What was wrong and what to type instead."""
    text = f"{found.problem} Try {code(f'{command} {found.instead}')}."
    return SlackMessage(text=text, blocks=(section(text),))
