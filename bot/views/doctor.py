"""What the doctor found: the worst first, each with the next step; for Slack, a terminal and machines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from bot.domain.doctor import Examination, Finding, Judgement
from bot.domain.wording import listed
from bot.views.blocks import Block, context, fitted, section
from bot.views.message import SlackMessage
from bot.views.words import cut, escape, plural, slack_time

ICONS = {
    Judgement.BAD: ":red_circle:",
    Judgement.WARNING: ":large_yellow_circle:",
    Judgement.UNKNOWN: ":white_circle:",
    Judgement.OK: ":large_green_circle:",
}
MARKS = {Judgement.BAD: "BAD", Judgement.WARNING: "WARNING", Judgement.UNKNOWN: "UNKNOWN", Judgement.OK: "ok"}


def summary(examination: Examination) -> str:
    """The whole examination in one line."""
    counts = {j: len(examination.judged(j)) for j in Judgement}
    parts = [
        plural(counts[Judgement.BAD], "thing is bad", "things are bad") if counts[Judgement.BAD] else "",
        plural(counts[Judgement.WARNING], "thing needs a look", "things need a look")
        if counts[Judgement.WARNING]
        else "",
        plural(counts[Judgement.UNKNOWN], "thing", "things") + " could not be seen"
        if counts[Judgement.UNKNOWN]
        else "",
    ]
    said = listed(part for part in parts if part) or "all well"
    whole = f"{examination.cluster}/{examination.name}" if examination.name else examination.cluster
    return f"{whole}: {said}; {plural(len(examination.findings), 'thing')} looked at"


def doctor_message(examination: Examination) -> SlackMessage:
    """*examination* for Slack."""
    text = summary(examination)
    blocks: list[Block] = [section(f"{ICONS[examination.worst]} *{escape(text)}*")]
    blocks += [section(_paragraph(f)) for f in _not_well(examination)]
    well = [f"*{escape(about)}*: {escape('; '.join(words))}" for about, words in _well(examination)]
    if well:
        blocks.append(section("\n".join(f"{ICONS[Judgement.OK]} {line}" for line in well)))
    note = f"examined over SSH at {slack_time(examination.at)} · nothing was changed"
    return SlackMessage(text=cut(escape(text), 3000), blocks=fitted(blocks, [context(note)]))


def _paragraph(finding: Finding) -> str:
    head = f"{ICONS[finding.judgement]} *{escape(finding.about)}, {escape(finding.looked_at)}*"
    then = f"\n→ {escape(finding.then)}" if finding.then else ""
    return f"{head}: {escape(cut(finding.found, 1500))}{then}"


def _not_well(examination: Examination) -> list[Finding]:
    return [f for judgement in Judgement if judgement is not Judgement.OK for f in examination.judged(judgement)]


def _well(examination: Examination) -> Iterator[tuple[str, list[str]]]:
    """What is well, by what it is about."""
    for about, group in groupby(examination.judged(Judgement.OK), key=lambda f: f.about):
        yield about, [f"{f.looked_at}: {f.found}" for f in group]


def doctor_lines(examination: Examination) -> list[str]:
    """*examination* for a terminal."""
    lines = [summary(examination), ""]
    for finding in (*_not_well(examination), *examination.judged(Judgement.OK)):
        head = f"{MARKS[finding.judgement]:<8} {finding.about}, {finding.looked_at}"
        lines.append(f"{head}: {' '.join(finding.found.split())}")
        if finding.then:
            lines.append(f"{'':<8} → {finding.then}")
    return lines


def doctor_json(examination: Examination) -> dict[str, Any]:
    """*examination* for machines. The keys are stable; docs/hands.md explains them."""
    return {
        "cluster": examination.cluster,
        "name": examination.name,
        "at": examination.at.isoformat(),
        "worst": examination.worst.value,
        "findings": [
            {
                "about": f.about,
                "looked_at": f.looked_at,
                "judgement": f.judgement.value,
                "found": f.found,
                "then": f.then,
            }
            for f in examination.findings
        ],
    }
