"""The ways that the settings name."""

from __future__ import annotations

from bot.adapters.fallback.email import EmailWay
from bot.adapters.fallback.webhook import WebhookWay
from bot.flows.ports import Way
from bot.settings import FallbackSettings


def ways_of(settings: FallbackSettings) -> tuple[Way, ...]:
    """Every way that is set up in *settings*."""
    ways: list[Way] = []
    if settings.webhook:
        ways.append(WebhookWay(settings.webhook.get_secret_value()))
    if settings.email:
        ways.append(EmailWay(settings.email))
    return tuple(ways)
