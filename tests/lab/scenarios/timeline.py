"""Timelines: at so many seconds do this; between then and then that is to be seen; at the end exactly these stories."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.domain.events import VrrpState, VrrpStateChanged
from bot.domain.incidents import Kind
from tests.lab.client import holders
from tests.lab.scenarios.acts import Act
from tests.lab.scenarios.stage import ROLL_CALL, Stage
from tests.lab.work import CHANNEL, words_of


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """An act that comes no earlier than ``seconds`` after the beginning, and ``later`` seconds after the line above."""

    seconds: float
    act: Act
    later: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Something that can be seen, in words; ``look`` gives something true when it is, or what to await for that."""

    text: str
    look: Callable[[Stage], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """Something that is to be seen ``latest`` seconds after the line above was done, and not before ``earliest``."""

    earliest: float
    latest: float
    sight: Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """An incident as it has to stand at the end.

    ``text`` is the message's notification, word for word; … stands for a figure that was measured. ``shows`` is what
    else the message has to show. ``outage``: it tells how long the VIP was unreachable, and a client has seen the same;
    ``least`` is how many seconds that takes if all is as it should be.
    """

    kind: Kind
    subject: str
    text: str
    shows: tuple[str, ...] = ()
    open: bool = False
    outage: bool = False
    least: float = 0.0

    def reads(self, text: str) -> bool:
        """Whether *text* is what is to be said."""
        return re.fullmatch(".+".join(map(re.escape, self.text.split("…"))), text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A timeline and what must have been told at its end, ``within`` seconds after its last line.

    ``stories`` is None where that has not been written down yet: it can be recorded, and is no test.
    ``roll_call`` is how often directors are asked unasked. ``patient``: it lasts minutes and asks for little meanwhile,
    so that it can be played beside others.
    """

    name: str
    title: str
    timeline: tuple[At | Between, ...]
    stories: tuple[Story, ...] | None = None
    within: float = 60.0
    roll_call: str = ROLL_CALL
    patient: bool = False

    @property
    def measured(self) -> bool:
        """Whether a client has to see for itself how long the VIP is unreachable."""
        return any(story.outage for story in self.stories or ())

    @property
    def both(self) -> bool:
        """Whether the second bot has a part in it."""
        return any(isinstance(line, At) and line.act.to_hurt for line in self.timeline)


def at(seconds: float, act: Act) -> At:
    """*act*, *seconds* after the beginning."""
    return At(seconds=seconds, act=act)


def then(later: float, act: Act) -> At:
    """*act*, *later* seconds after the line above was done."""
    return At(seconds=0.0, act=act, later=later)


def between(earliest: float, latest: float, sight: Sight) -> Between:
    """*sight* is to be seen in that time, in seconds after the line above."""
    return Between(earliest=earliest, latest=latest, sight=sight)


def shows(text: str) -> Sight:
    """A message in the undisturbed bot's channel that shows *text*."""

    def look(stage: Stage) -> bool:
        return any(text in words_of(m) for m in stage.calm.slack.messages(CHANNEL))

    return Sight(text=f"a message that shows {text!r}", look=look)


def all_show(text: str) -> Sight:
    """A message in every bot's channel that shows *text*."""

    def look(stage: Stage) -> bool:
        return all(any(text in words_of(m) for m in work.slack.messages(CHANNEL)) for work in stage.bots)

    return Sight(text=f"a message of every bot's that shows {text!r}", look=look)


def held_by(director: str) -> Sight:
    """The directors say themselves that *director* alone holds the VIP."""

    async def look(stage: Stage) -> bool:
        return await asyncio.to_thread(holders, stage.lab) == [director]

    return Sight(text=f"the VIP on {director} alone", look=look)


def heard(director: str, state: VrrpState) -> Sight:
    """The undisturbed bot's journal has the word of *director*'s keepalived that it is in *state*."""

    async def look(stage: Stage) -> bool:
        words = [e for e in await stage.calm.events("VrrpStateChanged") if isinstance(e, VrrpStateChanged)]
        return (director, state) in {(word.director, word.state) for word in words}

    return Sight(text=f"{director}'s word that it is {state}", look=look)


def never_says(text: str) -> Sight:
    """No message of the undisturbed bot, replies included, has said *text*."""

    def look(stage: Stage) -> bool:
        return not any(text in words_of(m) for m in stage.calm.slack.messages(CHANNEL))

    return Sight(text=f"no message that says {text!r}", look=look)


def silence() -> Sight:
    """No incident has been told."""
    return Sight(text="no incident", look=lambda stage: not stage.calm.alerts())


@dataclass(kw_only=True)
class Played:
    """What was done when, in seconds since ``began`` (the event loop's clock)."""

    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    done: list[tuple[float, str]] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self.began


async def play(scenario: Scenario, stage: Stage, *, blind: bool = False) -> Played:
    """Do and see everything in *scenario*'s timeline. *blind*: do it only, and see nothing."""
    played = Played()
    for line in scenario.timeline:
        if isinstance(line, At):
            if line.act.to_hurt and len(stage.bots) == 1:
                continue
            await asyncio.sleep(max(line.later, line.seconds - played.now))
            played.done.append((played.now, line.act.text))
            await line.act.do(stage)
        elif not blind:
            await _see(line, stage)
    return played


async def _see(line: Between, stage: Stage) -> None:
    began = asyncio.get_running_loop().time()
    await stage.calm.until(lambda: line.sight.look(stage), line.sight.text, within=line.latest)
    after = asyncio.get_running_loop().time() - began
    assert after >= line.earliest, f"{line.sight.text}: after {after:.1f} s already, and not {line.earliest:g}"
