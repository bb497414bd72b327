"""Runs a tool of this machine to its end, within a deadline, and says what went wrong."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bot.local.lab.errors import LabError


def run(
    argv: Sequence[str], *, deadline: float = 30.0, stdin: str | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run *argv* and return what it said. *deadline* is in seconds.

    Raises LabError when it is missing, fails or takes longer.
    """
    done = attempt(argv, deadline=deadline, stdin=stdin, cwd=cwd)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:] or "it said nothing"
        raise LabError(f"`{shlex.join(argv)}` failed with status {done.returncode}: {said}")
    return done


def attempt(
    argv: Sequence[str], *, deadline: float = 30.0, stdin: str | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run *argv*; a non-zero status is a result. Raises LabError when it is missing or *deadline* (seconds) passes."""
    try:
        return subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline,
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(
            f"{argv[0]} is not installed here: run `python -m bot lab install`, which installs what the lab needs"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{shlex.join(argv)}` did not end within {deadline:g} s and was ended") from error
