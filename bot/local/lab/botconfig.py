"""A bot's configuration for a lab: bot.yaml, the pinned host keys and the bot's own key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bot.local.lab.keys import Keys
from bot.local.lab.knownhosts import known_hosts
from bot.local.lab.site import WEBHOOK_PATH, WEBHOOK_PORT, Site


def write_bot_config(
    directory: Path, *, site: Site, keys: Keys, fleet_file: Path, slack_base_url: str | None = None
) -> Path:
    """Write bot.yaml, known_hosts and the identity into *directory*; returns the path of bot.yaml.

    JSON is YAML too, and quotes whatever needs quoting.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "known_hosts").write_text(known_hosts(site, keys))
    identity = directory / "identity"
    identity.unlink(missing_ok=True)
    shutil.copy(keys.bot, identity)
    identity.chmod(0o600)
    settings = {
        "fleet": str(fleet_file.resolve()),
        "slack": {
            "mode": "socket",
            "channels": {site.cluster.name: f"#lvs-{site.cluster.name}"},
            **({"base_url": slack_base_url} if slack_base_url else {}),
        },
        "roles": {"operator": {"users": ["U0ALICE"]}, "terminal": ["root"]},
        "storage": {"url": f"sqlite:///{(directory / 'lvsbot.db').resolve()}"},
        "listen": {"host": str(site.ops), "port": WEBHOOK_PORT},
        "webhook": {"path": WEBHOOK_PATH},
        # Only when it is asked for: here things are broken on purpose. Emulated processors take seconds for a program.
        "selftest": {"every": 0, "deadline": "90s"},
        "ssh": {"known_hosts": "known_hosts", "identity": "identity", "patience": "5s", "connect_timeout": "10s"},
    }
    path = directory / "bot.yaml"
    path.write_text(json.dumps(settings, indent=2) + "\n")
    return path
