"""The row of buttons below an incident: what can be done about it from where one reads it."""

from __future__ import annotations

from bot.domain.incidents import Incident
from bot.domain.mutes import Mute
from bot.views.blocks import Block, actions, button

# Messages that stand in Slack name these: they are never changed.
ACKNOWLEDGE = "incident_acknowledge"
MUTE = "incident_mute"
STATUS = "incident_status"
DOCTOR = "incident_doctor"
TIMELINE = "incident_timeline"
EXPORT = "incident_export"


def incident_actions(incident: Incident, mute: Mute | None) -> Block | None:
    """The buttons for *incident* as it stands, under *mute* if it is muted; None where there is nothing to press.

    Each carries ``cluster/number``.
    """
    if incident.withdrawn:
        return None
    value = reference(incident)
    found: list[Block] = []
    if incident.open:
        if incident.acknowledged_by is None:
            found.append(button("Acknowledge", action=ACKNOWLEDGE, value=value, style="primary"))
        if mute is None:
            found.append(button("Mute 1 h", action=MUTE, value=value))
        found.append(button("Status", action=STATUS, value=value))
        found.append(button("Run doctor", action=DOCTOR, value=value))
    found.append(button("Timeline", action=TIMELINE, value=value))
    if not incident.open:
        found.append(button("Export", action=EXPORT, value=value))
    return actions(f"incident:{value}", found)


def reference(incident: Incident) -> str:
    """How *incident* is named where it has to be the only one of its name."""
    return f"{incident.cluster}/{incident.id}"
