"""What `python -m bot check` says: every problem, or what the settings amount to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.settings.bot_file import load_settings
from bot.settings.problems import Problem, SettingsError
from bot.settings.values import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a check of ``file``: ``settings`` where there is no problem, else ``problems``."""

    file: Path
    settings: Settings | None
    problems: tuple[Problem, ...]

    @property
    def exit_code(self) -> int:
        """0 when all is well, 2 when there is a problem."""
        return 2 if self.problems else 0

    def text(self) -> str:
        """The report for a terminal: a problem per paragraph, or one line."""
        if self.settings is None:
            count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
            return "\n".join([*map(str, self.problems), "", f"{count}; nothing was started or changed"])
        return f"{self.file}: no problem: {self._amount(self.settings)}"

    def json(self) -> str:
        """The report as one JSON object: ``file``, ``ok``, ``problems``."""
        problems = [problem.as_dict() for problem in self.problems]
        return json.dumps({"file": str(self.file), "ok": not problems, "problems": problems}, indent=2)

    @staticmethod
    def _amount(settings: Settings) -> str:
        clusters = settings.fleet.clusters
        counts = (
            ("clusters", len(clusters)),
            ("directors", sum(len(c.directors) for c in clusters)),
            ("virtual services", sum(len(c.services) for c in clusters)),
            ("real servers", sum(len(c.real_servers) for c in clusters)),
            ("probes", sum(len(c.probes) for c in clusters)),
        )
        return ", ".join(f"{number} {what if number != 1 else what.removesuffix('s')}" for what, number in counts)


def check(path: Path, environ: Mapping[str, str]) -> Report:
    """Read the settings at *path* as the bot would, and say everything that is wrong with them."""
    try:
        return Report(file=path, settings=load_settings(path, environ), problems=())
    except SettingsError as error:
        return Report(file=path, settings=None, problems=error.problems)
