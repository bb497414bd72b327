"""config/bot.yaml, its fleet file and the environment's secrets -> Settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import SecretStr

from bot.domain.fleet import Fleet
from bot.settings.alert_rules import alert_settings, secret_url
from bot.settings.bot_shapes import BotShape, PingShape, SlackShape, WebhookShape
from bot.settings.bot_shapes import SshShape as BotSshShape
from bot.settings.document import read_document
from bot.settings.fields import show
from bot.settings.fleet_file import read_fleet
from bot.settings.fleet_rules import secret_variable
from bot.settings.known_hosts import KnownHosts, host_of, jump_host
from bot.settings.problems import Problem, SettingsError, in_order
from bot.settings.reader import Reader
from bot.settings.secrets import (
    AGENT_SECRET_LENGTH,
    APP_TOKEN,
    BOT_TOKEN,
    SIGNING_SECRET,
    STORAGE_PASSWORD,
    Environment,
)
from bot.settings.values import (
    Intervals,
    ListenSettings,
    PingSettings,
    RoleSettings,
    SelfTestSettings,
    Settings,
    SlackMode,
    SlackSettings,
    SshSettings,
    StorageSettings,
    WebhookSettings,
)


def load_settings(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in the file at *path*, in the fleet file that it names, and in *environ*.

    Relative paths in the file (fleet, known_hosts, identity) are relative to the file itself, the storage's to the
    working directory. Raises SettingsError with every problem in all three.
    """
    reader = Reader(read_document(path))
    shape = reader.fit(BotShape, ()) or BotShape()
    environment = Environment(environ)
    fleet, of_fleet = _fleet(reader, path.parent / shape.fleet)
    settings = Settings(
        fleet=fleet,
        slack=_slack(reader, shape.slack, fleet, environment),
        roles=RoleSettings(
            users=tuple(shape.roles.operator.users),
            usergroups=tuple(shape.roles.operator.usergroups),
            terminal=tuple(shape.roles.terminal),
        ),
        storage=StorageSettings(
            url=shape.storage.url,
            password=environment.optional(STORAGE_PASSWORD),
            keep_samples_s=shape.storage.keep_samples,
        ),
        listen=ListenSettings(host=shape.listen.host, port=shape.listen.port),
        webhook=_webhook(reader, shape.webhook, fleet, environment),
        ssh=_ssh(reader, shape.ssh, fleet, path.parent),
        intervals=Intervals(
            heartbeat_s=shape.intervals.heartbeat,
            roll_call_s=shape.intervals.roll_call,
            drain_poll_s=shape.intervals.drain_poll,
            drain_patience_s=shape.intervals.drain_patience,
        ),
        alerts=alert_settings(reader, shape.alerts, fleet, environment),
        selftest=SelfTestSettings(every_s=shape.selftest.every, deadline_s=shape.selftest.deadline),
        ping=_ping(shape.ping, environment),
    )
    for cluster in fleet.clusters:
        for instance in cluster.vrrp_instances:
            if instance.auth_pass_env:
                environment.check_auth_pass(instance.auth_pass_env)
    problems = [*in_order(path, reader.problems), *of_fleet, *environment.problems]
    if problems:
        raise SettingsError(problems)
    return settings


def _fleet(reader: Reader, path: Path) -> tuple[Fleet, list[Problem]]:
    try:
        document = read_document(path)
    except SettingsError as error:
        if not path.exists():
            reader.report(("fleet",), f"there is no file {path}", "the fleet file's path, relative to this file")
            return Fleet(clusters=()), []
        return Fleet(clusters=()), list(error.problems)
    inner = Reader(document)
    fleet = read_fleet(inner)
    return fleet, in_order(path, inner.problems)


