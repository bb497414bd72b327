"""The /lvs grammar: parsing, help and suggestions from one table."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

MAX_LENGTH = 200
# Names are checked before they are looked up: what is not made of these could never be a name in a fleet file, and a
# shell's metacharacters are refused here, long before the argv list that no shell reads unquoted.
WORD = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")
NUMBER = re.compile(r"^(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[0-9]{1,18}$")
TIME = re.compile(r"^(?=.)(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?$")
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=30)


class Verb(StrEnum):
    """The words after ``/lvs``."""

    HELP = "help"
    STATUS = "status"
    DRAIN = "drain"
    RESTORE = "restore"
    INCIDENTS = "incidents"
    INCIDENT = "incident"
    ACK = "ack"
    EXPORT = "export"
    MUTE = "mute"
    UNMUTE = "unmute"
    MUTES = "mutes"
    MAINTENANCE = "maintenance"
    TEST = "test"
    DOCTOR = "doctor"


class Effect(StrEnum):
    """What a command does, and so who may give it and whether it is shown before it happens.

    LOOKS: everybody may. RECORDS: something about the bot itself is written down, by an operator, at once.
    CHANGES: production is changed, by an operator who has seen exactly what will run.
    """

    LOOKS = "looks"
    RECORDS = "records"
    CHANGES = "changes"


class Takes(StrEnum):
    """What may stand in one place after a verb."""

    NAME = "a name of the fleet"
    NUMBER = "an incident's number"
    CHOICE = "one of a few words"
    TIME = "a span of time"
    REASON = "free words to the end of the line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place after a verb. ``label`` is what help calls it, ``choices`` are the words of a CHOICE."""

    takes: Takes
    label: str = ""
    needed: bool = False
    choices: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """How help writes it: ``<name>`` is needed, ``[name]`` is not, and an only choice is a word to type."""
        text = "|".join(self.choices) if self.choices else self.label
        if self.needed and len(self.choices) == 1:
            return text
        return f"<{text}>" if self.needed else f"[{text}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """One verb: what may follow it, and the help that teaches it."""

    verb: Verb
    summary: str
    explanation: str
    example: str
    places: tuple[Place, ...] = ()
    flags: tuple[str, ...] = ()
    effect: Effect = Effect.LOOKS

    @property
    def usage(self) -> str:
        """How it is typed, after the slash command."""
        return " ".join((self.verb.value, *(p.usage for p in self.places), *(f"[{flag}]" for flag in self.flags)))


NAME = Place(takes=Takes.NAME, label="name")
NEEDED_NAME = replace(NAME, needed=True)
REAL_SERVER = Place(takes=Takes.NAME, label="real server", needed=True)
INCIDENT = Place(takes=Takes.NUMBER, label="number", needed=True)
FOR_HOW_LONG = Place(takes=Takes.TIME, label="time", needed=True)
REASON = Place(takes=Takes.REASON, label="reason…")

GRAMMAR: tuple[Grammar, ...] = (
    Grammar(
        verb=Verb.STATUS,
        summary="what every director holds and how it is doing",
        explanation=(
            "Asks every director over SSH, now: is it reachable, what keepalived says, who holds the VIP, and each "
            "service's real servers with weight, connections and health. Differences between directors are marked. "
            "A name (cluster, director, service or real server) narrows it down."
        ),
        example="status web1",
        places=(NAME,),
    ),
    Grammar(
        verb=Verb.INCIDENTS,
        summary="what is wrong now, or was within a day",
        explanation=(
            "Lists the open incidents, or with 24h also those that were over within the last 24 hours: number, since "
            "when, open, acked, muted or over, for how long, and the headline. A cluster's name narrows it down."
        ),
        example="incidents 24h",
        places=(
            Place(takes=Takes.CHOICE, choices=("open", "24h")),
            Place(takes=Takes.NAME, label="cluster"),
        ),
    ),
    Grammar(
        verb=Verb.INCIDENT,
        summary="the whole story of one incident",
        explanation=(
            "Shows what happened, why as far as it is known, who is on it, whether it is muted, and the timeline with "
            "the measured stages to the millisecond. Two clusters can have the same number: then write site/42."
        ),
        example="incident 42",
        places=(INCIDENT,),
    ),
    Grammar(
        verb=Verb.ACK,
        summary="say that you are on it",
        explanation=(
            "Acknowledges an open incident: its message shows who is on it, and it is not repeated or escalated."
        ),
        example="ack 42",
        places=(INCIDENT,),
        effect=Effect.RECORDS,
    ),
    Grammar(
        verb=Verb.DOCTOR,
        summary="examine the directors and say what to do next",
        explanation=(
            "Takes a roll call and judges everything that is known: can each director be reached, its clock, "
            "keepalived and its processes, who holds the VIP, the IPVS table and its weights, the NAT path, the agent "
            "and the probes. Whatever is not well comes with the next step. It changes nothing. A name (cluster, "
            "director, instance, service or real server) narrows it down."
        ),
        example="doctor sv1",
        places=(NAME,),
    ),
    Grammar(
        verb=Verb.MUTE,
        summary="say nothing about something for a while",
        explanation=(
            "Nothing is told about what you name (a cluster, director, instance, service or real server) until the "
            "time is over; it is still recorded. Times are written 90s, 15m, 1h, 2h30m or 1d, from 1 minute to 30 "
            "days. Whatever follows is the reason, for your colleagues."
        ),
        example="mute web1 2h30m new disks",
        places=(NEEDED_NAME, FOR_HOW_LONG, REASON),
        effect=Effect.RECORDS,
    ),
    Grammar(
        verb=Verb.MAINTENANCE,
        summary="the same, and whatever happens to it meanwhile is planned",
        explanation=(
            "Announces work on what you name: nothing is told about it until the time is over, and a failover or an "
            "outage in that time counts as planned. Times are written 90s, 15m, 1h, 2h30m or 1d."
        ),
        example="maintenance sv2 1h kernel update",
        places=(NEEDED_NAME, FOR_HOW_LONG, REASON),
        effect=Effect.RECORDS,
    ),
    Grammar(
        verb=Verb.UNMUTE,
        summary="end a mute or a maintenance before its time",
        explanation="From now on everything about it is told again. What is wrong with it still is told at once.",
        example="unmute web1",
        places=(NEEDED_NAME,),
        effect=Effect.RECORDS,
    ),
    Grammar(
        verb=Verb.MUTES,
        summary="what is muted or in maintenance, by whom and until when",
        explanation="Lists every mute and every maintenance that holds now, those that end first coming first.",
        example="mutes",
    ),
    Grammar(
        verb=Verb.EXPORT,
        summary="the draft of a post-mortem for an incident that is over",
        explanation=(
            "Writes what is known of an incident that is over as a Markdown file into the incident's thread: impact, "
            "timeline, who acted, the cause as far as it is known, and empty headings for what only people know."
        ),
        example="export 42",
        places=(INCIDENT,),
        effect=Effect.RECORDS,
    ),
    Grammar(
        verb=Verb.DRAIN,
        summary="take a real server out of service without dropping a connection",
        explanation=(
            "Sets weight 0 on every director, backup included, in every service, after you confirm the exact commands. "
            "Open connections go on and are counted down. Refused if it would leave a service without a healthy real "
            "server, or while a director does not answer, unless --force. The drain stays until you restore it, even "
            "if keepalived sets a weight again."
        ),
        example="drain web1",
        places=(REAL_SERVER,),
        flags=("--force",),
        effect=Effect.CHANGES,
    ),
    Grammar(
        verb=Verb.RESTORE,
        summary="give a drained real server its weight back",
        explanation=(
            "Returns the weights that were recorded when it was drained, on every director, after you confirm. Refused "
            "while a director does not answer, unless --force: that one gets its weight as soon as it answers."
        ),
        example="restore web1",
        places=(REAL_SERVER,),
        flags=("--force",),
        effect=Effect.CHANGES,
    ),
    Grammar(
        verb=Verb.TEST,
        summary="try the alert path from every director to this channel",
        explanation=(
            "Has each director's agent pass a marked event on: through keepalived's FIFO, the webhook and the journal "
            "to Slack. One message tells what each stage took, or where an event was lost and what to look at. A "
            "cluster's name narrows it down."
        ),
        example="test alert",
        places=(
            Place(takes=Takes.CHOICE, choices=("alert",), needed=True),
            Place(takes=Takes.NAME, label="cluster"),
        ),
        effect=Effect.RECORDS,
    ),
    Grammar(
        verb=Verb.HELP,
        summary="this list, or all about one command",
        explanation="Shows every command, or explains one.",
        example="help drain",
        places=(Place(takes=Takes.NAME, label="command"),),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request that the grammar accepts. ``names`` are not looked up yet; an incident's number is one of them.

    ``reason`` is somebody's own words: printable, on one line, and to be escaped wherever it is shown.
    """

    verb: Verb
    names: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    choice: str | None = None
    span: timedelta | None = None
    reason: str = ""

    @property
    def name(self) -> str | None:
        """The only name, or None."""
        return self.names[0] if self.names else None

    @property
    def effect(self) -> Effect:
        """What giving it does."""
        return grammar(self.verb).effect

    def __str__(self) -> str:
        span = [spelt(self.span)] if self.span is not None else []
        words = (self.verb.value, self.choice, *self.names, *span, self.reason, *self.flags)
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misspelt:
    """A request that the grammar refuses: ``problem`` says what was wrong, ``instead`` what to type."""

    text: str
    problem: str
    instead: str


