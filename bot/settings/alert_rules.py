"""The alerts section, compared with the fleet and with the environment."""

from __future__ import annotations

from types import MappingProxyType
from urllib.parse import urlsplit

from pydantic import SecretStr

from bot.domain.fleet import Fleet
from bot.settings.bot_shapes import AlertsShape, EmailShape
from bot.settings.fields import is_this_machine
from bot.settings.reader import Reader
from bot.settings.secrets import Environment
from bot.settings.values import AlertSettings, EmailSettings, FallbackSettings

TAKES_JSON = "a URL that takes JSON: https://…, or http:// to this machine only"
EMAIL = ("alerts", "fallback", "email")


def alert_settings(reader: Reader, shape: AlertsShape, fleet: Fleet, environment: Environment) -> AlertSettings:
    """The settings in *shape*; what does not agree with *fleet* or *environment* is reported."""
    names = [cluster.name for cluster in fleet.clusters]
    for name in shape.escalate_to:
        if names and name not in names:
            reader.unknown(("alerts", "escalate_to", name), name, "cluster", names, at_key=True)
    fallback = shape.fallback
    return AlertSettings(
        remind_after_s=shape.remind,
        escalate_after_s=shape.escalate,
        escalate_to=MappingProxyType(dict(shape.escalate_to)),
        call=tuple(shape.call),
        fallback=FallbackSettings(
            after_s=fallback.after,
            webhook=secret_url(fallback.webhook, environment, TAKES_JSON) if fallback.webhook else None,
            email=_email(reader, fallback.email, environment) if fallback.email else None,
        ),
    )


def secret_url(variable: str, environment: Environment, meaning: str) -> SecretStr:
    """The URL in *variable*, which is to be *meaning*. No part of it is ever shown: who has it can use it."""
    secret = environment.required(variable, meaning)
    value = secret.get_secret_value()
    if not value or value != value.strip():
        return secret  # That is reported already.
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        environment.report(variable, "is not a URL", meaning)
        return secret
    if parts.scheme not in ("http", "https") or not host:
        environment.report(variable, "is not a URL of the web", meaning)
    elif parts.scheme == "http" and not is_this_machine(host):
        environment.report(variable, "would be sent in clear to another machine", meaning)
    return secret


def _email(reader: Reader, shape: EmailShape, environment: Environment) -> EmailSettings:
    if not shape.to and not reader.at((*EMAIL, "to")):
        reader.report((*EMAIL, "to"), "nobody would get it", "at least one: [duty@example.net]")
    if shape.password and not shape.user:
        reader.report((*EMAIL, "password"), "there is no user that it belongs to", "`user: …` beside it, or neither")
    if shape.user and not shape.password:
        reader.report((*EMAIL, "user"), "its password is missing", "`password: LVSBOT_SMTP_PASSWORD` beside it")
    if shape.password and not shape.starttls and not is_this_machine(shape.host):
        reader.report((*EMAIL, "starttls"), "the password would travel in clear to another machine", "`starttls: true`")
    password = environment.required(shape.password, "the password of the SMTP account") if shape.password else None
    return EmailSettings(
        to=tuple(shape.to),
        sender=shape.sender or next(iter(shape.to), ""),
        host=shape.host,
        port=shape.port,
        starttls=shape.starttls,
        user=shape.user,
        password=password,
    )
