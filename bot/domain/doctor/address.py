"""Who holds the addresses of an instance, and whether that is who should."""

from __future__ import annotations

from collections.abc import Iterator

from bot.domain.doctor.finding import Finding, Judgement, Look, runs
from bot.domain.fleet import VrrpInstance
from bot.domain.wording import listed


def holding(look: Look, instance: VrrpInstance) -> Iterator[Finding]:
    """Who holds the addresses of *instance*, and whether that is who should."""
    vips = [str(v.ip) for v in instance.virtual_addresses]
    holders = sorted({name for vip in vips for name in look.holders[vip]})
    if len(holders) > 1:
        yield Finding(
            about=instance.name,
            looked_at="holder",
            judgement=Judgement.BAD,
            found=f"split brain: {listed(holders)} hold the address",
            then=(
                "Look whether VRRP (IP protocol 112) passes between them; "
                f"until then stop keepalived on {listed(h for h in holders if h != instance.preferred)}."
            ),
        )
    elif holders:
        yield _complete(look, instance, holders[0], vips)
        yield _rank(look, instance, holders[0])
    else:
        yield _vacant(look, instance)


def _complete(look: Look, instance: VrrpInstance, holder: str, vips: list[str]) -> Finding:
    lacks = [vip for vip in vips if holder not in look.holders[vip]]
    if not lacks:
        found = f"{holder} holds {listed(vips)}"
        return Finding(about=instance.name, looked_at="holder", judgement=Judgement.OK, found=found)
    return Finding(
        about=instance.name,
        looked_at="holder",
        judgement=Judgement.BAD,
        found=f"{holder} is MASTER and lacks {listed(lacks)}",
        then=f"Restart keepalived on {holder}: it sets its addresses when it becomes MASTER.",
    )


def _rank(look: Look, instance: VrrpInstance, holder: str) -> Finding:
    ranks = dict(instance.priorities)
    better = [name for name, rank in instance.priorities if rank > ranks.get(holder, 0)]
    if not better:
        found = f"{holder} has the highest priority ({ranks.get(holder, '?')})"
        return Finding(about=instance.name, looked_at="role", judgement=Judgement.OK, found=found)
    first = better[0]
    answer = look.answers.get(first)
    if answer is None or not answer.answered:
        why, then = f"{first} does not answer", f"Bring {first} back: until then nobody stands by for {holder}."
    elif not runs(answer):
        why = f"keepalived does not run on {first}"
        then = f"Start keepalived on {first} when you are done there: until then nobody stands by for {holder}."
    else:
        why = f"keepalived runs on {first}"
        then = f"Look for nopreempt, a FAULT or a blocked VRRP on {first}: `journalctl -u keepalived -n 50`."
    return Finding(
        about=instance.name,
        looked_at="role",
        judgement=Judgement.WARNING,
        found=f"{holder} ({ranks.get(holder, '?')}) holds the address, {first} ({ranks[first]}) should: {why}",
        then=then,
    )


def _vacant(look: Look, instance: VrrpInstance) -> Finding:
    silent = [n for n, _ in instance.priorities if not (look.answers.get(n) and look.answers[n].answered)]
    if silent:
        return Finding(
            about=instance.name,
            looked_at="holder",
            judgement=Judgement.UNKNOWN,
            found=f"none of those that answer; {listed(silent)} may hold the address and does not answer",
            then="Look whether the VIP's probes succeed: then somebody holds it.",
        )
    return Finding(
        about=instance.name,
        looked_at="holder",
        judgement=Judgement.BAD,
        found="nobody holds the address",
        then=f"Read `journalctl -u keepalived -n 50` on {instance.preferred}; start it where it is stopped.",
    )
