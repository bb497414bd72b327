"""One director: can it be reached, its clock, keepalived and its processes, its agent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from bot.domain.doctor.finding import Finding, Judgement, Look, unread
from bot.domain.events import KeepalivedProcess, ProcessRole, RollCallAnswer, VrrpState
from bot.domain.observed import UnitActive
from bot.domain.wording import listed

CLOCK_OFF_S = 2.0  # seconds from which a timeline that mixes two clocks misleads
CLOCK_REFUSED_S = 300.0  # seconds from which the webhook refuses an agent's events (their signature is too old)
STARTING = frozenset({UnitActive.ACTIVATING, UnitActive.RELOADING})


def without_answer(look: Look, name: str, answer: RollCallAnswer | None) -> Iterator[Finding]:
    """A director that did not answer, or refused to."""
    error = (answer.error if answer else None) or "it was not asked"
    if answer is not None and answer.refused:
        found = f"it is there and does not let the bot in: {error}"
        then = (
            f"Compare the host key of {name} with the known_hosts file and the bot's key with its authorized_keys, "
            "as docs/running.md describes."
        )
    else:
        found = f"it does not answer: {error}"
        last = (look.known.heard or {}).get(name)
        lives = last is not None and look.known.now - last <= look.known.silent_after
        then = (
            f"Its agent is heard, so the host lives: look at sshd on {name} and at the way there."
            if lives
            else f"Look at the console of {name}: it may be down, or cut off from here."
        )
    yield Finding(about=name, looked_at="SSH", judgement=Judgement.BAD, found=found, then=then)
    yield Finding(
        about=name,
        looked_at="everything else",
        judgement=Judgement.UNKNOWN,
        found="its state is UNKNOWN: nothing of it could be read",
        then="Ask again when it answers.",
    )


def clock(answer: RollCallAnswer) -> Finding:
    """How far its clock is off."""
    off, name = answer.clock_behind_s, answer.director
    if off is None:
        return unread(name, "clock", f"Run `date` on {name}.")
    words = "right to within a second" if abs(off) < 1 else f"{abs(off):.1f} s {'behind' if off > 0 else 'ahead'}"
    if abs(off) < CLOCK_OFF_S:
        return Finding(about=name, looked_at="clock", judgement=Judgement.OK, found=words)
    refused = abs(off) >= CLOCK_REFUSED_S
    return Finding(
        about=name,
        looked_at="clock",
        judgement=Judgement.BAD if refused else Judgement.WARNING,
        found=f"{words}; {'its events are refused as too old' if refused else 'its times mislead'}",
        then=f"Look at `timedatectl` and `chronyc tracking` on {name} and set its clock.",
    )


def unit(answer: RollCallAnswer) -> Finding:
    """What systemd says of keepalived."""
    name, state = answer.director, answer.keepalived
    if state is None:
        return unread(name, "keepalived", f"Run `systemctl status keepalived` on {name}.")
    if state.active is UnitActive.ACTIVE:
        return Finding(about=name, looked_at="keepalived", judgement=Judgement.OK, found="its unit is active")
    ended = f" ({state.result})" if state.result not in ("", "success") else ""
    found = f"its unit is {state.active.value}{ended}"
    if state.active in STARTING:
        then = "Ask again in a moment."
        return Finding(about=name, looked_at="keepalived", judgement=Judgement.WARNING, found=found, then=then)
    if state.load not in ("loaded", ""):
        found += f", systemd says {state.load}"
    then = f"Read `journalctl -u keepalived -n 50` on {name}; start it again unless somebody stopped it on purpose."
    return Finding(about=name, looked_at="keepalived", judgement=Judgement.BAD, found=found, then=then)


def processes(look: Look, answer: RollCallAnswer) -> Finding:
    """Whether each of keepalived's processes is there and does its work."""
    name, found_there = answer.director, answer.processes
    if found_there is None:
        return unread(name, "keepalived's processes", f"Run `ps -C keepalived -o pid,stat,args` on {name}.")
    wrong = _stuck(name, found_there) or _missing(look, name, found_there)
    if wrong:
        found, then = wrong
        judged = Judgement.BAD
    else:
        found, then, judged = f"all {len(found_there)} are there and none is stopped", "", Judgement.OK
    return Finding(about=name, looked_at="keepalived's processes", judgement=judged, found=found, then=then)


