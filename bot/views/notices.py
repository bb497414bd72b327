"""What is said about an incident beside its own message: reminders, escalations, a backlog, a word by another way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.incidents import Incident
from bot.domain.moments import moment
from bot.views.blocks import Block, context, fitted, section
from bot.views.incident_words import headline, in_time
from bot.views.message import SlackMessage
from bot.views.words import clock, cut, escape, person, plural, slack_moment, slack_time, span

# Lines of a backlog; a longer one ends with how many more there were. Slack takes some 11,000 characters in all blocks
# of a message together (msg_blocks_too_long), and a line can have 250.
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """Something that began and ended before it could be told: ``title`` says what it was, in one line."""

    title: str
    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A message without any markup, for a mail or another chat: the ``title`` stands in the ``text`` as well."""

    title: str
    text: str


def bare_title(incident: Incident) -> str:
    """*incident* in the fewest words, which no fault of a sentence can spoil."""
    return f"{incident.subject}: {incident.kind.value}{'' if incident.open else ', over'}"


def bare_message(incident: Incident) -> SlackMessage:
    """The message of last resort: that there is *incident*, and which."""
    return _one(f":warning: {escape(bare_title(incident))}", f"incident {incident.id} · {escape(incident.cluster)}")


def reminder_message(incident: Incident) -> SlackMessage:
    """That *incident* is still open, as of its last reminder."""
    lasted = span(((incident.reminded_at or incident.opened_at) - incident.opened_at).total_seconds())
    return _one(f":bell: Still open after {lasted}, and nobody has acknowledged it: {escape(headline(incident))}")


def again_message(incident: Incident) -> SlackMessage:
    """That *incident*, which was told as over, has begun again."""
    return _one(f":repeat: It has begun again: {escape(headline(incident))}")


WORTH_TELLING_S = 5.0  # what is worse since less than that has only just become so


def worse_message(incident: Incident) -> SlackMessage:
    """That *incident*, which was told as a smaller one, has made a VIP unreachable and does not let go of it."""
    lasted_s = ((incident.worse_at or incident.opened_at) - (incident.felt_since or incident.opened_at)).total_seconds()
    lasts = f", for {span(lasted_s)} now" if lasted_s >= WORTH_TELLING_S else ""
    return _one(f":rotating_light: It has become worse{lasts}: {escape(headline(incident))}")


def flapping_message(incident: Incident) -> SlackMessage:
    """That *incident* comes and goes, so that there is no word for each change from here on."""
    return _one(
        f":repeat: It comes and goes: it has begun again {plural(incident.changes, 'time')}. From here on only the"
        " message above is kept up to date; it is over when it has stayed well for a while."
    )


def escalation_message(incident: Incident, call: Sequence[str], channel: str | None) -> SlackMessage:
    """That *incident* is escalated to whom *call* names (ids of users and user groups). *channel*: where it is told."""
    title = escape(headline(incident))
    if incident.resolved_at or incident.withdrawn:
        return _one(f":large_green_circle: {title}", *_remarks(incident, channel))
    if incident.acknowledged_by:
        who = person(incident.acknowledged_by)
        return _one(f":rotating_light: {title}\n{who} is on it", *_remarks(incident, channel))
    lasted = span(((incident.escalated_at or incident.opened_at) - incident.opened_at).total_seconds())
    called = "".join(f"{mention(who)} " for who in call)
    return _one(
        f":rotating_light: {called}{title}\nIt has been open for {lasted}, and nobody has acknowledged it",
        *_remarks(incident, channel),
    )


def _remarks(incident: Incident, channel: str | None) -> Iterable[str]:
    where = f"told in <#{channel}>" if channel else "escalated"
    since = slack_moment(incident.began_at, incident.escalated_at or incident.began_at)
    yield f"incident {incident.id} · {escape(incident.cluster)} · since {since} · {where}"


def mention(who: str) -> str:
    """A user or a user group, by id, so that Slack notifies them (docs: Formatting text, mentioning)."""
    return f"<!subteam^{who}>" if who.startswith("S") else f"<@{who}>"


def backlog_message(missed: Sequence[Missed], since: datetime, until: datetime, *, slack_away: bool) -> SlackMessage:
    """What began and ended between *since* and *until*, while Slack was away or the bot could not speak."""
    who = "Slack was away" if slack_away else "the bot could not tell"
    count = plural(len(missed), "incident")
    title = f"While {who} ({moment(since, until)} to {clock(until)} UTC): {count} that began and ended meanwhile"
    when = f"({slack_moment(since, until)} to {slack_time(until)})"
    blocks: list[Block] = [section(f"*While {who}* {when}: {count} that began and ended meanwhile")]
    lines = [
        f"• {slack_moment(m.began, until)}, for {span((m.ended - m.began).total_seconds())}: "
        f"{cut(escape(m.title), 150)}"
        for m in missed[:SHOWN]
    ]
    blocks += [section("\n".join(lines[start : start + 8])) for start in range(0, len(lines), 8)]
    if len(missed) > SHOWN:
        blocks.append(context(f"… and {len(missed) - SHOWN} more"))
    return SlackMessage(text=cut(title, 3000), blocks=fitted(blocks))


def plain_notice(incident: Incident, away_since: datetime | None) -> Plain:
    """*incident* as it stands, without markup. *away_since*: since when Slack cannot be reached, if it still cannot."""
    title = headline(incident)
    # When it is said is not known here; what it says is from then, or from shortly before.
    said = (incident.resolved_at, incident.reminded_at, incident.escalated_at, away_since)
    now = max((incident.began_at, *(at for at in said if at is not None)))
    when = f"since {moment(incident.began_at, now)} UTC"
    if incident.resolved_at:
        lasted = span((incident.resolved_at - incident.began_at).total_seconds())
        when += f", over at {moment(incident.resolved_at, now)} UTC after {lasted}"
    lines = [title, f"incident {incident.id} of {incident.cluster}, {when}"]
    if not incident.resolved_at:
        lines += [f"- {in_time(evidence, incident)}" for evidence in incident.evidence]
    if away_since:
        lines.append(f"Slack has been away since {moment(away_since, now)} UTC: it is told there when it is back.")
    return Plain(title=cut(f"[{incident.cluster}] {title}", 200), text="\n".join(lines))


def _one(text: str, *remarks: str) -> SlackMessage:
    """A message of one paragraph, with small remarks below it."""
    blocks = [section(text), *([context(*remarks)] if remarks else [])]
    return SlackMessage(text=cut(text, 3000), blocks=fitted(blocks))
