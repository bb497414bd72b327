"""Other ways to reach people, for when Slack stays away."""

from bot.adapters.fallback.email import EmailWay
from bot.adapters.fallback.ways import ways_of
from bot.adapters.fallback.webhook import WebhookWay

__all__ = ["EmailWay", "WebhookWay", "ways_of"]
