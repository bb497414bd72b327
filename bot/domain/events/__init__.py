"""What can happen, in the past tense: the only things that the journal records, by who speaks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.domain.events.actors import Actor, Via
from bot.domain.events.agents import (
    AgentComplained,
    AgentGap,
    AgentLineUnreadable,
    AgentSilenceChanged,
    QuorumChanged,
    RealServerChanged,
    VrrpState,
    VrrpStateChanged,
)
from bot.domain.events.bot import BotStarted, FallbackSent, MessagePosted, Sense, SenseChanged
from bot.domain.events.incidents import Due, IncidentAcknowledged, IncidentExported, MuteCleared, MuteSet, TimeCame
from bot.domain.events.looks import (
    KeepalivedProcess,
    NatPath,
    ProcessRole,
    RealServerObserved,
    RollCallAnswer,
    RollCallTaken,
    VrrpStateObserved,
)
from bot.domain.events.operations import (
    OperationCancelled,
    OperationConfirmed,
    OperationDenied,
    OperationFinished,
    OperationKind,
    OperationRequested,
    OperationStarted,
    OverrideCleared,
    OverrideReasserted,
    OverrideSet,
    RestoreCaughtUp,
    Step,
    StepFinished,
    StepOutcome,
    StepStarted,
    Verdict,
)
from bot.domain.events.probes import CertificateChanged, HealthChanged, OutageMeasured
from bot.domain.events.selftests import SelfTestFinished, SelfTestHeard, SelfTestStarted

__all__ = [
    "Actor",
    "AgentComplained",
    "AgentGap",
    "AgentLineUnreadable",
    "AgentSilenceChanged",
    "BotStarted",
    "CertificateChanged",
    "Due",
    "Event",
    "FallbackSent",
    "HealthChanged",
    "IncidentAcknowledged",
    "IncidentExported",
    "KeepalivedProcess",
    "MessagePosted",
    "MuteCleared",
    "MuteSet",
    "NatPath",
    "OperationCancelled",
    "OperationConfirmed",
    "OperationDenied",
    "OperationFinished",
    "OperationKind",
    "OperationRequested",
    "OperationStarted",
    "OutageMeasured",
    "OverrideCleared",
    "OverrideReasserted",
    "OverrideSet",
    "ProcessRole",
    "QuorumChanged",
    "RealServerChanged",
    "RealServerObserved",
    "Recorded",
    "RestoreCaughtUp",
    "RollCallAnswer",
    "RollCallTaken",
    "SelfTestFinished",
    "SelfTestHeard",
    "SelfTestStarted",
    "Sense",
    "SenseChanged",
    "Step",
    "StepFinished",
    "StepOutcome",
    "StepStarted",
    "TimeCame",
    "Verdict",
    "Via",
    "VrrpState",
    "VrrpStateChanged",
    "VrrpStateObserved",
]

Event = (
    VrrpStateChanged
    | RealServerChanged
    | QuorumChanged
    | AgentLineUnreadable
    | AgentGap
    | SelfTestHeard
    | BotStarted
    | RollCallTaken
    | AgentComplained
    | AgentSilenceChanged
    | HealthChanged
    | OutageMeasured
    | VrrpStateObserved
    | RealServerObserved
    | CertificateChanged
    | SenseChanged
    | SelfTestStarted
    | SelfTestFinished
    | TimeCame
    | IncidentAcknowledged
    | IncidentExported
    | MuteSet
    | MuteCleared
    | OperationRequested
    | OperationDenied
    | OperationConfirmed
    | OperationCancelled
    | OperationStarted
    | StepStarted
    | StepFinished
    | OperationFinished
    | OverrideSet
    | OverrideCleared
    | OverrideReasserted
    | RestoreCaughtUp
    | MessagePosted
    | FallbackSent
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event in the journal: its place in the order, when it was recorded, when it happened by its source's clock."""

    sequence: int
    recorded_at: datetime
    at_source: datetime
    event: Event
