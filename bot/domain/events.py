"""What can happen, in the past tense: the only things that the journal records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.fleet import Address
from bot.domain.health import Outcome
from bot.domain.observed import ServiceKey, UnitState


class VrrpState(StrEnum):
    """What a director says of a VRRP instance or sync group (keepalived.conf(5), notify)."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STOP = "STOP"
    DELETED = "DELETED"
    MASTER_RX_LOWER_PRI = "MASTER_RX_LOWER_PRI"
    MASTER_PRIORITY = "MASTER_PRIORITY"
    BACKUP_PRIORITY = "BACKUP_PRIORITY"


# --- what a director's agent passed on ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class VrrpStateChanged:
    """A director *claims* a state for a VRRP instance (or a sync group, where ``group`` is set)."""

    cluster: str
    director: str
    instance: str
    state: VrrpState
    priority: int | None = None
    group: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RealServerChanged:
    """keepalived's own checks on one director found a real server up or down."""

    cluster: str
    director: str
    service: ServiceKey
    address: Address
    port: int
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumChanged:
    """keepalived on one director gained or lost the quorum of a virtual service."""

    cluster: str
    director: str
    service: ServiceKey
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLineUnreadable:
    """The agent passed on a line that the bot cannot read: kept as it came, nothing guessed."""

    cluster: str
    director: str
    line: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentGap:
    """A director's agent lost ``lost`` lines (0: a number that it does not know) and says why."""

    cluster: str
    director: str
    lost: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestHeard:
    """A self-test's marked event came from a director's agent.

    ``written_at`` is when the agent took it from the FIFO, by the director's clock; ``received_at`` when its POST
    reached the webhook, by the bot's.
    """

    cluster: str
    director: str
    test: str
    written_at: datetime
    received_at: datetime | None = None


# --- what the bot found out itself ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BotStarted:
    """A bot process began; ``runner`` names it (host, pid, start)."""

    version: str
    runner: str


