"""Values as a bad night may bring them: long, empty, many, and with other people's words in them (hypothesis)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from bot.domain.events import (
    Actor,
    OperationKind,
    OutageMeasured,
    Step,
    StepFinished,
    StepOutcome,
    Verdict,
    Via,
)
from bot.domain.incidents import Cause, Incident, Kind, Note, Stage
from bot.domain.mutes import Mute
from bot.domain.operations import Operation, Phase

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

# Names are what the settings allow; the words of errors are anybody's.
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
words = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["<!channel>", "<@U0ALICE>", "```", "a & b", "*bold*", "\n\n", "x" * 5000, "<" * 1500, "Ünïcödé 🟢"]
    ),
)
times = st.integers(0, 10**6).map(lambda milliseconds: NOON + timedelta(milliseconds=milliseconds))
actors = st.one_of(
    st.builds(Actor, id=st.sampled_from(["U0ALICE", "W0BOB"]), name=words, via=st.just(Via.SLACK)),
    st.builds(Actor, id=words, name=words, via=st.just(Via.TERMINAL)),
)


@st.composite
def outages(draw: st.DrawFn) -> OutageMeasured:
    """One measured outage, its four times in their order."""
    good, bad, last, over = sorted(draw(st.tuples(times, times, times, times)))
    return OutageMeasured(
        cluster="site",
        service=draw(names),
        real_server=None,
        last_good_at=draw(st.sampled_from([good, None])),
        first_bad_at=bad,
        last_bad_at=last,
        first_good_at=over,
        failed=draw(st.integers(1, 10**6)),
    )


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    """Any incident in any state that the fold can leave it in."""
    opened, moved, returned, resolved = sorted(draw(st.tuples(times, times, times, times)))
    kind = draw(st.sampled_from(Kind))
    failover = kind is Kind.FAILOVER
    over = draw(st.booleans())
    return Incident(
        id=draw(st.integers(1, 10**9)),
        kind=kind,
        cluster=draw(names),
        subject=draw(names),
        opened_at=opened,
        hold_until=opened,
        settled=draw(st.booleans()),
        withdrawn=draw(st.booleans()),
        resolved_at=resolved if over else None,
        old_master=draw(names) if failover else None,
        new_master=draw(names) if failover else None,
        moved_at=moved if failover else None,
        returned_at=returned if failover and draw(st.booleans()) else None,
        cause=draw(st.sampled_from(Cause)),
        lost=draw(st.none() | names),
        also_down=tuple(also_down := draw(st.lists(names, max_size=40))),
        inside=tuple((name, draw(names)) for name in also_down[::2]),
        services=tuple(draw(st.lists(names, max_size=40))),
        evidence=tuple(draw(st.lists(words, max_size=40))),
        holders=tuple(draw(st.lists(names, max_size=3))),
        outages=tuple(draw(st.lists(outages(), max_size=3))),
        timeline=tuple(
            draw(st.lists(st.builds(Note, at=times, text=words, stage=st.none() | st.sampled_from(Stage)), max_size=60))
        ),
        acknowledged_by=draw(st.none() | actors),
        acknowledged_at=resolved,
    )


mutes = st.builds(
    Mute,
    cluster=names,
    subject=names,
    since=times,
    until=times.map(lambda at: at + timedelta(days=30)),
    by=actors,
    reason=words,
    maintenance=st.booleans(),
)


@st.composite
def operations(draw: st.DrawFn, phase: Phase) -> Operation:
    """Any operation in *phase*; a real server may be behind a hundred services."""
    count = draw(st.sampled_from([0, 1, 2, 6, 200]))
    argv = ("ipvsadm", "-e", "-t", "10.100.5.11:80", "-r", draw(names), "-m", "-w", "0")
    steps = tuple(
        Step(number=n, director=f"sv{n % 3}", service=f"s{n}", argv=argv, before=1, after=0, active=n % 7)
        for n in range(count)
    )
    finished = draw(st.integers(0, count)) if phase not in (Phase.PLANNED, Phase.CONFIRMED) else 0
    detail = draw(words)
    results = tuple(
        StepFinished(operation="op-1", step=n, outcome=draw(st.sampled_from(StepOutcome)), weight=0, detail=detail)
        for n in range(min(finished, 12))
    )
    return Operation(
        id="op-1",
        kind=draw(st.sampled_from(OperationKind)),
        cluster="site",
        real_server=draw(names),
        by=draw(actors),
        requested_at=NOON,
        steps=steps,
        phase=phase,
        channel="C0SITE",
        forced=draw(st.booleans()),
        warnings=tuple(draw(st.lists(words, max_size=3)) * draw(st.sampled_from([1, 30]))),
        confirmed_by=draw(st.none() | actors),
        begun=frozenset(range(finished)),
        results=results,
        verdict=draw(st.sampled_from(Verdict)) if phase is Phase.FINISHED else None,
        detail=draw(words),
    )


counts = st.none() | st.dictionaries(names, st.integers(0, 10**6), max_size=3)
