"""The example settings in a directory of their own, to be broken by tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONFIG = Path(__file__).parents[1] / "config"
ENVIRON: Mapping[str, str] = {
    "SLACK_BOT_TOKEN": "xoxb-1-test",
    "SLACK_APP_TOKEN": "xapp-1-test",
    "SLACK_SIGNING_SECRET": "0123456789abcdef0123456789abcdef",
    "LVSBOT_SECRET_SV1": "a secret of sv1, long enough",
    "LVSBOT_SECRET_SV2": "a secret of sv2, long enough",
    "LVS_VRRP_VI_1": "7890abcd",
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """bot.yaml, fleet.yaml and known_hosts, side by side."""

    directory: Path

    @property
    def bot(self) -> Path:
        """The bot's file."""
        return self.directory / "bot.yaml"

    @property
    def fleet(self) -> Path:
        """The fleet's file."""
        return self.directory / "fleet.yaml"

    @property
    def known_hosts(self) -> Path:
        """The pinned host keys."""
        return self.directory / "known_hosts"

    def file(self, name: str) -> Path:
        """The file that a test calls *name*."""
        return self.directory / name

    def change(self, name: str, old: str, new: str) -> int:
        """Replace the only *old* in the file *name*; returns the line in which it began."""
        text = self.file(name).read_text()
        assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
        self.file(name).write_text(text.replace(old, new))
        return text[: text.index(old)].count("\n") + 1


def make_site(directory: Path) -> Site:
    """Copy the examples to *directory*."""
    site = Site(directory=directory)
    for name in ("bot.yaml", "fleet.yaml"):
        site.file(name).write_text((CONFIG / name).read_text())
    site.known_hosts.write_text(f"10.100.0.10 {KEY}\n10.100.0.20,sv2 {KEY}\n")
    return site
