"""The lab for tests: one for the whole run, put back into its settled state before each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.local.lab.lab import Lab
from bot.local.lab.places import RUN_ROOT
from bot.settings import load_fleet

HERE = Path(__file__).parent
FLEET = HERE.parent.parent / "config" / "fleet.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever stands in this directory drives the lab, so that `-m 'not lab'` leaves all of it out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)
        if HERE / "scenarios" in item.path.parents:
            item.add_marker(pytest.mark.scenario)
            call = getattr(item, "callspec", None)
            if call is not None and call.params["scenario"].patient:
                item.add_marker(pytest.mark.patient)


def sweep_up() -> None:
    """Take down the labs of test runs that ended without doing so; those of runs that go on are left alone."""
    for run in RUN_ROOT.glob("*-*/"):
        kind, _, owner = run.name.partition("-")
        if kind in ("test", "half") and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            Lab(run.name, fleet=load_fleet(FLEET)).down()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab of this test run, in whatever state the last test left it."""
    sweep_up()
    lab = Lab(f"test-{os.getpid()}", fleet=load_fleet(FLEET), fleet_file=FLEET)
    lab.up()
    yield lab
    lab.down()


@pytest.fixture
def site(lab: Lab) -> Lab:
    """The reference site, settled and untouched."""
    lab.fresh()
    return lab