class ProcessRole(StrEnum):
    """Which of keepalived's processes one is (keepalived.conf(5), process_names). CHILD: it does not say which."""

    PARENT = "parent"
    VRRP = "VRRP process"
    CHECKERS = "health checker"
    CHILD = "child"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepalivedProcess:
    """One of keepalived's processes. ``state`` is ps(1)'s letter: R, S, D, T (stopped by a signal), Z …"""

    pid: int
    role: ProcessRole
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NatPath:
    """What forwarding by NAT needs of a director. None: it could not be read.

    ``conntrack`` is net.ipv4.vs.conntrack (None also where the ip_vs module is not loaded). ``snat`` is whether the
    fleet's SNAT rule is there (None where the fleet asks for none), ``packets`` how many it has counted.
    """

    ip_forward: bool | None = None
    conntrack: bool | None = None
    snat: bool | None = None
    packets: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollCallAnswer:
    """One director's answer to a roll call. ``error`` is set where there is none: its state is UNKNOWN.

    ``holds`` lists the virtual addresses found on its interfaces, without prefix length. ``weights`` is (service, real
    server, weight) for every pool member in its IPVS table; one that keepalived removed is missing from it.
    ``services`` names the fleet's services that are in the table, ``strangers`` is (service, address:port, weight) for
    destinations that no pool has (a sorry server, something added by hand). None: it could not be read.

    ``refused`` says that the host is there but did not let the bot in (its key, or the bot's). ``heard_at`` is the last
    heartbeat of its agent by then. ``boot`` is the kernel's boot id, ``clock_behind_s`` how far its clock is behind the
    bot's, in seconds.
    """

    director: str
    error: str | None = None
    refused: bool = False
    heard_at: datetime | None = None
    holds: tuple[str, ...] = ()
    keepalived: UnitState | None = None
    weights: tuple[tuple[str, str, int], ...] | None = None
    services: tuple[str, ...] | None = None
    strangers: tuple[tuple[str, str, int], ...] = ()
    processes: tuple[KeepalivedProcess, ...] | None = None
    nat: NatPath | None = None
    boot: str | None = None
    clock_behind_s: float | None = None

    @property
    def answered(self) -> bool:
        """Whether the director answered at all."""
        return self.error is None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollCallTaken:
    """Directors of a cluster were asked who holds what, from ``asked_at`` on. ``reason`` says why they were asked.

    One that takes longer than the others is not waited for: its answer follows in a roll call of its own. ``waiting``
    names those that were asked and had not answered when this was recorded.
    """

    cluster: str
    reason: str
    asked_at: datetime
    answers: tuple[RollCallAnswer, ...]
    waiting: tuple[str, ...] = ()

    def answer(self, director: str) -> RollCallAnswer | None:
        """What *director* answered, or None if it was not asked."""
        return next((a for a in self.answers if a.director == director), None)

    def holders(self, address: str) -> tuple[str, ...]:
        """The directors on which *address* was found."""
        return tuple(a.director for a in self.answers if address in a.holds)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSilenceChanged:
    """A director's agent stopped reporting in (``silent``), or does so again. ``last_heard`` is its last heartbeat."""

    cluster: str
    director: str
    silent: bool
    last_heard: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged:
    """Probes found a target's health changed. ``since`` is the start of the first probe that said so.

    ``real_server`` is None where the VIP of ``service`` was probed.
    """

    cluster: str
    service: str
    real_server: str | None
    outcome: Outcome
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageMeasured:
    """A run of failed probes ended with a good one: what the bot's own probes can say of an outage, and how exactly.

    It lasted at least from ``first_bad_at`` to ``last_bad_at`` and at most from ``last_good_at`` to ``first_good_at``.
    Where there were ``good`` probes among the ``failed``, it came and went in that time.
    """

    cluster: str
    service: str
    real_server: str | None
    last_good_at: datetime | None
    first_bad_at: datetime
    last_bad_at: datetime
    first_good_at: datetime
    failed: int
    good: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VrrpStateObserved:
    """A roll call found a director in a state that its events do not tell. ``claimed`` is its last word."""

    cluster: str
    director: str
    instance: str
    state: VrrpState
    claimed: VrrpState | None
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RealServerObserved:
    """A roll call found a real server in or out of a director's table, and its events do not tell: one was missed."""

    cluster: str
    director: str
    service: str
    real_server: str
    up: bool
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateChanged:
    """A TLS probe found that a certificate is about to end (``expiring``), or that it no longer is."""

    cluster: str
    service: str
    real_server: str | None
    expiring: bool
    ends_at: datetime
    least_days: int


