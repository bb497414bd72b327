"""Incidents as a table that aligns, and one of them with all that is known; for Slack, a terminal and machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.domain.events import OutageMeasured
from bot.domain.incidents import Incident, Note
from bot.domain.incidents.stages import timeline
from bot.domain.mutes import Mute
from bot.views.blocks import TOGETHER, Block, context, fitted, how_many, preformatted, section, shortened, size
from bot.views.incident import day_format, facts, headline
from bot.views.incident_actions import incident_actions, reference
from bot.views.message import SlackMessage
from bot.views.words import (
    clock,
    cut,
    day_and_clock,
    escape,
    milliseconds,
    person,
    plural,
    slack_day,
    slack_moment,
    span,
)

COLUMNS = ("number", "since (UTC)", "state", "for", "what")
WIDEST = 120  # characters of a headline in the table: the whole of it is one command away


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An incident, and the mute that covers it now (None: it is told)."""

    incident: Incident
    mute: Mute | None = None

    @property
    def state(self) -> str:
        """Where it stands, in one word."""
        if not self.incident.open:
            return "withdrawn" if self.incident.withdrawn else "over"
        if self.mute is not None:
            return "muted"
        return "acked" if self.incident.acknowledged_by else "open"


def lasted(incident: Incident, now: datetime) -> float:
    """The seconds that *incident* lasted, or has lasted until *now*."""
    return max(0.0, ((incident.resolved_at or now) - incident.began_at).total_seconds())


# --- the list ---------------------------------------------------------------------------------------------------------


