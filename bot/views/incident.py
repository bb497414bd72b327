"""One incident as one message: what is broken for users, why, since when, who is on it, and that it is over."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.deeds import Deed
from bot.domain.incidents import Incident, Kind, Matter, Note
from bot.domain.incidents.kinds import FELT
from bot.domain.incidents.stages import timeline
from bot.domain.mutes import Mute
from bot.views.blocks import Block, context, fitted, section, shortened
from bot.views.incident_actions import incident_actions
from bot.views.incident_words import answering, facts, headline, summary
from bot.views.message import SlackMessage
from bot.views.words import clock, cut, escape, milliseconds, person, slack_day, slack_moment, slack_time, span

RED, AMBER, GREEN = ":red_circle:", ":large_yellow_circle:", ":large_green_circle:"
ELSEWHERE = ":white_circle:"  # how bad it is, and whether it is over, stands in the incident that it is part of

# What users feel as long as it lasts, or may feel at any moment.
SEVERE = frozenset({*FELT, Matter.CONTEST, Matter.VACANCY})


def incident_message(incident: Incident, mute: Mute | None = None) -> SlackMessage:
    """*incident* as it stands now, under *mute* if it is muted."""
    title = headline(incident)
    light = icon(incident)
    blocks: list[Block] = [section(f"{light} *{escape(title)}*")]
    found = facts(incident)
    if found:
        blocks.append(section("\n".join(f"• {escape(fact)}" for fact in found)))
    when = f"since {slack_time(incident.began_at)}"
    if incident.resolved_at:
        lasted = span((incident.resolved_at - incident.began_at).total_seconds())
        when += f" · over at {slack_moment(incident.resolved_at, incident.began_at)} after {lasted}"
    remarks = [f"incident {incident.id} · {escape(incident.cluster)} · {when}", *_hands(incident, mute)]
    blocks.append(context(*remarks))
    buttons = incident_actions(incident, mute)
    return SlackMessage(
        text=cut(f"{light} {escape(title)}", 3000), blocks=fitted(blocks, last=(buttons,) if buttons else ())
    )


def _hands(incident: Incident, mute: Mute | None) -> list[str]:
    """Who is on it, who was called, and who does not want to hear of it."""
    found = []
    began = incident.began_at
    if incident.acknowledged_by is not None and incident.acknowledged_at is not None:
        since = slack_moment(incident.acknowledged_at, began)
        found.append(f":eyes: {person(incident.acknowledged_by)} is on it since {since}")
    elif incident.escalated_at is not None and incident.open:
        at = slack_moment(incident.escalated_at, began)
        found.append(f":loudspeaker: escalated at {at}: nobody has taken it yet")
    if mute is not None and incident.open:
        what = "maintenance" if mute.maintenance else "muted"
        found.append(f":no_bell: {what} until {slack_day(mute.until)} by {person(mute.by)}")
    return found


def resolution_message(incident: Incident, deeds: Sequence[Deed] = ()) -> SlackMessage:
    """What is said in the thread when *incident* is over: a summary with who acted, and the story stage by stage."""
    notes = [note for note in timeline(incident) if note.text]
    day = day_format(notes)
    lines = [note.at.strftime(day) + _line(note) for note in notes]
    text = f"{GREEN} {escape(headline(incident))}"
    told = "\n".join(f"• {escape(line)}" for line in summary(incident, deeds)) if incident.resolved_at else ""
    blocks: list[Block] = [section(f"*Over.* {escape(headline(incident))}\n{told}".strip())]
    if lines:
        blocks.append(section("```" + "\n".join(shortened([escape(line) for line in lines], 2900)) + "```"))
    return SlackMessage(text=cut(text, 3000), blocks=fitted(blocks))


def day_format(notes: Sequence[Note]) -> str:
    """How a timeline of *notes* writes the day before each time: not at all, where all of it is of one day."""
    return "%m-%d " if len({n.at.date() for n in notes}) > 1 else ""


def _line(note: Note) -> str:
    """A line of the timeline; a measured stage to the millisecond."""
    return f"{milliseconds(note.at)}  {note.text}" if note.stage else f"{clock(note.at)}      {note.text}"


def icon(incident: Incident) -> str:
    """How bad *incident* is just now, as a coloured circle: red where users feel it."""
    if incident.part_of is not None:
        return ELSEWHERE
    if incident.resolved_at or incident.withdrawn:
        return GREEN
    nobody = incident.kind is Kind.DIRECTORS_LOST and not answering(incident)
    return RED if nobody or any(t.matter in SEVERE for t in incident.troubles) else AMBER


__all__ = ["RED", "day_format", "facts", "headline", "icon", "incident_message", "resolution_message"]
