"""What really happened in the lab, folded again: each recording ends in exactly the stories of its scenario."""

from __future__ import annotations

import pytest

from bot.domain.incidents import Incident
from bot.flows.chronicle import World, fold
from bot.views.incident import incident_message
from tests.domain import journals
from tests.lab.scenarios.catalogue import BY_NAME
from tests.lab.scenarios.timeline import Story
from tests.lab.work import words_of


def folded(name: str) -> list[Incident]:
    """The stories that the recording *name* adds up to, oldest first."""
    fleet = journals.fleet()
    world = World.of(fleet)
    for recorded in journals.recording(name).events:
        fold(world, recorded, fleet)
    return [i for found in world.incidents.values() for i in found.all if not i.withdrawn]


def told(incident: Incident) -> tuple[str, str]:
    """The notification of its message, and everything that a person reads in it."""
    message = incident_message(incident)
    return message.text, words_of({"text": message.text, "blocks": list(message.blocks)})


def is_told(story: Story, incidents: list[Incident]) -> bool:
    return any(
        (story.kind, story.subject, story.open) == (i.kind, i.subject, i.open)
        and story.reads(told(i)[0])
        and all(words in told(i)[1] for words in story.shows)
        for i in incidents
    )


@pytest.mark.parametrize("name", journals.names())
def test_a_recording_folds_into_the_stories_of_its_scenario(name: str) -> None:
    stories = BY_NAME[name.partition("-")[0]].stories or ()
    incidents = folded(name)
    shown = "\n".join(f"{i.kind.value}, {i.subject}: {told(i)[1]}" for i in incidents)
    for story in stories:
        assert is_told(story, incidents), f"{story} is not told; this is:\n{shown}"
    assert len(incidents) == len(stories), shown
