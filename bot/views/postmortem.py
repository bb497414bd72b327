"""The draft of a post-mortem in Markdown: what the journal knows, and room for what only people know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from bot.domain.deeds import Deed
from bot.domain.events import Actor, Via
from bot.domain.incidents import Incident, Note
from bot.domain.incidents.stages import timeline
from bot.domain.wording import listed
from bot.views.incident import facts, headline
from bot.views.incident_actions import reference
from bot.views.incident_words import no_outage
from bot.views.words import cut, outage, plural, span

# What CommonMark would read as its own; a backslash takes that from it (spec.commonmark.org, backslash escapes).
MARKUP = re.compile(r"([\\`*_\[\]<>|#~!&])")
LEADING = re.compile(r"^([-+=>]|\d{1,9}[.)])")
TO_WRITE = ("What went well", "What went badly", "Where we were lucky", "Root cause")


def file_name(incident: Incident) -> str:
    """What the draft's file is called."""
    return f"incident-{incident.cluster}-{incident.id}.md"


def postmortem(incident: Incident, deeds: Sequence[Deed], *, by: Actor, now: datetime) -> str:
    """The draft for *incident*, which is over: what was done about it were *deeds*; *by* asked for it."""
    return "\n".join(_lines(incident, deeds, by, now)) + "\n"


def _lines(incident: Incident, deeds: Sequence[Deed], by: Actor, now: datetime) -> Iterator[str]:
    yield f"# Post-mortem: {inert(headline(incident))}"
    yield ""
    yield f"A draft from the journal, asked for by {_who(by)} at {_moment(now)} UTC. All times are UTC."
    yield from _section("Summary", _summary(incident, deeds))
    yield from _section("Impact", _impact(incident))
    yield from _section("Timeline", _timeline(incident))
    yield from _section("Who acted", _acted(deeds))
    yield from _section("Cause, as far as it is known", _bullets((incident.cause.value, *incident.why)))
    evidence = dict.fromkeys((*incident.evidence, *facts(incident)))
    yield from _section("Contributing evidence", _bullets(evidence) or ["Nothing more was found."])
    for heading in TO_WRITE:
        yield from _section(heading, ["…"])
    yield from _section("Action items", _table(("what", "who", "until when"), [("…", "…", "…")]))


def _section(heading: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield f"## {heading}"
    yield ""
    yield from lines


def _summary(incident: Incident, deeds: Sequence[Deed]) -> Iterator[str]:
    over = incident.resolved_at or incident.began_at
    yield f"{inert(headline(incident))}."
    yield ""
    yield from _table(
        ("", ""),
        [
            ("incident", reference(incident)),
            ("what", f"{incident.kind.value}{_planned(incident, deeds)}"),
            ("of", incident.subject),
            ("from", _moment(incident.began_at)),
            ("until", _moment(over)),
            ("for", span(max(0.0, (over - incident.began_at).total_seconds()))),
        ],
    )


def _planned(incident: Incident, deeds: Sequence[Deed]) -> str:
    """Whether somebody meant it: known of a move of the MASTER, and of what was announced."""
    if incident.planned or any(deed.planned for deed in deeds):
        return " (planned)"
    moved = incident.old_master is not None and incident.moved_at is not None
    return " (not planned)" if moved else ""


def _impact(incident: Incident) -> Iterator[str]:
    if incident.outages:
        yield f"- {inert(f'The VIP was unreachable for {outage(*incident.outages)}')}."
    else:
        told = no_outage(incident)
        yield f"- {inert(told[:1].upper() + told[1:])}."
    if incident.services:
        yield f"- Virtual services: {inert(listed(incident.services))}."
    if incident.also_down:
        yield f"- Real servers that went with it: {inert(listed(incident.also_down))}."
    if incident.changes:
        yield f"- It began again {plural(incident.changes, 'time')} before it stayed well."
    if not incident.outages:
        return
    yield ""
    yield from _table(
        ("service", "last good probe", "first failed", "last failed", "first good", "failed"),
        [
            (
                measured.service,
                _moment(measured.last_good_at) if measured.last_good_at else "not known",
                _moment(measured.first_bad_at),
                _moment(measured.last_bad_at),
                _moment(measured.first_good_at),
                f"{measured.failed} of {measured.failed + measured.good}" if measured.good else str(measured.failed),
            )
            for measured in incident.outages
        ],
    )


def _timeline(incident: Incident) -> Iterable[str]:
    notes = [n for n in timeline(incident) if n.text or n.stage]
    if not notes:
        return ["Nothing is on record."]
    return _table(("time", "stage", "what"), [_note(note) for note in notes])


def _note(note: Note) -> tuple[str, str, str]:
    at = _moment(note.at) if note.stage else note.at.strftime("%Y-%m-%d %H:%M:%S")
    if note.stage is None:
        return at, "", note.text
    # A measured stage names itself in its text, for where there is no column for it.
    return at, note.stage.value, note.text.removeprefix(note.stage.value).strip(" ()")


def _acted(deeds: Sequence[Deed]) -> Iterable[str]:
    if not deeds:
        return ["Nobody did, as far as the journal knows."]
    return _table(
        ("time", "who", "what"),
        [(deed.at.strftime("%Y-%m-%d %H:%M:%S"), deed.by.name + _via(deed.by), deed.what) for deed in deeds],
    )


def _via(actor: Actor) -> str:
    return " (terminal)" if actor.via is Via.TERMINAL else ""


def _who(actor: Actor) -> str:
    return inert(actor.name + _via(actor))


def _bullets(lines: Iterable[str]) -> list[str]:
    return [f"- {inert(line)}" for line in lines if line.strip()]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(inert(cell) for cell in row)} |"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def inert(text: str) -> str:
    """*text* as one line that Markdown shows as it stands: anybody's words may be in it."""
    line = " ".join(cut(text, 2000).split())
    escaped = MARKUP.sub(r"\\\1", "".join(c for c in line if c.isprintable()))
    return LEADING.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", escaped)