def _missing(look: Look, name: str, processes: tuple[KeepalivedProcess, ...]) -> tuple[str, str] | None:
    wanted = [ProcessRole.PARENT]
    wanted += [ProcessRole.VRRP] if look.cluster.vrrp_instances else []
    wanted += [ProcessRole.CHECKERS] if look.cluster.services else []
    there = {p.role for p in processes}
    if ProcessRole.CHILD in there:
        # They do not say what they are: only their number can be told.
        gone = [f"one of its {len(wanted)} processes"] if len(processes) < len(wanted) else []
    else:
        gone = [f"its {role.value}" for role in wanted if role not in there]
    if not gone:
        return None
    then = f"keepalived starts a child anew within seconds: ask again, and restart it on {name} if that stays so."
    return f"{' and '.join(gone)} is not there", then


def _stuck(name: str, processes: tuple[KeepalivedProcess, ...]) -> tuple[str, str] | None:
    """The processes that are there and do not work, and what to do about them."""
    stopped = [p for p in processes if p.state.startswith(("T", "t"))]
    if stopped:
        which = listed(f"its {p.role.value} (pid {p.pid})" for p in stopped)
        pids = " ".join(str(p.pid) for p in stopped)
        return (
            f"{which} is frozen: stopped by a signal (state T)",
            f"Find out who stopped it; `kill -CONT {pids}` on {name} wakes it up, a restart of keepalived too.",
        )
    dead = [p for p in processes if p.state.startswith(("Z", "X"))]
    if dead:
        which = listed(f"its {p.role.value} (pid {p.pid})" for p in dead)
        return f"{which} has ended and is not cleared away (state Z)", f"Restart keepalived on {name}."
    return None


def last_words(look: Look, answer: RollCallAnswer) -> Iterator[Finding]:
    """Whether what it last said of itself is what it is."""
    name = answer.director
    for instance in look.cluster.vrrp_instances:
        claim = look.known.situation.claims.get((name, instance.name))
        if claim is None or name not in dict(instance.priorities):
            continue
        holds = any(str(v.ip) in answer.holds for v in instance.virtual_addresses)
        if holds != (claim.state is VrrpState.MASTER):
            yield Finding(
                about=name,
                looked_at=f"its last word on {instance.name}",
                judgement=Judgement.WARNING,
                found=f"{claim.state.value}, and it {'holds' if holds else 'does not hold'} the address",
                then=f"An event was missed, or is on its way: look at `systemctl status lvs-agent` on {name}.",
            )


def agent(look: Look, name: str) -> Iterator[Finding]:
    """Whether its agent is heard, and has lost nothing."""
    known, then = look.known, f"Run `journalctl -u lvs-agent -n 50` on {name}; docs/agent.md has what its words mean."
    lost = known.situation.gaps.get(name)
    if known.heard is not None and name not in known.heard:
        return  # none is set up there
    last = (known.heard or {}).get(name)
    if _silent(look, name, last):
        found = "it is silent: what keepalived says there does not reach the bot"
        heard = "" if last is None else f" (last heard {_ago(known.now - last)} ago)"
        yield Finding(about=name, looked_at="agent", judgement=Judgement.BAD, found=found + heard, then=then)
    elif complaint := known.situation.complaining_agents.get(name):
        yield Finding(
            about=name, looked_at="agent", judgement=Judgement.BAD, found=f"it complains: {complaint}", then=then
        )
    elif lost:
        found = f"it lost events: {lost}"
        yield Finding(about=name, looked_at="agent", judgement=Judgement.WARNING, found=found, then=then)
    elif known.heard is None:
        found = "nothing in the journal says that it is silent"
        yield Finding(about=name, looked_at="agent", judgement=Judgement.OK, found=found)
    elif last is None:
        yield unread(name, "agent", "Ask again in half a minute.", "it has not been heard yet: the bot has just begun")
    else:
        found = f"heard {_ago(known.now - last)} ago"
        yield Finding(about=name, looked_at="agent", judgement=Judgement.OK, found=found)


def _silent(look: Look, name: str, last: datetime | None) -> bool:
    known = look.known
    if known.heard is None:
        return name in known.situation.silent
    since = last or known.listening
    return since is None or known.now - since > known.silent_after


def _ago(span: timedelta) -> str:
    seconds = max(0.0, span.total_seconds())
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
