"""How times, spans, people and states are worded, the same everywhere; and what is escaped for Slack."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from bot.domain.events import Actor, OutageMeasured, Via

HALF_A_DAY = timedelta(hours=12)


def clock(at: datetime) -> str:
    """The time of day in UTC, to the second."""
    return at.strftime("%H:%M:%S")


def milliseconds(at: datetime) -> str:
    """The time of day in UTC, to the millisecond."""
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"


def day_and_clock(at: datetime) -> str:
    """Day and time in UTC, to the second."""
    return at.strftime("%m-%d %H:%M:%S")


def slack_time(at: datetime) -> str:
    """A time that Slack shows in the reader's own zone (docs: Formatting text, date formatting)."""
    return f"<!date^{int(at.timestamp())}^{{time_secs}}|{clock(at)} UTC>"


def slack_day(at: datetime) -> str:
    """A day and a time that Slack shows in the reader's own zone."""
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time_secs}}|{day_and_clock(at)} UTC>"


def slack_moment(at: datetime, now: datetime) -> str:
    """A time as :func:`slack_time`, with the day where it may be another one in the reader's zone than *now* is."""
    return slack_time(at) if abs(at - now) < HALF_A_DAY else slack_day(at)


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


def outage(*measured: OutageMeasured) -> str:
    """How long a VIP could not be reached, and how exactly that is known; *measured* by the probes of its services.

    The first outage of each service is the outage of the VIP: together they bound it more closely than any does alone,
    and where they contradict each other the finest one counts. Later ones that all of these services had together are
    further outages of it, the longest of which are told. What else failed after that (a pool that still had a dead real
    server in it, say) is told apart. Of one that came and went it is told how many probes failed.
    """
    firsts: dict[str, OutageMeasured] = {}
    for one in sorted(measured, key=lambda m: m.first_bad_at):
        if not one.good:
            firsts.setdefault(one.service, one)
    if not firsts:
        return _came_and_went(measured)
    again = _again([m for m in measured if m is not firsts.get(m.service)], firsts.keys())
    told = sorted(sorted(again, key=_common_s)[-MOST_AGAIN:], key=_began)
    words = _bounds(list(firsts.values()))
    words += "".join(f", again for {_bounds(outage)} from {clock(_began(outage))} UTC" for outage in told)
    if len(again) > len(told):
        words += f", and {plural(len(again) - len(told), 'more time')}"
    apart = {id(m) for outage in (list(firsts.values()), *again) for m in outage}
    if later := [m for m in measured if id(m) not in apart]:
        more = plural(sum(m.failed for m in later), "more probe")
        words += f"; {more} failed until {clock(max(m.last_bad_at for m in later))} UTC"
    return words


FINEST_S = 0.1  # services that are probed one after the other can meet at a point: nothing is known that exactly
MOST_AGAIN = 3  # further outages of one story that are told: more are counted
AGAIN_S = 2.0  # a client that meets a dead real server fails for a moment: that is no outage of the VIP


def _again(later: Sequence[OutageMeasured], services: Collection[str]) -> list[list[OutageMeasured]]:
    """Those of *later* that all of *services* had together, outage by outage."""
    found = []
    left = [m for m in sorted(later, key=lambda m: m.first_bad_at) if not m.good]
    while left:
        first = left[0]
        together = [_nearest(first, [m for m in left if m.service == service]) for service in services]
        outage = [m for m in together if m is not None]
        if len(outage) == len(services) and _common_s(outage) >= AGAIN_S:
            found.append(outage)
            left = [m for m in left if m not in outage]
        else:
            left.remove(first)
    return found


def _nearest(first: OutageMeasured, of: Sequence[OutageMeasured]) -> OutageMeasured | None:
    """The one *of* these that has the most in common with *first*."""
    return max(of, key=lambda m: _common_s([first, m]), default=None)


def _common_s(outage: Sequence[OutageMeasured]) -> float:
    """For how many seconds all of *outage* lasted at least; negative where they were apart."""
    return (min(m.last_bad_at for m in outage) - max(m.first_bad_at for m in outage)).total_seconds()


def _began(outage: Sequence[OutageMeasured]) -> datetime:
    return min(m.first_bad_at for m in outage)


def _came_and_went(measured: Iterable[OutageMeasured]) -> str:
    every = list(measured)
    failed, good = sum(m.failed for m in every), sum(m.good for m in every)
    lasted = max(m.last_bad_at for m in every) - min(m.first_bad_at for m in every)
    words = f"{failed} of {failed + good} probes within {span(lasted.total_seconds())}"
    return f"{words} ({longer})" if (longer := _longer(every)) else words


def _longer(measured: Iterable[OutageMeasured]) -> str:
    """By how much a machine that stood still can have missed the end of it; empty where the clock was not set ahead."""
    ahead = max(m.set_ahead_s for m in measured)
    return f"up to {span(ahead)} longer, for the bot's clock was set ahead by that much in it" if ahead else ""


def _bounds(measured: list[OutageMeasured]) -> str:
    probes = plural(sum(m.failed for m in measured), "failed probe")
    longer = f"; {longer}" if (longer := _longer(measured)) else ""
    bounded = [m for m in measured if m.last_good_at is not None]
    if not bounded:
        least = max((m.last_bad_at - m.first_bad_at).total_seconds() for m in measured)
        return f"at least {span(least)} ({probes}{longer})"
    least, most = _common(bounded)
    if most < least:
        least, most = min((_common([m]) for m in bounded), key=lambda bounds: bounds[1] - bounds[0])
    return f"{span((least + most) / 2)} ± {span(max((most - least) / 2, FINEST_S))} ({probes}{longer})"


def _common(measured: list[OutageMeasured]) -> tuple[float, float]:
    """The bounds, in seconds, that all of *measured* (each with a good probe before) put on one outage."""
    least = max(m.last_bad_at for m in measured) - min(m.first_bad_at for m in measured)
    most = min(m.first_good_at for m in measured) - max(m.last_good_at for m in measured if m.last_good_at is not None)
    return least.total_seconds(), most.total_seconds()
