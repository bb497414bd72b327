"""Incidents: many signals, one story each. A fold of the journal over what is known of a cluster."""

from bot.domain.incidents.fold import fold, heard_again
from bot.domain.incidents.present import services_of, troubles_of
from bot.domain.incidents.story import (
    PLANNED,
    Cause,
    Incident,
    Incidents,
    Kind,
    Note,
    Stage,
)
from bot.domain.incidents.work import Context
from bot.domain.troubles import Matter, Trouble

__all__ = [
    "PLANNED",
    "Cause",
    "Context",
    "Incident",
    "Incidents",
    "Kind",
    "Matter",
    "Note",
    "Stage",
    "Trouble",
    "fold",
    "heard_again",
    "services_of",
    "troubles_of",
]