def grammar(verb: Verb) -> Grammar:
    """The row of the table for *verb*."""
    return next(g for g in GRAMMAR if g.verb is verb)


def spelt(span: timedelta) -> str:
    """*span* as it is typed: ``2h30m``."""
    seconds = round(span.total_seconds())
    parts = ((seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def as_word(name: str) -> str:
    """*name* as it is typed: what the bot itself can lose has a name of several words."""
    return "-".join(name.split())


def span_of(word: str) -> timedelta | None:
    """The span that *word* spells (``90s``, ``15m``, ``2h30m``, ``1d``), or None for a word that spells none."""
    found = TIME.match(word.casefold())
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def parse(text: str) -> Command | Misspelt:
    """Read what stands after the slash command; an empty text asks for help. Raises nothing."""
    shown = "".join(c if c.isprintable() else "�" for c in text.strip())[:MAX_LENGTH]
    if len(text) > MAX_LENGTH:
        return Misspelt(text=shown, problem=f"That is longer than {MAX_LENGTH} characters.", instead="help")
    words = text.split()
    if not words:
        return Command(verb=Verb.HELP)
    verb = _verb(_plain(words[0]))
    if verb is None:
        return Misspelt(text=shown, problem=f"`{_inert(words[0])}` is not a command.", instead=_near(words[0]))
    try:
        return _Reading(grammar(verb), words[1:]).command()
    except _Refused as refused:
        return Misspelt(text=shown, problem=refused.problem, instead=refused.instead)


class _Refused(Exception):
    def __init__(self, problem: str, instead: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.instead = instead


@dataclass(slots=True)
class _Reading:
    """The words after a verb while they are put into its places."""

    row: Grammar
    words: Sequence[str]
    names: list[str] = field(default_factory=list)
    choice: str | None = None
    span: timedelta | None = None

    def command(self) -> Command:
        """The command that the words make. Raises _Refused."""
        words, reason = self._parted()
        flags = tuple(w for w in words if w.startswith("-"))
        rest = [w for w in words if not w.startswith("-")]
        self._check_flags(flags, rest)
        for place in self.row.places:
            if place.takes is not Takes.REASON and self._fits(place, rest):
                self._put(place, rest.pop(0))
        if rest:
            self._too_much(rest[0])
        return Command(
            verb=self.row.verb,
            names=tuple(self.names),
            flags=tuple(dict.fromkeys(flags)),
            choice=self.choice,
            span=self.span,
            reason=reason,
        )

    def _parted(self) -> tuple[list[str], str]:
        """The words of the places, and the reason: what follows them is somebody's own, and nothing is read into it."""
        if not any(p.takes is Takes.REASON for p in self.row.places):
            return [w for word in self.words for w in _plain(word).split()], ""
        count = len(self.row.places) - 1
        reason = " ".join("".join(c for c in word if c.isprintable()) for word in self.words[count:])
        return [_plain(word) for word in self.words[:count]], " ".join(reason.split())

    def _check_flags(self, flags: Sequence[str], names: Sequence[str]) -> None:
        for flag in flags:
            if flag in self.row.flags:
                continue
            near = difflib.get_close_matches(flag, self.row.flags, n=1, cutoff=0.5)
            instead = " ".join((self.row.verb, *(n for n in names if WORD.match(n)), *near))
            raise _Refused(f"`{self.row.verb}` has no option `{_inert(flag)}`.", instead)

    def _fits(self, place: Place, rest: Sequence[str]) -> bool:
        """Whether *place* takes the next word; raises _Refused where it needs one and there is none."""
        if rest:
            fits = place.takes is not Takes.CHOICE or rest[0].casefold() in place.choices
            if place.needed and not fits:
                raise _Refused(f"`{self.row.verb}` knows no `{_inert(rest[0])}`.", self._usage())
            return fits
        if not place.needed:
            return False
        missing = "for how long" if place.takes is Takes.TIME else "which one"
        raise _Refused(f"`{self.row.verb}` needs to know {missing}.", self._usage())

    def _usage(self) -> str:
        """What to type instead: with the name that was given already, where one was."""
        return f"{self.row.verb} {self.names[0]} 1h" if self.names else self.row.usage

    def _put(self, place: Place, word: str) -> None:
        match place.takes:
            case Takes.CHOICE:
                self.choice = word.casefold()
            case Takes.NUMBER:
                self.names.append(self._number(word))
            case Takes.TIME:
                self.span = self._time(word)
            case _:
                if not WORD.match(word):
                    problem = f"`{_inert(word)}` cannot be a name: letters, digits and . _ - / : only."
                    raise _Refused(problem, self.row.usage)
                self.names.append(word)

    def _number(self, word: str) -> str:
        bare = word.replace("#", "", 1)
        if not NUMBER.match(bare):
            problem = f"`{_inert(word)}` is not the number of an incident, such as 42 or site/42."
            raise _Refused(problem, self.row.example)
        return bare

    def _time(self, word: str) -> timedelta:
        span = span_of(word)
        if span is None:
            raise _Refused(f"`{_inert(word)}` is not a time: write 90s, 15m, 1h, 2h30m or 1d.", self._usage())
        if not SHORTEST <= span <= LONGEST:
            nearest = SHORTEST if span < SHORTEST else LONGEST
            instead = f"{self.row.verb} {self.names[0]} {spelt(nearest)}"
            raise _Refused(f"`{_inert(word)}` is too {_too(span)}: from 1 minute (1m) to 30 days (30d).", instead)
        return span

    def _too_much(self, word: str) -> None:
        kinds = {p.takes for p in self.row.places}
        takes = "one number" if Takes.NUMBER in kinds else "one name" if Takes.NAME in kinds else "no name"
        problem = f"`{self.row.verb}` takes {takes}; `{_inert(word)}` is too much."
        raise _Refused(problem, self.row.usage)


def _too(span: timedelta) -> str:
    return "short" if span < SHORTEST else "long"


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
