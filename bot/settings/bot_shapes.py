"""The shapes of config/bot.yaml: what may stand where, before anything is compared with the fleet."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated

from pydantic import Field

from bot.settings.fields import (
    Account,
    AnyAddress,
    HostOrAddress,
    MailAddress,
    Port,
    StorageUrl,
    Text,
    UrlPath,
    Variable,
    WebBase,
    boolean,
    matching,
    seconds,
    size,
    whole,
    word,
)
from bot.settings.reader import Shape
from bot.settings.secrets import PING_URL
from bot.settings.values import SlackMode

Channel = Annotated[
    str,
    matching(r"#[^\s#,]{1,80}|[CG][A-Z0-9]{2,}", "a channel's id or #name", '"#lvs-site" (a bare # begins a comment)'),
]
User = Annotated[str, matching(r"[UW][A-Z0-9]{2,}", "a Slack user id", "U0ALICE")]
Called = Annotated[str, matching(r"[UWS][A-Z0-9]{2,}", "the id of a Slack user or user group", "U0ALICE or S0OPS")]
UserGroup = Annotated[str, matching(r"S[A-Z0-9]{2,}", "a Slack user group id", "S0OPS")]


class SlackShape(Shape):
    """How the bot talks."""

    mode: Annotated[SlackMode, word(SlackMode)] = SlackMode.SOCKET
    command: Annotated[str, matching(r"/[a-z0-9_-]{1,31}", "a slash command", "/lvs")] = "/lvs"
    channels: dict[str, Channel] = Field(default={}, examples=['{site: "#lvs-site"}'])
    base_url: WebBase | None = None


class OperatorShape(Shape):
    """Who may change anything from Slack."""

    users: list[User] = Field(default=[], examples=["[U0ALICE]"])
    usergroups: list[UserGroup] = Field(default=[], examples=["[S0OPS]"])


class RolesShape(Shape):
    """Whom the bot obeys."""

    operator: OperatorShape = Field(default=OperatorShape(), examples=["{users: [U0ALICE]}"])
    terminal: list[Account] = Field(default=[], examples=["[root]"])


class StorageShape(Shape):
    """Where the journal is."""

    url: StorageUrl = "sqlite:///var/lvsbot.db"
    keep_samples: Annotated[float, seconds(3600, 315_360_000, "7d")] = 604_800.0


class ListenShape(Shape):
    """Where the HTTP server listens."""

    host: AnyAddress = Field(default=IPv4Address("127.0.0.1"), examples=["127.0.0.1"])
    port: Port = Field(default=8780, examples=["8780"])


class WebhookShape(Shape):
    """How directors' agents are let in."""

    path: UrlPath = "/events/keepalived"
    max_age: Annotated[float, seconds(10, 3600, "5m")] = 300.0
    max_body: Annotated[int, size(1024, 16 * 1024**2, "64KiB")] = 65536
    directors: dict[str, Variable] = Field(default={}, examples=["{sv1: LVSBOT_SECRET_SV1}"])


class SshShape(Shape):
    """How directors' shells are reached."""

    known_hosts: Text = Field(default="known_hosts", examples=["known_hosts"])
    identity: Text | None = None
    connect_timeout: Annotated[float, seconds(0.1, 300, "3s")] = 3.0
    patience: Annotated[float, seconds(0.5, 60, "3s")] = 3.0
    per_director: Annotated[int, whole(1, 9, 4)] = 4


class IntervalsShape(Shape):
    """How often things are done."""

    heartbeat: Annotated[float, seconds(0.5, 3600, "5s")] = 5.0
    roll_call: Annotated[float, seconds(1, 86400, "30s")] = 30.0
    drain_poll: Annotated[float, seconds(0.1, 300, "1s")] = 1.0
    drain_patience: Annotated[float, seconds(1, 604_800, "30m")] = 1800.0


class EmailShape(Shape):
    """Mail, for when Slack stays away."""

    to: list[MailAddress] = Field(default=[], examples=["[duty@example.net]"])
    sender: MailAddress | None = None
    host: HostOrAddress = Field(default="localhost", examples=["mail.example.net"])
    port: Port = Field(default=587, examples=["587"])
    starttls: Annotated[bool, boolean()] = True
    user: Text | None = None
    password: Variable | None = None


class FallbackShape(Shape):
    """Another way to be told, for when Slack stays away."""

    after: Annotated[float, seconds(1, 86400, "60s")] = 60.0
    webhook: Variable | None = None
    email: EmailShape | None = Field(default=None, examples=["{to: [duty@example.net]}"])


class AlertsShape(Shape):
    """What happens to an incident that stays open."""

    remind: Annotated[float, seconds(0, 2_592_000, "30m")] = 1800.0
    escalate: Annotated[float, seconds(0, 2_592_000, "15m")] = 900.0
    escalate_to: dict[str, Channel] = Field(default={}, examples=['{site: "#on-call"}'])
    call: list[Called] = Field(default=[], examples=["[U0ALICE, S0OPS]"])
    fallback: FallbackShape = Field(default=FallbackShape(), examples=["{webhook: LVSBOT_FALLBACK_URL}"])


class SelfTestShape(Shape):
    """How often the alert path is tried."""

    every: Annotated[float, seconds(60, 2_592_000, "24h", or_never=True)] = 86400.0
    deadline: Annotated[float, seconds(1, 600, "20s")] = 20.0


class PingShape(Shape):
    """What goes out to a monitor for as long as the bot is well."""

    url_variable: Variable = Field(default=PING_URL, examples=[PING_URL])
    every: Annotated[float, seconds(1, 86400, "60s")] = 60.0


class BotShape(Shape):
    """The whole file. Every key has a default, so that one slip does not hide the next."""

    fleet: Text = Field(default="fleet.yaml", examples=["fleet.yaml"])
    slack: SlackShape = Field(default=SlackShape(), examples=['{mode: socket, channels: {site: "#lvs-site"}}'])
    roles: RolesShape = Field(default=RolesShape(), examples=["{operator: {users: [U0ALICE]}}"])
    storage: StorageShape = Field(default=StorageShape(), examples=["{url: sqlite:///var/lvsbot.db}"])
    listen: ListenShape = Field(default=ListenShape(), examples=["{host: 127.0.0.1, port: 8780}"])
    webhook: WebhookShape = Field(default=WebhookShape(), examples=["{path: /events/keepalived}"])
    ssh: SshShape = Field(default=SshShape(), examples=["{known_hosts: known_hosts}"])
    intervals: IntervalsShape = Field(default=IntervalsShape(), examples=["{heartbeat: 5s}"])
    alerts: AlertsShape = Field(default=AlertsShape(), examples=["{remind: 30m, escalate: 15m}"])
    selftest: SelfTestShape = Field(default=SelfTestShape(), examples=["{every: 24h}"])
    ping: PingShape = Field(default=PingShape(), examples=["{every: 60s}"])
