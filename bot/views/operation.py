"""One operator action as one message: asked for, confirmed, running, counting down, over."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from bot.domain.events import OperationKind, Step, StepOutcome, Verdict
from bot.domain.operations import Operation, Phase
from bot.domain.wording import listed
from bot.views.blocks import Block, actions, button, context, fits, fitted, paragraphs, preformatted, section, shortened
from bot.views.message import SlackMessage
from bot.views.words import clock, cut, escape, person, plural

CONFIRM = "operation_confirm"
CANCEL = "operation_cancel"

STEPS_ROOM = 6000
"""The characters for what ran, where there is more than a message can show: the rest is for warnings and remarks."""

ICONS = {
    StepOutcome.DONE: "✓",
    StepOutcome.FOUND_DONE: "✓",
    StepOutcome.FAILED: "✗",
}


Connected = Mapping[str, int | None]
"""Active connections left, by director; None of one that cannot be asked."""


def operation_message(
    operation: Operation, connected: Connected | None = None, *, command: str = "/lvs"
) -> SlackMessage:
    """*operation* as it stands. *connected*: what is left while it drains. *command* is what one asks the bot with.

    A plan is shown whole or has no button that carries it out: nobody says yes to what was cut off.
    """
    title = headline(operation, connected)
    head = section(f"*{escape(title)}*")
    warnings = paragraphs(f":warning: {escape(warning)}" for warning in operation.warnings)
    remarks = context(*_remarks(operation, command))
    planned = operation.phase is Phase.PLANNED
    last = [_buttons(operation, whole=True), remarks] if planned else [remarks]
    for brief in (False, True):
        blocks = [head, *preformatted(_step_lines(operation, brief=brief)), *warnings]
        if fits([*blocks, *last]):
            break
    else:
        if planned:
            blocks = [head, section(_too_long(operation)), *warnings]
            last = [_buttons(operation, whole=False), remarks]
        else:
            blocks = [head, *preformatted(shortened(_step_lines(operation), STEPS_ROOM)), *warnings]
    return SlackMessage(text=cut(escape(title), 3000), blocks=fitted(blocks, last))


def _too_long(operation: Operation) -> str:
    """What is said instead of commands that one message cannot hold."""
    force = " --force" if operation.forced else ""
    what = f"{plural(len(operation.steps), 'command')} on {escape(_directors(operation))}"
    return (
        f":warning: This plan ({what}) is more than one message can show, so no button carries it out. On the bot's "
        f"host, `python -m bot {operation.kind.value} {escape(operation.real_server)}{force}` shows all of it and asks."
    )


def headline(operation: Operation, connected: Connected | None) -> str:
    """The one sentence that a phone shows: where the operation stands."""
    name, verb = operation.real_server, operation.kind.value
    match operation.phase:
        case Phase.PLANNED:
            return f"{verb.capitalize()} {name}? {_active(operation)}"
        case Phase.CONFIRMED | Phase.RUNNING:
            return f"{'Draining' if verb == 'drain' else 'Restoring'} {name}: setting weights"
        case Phase.WAITING:
            return f"Draining {name}: {_left(operation, connected)}"
        case Phase.CANCELLED:
            return f"{verb.capitalize()} {name}: nothing was changed ({operation.detail})"
        case Phase.FINISHED:
            return _verdict(operation)


def _active(operation: Operation) -> str:
    if not operation.steps:
        return "No command has to run: its drain ends"
    count = sum(step.active for step in operation.steps)
    return f"{plural(count, 'active connection')} right now" if count else "It has no active connection right now"


def _left(operation: Operation, connected: Connected | None) -> str:
    if connected is None:
        return f"weight 0 on {_directors(operation)}, counting what is left"
    left = sum(count or 0 for count in connected.values())
    asked = [director for director, count in connected.items() if count is not None]
    unread = [director for director, count in connected.items() if count is None]
    where = f" on {listed(asked)}" if unread and asked else ""
    if not unread:
        return f"{plural(left, 'active connection')} left" if left else "no active connection left, looking once more"
    counted = f"{plural(left, 'active connection') if left else 'no active connection'} left{where}; " if asked else ""
    return f"{counted}{listed(unread)} cannot be asked"


def _verdict(operation: Operation) -> str:
    name = operation.real_server
    match operation.verdict:
        case Verdict.DRAINED:
            return f"{name} is drained: weight 0 on {_directors(operation)}, no active connection left"
        case Verdict.DONE:
            if not operation.steps:
                return f"{name} is not drained any more; no command had to run"
            return f"{name} is back in service: {_weights(operation)}"
        case Verdict.STILL_CONNECTED:
            return f"{name} is at weight 0 on {_directors(operation)}, but not drained: {operation.detail}"
        case Verdict.SUPERSEDED:
            return f"Draining {name} was ended by another operation"
        case _:
            return f"{operation.kind.value.capitalize()} {name} did not work out: {operation.detail}"


def _directors(operation: Operation) -> str:
    return listed(dict.fromkeys(step.director for step in operation.steps)) or "every director"


def _weights(operation: Operation) -> str:
    weights = {step.after for step in operation.steps}
    what = f"weight {weights.pop()}" if len(weights) == 1 else "its recorded weights"
    return f"{what} on {_directors(operation)}"


def _step_lines(operation: Operation, *, brief: bool = False) -> list[str]:
    """One line a director that names it, then exactly what runs (or ran) there; *brief*: and no word besides."""
    lines: list[str] = []
    director = ""
    for step in operation.steps:
        if step.director != director:
            director = step.director
            lines.append(f"{director}:")
        lines.append(f"{_mark(operation, step)} sudo {shlex.join(step.argv)}")
        result = operation.result(step.number)
        if result and result.outcome is StepOutcome.FAILED:
            lines.append(f"    {result.detail}")
        elif operation.phase is Phase.PLANNED and not brief:
            lines.append(f"    weight {step.before} → {step.after}, {plural(step.active, 'active connection')}")
        elif result and result.outcome is StepOutcome.FOUND_DONE:
            lines.append("    was done already when the bot came back: not run again")
    return [escape(line) for line in lines]


def _mark(operation: Operation, step: Step) -> str:
    result = operation.result(step.number)
    if result:
        return ICONS[result.outcome]
    return "…" if step.number in operation.begun else " "


def _buttons(operation: Operation, *, whole: bool) -> Block:
    """What can be done about a plan: if the *whole* of it can be seen, it can be carried out."""
    verb, name = operation.kind.value, operation.real_server
    cancel = button("Cancel", action=CANCEL, value=operation.id)
    if not whole:
        return actions(f"operation:{operation.id}", [cancel])
    run = f"*{plural(len(operation.steps), 'command')}* will run on {escape(_directors(operation))}, exactly as shown."
    what = run if operation.steps else "No command will run: its drain ends."
    risky = operation.forced or bool(operation.warnings)
    style = "danger" if risky else "primary"
    yes = button(
        f"{verb.capitalize()} {name}",
        action=CONFIRM,
        value=operation.id,
        style=style,
        confirm=(f"{verb.capitalize()} {name}?", what, f"{verb.capitalize()} it"),
    )
    return actions(f"operation:{operation.id}", [yes, cancel])


def _remarks(operation: Operation, command: str) -> list[str]:
    remarks = [f"{operation.id} · asked for by {person(operation.by)} at {clock(operation.requested_at)} UTC"]
    if operation.confirmed_by:
        remarks.append(f"confirmed by {person(operation.confirmed_by)}")
    if operation.verdict is Verdict.FAILED and operation.kind is OperationKind.DRAIN:
        remarks.append("What could not be set is tried again when the director answers, until it is restored")
    elif operation.verdict in (Verdict.DRAINED, Verdict.STILL_CONNECTED):
        remarks.append(f"It stays drained until `{escape(command)} restore {escape(operation.real_server)}`")
    return remarks
