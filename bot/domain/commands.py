"""The /lvs grammar: parsing, help and suggestions from one table."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum

MAX_LENGTH = 200
# Names are checked before they are looked up: what is not made of these could never be a name in a fleet file, and a
# shell's metacharacters are refused here, long before the argv list that no shell reads unquoted.
WORD = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")


class Verb(StrEnum):
    """The words after ``/lvs``."""

    HELP = "help"
    STATUS = "status"
    DRAIN = "drain"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """One verb: what may follow it, and the help that teaches it."""

    verb: Verb
    usage: str
    summary: str
    explanation: str
    example: str
    min_names: int = 0
    max_names: int = 0
    flags: tuple[str, ...] = ()
    changes: bool = False


GRAMMAR: tuple[Grammar, ...] = (
    Grammar(
        verb=Verb.STATUS,
        usage="status [name]",
        summary="what every director holds and how it is doing",
        explanation=(
            "Asks every director over SSH, now: is it reachable, what keepalived says, who holds the VIP, and each "
            "service's real servers with weight, connections and health. Differences between directors are marked. "
            "A name (cluster, director, service or real server) narrows it down."
        ),
        example="status web1",
        max_names=1,
    ),
    Grammar(
        verb=Verb.DRAIN,
        usage="drain <real server> [--force]",
        summary="take a real server out of service without dropping a connection",
        explanation=(
            "Sets weight 0 on every director, backup included, in every service, after you confirm the exact commands. "
            "Open connections go on and are counted down. Refused if it would leave a service without a healthy real "
            "server, unless --force. The drain stays until you restore it, even if keepalived sets a weight again."
        ),
        example="drain web1",
        min_names=1,
        max_names=1,
        flags=("--force",),
        changes=True,
    ),
    Grammar(
        verb=Verb.RESTORE,
        usage="restore <real server>",
        summary="give a drained real server its weight back",
        explanation="Returns the weights that were recorded when it was drained, on every director, after you confirm.",
        example="restore web1",
        min_names=1,
        max_names=1,
        changes=True,
    ),
    Grammar(
        verb=Verb.HELP,
        usage="help [command]",
        summary="this list, or all about one command",
        explanation="Shows every command, or explains one.",
        example="help drain",
        max_names=1,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request that the grammar accepts. ``names`` are not looked up yet."""

    verb: Verb
    names: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def name(self) -> str | None:
        """The only name, or None."""
        return self.names[0] if self.names else None

    @property
    def changes(self) -> bool:
        """Whether this asks for a change of production."""
        return grammar(self.verb).changes

    def __str__(self) -> str:
        return " ".join((self.verb.value, *self.names, *self.flags))


@dataclass(frozen=True, slots=True, kw_only=True)
class Misspelt:
    """A request that the grammar refuses: ``problem`` says what was wrong, ``instead`` what to type."""

    text: str
    problem: str
    instead: str


def grammar(verb: Verb) -> Grammar:
    """The row of the table for *verb*."""
    return next(g for g in GRAMMAR if g.verb is verb)


def parse(text: str) -> Command | Misspelt:
    """Read what stands after the slash command; an empty text asks for help. Raises nothing."""
    shown = "".join(c if c.isprintable() else "�" for c in text.strip())[:MAX_LENGTH]
    if len(text) > MAX_LENGTH:
        return Misspelt(text=shown, problem=f"That is longer than {MAX_LENGTH} characters.", instead="help")
    words = _plain(text).split()
    if not words:
        return Command(verb=Verb.HELP)
    verb = _verb(words[0])
    if verb is None:
        return Misspelt(text=shown, problem=f"`{_inert(words[0])}` is not a command.", instead=_near(words[0]))
    row = grammar(verb)
    flags = tuple(w for w in words[1:] if w.startswith("-"))
    names = tuple(w for w in words[1:] if not w.startswith("-"))
    for flag in flags:
        if flag not in row.flags:
            near = difflib.get_close_matches(flag, row.flags, n=1, cutoff=0.5)
            hint = " ".join((verb.value, *(n for n in names if WORD.match(n)), *near))
            return Misspelt(text=shown, problem=f"`{verb}` has no option `{_inert(flag)}`.", instead=hint or row.usage)
    for name in names:
        if not WORD.match(name):
            problem = f"`{_inert(name)}` cannot be a name: letters, digits and . _ - / : only."
            return Misspelt(text=shown, problem=problem, instead=row.usage)
    if len(names) < row.min_names:
        return Misspelt(text=shown, problem=f"`{verb}` needs to know which one.", instead=row.usage)
    if len(names) > row.max_names:
        takes = "no name" if not row.max_names else "one name"
        problem = f"`{verb}` takes {takes}; `{_inert(names[row.max_names])}` is too much."
        return Misspelt(text=shown, problem=problem, instead=row.usage)
    return Command(verb=verb, names=names, flags=tuple(dict.fromkeys(flags)))


def _plain(text: str) -> str:
    """Undo what a phone's keyboard does to a typed option: a long dash, a no-break space."""
    return text.replace("\u2014", "--").replace("\u2013", "--").replace("\u00a0", " ")


def _verb(word: str) -> Verb | None:
    """The verb that *word* is, without regard to case."""
    folded = word.casefold()
    if folded in ("?", "--help", "-h"):
        return Verb.HELP
    return next((verb for verb in Verb if verb.value == folded), None)


def _near(word: str) -> str:
    """How to use the verb that *word* was probably meant to be; the list of all where none is near."""
    near = difflib.get_close_matches(word.casefold(), [verb.value for verb in Verb], n=1, cutoff=0.5)
    return grammar(Verb(near[0])).usage if near else Verb.HELP.value


def _inert(word: str) -> str:
    """*word* made harmless for being quoted in a message: no control characters, no markup, not long."""
    return "".join(c for c in word if c.isprintable() and c not in "`<>&*_~")[:40] or "…"
