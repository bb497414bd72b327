"""The draft of a post-mortem: complete, in the right order, and nobody's words become Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.deeds import Deed
from bot.domain.events import Actor, OutageMeasured, Via
from bot.domain.incidents import Cause, Incident, Kind, Matter, Note, Stage, Trouble
from bot.views.postmortem import file_name, inert, postmortem
from tests.domain.reference import NOON
from tests.views import strange

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
ROOT = Actor(id="root", name="root (sudo by bob)", via=Via.TERMINAL)


def failover() -> Incident:
    outage = OutageMeasured(
        cluster="site", service="http", real_server=None, failed=3,
        last_good_at=NOON - timedelta(seconds=0.25), first_bad_at=NOON,
        last_bad_at=NOON + timedelta(seconds=0.5), first_good_at=NOON + timedelta(seconds=0.75),
    )  # fmt: skip
    return Incident(
        id=42, kind=Kind.FAILOVER, cluster="site", subject="VI_1", opened_at=NOON, hold_until=NOON, settled=True,
        instance="VI_1", old_master="sv1", new_master="sv2", moved_at=NOON + timedelta(seconds=0.6),
        resolved_at=NOON + timedelta(minutes=5), cause=Cause.STOPPED, services=("http",), outages=(outage,),
        evidence=("http: no answer | within 0.9 s",),
        timeline=(
            Note(at=NOON + timedelta(seconds=0.6), text="sv2 is MASTER", stage=Stage.NEW_MASTER),
            Note(at=NOON + timedelta(seconds=2), text="roll call: sv2 holds the address"),
        ),
    )  # fmt: skip


def draft(incident: Incident, *deeds: Deed) -> str:
    return postmortem(incident, deeds, by=ROOT, now=NOON + timedelta(hours=1))


def headings(text: str) -> list[str]:
    return [line.lstrip("# ") for line in text.splitlines() if re.match(r"#+ ", line)]


def test_a_draft_tells_what_is_known_and_leaves_room_for_what_is_not() -> None:
    text = draft(failover(), Deed(at=NOON + timedelta(seconds=90), by=ALICE, what="acknowledged it"))
    assert headings(text)[1:] == [
        "Summary", "Impact", "Timeline", "Who acted", "Cause, as far as it is known", "Contributing evidence",
        "What went well", "What went badly", "Where we were lucky", "Root cause", "Action items",
    ]  # fmt: skip
    assert "asked for by root (sudo by bob) (terminal) at 2026-03-01 13:00:00.000 UTC" in text
    assert "| what | failover (planned) |" in text
    assert "| for | 5 min |" in text
    assert "The VIP was unreachable for 0.8 s ± 0.2 s (3 failed probes)." in text
    assert "| http | 2026-03-01 11:59:59.750 | 2026-03-01 12:00:00.000 | 2026-03-01 12:00:00.500 |" in text
    assert "| 2026-03-01 12:01:30 | alice | acknowledged it |" in text
    assert "- keepalived was stopped" in text
    assert r"- http: no answer \| within 0.9 s" in text


def test_its_timeline_is_in_order_and_measured_stages_are_told_to_the_millisecond() -> None:
    lines = [line for line in draft(failover()).splitlines() if line.startswith("| 2026") and line.count("|") == 4]
    assert lines == [
        "| 2026-03-01 11:59:59.750 | last good probe of the VIP | http |",
        "| 2026-03-01 12:00:00.000 | first failed probe of the VIP | http |",
        "| 2026-03-01 12:00:00.600 | new MASTER says so | sv2 is MASTER |",
        "| 2026-03-01 12:00:00.750 | first good probe again | http |",
        "| 2026-03-01 12:00:02 |  | roll call: sv2 holds the address |",
    ]


def test_where_nothing_is_known_it_says_so() -> None:
    text = draft(replace(failover(), outages=(), timeline=(), evidence=()))
    assert "- No probe of the VIP failed." in text
    assert "Nothing is on record." in text
    assert "Nobody did, as far as the journal knows." in text


def test_what_was_not_measured_is_not_called_well() -> None:
    felt = frozenset({Trouble(matter=Matter.VIP, subject="VI_1")})
    text = draft(replace(failover(), outages=(), seen=felt))
    assert "- The VIP was unreachable; for how long was not measured." in text
    assert "No probe" not in text
    text = draft(replace(failover(), outages=(), unwatched=True))
    assert "- Whether the VIP answered all the time is not known: the bot was not running when it moved." in text


def test_planned_is_said_of_a_move_and_of_what_was_announced_and_of_nothing_else() -> None:
    assert "| what | failover (not planned) |" in draft(replace(failover(), cause=Cause.DIED))
    down = replace(failover(), kind=Kind.REAL_SERVER_DOWN, old_master=None, moved_at=None, cause=Cause.UNKNOWN)
    muted = Deed(at=NOON - timedelta(seconds=90), by=ALICE, what="muted web1 until 13:00:00")
    assert "| what | real server down |" in draft(down, muted)
    announced = replace(muted, what="announced maintenance of web1 until 13:00:00", planned=True)
    assert "| what | real server down (planned) |" in draft(down, announced)


def test_how_often_it_began_again_is_counted_as_people_count() -> None:
    assert "- It began again 1 time before it stayed well." in draft(replace(failover(), changes=1))
    assert "- It began again 2 times before it stayed well." in draft(replace(failover(), changes=2))


def test_a_file_is_named_for_its_incident() -> None:
    assert file_name(failover()) == "incident-site-42.md"


def test_people_s_words_stay_words() -> None:
    assert inert("# *Boom* [x](http://e) <b> | `c`\n- y") == r"\# \*Boom\* \[x\](http://e) \<b\> \| \`c\` - y"
    assert inert("- item") == r"\- item"
    assert inert("12. item") == r"12\. item"
    assert inert("a & b\\") == r"a \& b\\"


deeds = st.builds(Deed, at=strange.times, by=strange.actors, what=strange.words)


@settings(max_examples=60, deadline=None)
@given(strange.incidents(), st.lists(deeds, max_size=5), strange.actors)
def test_whatever_the_words_the_draft_keeps_its_shape(incident: Incident, some: list[Deed], by: Actor) -> None:
    incident = replace(incident, resolved_at=incident.opened_at + timedelta(minutes=1))
    text = postmortem(incident, some, by=by, now=NOON)
    assert len([line for line in text.splitlines() if re.match(r"#+ ", line)]) == 12
    columns = None
    for line in text.splitlines():
        assert line == "" or line.startswith(("| ", "|---", "- ", "#", "A draft", "…", "No", inert(line)[:1])), line
        cells = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) if line.startswith("|") else None
        if cells is not None and columns is not None:
            assert cells == columns, line
        columns = cells
