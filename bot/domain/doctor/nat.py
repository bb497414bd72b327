"""What forwarding by NAT needs of a director: two sysctls, the SNAT rule, that it counts, and what goes with it."""

from __future__ import annotations

from collections.abc import Iterator

from bot.domain.doctor.finding import Finding, Judgement, Look, unread
from bot.domain.events import RollCallAnswer
from bot.domain.fleet import Forwarding


def nat_path(look: Look, answer: RollCallAnswer) -> Iterator[Finding]:
    """Whether packets can go to a real server and back through one director."""
    if not any(s.forwarding is Forwarding.MASQUERADING for s in look.cluster.services):
        return
    name, nat = answer.director, answer.nat
    if look.cluster.forwards_ipv4:
        yield _switch(name, "net.ipv4.ip_forward", None if nat is None else nat.ip_forward)
    if look.cluster.snat is None:
        return
    yield _switch(name, "net.ipv4.vs.conntrack", None if nat is None else nat.conntrack)
    rule = None if nat is None else nat.snat
    if rule is None:
        yield unread(name, "SNAT rule", f"Run `sudo -n iptables -t nat -nvL POSTROUTING` on {name}.")
    elif not rule:
        yield Finding(
            about=name,
            looked_at="SNAT rule",
            judgement=Judgement.BAD,
            found=f"the rule for {look.cluster.snat.vaddr} is missing: answers do not return through {name}",
            then=f"`python -m bot render {name}` prints it: put it back with firewalld or iptables.",
        )
    else:
        yield Finding(about=name, looked_at="SNAT rule", judgement=Judgement.OK, found="it is there")
        yield from _counting(look, answer)
    if look.cluster.snat_addresses:
        yield _elsewhere(look, name, None if nat is None else nat.untracked)


def _elsewhere(look: Look, name: str, untracked: bool | None) -> Finding:
    """What conntrack makes of packets for a VIP that is not here (docs/decisions, 46)."""
    what = "packets for a VIP elsewhere"
    if untracked is None:
        tool = "ip6tables" if look.cluster.snat_addresses[0].version == 6 else "iptables"
        return unread(name, what, f"Run `sudo -n {tool} -t raw -S PREROUTING -v` on {name}.")
    if untracked:
        return Finding(about=name, looked_at=what, judgement=Judgement.OK, found="conntrack keeps no entry of them")
    vips = ", ".join(map(str, look.cluster.snat_addresses))
    return Finding(
        about=name,
        looked_at=what,
        judgement=Judgement.WARNING,
        found=f"conntrack keeps an entry of those for {vips}: who tries again from the same port when the VIP comes to "
        f"{name} gets no answer while that entry lasts (120 s from the last try, unless set otherwise)",
        then=f"`python -m bot render {name}` prints the rule (raw, PREROUTING): add it with firewalld or iptables.",
    )


def _switch(name: str, key: str, on: bool | None) -> Finding:
    """A sysctl that has to be 1."""
    if on is None:
        return unread(name, key, f"Run `sysctl {key}` on {name}; vs.conntrack exists once ip_vs is loaded.")
    if on:
        return Finding(about=name, looked_at=key, judgement=Judgement.OK, found="1")
    return Finding(
        about=name,
        looked_at=key,
        judgement=Judgement.BAD,
        found="0: clients get no answer through NAT",
        then=f"Run `sysctl -w {key}=1` on {name} and keep it in /etc/sysctl.d (`python -m bot render {name}` has it).",
    )


def _counting(look: Look, answer: RollCallAnswer) -> Iterator[Finding]:
    """Whether the rule counts, where clients come to. That nobody came between two looks is no fault of the rule's."""
    name, nat, before = answer.director, answer.nat, look.earlier.get(answer.director)
    if nat is None or nat.packets is None or not any(name in h for h in look.holders.values()):
        return
    first = before.nat.packets if before is not None and before.nat is not None else None
    more = None if first is None or first > nat.packets else nat.packets - first
    words = f"{nat.packets} packets" + ("" if more is None else f", {more or 'none'} of them between two looks")
    failing = any(look.known.situation.healthy(s.name, None) is False for s in look.cluster.services)
    if failing and not more and (more == 0 or nat.packets == 0):
        yield Finding(
            about=name,
            looked_at="SNAT rule's counter",
            judgement=Judgement.BAD,
            found=f"{words}, while the VIP does not answer and {name} holds it",
            then=f"The rule may not match: compare `nft list ruleset` there with `python -m bot render {name}`.",
        )
    elif nat.packets == 0:
        then = "Ask the VIP from a client's network and look again."
        yield unread(name, "SNAT rule's counter", then, "it has counted nothing: nobody came, or it does not match")
    else:
        yield Finding(about=name, looked_at="SNAT rule's counter", judgement=Judgement.OK, found=words)
