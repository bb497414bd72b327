"""Settings: YAML files and environment secrets in, frozen values out; every problem at once, with its place."""

from bot.settings.bot_file import load_settings
from bot.settings.fleet_file import load_fleet
from bot.settings.fleet_rules import secret_variable
from bot.settings.problems import Place, Problem, SettingsError
from bot.settings.report import Report, check
from bot.settings.values import (
    AlertSettings,
    EmailSettings,
    FallbackSettings,
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

__all__ = [
    "AlertSettings",
    "EmailSettings",
    "FallbackSettings",
    "Intervals",
    "ListenSettings",
    "PingSettings",
    "Place",
    "Problem",
    "Report",
    "RoleSettings",
    "SelfTestSettings",
    "Settings",
    "SettingsError",
    "SlackMode",
    "SlackSettings",
    "SshSettings",
    "StorageSettings",
    "WebhookSettings",
    "check",
    "load_fleet",
    "load_settings",
    "secret_variable",
]
