"""What is not told, until when and at whose word: for Slack, a terminal and machines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.domain.commands import as_word, spelt
from bot.domain.mutes import Mute
from bot.views.blocks import context, fitted, section
from bot.views.message import SlackMessage
from bot.views.words import cut, day_and_clock, escape, person, plural, slack_day, span

NOTHING = "Nothing is muted."


def mute_set_message(mute: Mute, before: Mute | None, asked: timedelta, *, command: str = "/lvs") -> SlackMessage:
    """*mute* was set just now for as long as was *asked*; *before* is the one that it takes the place of."""
    text = f"{mute.subject} is {_what(mute)} for {spelt(asked)}"
    lines = [f"*{escape(text)}*, until {slack_day(mute.until)}, by {person(mute.by)}{_reason(mute)}"]
    if mute.maintenance:
        lines.append("Nothing is told about it, and what happens to it until then counts as planned.")
    else:
        lines.append("Nothing is told about it until then; it is recorded all the same.")
    if before is not None:
        lines.append(f"Before: {_what(before)} until {slack_day(before.until)} by {person(before.by)}.")
    hint = f"`{escape(command)} unmute {escape(as_word(mute.subject))}` ends it"
    return SlackMessage(text=escape(text), blocks=(section("\n".join(lines)), context(hint)))


def mute_cleared_message(mute: Mute, covering: Mute | None = None) -> SlackMessage:
    """*mute* was ended before its time; *covering* is a mute of its whole cluster that still holds."""
    text = unmuted(mute, covering)
    told = "" if covering is not None else " What is wrong with it is told again."
    lines = f"*{escape(text)}*.{told} It was {_what(mute)} by {person(mute.by)}."
    return SlackMessage(text=escape(text), blocks=(section(lines),))


def unmuted(mute: Mute, covering: Mute | None = None) -> str:
    """The sentence for a *mute* that was ended; *covering* as above."""
    text = f"{mute.subject} is no longer {_what(mute)} itself"
    if covering is None:
        return text.removesuffix(" itself")
    return f"{text}, but all of {covering.cluster} is {_what(covering)} until {day_and_clock(covering.until)} UTC"


def mutes_message(mutes: Sequence[Mute], now: datetime) -> SlackMessage:
    """Every mute that holds at *now*."""
    if not mutes:
        return SlackMessage(text=NOTHING, blocks=(section(NOTHING),))
    text = plural(len(mutes), "thing is", "things are") + " muted"
    lines = [
        f"• *{escape(_name(m))}* is {_what(m)} until {slack_day(m.until)}, for {_left(m, now)} more, by "
        f"{person(m.by)}{_reason(m)}"
        for m in mutes
    ]
    return SlackMessage(text=text, blocks=fitted([section(line) for line in lines]))


def mutes_lines(mutes: Sequence[Mute], now: datetime) -> list[str]:
    """The same for a terminal."""
    return [
        f"{_name(m)} is {_what(m)} until {day_and_clock(m.until)} UTC, for {_left(m, now)} more, by {m.by.name}"
        + (f": {m.reason}" if m.reason else "")
        for m in mutes
    ] or [NOTHING]


def mutes_json(mutes: Sequence[Mute]) -> list[dict[str, Any]]:
    """The same for machines. The keys are stable; docs/hands.md explains them."""
    return [
        {
            "cluster": m.cluster,
            "subject": m.subject,
            "since": m.since.isoformat(),
            "until": m.until.isoformat(),
            "by": m.by.name,
            "reason": m.reason,
            "maintenance": m.maintenance,
        }
        for m in mutes
    ]


def _what(mute: Mute) -> str:
    return "in maintenance" if mute.maintenance else "muted"


def _name(mute: Mute) -> str:
    return mute.subject if mute.subject == mute.cluster else f"{mute.cluster}/{mute.subject}"


def _left(mute: Mute, now: datetime) -> str:
    return span(max(0.0, (mute.until - now).total_seconds()))


def _reason(mute: Mute) -> str:
    return f": {escape(cut(mute.reason, 300))}" if mute.reason else ""
