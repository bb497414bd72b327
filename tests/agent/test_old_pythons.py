"""The agent runs wherever a director has Python 3.6 or newer."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.site import AGENT, Bot, Director, heard, line, until


def works(python: str | None) -> bool:
    """Whether *python* starts: a version manager's stand-in may exist for a version that is not there."""
    return python is not None and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


PYTHONS = [python for minor in range(6, 15) if works(python := shutil.which(f"python3.{minor}"))] or [sys.executable]


def test_the_agent_is_written_in_the_language_of_python_3_6() -> None:
    ast.parse(AGENT.read_text(), feature_version=(3, 6))


def test_the_agent_asks_nothing_of_the_standard_library_that_python_3_6_lacks() -> None:
    found = subprocess.run(
        [str(Path(sys.executable).with_name("vermin")), "--target=3.6-", "--no-tips", "--eval-annotations", str(AGENT)],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_agent_imports_the_standard_library_only() -> None:
    tree = ast.parse(AGENT.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(str(path)).name)
async def test_each_python_of_this_machine_delivers(bot: Bot, tmp_path: Path, python: str) -> None:
    async with Director(tmp_path, bot.url, python=python) as sv1:
        await sv1.start()
        sv1.says(line(0), line(1))
        status, said = await sv1.command("emit", "INSTANCE", "VI_2", "BACKUP", "90")
        assert (status, said) == (0, "")
        assert (await sv1.command("emit", "--through-fifo", "TEST", "5e1f7e57"))[0] == 0
        await until(lambda: len(bot.journal.entries) == 4)
        assert sorted(heard(bot)) == ["VI_0", "VI_1", "VI_2"]
        status, _ = await sv1.command("test")
        assert status == 0
        assert await sv1.stop() == 0
        assert "Traceback" not in sv1.log
