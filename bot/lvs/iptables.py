"""iptables(8): whether a director's SNAT rule and those that go with it are there, and whether packets meet them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from bot.domain.fleet import Address, Network
from bot.lvs.lines import Line, lines_of

TOOL = "iptables"
ELSEWHERE = ("-m", "addrtype", "!", "--dst-type", "LOCAL")  # what is for an address that this host does not have
TARGETS = ((), ("-j",), ("-g",))  # what may follow the counters: a rule can do without a target


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule with its counters. ``target`` is the words after ``-j``, ``matches`` those before."""

    chain: str
    matches: tuple[str, ...]
    target: tuple[str, ...]
    packets: int
    bytes: int

    @property
    def virtual_network(self) -> Network | None:
        """The network of ``-m ipvs --vaddr``, where the rule asks for one (and not for all others: ``! --vaddr``)."""
        words = self.matches
        where = next((i for i, word in enumerate(words[:-1]) if word == "--vaddr"), None)
        if where is None or words[where - 1] == "!":
            return None
        try:
            return ip_network(words[where + 1])
        except ValueError:
            return None

    @property
    def source(self) -> str | None:
        """What SNAT sets as the source address, as it was written; None for another target."""
        if self.target[:1] != ("SNAT",) or "--to-source" not in self.target[:-1]:
            return None
        return self.target[self.target.index("--to-source") + 1]


def list_postrouting(family: int = 4) -> tuple[str, ...]:
    """The rules of nat's POSTROUTING with their counters: where firewalld puts a direct rule too (nftables backend).

    *family* is 4 or 6: ip6tables(8) prints in the same form.
    """
    return ("ip6tables" if family == 6 else "iptables", "-t", "nat", "-S", "POSTROUTING", "-v")


def list_prerouting(family: int = 4) -> tuple[str, ...]:
    """The rules of raw's PREROUTING with their counters: what is decided of a packet before conntrack sees it."""
    return ("ip6tables" if family == 6 else "iptables", "-t", "raw", "-S", "PREROUTING", "-v")


def parse_rules(text: str) -> tuple[Rule, ...]:
    """What one of these two commands printed, without policies, chains and comments. Raises Unreadable."""
    return tuple(_rule(line) for line in lines_of(TOOL, text) if not line.text.startswith(("-P ", "-N ", "# ")))


def _rule(line: Line) -> Rule:
    try:
        words = tuple(shlex.split(line.text))
    except ValueError as error:
        raise line.unreadable(f"its quotation marks do not pair ({error})") from error
    # iptables 1.8 prints the counters between the matches and the target, with nftables and without.
    counted = next((i for i, word in enumerate(words) if word == "-c" and words[i + 3 : i + 4] in TARGETS), None)
    if len(words) < 5 or words[0] != "-A" or counted is None or counted + 2 >= len(words):
        raise line.unreadable("not a rule with counters (-A CHAIN … -c PACKETS BYTES -j TARGET)")
    return Rule(
        chain=words[1],
        matches=words[2:counted],
        target=words[counted + 4 :],
        packets=line.whole(words[counted + 1], "count of packets"),
        bytes=line.whole(words[counted + 2], "count of bytes"),
    )


def snat_of(rules: Iterable[Rule], virtual: Network) -> Rule | None:
    """The first SNAT rule for what IPVS sends on from an address in *virtual*, or None: then NAT answers go astray."""
    return next((rule for rule in rules if rule.virtual_network == virtual and rule.source is not None), None)


def passes_untracked(rules: Iterable[Rule], address: Address) -> bool:
    """Whether *rules* keep conntrack from what comes for *address* while this host does not have it (CT --notrack)."""
    return any(
        rule.target == ("CT", "--notrack")
        and rule.matches[2:] == ELSEWHERE
        and rule.matches[0] == "-d"
        and _within(rule.matches[1], address)
        for rule in rules
    )


def _within(network: str, address: Address) -> bool:
    try:
        return address in ip_network(network)
    except ValueError:
        return False
