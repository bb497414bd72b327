"""Secrets: taken from the environment only, checked for their shape, never shown."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from bot.settings.problems import Problem

BOT_TOKEN = "SLACK_BOT_TOKEN"  # noqa: S105 - the variable's name
APP_TOKEN = "SLACK_APP_TOKEN"  # noqa: S105 - the variable's name
SIGNING_SECRET = "SLACK_SIGNING_SECRET"  # noqa: S105 - the variable's name
STORAGE_PASSWORD = "LVSBOT_STORAGE_PASSWORD"  # noqa: S105 - the variable's name
PING_URL = "LVSBOT_PING_URL"
AUTH_PASS_LENGTH = 8  # keepalived.conf(5): only the first eight characters of auth_pass are used
AGENT_SECRET_LENGTH = 16  # characters: shorter ones can be guessed offline from one signed event


class Environment:
    """The secrets among the environment's variables; what is missing or wrong becomes a problem."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[Problem] = []

    def optional(self, name: str) -> SecretStr | None:
        """The secret in the variable *name*, or None where it is unset or empty."""
        value = self._environ.get(name, "")
        return SecretStr(value) if value else None

    def required(self, name: str, purpose: str, *, prefix: str = "", shortest: int = 1) -> SecretStr:
        """The secret in the variable *name*; an empty one, reported, where it is missing or cannot be right."""
        value = self._environ.get(name, "")
        if not value:
            self.report(name, "is not set", f"set it to {purpose}, in the environment that starts the bot")
        elif value != value.strip():
            self.report(name, "has blanks around it", f"{purpose}, without blanks or line ends")
        elif not value.startswith(prefix):
            self.report(name, f"does not begin with {prefix}", purpose)
        elif len(value) < shortest:
            self.report(name, f"is shorter than {shortest} characters", purpose)
        return SecretStr(value)

    def check_auth_pass(self, name: str) -> None:
        """Report a VRRP password that keepalived would cut off. It may be unset: only rendering needs it."""
        if len(self._environ.get(name, "")) > AUTH_PASS_LENGTH:
            self.report(
                name, f"is longer than {AUTH_PASS_LENGTH} characters", "1 to 8 characters: keepalived ignores the rest"
            )

    def report(self, name: str, what: str, instead: str) -> None:
        """Note a problem with the variable *name*; neither text may contain its value."""
        problem = Problem(file="environment", line=None, column=None, where=name, what=what, instead=instead)
        self.problems.append(problem)
