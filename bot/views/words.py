"""How times, spans, people and states are worded, the same everywhere; and what is escaped for Slack."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from bot.domain.events import Actor, OutageMeasured, Via


def clock(at: datetime) -> str:
    """The time of day in UTC, to the second."""
    return at.strftime("%H:%M:%S")


def slack_time(at: datetime) -> str:
    """A time that Slack shows in the reader's own zone (docs: Formatting text, date formatting)."""
    return f"<!date^{int(at.timestamp())}^{{time_secs}}|{clock(at)} UTC>"


def span(seconds: float) -> str:
    """A span of time as a person says it."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def plural(count: int, one: str, many: str | None = None) -> str:
    """*count* with its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def listed(names: Iterable[str]) -> str:
    """Names in a sentence."""
    every = list(names)
    if len(every) < 2:
        return "".join(every)
    return f"{', '.join(every[:-1])} and {every[-1]}"


def escape(text: str) -> str:
    """Slack's three control characters, escaped (docs: Formatting text, escaping)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Inline code that its content cannot leave."""
    return f"`{escape(text.replace('`', chr(0x2019)))}`"


def cut(text: str, limit: int) -> str:
    """*text*, cut where Slack would refuse it for its length."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def person(actor: Actor) -> str:
    """Somebody, as Slack shows them."""
    return f"<@{actor.id}>" if actor.via is Via.SLACK else f"{escape(actor.name)} (terminal)"


def outage(measured: OutageMeasured) -> str:
    """How long probes could not reach a target, and how exactly that is known."""
    least = (measured.last_bad_at - measured.first_bad_at).total_seconds()
    if measured.last_good_at is None:
        return f"at least {span(least)} ({plural(measured.failed, 'failed probe')})"
    most = (measured.first_good_at - measured.last_good_at).total_seconds()
    middle, off = (least + most) / 2, (most - least) / 2
    return f"{span(middle)} ± {span(off)} ({plural(measured.failed, 'failed probe')})"
