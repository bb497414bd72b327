"""The settings as the rest of the program sees them: frozen, complete, with secrets that do not print themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import SecretStr

from bot.domain.fleet import Address, Fleet


class SlackMode(StrEnum):
    """How Slack's events reach the bot: over Socket Mode's WebSocket or as signed HTTP requests."""

    SOCKET = "socket"
    HTTP = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackSettings:
    """How the bot talks. ``channels`` is by cluster; ``base_url`` (ending in ``/``) is None for Slack's own Web API.

    ``app_token`` is there in socket mode, ``signing_secret`` in http mode.
    """

    mode: SlackMode
    command: str
    channels: Mapping[str, str]
    base_url: str | None
    bot_token: SecretStr
    app_token: SecretStr | None
    signing_secret: SecretStr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSettings:
    """Who may change anything: Slack users, members of Slack user groups, accounts of this machine."""

    users: tuple[str, ...]
    usergroups: tuple[str, ...]
    terminal: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where the journal is: a database URL without its password. Samples are kept for ``keep_samples_s`` seconds."""

    url: str
    password: SecretStr | None
    keep_samples_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """Where the HTTP server listens."""

    host: Address
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """How directors' agents are let in. ``max_age_s`` is seconds, ``max_body`` bytes, ``secrets`` by director."""

    path: str
    max_age_s: float
    max_body: int
    secrets: Mapping[str, SecretStr]


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """How directors' shells are reached. ``identity`` None means the ssh agent.

    ``patience_s``: how long a director may take to answer before it is asked again, with twice the patience.
    """

    known_hosts: Path
    identity: Path | None
    connect_timeout_s: float
    patience_s: float
    per_director: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """How often things are done, and how long a drain is waited for, in seconds."""

    heartbeat_s: float
    roll_call_s: float
    drain_poll_s: float
    drain_patience_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailSettings:
    """How mail is sent (SMTP). ``password`` is there where ``user`` is; both are None where none is asked for."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    starttls: bool
    user: str | None
    password: SecretStr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackSettings:
    """Where alerts go once Slack has been away for ``after_s`` seconds. ``webhook`` is a URL, a secret as a whole."""

    after_s: float
    webhook: SecretStr | None
    email: EmailSettings | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """What happens to an incident that stays open and unacknowledged, and where it is told besides.

    It is told again every ``remind_after_s`` seconds and escalated once, after ``escalate_after_s``: to the channel of
    its cluster in ``escalate_to``, calling the users and user groups whose ids are in ``call``. 0: never.
    """

    remind_after_s: float
    escalate_after_s: float
    escalate_to: Mapping[str, str]
    call: tuple[str, ...]
    fallback: FallbackSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestSettings:
    """How often the alert path is tried by the clock (0: never), and how long an event may take, in seconds."""

    every_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PingSettings:
    """A monitor's ``url``, a secret as a whole (None: there is none), and how often it is pinged, in seconds."""

    url: SecretStr | None
    every_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the bot is told before it starts."""

    fleet: Fleet
    slack: SlackSettings
    roles: RoleSettings
    storage: StorageSettings
    listen: ListenSettings
    webhook: WebhookSettings
    ssh: SshSettings
    intervals: Intervals
    alerts: AlertSettings
    selftest: SelfTestSettings
    ping: PingSettings
