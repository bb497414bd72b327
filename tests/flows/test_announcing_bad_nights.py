"""Nights on which everything happens at once: drawn at random, told by their seed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from bot.local.slack.faults import Fault, FaultKind
from tests.flows.desk import SITE, Desk, a_desk

METHODS = ("chat.postMessage", "chat.update", "conversations.history", "conversations.replies")


def strike(desk: Desk, chance: random.Random) -> None:
    """Something goes wrong with Slack, or is well again."""
    faults = desk.slack.faults
    match chance.randrange(6):
        case 0:
            faults.down()
        case 1 | 2:
            faults.clear()
        case 3:
            faults.rate_limited(chance.randint(1, 4), retry_after=1)
        case _:
            kind = chance.choice([FaultKind.RESET, FaultKind.SERVER_ERROR])
            methods = frozenset({chance.choice(METHODS)})
            faults.arm(
                Fault(kind=kind, calls=chance.randint(1, 2), methods=methods, after_effect=chance.random() < 0.7)
            )


def happen(desk: Desk, chance: random.Random, number: int) -> int:
    """Something happens to an incident; the number of the last one that began."""
    still_open = [i.id for i in desk.incidents.values() if i.open]
    match chance.randrange(6):
        case 5 if still_open:
            desk.change(chance.choice(still_open), withdrawn=True, part_of=99)
        case 0 | 1:
            number += 1
            desk.open(number)
        case 2 if still_open:
            desk.end(chance.choice(still_open))
        case 3 if still_open:
            one = chance.choice(still_open)
            desk.change(one, evidence=(f"seen {chance.randrange(1000)}",))
        case 4 if still_open:
            one = chance.choice(still_open)
            reminders = desk.incidents[one].reminders + 1
            desk.change(one, reminders=reminders, reminded_at=desk.clock.now())
    return number


async def a_life(desk: Desk, chance: random.Random, number: int) -> int:
    async with desk.live():
        for _ in range(chance.randint(5, 25)):
            if chance.random() < 0.3:
                strike(desk, chance)
            number = happen(desk, chance, number)
            await asyncio.sleep(chance.choice([0, 0, 0.005, 0.03]))
    return number


@pytest.mark.parametrize("seed", range(12))
async def test_after_the_worst_of_nights_everything_was_said_once_and_is_as_it_should_be(seed: int) -> None:
    chance = random.Random(seed)
    async with a_desk(speed=50) as desk:
        number = 0
        for _ in range(3):
            number = await a_life(desk, chance, number)
            # A death may take the last records along, too: those that were made after the last sync.
            del desk.journal.store.recorded[len(desk.journal.store.recorded) - chance.randint(0, 2) :]
        desk.slack.faults.clear()
        async with desk.live():
            await desk.settled()
            messages = desk.slack.messages(SITE)
            payloads = [m["metadata"]["event_payload"] for m in messages]
            own = Counter(p["key"] for p in payloads)
            covered = Counter(key for p in payloads for key in str(p.get("covers", "")).split())
            assert not {key: count for key, count in own.items() if count > 1}
            assert not {key: count for key, count in covered.items() if count > 1}
            assert not own.keys() & covered.keys()
            to_be_told = {f"incident:site:{i.id}" for i in desk.incidents.values() if not i.withdrawn}
            assert to_be_told <= own.keys() | covered.keys()
            by_key = {p["key"]: m["text"] for p, m in zip(payloads, messages, strict=True)}
            for one in desk.incidents.values():
                text = by_key.get(f"incident:site:{one.id}")
                if text is not None and one.withdrawn:
                    assert "part of" in text, (one.id, text)
                elif text is not None:
                    assert (":large_green_circle:" in text) is not one.open