def _slack(reader: Reader, shape: SlackShape, fleet: Fleet, environment: Environment) -> SlackSettings:
    names = [cluster.name for cluster in fleet.clusters]
    for name in shape.channels:
        if names and name not in names:
            reader.unknown(("slack", "channels", name), name, "cluster", names, at_key=True)
    written = reader.at(("slack", "channels"))
    for name in names:
        if written is None or (isinstance(written, dict) and name not in written):
            what = f"the cluster {name} has no channel: its alerts would go nowhere"
            reader.report(("slack", "channels"), what, f'`{name}: "#lvs-{name}"`')
    socket = shape.mode is SlackMode.SOCKET
    return SlackSettings(
        mode=shape.mode,
        command=shape.command,
        channels=MappingProxyType(dict(shape.channels)),
        base_url=shape.base_url,
        bot_token=environment.required(BOT_TOKEN, "the bot token of the Slack app (xoxb-…)", prefix="xoxb-"),
        app_token=environment.required(APP_TOKEN, "the app-level token for Socket Mode (xapp-…)", prefix="xapp-")
        if socket
        else None,
        signing_secret=None
        if socket
        else environment.required(SIGNING_SECRET, "the signing secret of the Slack app", shortest=AGENT_SECRET_LENGTH),
    )


def _ping(shape: PingShape, environment: Environment) -> PingSettings:
    meaning = "a monitor's URL for a GET: https://…, or http:// to this machine only"
    wanted = environment.optional(shape.url_variable) is not None
    url = secret_url(shape.url_variable, environment, meaning) if wanted else None
    return PingSettings(url=url, every_s=shape.every)


def _webhook(reader: Reader, shape: WebhookShape, fleet: Fleet, environment: Environment) -> WebhookSettings:
    names = [director.name for cluster in fleet.clusters for director in cluster.directors]
    for name in shape.directors:
        if names and name not in names:
            reader.unknown(("webhook", "directors", name), name, "director", names, at_key=True)
    secrets: dict[str, SecretStr] = {}
    for name in names:
        variable = shape.directors.get(name, secret_variable(name))
        secrets[name] = environment.required(
            variable,
            f"the secret that {name}'s agent signs with: at least {AGENT_SECRET_LENGTH} random characters",
            shortest=AGENT_SECRET_LENGTH,
        )
    return WebhookSettings(
        path=shape.path, max_age_s=shape.max_age, max_body=shape.max_body, secrets=MappingProxyType(secrets)
    )


def _ssh(reader: Reader, shape: BotSshShape, fleet: Fleet, base: Path) -> SshSettings:
    known_hosts = base / Path(shape.known_hosts).expanduser()
    _check_known_hosts(reader, known_hosts, fleet)
    identity = base / Path(shape.identity).expanduser() if shape.identity else None
    if identity and not identity.is_file():
        reader.report(
            ("ssh", "identity"), f"there is no file {identity}", "a private key's path, or null for the agent"
        )
    return SshSettings(
        known_hosts=known_hosts,
        identity=identity,
        connect_timeout_s=shape.connect_timeout,
        patience_s=shape.patience,
        per_director=shape.per_director,
    )


def _check_known_hosts(reader: Reader, file: Path, fleet: Fleet) -> None:
    key = ("ssh", "known_hosts")
    try:
        known = KnownHosts(file)
    except OSError as error:
        what = f"{file} cannot be read: {error.strerror or type(error).__name__}"
        reader.report(key, what, "a file made with `ssh-keyscan`, its fingerprints compared on the directors' consoles")
        return
    except ValueError as error:
        reader.report(key, f"{file}: {error}", "lines as ssh-keyscan prints them")
        return
    for cluster in fleet.clusters:
        for director in cluster.directors:
            _check_pinned(reader, known, file, str(director.address), director.ssh.port, director.name)
        for jump in {d.ssh.jump for d in cluster.directors if d.ssh.jump}:
            _check_pinned(reader, known, file, *jump_host(jump), show(jump))


def _check_pinned(reader: Reader, known: KnownHosts, file: Path, host: str, port: int, name: str) -> None:
    if not known.has(host_of(host, port)):
        option = "" if port == 22 else f"-p {port} "
        reader.report(
            ("ssh", "known_hosts"),
            f"{file} has no key for {name} ({host_of(host, port)}): every connection would be refused",
            f"`ssh-keyscan {option}{host} >> {file}`, then compare the fingerprint on its console",
        )
