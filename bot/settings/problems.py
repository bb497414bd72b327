"""What is wrong with the settings: where it stands, what it is, and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Key = tuple[str | int, ...]
"""The way to a value in a file: ``("clusters", "site", "directors", "sv1")``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A position in a file, both counted from 1, as editors do."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to put right.

    ``file`` is the file (or ``environment``), ``line`` and ``column`` count from 1 (None where there is no line),
    ``where`` is the key's path, ``what`` what was wrong and ``instead`` what to write.
    """

    file: str
    line: int | None
    column: int | None
    where: str
    what: str
    instead: str

    def __str__(self) -> str:
        position = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        where = f"{self.where}: " if self.where else ""
        return f"{position}: {where}{self.what}\n    instead: {self.instead}"

    def as_dict(self) -> dict[str, str | int | None]:
        """The problem as plain data, for JSON."""
        return asdict(self)


class SettingsError(Exception):
    """The settings cannot be used; ``problems`` are all that were found, in the order of the files."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{count} in the settings", *map(str, self.problems)]))


def dotted(key: Key) -> str:
    """A key's path as people write it: ``clusters.site.pool[0]``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def in_order(file: Path | str, problems: Sequence[Problem]) -> list[Problem]:
    """*problems* with those of *file* sorted by place and without repetitions."""
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda p: (p.file != str(file), p.line or 0, p.column or 0))
