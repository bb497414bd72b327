"""A word to send, and another with everything odd in it."""

from __future__ import annotations

from bot.flows.ports import Word

DOWN = Word(
    key="incident:site:42",
    title="[site] web1 is down",
    text="web1 is down\nincident 42 of site, since 12:00:05 UTC",
    incident=42,
    cluster="site",
    kind="real server down",
    open=True,
)
ODD = Word(
    key="incident:site:43",
    title="[site] web1:\nBcc: everybody@evil.test",
    text="Zeile eins: ä €\n.\n.ein Punkt vorn\n" + "x" * 3000,
    incident=43,
    cluster="site",
    kind="real server down",
    open=False,
)
