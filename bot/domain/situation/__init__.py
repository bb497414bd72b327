"""What is known of a cluster at a time: claims with their age, answers to roll calls, health. A fold of the journal."""

from __future__ import annotations

from datetime import datetime

from bot.domain.copies import replace
from bot.domain.events import (
    AgentComplained,
    AgentGap,
    AgentSilenceChanged,
    CertificateChanged,
    HealthChanged,
    QuorumChanged,
    RealServerChanged,
    RealServerObserved,
    Recorded,
    RollCallTaken,
    SenseChanged,
    VrrpStateChanged,
    VrrpStateObserved,
)
from bot.domain.fleet import Cluster
from bot.domain.health import Outcome
from bot.domain.situation.checks import believed, checked, names_of, service_of
from bot.domain.situation.claims import claimed, observed, taken_again
from bot.domain.situation.known import (
    ASIDE,
    LATE,
    STATES,
    Answer,
    Check,
    Claim,
    Health,
    Host,
    Keepalived,
    Said,
    Situation,
    by_our_clock,
    filled,
    keepalived_of,
)
from bot.domain.situation.roll_calls import called, holding, timely

__all__ = [
    "ASIDE",
    "LATE",
    "STATES",
    "Answer",
    "Check",
    "Claim",
    "Health",
    "Host",
    "Keepalived",
    "Said",
    "Situation",
    "by_our_clock",
    "filled",
    "fold",
    "holding",
    "keepalived_of",
    "names_of",
    "service_of",
    "taken_again",
    "timely",
    "unknown",
    "watched",
]


def unknown(cluster: Cluster) -> Situation:
    """What is known of *cluster* before anything has happened there."""
    return Situation(carried={service.name: service.vrrp_instance for service in cluster.services})


def watched(state: Situation, since: datetime) -> Situation:
    """*state* of a bot that was started at *since*."""
    return replace(state, watching_since=since)


def fold(state: Situation, recorded: Recorded, cluster: Cluster) -> Situation:
    """*state* of *cluster* after *recorded*. What a roll call shows amiss is worked out apart (:mod:`.findings`)."""
    event, at = recorded.event, recorded.recorded_at
    match event:
        case VrrpStateChanged(group=False):
            return claimed(state, event, Said(state=event.state, said_at=recorded.at_source, at=at), cluster)
        case VrrpStateObserved():
            return observed(state, event, at)
        case RollCallTaken():
            return called(state, event, at, cluster)
        case HealthChanged(outcome=Outcome.UNMEASURED) if state.healthy(event.service, event.real_server) is False:
            return state  # that it could not be measured does not make it well
        case HealthChanged():
            health = Health(outcome=event.outcome, since=event.since, reason=event.reason)
            return replace(state, health={**state.health, (event.service, event.real_server): health})
        case RealServerChanged() | QuorumChanged():
            return checked(state, event, recorded, cluster)
        case RealServerObserved():
            return believed(state, (event.director, event.service, event.real_server), event.up, at)
        case AgentSilenceChanged() | AgentComplained() | AgentGap() | CertificateChanged() | SenseChanged():
            return _aside(state, event)
        case _:
            return state


def _aside(
    state: Situation, event: AgentSilenceChanged | AgentComplained | AgentGap | CertificateChanged | SenseChanged
) -> Situation:
    match event:
        case AgentSilenceChanged(silent=True):
            return replace(state, silent=state.silent | {event.director})
        case AgentSilenceChanged():
            return replace(state, silent=state.silent - {event.director})
        case AgentComplained():
            others = {d: trouble for d, trouble in state.complaining_agents.items() if d != event.director}
            said = {event.director: event.trouble} if event.trouble else {}
            return replace(state, complaining_agents={**others, **said})
        case AgentGap():
            lost = f"{event.lost} lines" if event.lost else "an unknown number of lines"
            return replace(state, gaps={**state.gaps, event.director: f"{lost} lost: {event.why}"})
        case CertificateChanged():
            return replace(state, certificates={**state.certificates, (event.service, event.real_server): event})
        case SenseChanged():
            return replace(state, senses={**state.senses, event.sense: event})
