"""A self-test in words: whether the alert path works, what each stage took, and where an event was lost."""

from __future__ import annotations

from collections.abc import Iterable

from bot.domain.selftest import SLACK, SelfTest, Stage
from bot.domain.wording import listed
from bot.views.blocks import Block, context, fitted, preformatted, section
from bot.views.message import SlackMessage
from bot.views.words import cut, escape, person

ICONS = {True: ":large_green_circle:", False: ":red_circle:", None: ":hourglass_flowing_sand:"}


def selftest_message(test: SelfTest) -> SlackMessage:
    """*test* as it stands now."""
    icon = ICONS[test.passed if test.finished else None]
    title = headline(test)
    blocks: list[Block] = [section(f"{icon} *{escape(title)}*"), *preformatted(map(escape, _table(test)))]
    blocks += [section(f"• {escape(line)}") for line in _losses(test)]
    by = f"asked for by {person(test.by)}" if test.by else "the scheduled one"
    blocks.append(context(f"self-test {test.id} · {by}", *_remarks(test)))
    return SlackMessage(text=cut(f"{icon} {escape(title)}", 3000), blocks=fitted(blocks))


def selftest_lines(test: SelfTest) -> list[str]:
    """*test* for a terminal."""
    table, losses, remarks = _table(test), _losses(test), _remarks(test)
    return [headline(test), *(f"  {line}" for line in table), *losses, *remarks]


def headline(test: SelfTest) -> str:
    """The one sentence that a phone shows."""
    if test.finished is None:
        came = f"an event came from {listed(test.heard)}" if test.heard else "no event came yet"
        return f"{test.cluster}: testing the alert path: {came}"
    if test.passed:
        again = " again" if test.after_failure else ""
        return f"{test.cluster}: the alert path works{again}{_slowest(test)}"
    lost = listed(name for name, _ in test.finished.failed)
    return f"{test.cluster}: the alert path is broken: {lost} did not pass the test"


def _slowest(test: SelfTest) -> str:
    """The longest way from a director's FIFO to the journal, and what came behind it; empty where none was measured."""
    parts = (Stage.READ, Stage.RECEIVED, Stage.JOURNALLED)
    ways = []
    for director in _directors(test):
        took = [_took(test, director, stage) for stage in parts]
        if None not in took:
            margin = sum(_margin(test, director, stage) for stage in parts)
            ways.append((sum(t for t in took if t is not None), margin, director))
    if not ways:
        return ""
    milliseconds, margin, director = max(ways)
    slack = _took(test, SLACK, Stage.POSTED)
    behind = "" if slack is None else f", {_number(slack)} ms from there to Slack"
    return f": {_number(milliseconds, margin)} ms from {director}'s FIFO to the journal{behind}"


def _table(test: SelfTest) -> list[str]:
    """A row for each stage, a column for each director; what is the same for all of them stands once."""
    directors = _directors(test)
    rows = [["", *directors]]
    for stage in Stage:
        cells = [_cell(test, director, stage) for director in directors]
        shared = _cell(test, SLACK, stage)
        if shared:
            rows.append([stage.value, shared])
        elif any(cells):
            rows.append([stage.value, *(cell or "-" for cell in cells)])
    if len(rows) == 1:
        return []
    widths = [max((len(row[i]) for row in rows if i < len(row)), default=0) for i in range(len(directors) + 1)]
    return ["  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip() for row in rows]


def _directors(test: SelfTest) -> list[str]:
    stages = test.finished.stages if test.finished else ()
    return sorted({name for name, _, _ in stages if name != SLACK})


def _cell(test: SelfTest, name: str, stage: Stage) -> str:
    took = _took(test, name, stage)
    return "" if took is None else f"{_number(took, _margin(test, name, stage))} ms"


def _took(test: SelfTest, name: str, stage: Stage) -> float | None:
    return _find(test.finished.stages if test.finished else (), name, stage)


def _margin(test: SelfTest, name: str, stage: Stage) -> float:
    return _find(test.finished.margins if test.finished else (), name, stage) or 0.0


def _find(stages: Iterable[tuple[str, str, float]], name: str, stage: Stage) -> float | None:
    return next((ms for who, what, ms in stages if who == name and what == stage.value), None)


def _number(milliseconds: float, margin: float = 0.0) -> str:
    """Milliseconds with no more digits than they are known by."""
    digits = 1 if max(milliseconds, margin) < 10 else 0
    text = f"{milliseconds:.{digits}f}"
    return f"{text} ± {margin:.{digits}f}" if margin else text


def _losses(test: SelfTest) -> list[str]:
    if test.finished is None:
        return []
    late = {name for name in test.heard if name in dict(test.finished.failed)}
    return [
        f"{name}: {why}{' (it came after all, too late)' if name in late else ''}" for name, why in test.finished.failed
    ]


def _remarks(test: SelfTest) -> list[str]:
    if test.finished is None or not test.finished.margins:
        return []
    return [
        "± where a stage leads from a director's clock to the bot's, as exactly as questions over SSH tell them apart"
    ]
