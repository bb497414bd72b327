"""pytest's plugin for ``make pauses``: now and then the event loop stands still, as where a machine is busy elsewhere.

A test that is red under it, or a program that does something twice or not at all, relies on how quick a machine is.
"""

from __future__ import annotations

import asyncio
import random
import time

import pytest

OFTEN, LONG_S = 0.002, 0.3


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often, how long, and which of the pauses there are: the same seed makes the same ones."""
    group = parser.getgroup("pauses")
    group.addoption("--pauses", type=float, default=OFTEN, help=f"how likely before each callback ({OFTEN:g})")
    group.addoption("--pause", type=float, default=LONG_S, help=f"for how many seconds ({LONG_S:g})")
    group.addoption("--pauses-seed", type=int, default=None, help="as an earlier run printed it")


class Pauses:
    """Makes the pauses of one run and counts them."""

    def __init__(self, config: pytest.Config) -> None:
        seed: int | None = config.getoption("--pauses-seed")
        self.seed = random.SystemRandom().randrange(10**6) if seed is None else seed
        self.made = 0
        self._dice = random.Random(self.seed)
        self._config = config

    def pytest_report_header(self) -> str:
        """What is needed to make the same pauses again."""
        return f"pauses: --pauses-seed {self.seed}"

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Each test has pauses of its own, whichever other tests run with it."""
        self._dice = random.Random(f"{self.seed} {item.nodeid}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """That a run is green says something only if there were any."""
        terminalreporter.write_line(f"{self.made} pauses were made, --pauses-seed {self.seed}")

    def patched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have every callback of an event loop of this process wait, at random."""
        often, long_s = self._config.getoption("--pauses"), self._config.getoption("--pause")
        run = asyncio.Handle._run  # all of them come by here, and nowhere else

        def late(handle: asyncio.Handle) -> None:
            if self._dice.random() < often:
                self.made += 1
                time.sleep(long_s)
            run(handle)

        monkeypatch.setattr(asyncio.Handle, "_run", late)


def pytest_configure(config: pytest.Config) -> None:
    """Make pauses from now on, until this run is over."""
    monkeypatch = pytest.MonkeyPatch()
    config.add_cleanup(monkeypatch.undo)
    pauses = Pauses(config)
    config.pluginmanager.register(pauses)
    pauses.patched(monkeypatch)
