"""The doctor: everything that is known of a cluster, judged, with the next step for whatever is not well. Pure.

A finding is one thing that was looked at. What could not be read is UNKNOWN, never OK. A listing can be torn, so what
is missing from a table counts only where two looks in a row agree.
"""

from __future__ import annotations

from collections.abc import Iterator

from bot.domain.doctor.address import holding
from bot.domain.doctor.finding import Examination, Finding, Judgement, Known, Look, narrowed, runs
from bot.domain.doctor.host import agent, clock, last_words, processes, unit, without_answer
from bot.domain.doctor.nat import nat_path
from bot.domain.doctor.probes import probes
from bot.domain.doctor.table import differences, table
from bot.domain.events import RollCallAnswer
from bot.domain.fleet import Cluster

__all__ = ["Examination", "Finding", "Judgement", "Known", "examine", "narrowed"]


def examine(
    cluster: Cluster, answers: tuple[RollCallAnswer, ...], known: Known, *, earlier: tuple[RollCallAnswer, ...] = ()
) -> tuple[Finding, ...]:
    """Judge *cluster* by the *answers* of its directors to a roll call, and what is *known*.

    *earlier* are the answers to the look before it. *cluster* may be :func:`narrowed`; answers of directors that it
    then lacks still count for who holds an address.
    """
    look = Look(cluster, {a.director: a for a in answers}, {a.director: a for a in earlier}, known)
    return (
        *(finding for director in cluster.directors for finding in _director(look, director.name)),
        *(finding for instance in cluster.vrrp_instances for finding in holding(look, instance)),
        *differences(look),
        *probes(look),
    )


def _director(look: Look, name: str) -> Iterator[Finding]:
    """Everything about one host."""
    answer = look.answers.get(name)
    if answer is None or not answer.answered:
        yield from without_answer(look, name, answer)
    else:
        yield Finding(about=name, looked_at="SSH", judgement=Judgement.OK, found="it answers")
        yield clock(answer)
        yield unit(answer)
        if runs(answer):
            yield processes(look, answer)
            yield from table(look, answer)
        yield from nat_path(look, answer)
        yield from last_words(look, answer)
    yield from agent(look, name)
