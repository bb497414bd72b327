"""An incident's timeline: what was noted, and the measured stages of an outage, in the order in which they happened."""

from __future__ import annotations

from datetime import datetime

from bot.domain.incidents.story import Incident, Note, Stage


def timeline(incident: Incident) -> tuple[Note, ...]:
    """Every note of *incident* and the stages that its outages measured, oldest first."""
    return tuple(sorted((*incident.timeline, *measured(incident)), key=lambda note: note.at))


def measured(incident: Incident) -> tuple[Note, ...]:
    """What the probes of the VIP measured of the first outage: the last good one, the first failed, the first good."""
    if not incident.outages:
        return ()
    # One that came and went is no stage of what happened where there was another: a real server had fallen before, say.
    lasting = [o for o in incident.outages if not o.good] or list(incident.outages)
    first = min(lasting, key=lambda o: o.first_bad_at)
    # Other services' probes may have seen the same outage from a little later on: it is told by its earliest one.
    same = [o for o in lasting if o.first_bad_at <= first.first_good_at]
    ended = max(same, key=lambda o: o.first_good_at)
    found = [
        _note(first.first_bad_at, Stage.FIRST_BAD_PROBE, first.service),
        _note(ended.first_good_at, Stage.FIRST_GOOD_PROBE, ended.service),
    ]
    good = [o for o in same if o.last_good_at is not None]
    if good:
        last = max(good, key=lambda o: o.last_good_at or o.first_bad_at)
        assert last.last_good_at is not None
        if last.last_good_at <= first.first_bad_at:
            found.append(_note(last.last_good_at, Stage.LAST_GOOD_PROBE, last.service))
    return tuple(found)


def _note(at: datetime, stage: Stage, service: str) -> Note:
    return Note(at=at, text=f"{stage.value} ({service})", stage=stage)
