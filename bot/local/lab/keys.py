"""The lab's own keys and secrets: made once, kept in the cache, never those of a real site."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bot.local.lab.commands import run
from bot.local.lab.places import alone, cache_root


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Private key files with their public halves beside them (``.pub``), and each director's webhook secret."""

    root: Path
    bot: Path
    hosts: dict[str, Path]
    secrets: dict[str, str]

    @staticmethod
    def public(private: Path) -> str:
        """The public key that belongs to the file *private*, as one line."""
        return private.with_name(private.name + ".pub").read_text().strip()


def ensure_keys(directors: Iterable[str]) -> Keys:
    """The keys for *directors*, made where they are missing. Raises LabError."""
    home = cache_root() / "keys"
    names = tuple(directors)
    with alone(cache_root() / "keys.lock"):
        home.mkdir(mode=0o700, exist_ok=True)
        return Keys(
            root=_key(home / "root"),
            bot=_key(home / "bot"),
            hosts={name: _key(home / f"host-{name}") for name in names},
            secrets={name: _secret(home / f"secret-{name}") for name in names},
        )


def _key(path: Path) -> Path:
    if not path.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lvs-lab-{path.name}", "-f", str(path)])
    return path


def _secret(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32) + "\n")
    return path.read_text().strip()