def incident_list_lines(shown: Sequence[Shown], now: datetime, *, of_a_day: bool) -> list[str]:
    """The table for a terminal: a line each, columns aligned. *of_a_day*: what is over was asked for too."""
    if not shown:
        return [_nothing(of_a_day)]
    many = len({s.incident.cluster for s in shown}) > 1
    rows = [COLUMNS, *(_row(s, now, many=many) for s in shown)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def _nothing(of_a_day: bool) -> str:
    return "No incident is open" + (" and none was within the last 24 hours." if of_a_day else ".")


def _row(shown: Shown, now: datetime, *, many: bool) -> tuple[str, ...]:
    incident = shown.incident
    number = reference(incident) if many else str(incident.id)
    what = cut(" ".join(headline(incident).split()), WIDEST)
    return number, day_and_clock(incident.began_at), shown.state, span(lasted(incident, now)), what


def incident_list_message(
    shown: Sequence[Shown], now: datetime, *, of_a_day: bool, command: str = "/lvs"
) -> SlackMessage:
    """The table for Slack."""
    if not shown:
        text = _nothing(of_a_day)
        return SlackMessage(text=text, blocks=(section(f":large_green_circle: {text}"),))
    count = sum(1 for s in shown if s.incident.open)
    text = plural(count, "incident is open", "incidents are open") if count else "No incident is open"
    if of_a_day:
        text += f", {len(shown) - count} over within the last 24 hours"
    lines = [escape(line) for line in incident_list_lines(shown, now, of_a_day=of_a_day)]
    hint = f"`{escape(command)} incident {reference(shown[0].incident)}` tells the whole story of one"
    rows = how_many(lines, TOGETHER - len(text) - len(hint) - 200)
    if rows < len(lines):
        hint = f"… and {plural(len(lines) - rows, 'older one')} · {hint}"
    blocks = [section(f"*{text}*"), *preformatted(lines[:rows])]
    return SlackMessage(text=text, blocks=fitted(blocks, [context(hint)]))


def incident_list_json(shown: Sequence[Shown], now: datetime) -> list[dict[str, Any]]:
    """The list for machines. The keys are stable; docs/hands.md explains them."""
    return [_brief(s, now) for s in shown]


def _brief(shown: Shown, now: datetime) -> dict[str, Any]:
    incident = shown.incident
    return {
        "id": incident.id,
        "cluster": incident.cluster,
        "kind": incident.kind.value,
        "subject": incident.subject,
        "state": shown.state,
        "since": incident.began_at.isoformat(),
        "over_at": _iso(incident.resolved_at),
        "duration_s": round(lasted(incident, now), 3),
        "headline": headline(incident),
        "acknowledged_by": incident.acknowledged_by.name if incident.acknowledged_by else None,
        "acknowledged_at": _iso(incident.acknowledged_at),
        "muted_until": _iso(shown.mute.until) if shown.mute else None,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


# --- one of them ------------------------------------------------------------------------------------------------------


def incident_story_message(shown: Shown, now: datetime, *, buttons: bool = True) -> SlackMessage:
    """Everything about one incident, for Slack. *buttons*: with what can be done about it below."""
    incident = shown.incident
    title = headline(incident)
    blocks: list[Block] = [section(f"*{escape(title)}*")]
    found = facts(incident)
    if found:
        blocks.append(section("\n".join(f"• {escape(fact)}" for fact in found)))
    remarks = _remarks(shown)
    if remarks:
        blocks.append(section("\n".join(f"• {remark}" for remark in remarks)))
    row = incident_actions(incident, shown.mute) if buttons else None
    last = [*([row] if row else []), context(_when(shown, now))]
    lines = [escape(line) for line in timeline_lines(incident)]
    # The fences of each part of it take some room, too.
    blocks += preformatted(shortened(lines, TOGETHER - size([*blocks, *last]) - 100))
    return SlackMessage(text=cut(escape(title), 3000), blocks=fitted(blocks, last))


def _remarks(shown: Shown) -> list[str]:
    """Who is on it and what is not told of it, as Slack shows it."""
    incident, mute = shown.incident, shown.mute
    remarks = []
    if incident.acknowledged_by:
        at = f" at {slack_day(incident.acknowledged_at)}" if incident.acknowledged_at else ""
        remarks.append(f"acknowledged by {person(incident.acknowledged_by)}{at}")
    if mute:
        what = "in maintenance" if mute.maintenance else "muted"
        reason = f": {escape(mute.reason)}" if mute.reason else ""
        until = slack_day(mute.until)
        remarks.append(f"{escape(mute.subject)} is {what} until {until} by {person(mute.by)}{reason}")
    return remarks


def _when(shown: Shown, now: datetime) -> str:
    incident = shown.incident
    over = f" · over at {slack_moment(incident.resolved_at, now)}" if incident.resolved_at else ""
    began = slack_moment(incident.began_at, now)
    return (
        f"incident {incident.id} · {escape(incident.cluster)} · {shown.state} · since {began}{over} · "
        f"{span(lasted(incident, now))}"
    )


def timeline_lines(incident: Incident) -> list[str]:
    """The timeline, oldest first, in UTC: measured stages to the millisecond, what was heard of to the second.

    A stage tells how long after the first one it was.
    """
    notes = [n for n in timeline(incident) if n.text or n.stage]
    first = next((n.at for n in notes if n.stage), None)
    day = day_format(notes)
    return [note.at.strftime(day) + _note(note, first) for note in notes]


def _note(note: Note, first: datetime | None) -> str:
    text = " ".join((note.text or (note.stage.value if note.stage else "")).split())
    if note.stage is None or first is None:
        return f"{clock(note.at)}                  {text}"
    return f"{milliseconds(note.at)}  {(note.at - first).total_seconds():+8.3f} s  {text}"


def incident_story_lines(shown: Shown, now: datetime) -> list[str]:
    """Everything about one incident, for a terminal."""
    incident, mute = shown.incident, shown.mute
    lines = [headline(incident), "", *(f"- {fact}" for fact in facts(incident))]
    if incident.acknowledged_by and incident.acknowledged_at:
        lines.append(f"- acknowledged by {incident.acknowledged_by.name} at {day_and_clock(incident.acknowledged_at)}")
    if mute:
        what = "in maintenance" if mute.maintenance else "muted"
        reason = f": {mute.reason}" if mute.reason else ""
        lines.append(f"- {mute.subject} is {what} until {day_and_clock(mute.until)} by {mute.by.name}{reason}")
    over = f", over at {day_and_clock(incident.resolved_at)}" if incident.resolved_at else ""
    since = f"since {day_and_clock(incident.began_at)} UTC{over}, {span(lasted(incident, now))}"
    lines += ["", f"incident {incident.id} of {incident.cluster}: {shown.state}, {since}"]
    story = timeline_lines(incident)
    return [*lines, *([""] if story else []), *story]


def incident_json(shown: Shown, now: datetime) -> dict[str, Any]:
    """One incident for machines: what the list has of it, and the rest. docs/hands.md explains the keys."""
    incident, mute = shown.incident, shown.mute
    return {
        **_brief(shown, now),
        "cause": incident.cause.value,
        "facts": facts(incident),
        "part_of": incident.part_of,
        "muted_by": mute.by.name if mute else None,
        "mute_reason": mute.reason if mute else None,
        "outages": [_outage(measured) for measured in incident.outages],
        "timeline": [
            {"at": n.at.isoformat(), "text": n.text, "stage": n.stage.value if n.stage else None}
            for n in timeline(incident)
        ],
    }


def _outage(measured: OutageMeasured) -> dict[str, Any]:
    return {
        "service": measured.service,
        "last_good_at": _iso(measured.last_good_at),
        "first_bad_at": measured.first_bad_at.isoformat(),
        "last_bad_at": measured.last_bad_at.isoformat(),
        "first_good_at": measured.first_good_at.isoformat(),
        "failed": measured.failed,
        "good": measured.good,
        "set_ahead_s": measured.set_ahead_s,
    }