class Sense(StrEnum):
    """What the bot itself needs in order to see and be heard."""

    SLACK = "Slack"
    SCHEDULE = "probe schedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenseChanged:
    """The bot lost one of its senses (``lost``), or has it back. ``since`` is when that began; told in each cluster."""

    cluster: str
    sense: Sense
    lost: bool
    since: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestStarted:
    """The alert path is being tested. ``by`` is None for the scheduled one, ``channel`` where the result is wanted."""

    cluster: str
    test: str
    by: Actor | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestFinished:
    """A self-test is over. ``stages`` is (director, stage, milliseconds); ``failed`` is (director, why).

    ``margins`` is (director, stage, milliseconds) for stages that are known only so exactly, either way. What is the
    same for every director (Slack) stands under a name of its own.
    """

    cluster: str
    test: str
    stages: tuple[tuple[str, str, float], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    margins: tuple[tuple[str, str, float], ...] = ()


# --- what time brought, and what people said of incidents -----------------------------------------------------------


class Due(StrEnum):
    """What time alone makes due for an incident."""

    CALM = "calm for as long as was asked for"
    REMINDER = "reminder"
    ESCALATION = "escalation"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCame:
    """It became time for something about an incident."""

    cluster: str
    incident: int
    due: Due


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentAcknowledged:
    """Somebody said that they are on it."""

    cluster: str
    incident: int
    by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentExported:
    """Somebody asked for the draft of a post-mortem."""

    cluster: str
    incident: int
    by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteSet:
    """Nothing is to be told of ``subject`` (a name of the fleet, or the cluster) before ``until``.

    ``maintenance``: work is planned on it, and what happens to it meanwhile is planned too.
    """

    cluster: str
    subject: str
    until: datetime
    by: Actor
    reason: str = ""
    maintenance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteCleared:
    """Somebody ended a mute or a maintenance before its time."""

    cluster: str
    subject: str
    by: Actor


# --- what operators asked for and what came of it -------------------------------------------------------------------


class OperationKind(StrEnum):
    """What an operator can ask for that changes something."""

    DRAIN = "drain"
    RESTORE = "restore"


class Via(StrEnum):
    """Where a request came from."""

    SLACK = "slack"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asked: a Slack user id or an account of the bot's machine, with the name to show."""

    id: str
    name: str
    via: Via


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change on one director: exactly this argv will run, to move this weight. ``active`` is what it found."""

    number: int
    director: str
    service: str
    argv: tuple[str, ...]
    before: int
    after: int
    active: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRequested:
    """Somebody asked for a change and was shown ``steps``. ``forced`` overrides the capacity guard."""

    operation: str
    kind: OperationKind
    cluster: str
    real_server: str
    by: Actor
    steps: tuple[Step, ...]
    channel: str | None = None
    forced: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationDenied:
    """Somebody asked for a change and was refused. ``operation`` is None where nothing had been planned yet."""

    operation: str | None
    request: str
    by: Actor
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationConfirmed:
    """Somebody pressed the button (or said ``--yes``); the process ``runner`` is to carry it out."""

    operation: str
    by: Actor
    runner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCancelled:
    """Somebody called it off, or what was confirmed no longer held; ``reason`` says which."""

    operation: str
    by: Actor | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationStarted:
    """The steps, observed again after the confirmation, are about to run in the process ``runner``."""

    operation: str
    runner: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A step is about to be run: from here until StepFinished its outcome is unknown."""

    operation: str
    step: int


class StepOutcome(StrEnum):
    """How a step ended. FOUND_DONE: the table already showed it, so nothing was run again."""

    DONE = "done"
    FOUND_DONE = "found done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """What came of a step. The ``weight`` is what the table showed afterwards; None: it could not be read."""

    operation: str
    step: int
    outcome: StepOutcome
    weight: int | None
    detail: str = ""
    duration_s: float = 0.0


class Verdict(StrEnum):
    """How an operation ended, judged by the tables and not by exit codes."""

    DONE = "done"
    DRAINED = "drained"
    STILL_CONNECTED = "still connected"
    FAILED = "failed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFinished:
    """An operation is over."""

    operation: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideSet:
    """An operator wants a real server drained. ``weights`` is (director, service, weight before)."""

    cluster: str
    real_server: str
    operation: str
    by: Actor
    weights: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideCleared:
    """The real server is back in service."""

    cluster: str
    real_server: str
    operation: str
    by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideReasserted:
    """A director had given a drained real server a weight again (a flap, a restart); the bot took it back to 0."""

    cluster: str
    real_server: str
    director: str
    service: str
    found: int
    error: str | None = None


# --- what was said --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePosted:
    """Slack took a message (or an edit of it). ``key`` is what it is about; ``digest`` is of what was said."""

    key: str
    channel: str
    ts: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackSent:
    """What could not be said in Slack was said another way. ``way`` names it (``webhook``, ``email``)."""

    key: str
    way: str
    digest: str


Event = (
    VrrpStateChanged
    | RealServerChanged
    | QuorumChanged
    | AgentLineUnreadable
    | AgentGap
    | SelfTestHeard
    | BotStarted
    | RollCallTaken
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
