"""The doctor's rounds: two looks over the shell, nothing changed, and whoever is silent is asked once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from bot.adapters.clock import SystemClock
from bot.domain.doctor import Judgement
from bot.domain.fleet import NotFound
from bot.flows.chronicle import Chronicle
from bot.flows.doctor import Doctor
from tests.domain.reference import FLEET, SITE
from tests.fakes.journal import MemoryJournal
from tests.fakes.shell import FakeShell


class Practice:
    """A doctor over directors in memory."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.shell = FakeShell.of(SITE)
        self.journal = MemoryJournal()
        self.heard: dict[str, datetime | None] | None = None
        self.doctor = Doctor(
            Chronicle(self.journal, FLEET), self.shell, self.clock, heard=lambda: self.heard, between_looks_s=0
        )

    async def found(self, name: str | None = None) -> dict[tuple[str, str], str]:
        """What was found to be bad, or to need a look: about, looked at -> found."""
        examined = await self.doctor.examine(name)
        assert not isinstance(examined, NotFound)
        (one,) = examined
        return {
            (f.about, f.looked_at): f.found for f in one.findings if f.judgement in (Judgement.BAD, Judgement.WARNING)
        }

    def looks(self, director: str) -> int:
        return sum(argv == ("cat", "/proc/net/ip_vs") for argv in self.shell.hosts[director].ran)


@pytest.fixture
def practice() -> Practice:
    return Practice()


async def test_a_site_that_is_well_is_looked_at_twice_and_nothing_is_journalled_or_changed(practice: Practice) -> None:
    assert await practice.found() == {}
    assert (practice.looks("sv1"), practice.looks("sv2")) == (2, 2)
    assert not await practice.journal.read()
    assert all(argv[:2] != ("ipvsadm", "-e") for host in practice.shell.hosts.values() for argv in host.ran)


async def test_a_director_that_does_not_answer_is_left_out_of_the_second_look(practice: Practice) -> None:
    practice.shell.hosts["sv2"].hangs = True
    found = await practice.found()
    assert "it does not answer" in found["sv2", "SSH"]
    assert practice.looks("sv1") == 2
    practice.shell.hosts["sv1"].hangs = True
    assert {about for about, looked_at in await practice.found() if looked_at == "SSH"} == {"sv1", "sv2"}


async def test_a_service_that_was_removed_by_hand_is_found(practice: Practice) -> None:
    del practice.shell.hosts["sv1"].services["-t", "10.100.5.11:80"]
    found = await practice.found("sv1")
    assert found["sv1", "virtual services"] == "the IPVS table lacks http, and keepalived runs"
    assert ("web1", "probe for http") not in found


async def test_a_name_narrows_it_down_and_a_wrong_one_gets_a_suggestion(practice: Practice) -> None:
    practice.shell.hosts["sv2"].destination(SITE.service("http"), "10.100.0.11:80").weight = 7
    assert ("sv2", "web1 in http") in await practice.found("web1")
    assert await practice.found("site/web2") == {}
    unknown = await practice.doctor.examine("wbe1")
    assert isinstance(unknown, NotFound)
    assert unknown.suggestions[0] == "web1"


async def test_agents_are_judged_by_when_they_were_last_heard(practice: Practice) -> None:
    now = practice.clock.now()
    practice.heard = {"sv1": now, "sv2": now - timedelta(minutes=2)}
    assert list(await practice.found()) == [("sv2", "agent")]


async def test_several_askings_at_once_do_not_get_in_each_other_s_way(practice: Practice) -> None:
    assert await asyncio.gather(*(practice.found() for _ in range(5))) == [{}] * 5
