"""What a view produces for Slack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackMessage:
    """``text`` is the notification on a phone and the fallback; ``blocks`` are Block Kit, as Slack documents it."""

    text: str
    blocks: tuple[dict[str, Any], ...] = ()
