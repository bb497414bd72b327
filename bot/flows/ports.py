"""The few things that the flows need from the outside, as Protocols; adapters implement them, fakes too."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.domain.events import Event, Recorded
from bot.domain.fleet import Director, Probe
from bot.domain.health import ProbeResult
from bot.domain.observed import CommandResult
from bot.views.message import SlackMessage


class Clock(Protocol):
    """Time, passed in so that decisions can be tried at any moment."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps, for measuring durations."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event to be recorded.

    ``source_key`` makes the append idempotent: a second entry with the same key is absorbed. ``at_source`` is when
    it happened by the source's clock (None: the journal takes the time of recording).
    """

    event: Event
    source_key: str | None = None
    at_source: datetime | None = None


class Appender(Protocol):
    """Whatever records events durably: the journal, or the chronicle that also folds them in."""

    async def append(self, *entries: Entry) -> tuple[Recorded | None, ...]:
        """Record *entries* in one transaction, in order, and return them once they are durable.

        An entry whose ``source_key`` is known already is not recorded again and gives None.
        Raises JournalUnavailable when the store cannot be written.
        """
        ...


class Journal(Appender, Protocol):
    """The durable, append-only record that everything else is folded from."""

    async def read(self, *, after: int = 0, kinds: Sequence[str] = (), limit: int = 1000) -> tuple[Recorded, ...]:
        """Events with a sequence above *after*, oldest first, at most *limit*, of *kinds* (all if empty)."""
        ...

    async def last_sequence(self) -> int:
        """The highest sequence recorded so far; 0 for an empty journal."""
        ...

    async def add_samples(self, results: Sequence[ProbeResult]) -> None:
        """Keep probe results in their own table (retention applies); never in the journal."""
        ...

    async def close(self) -> None:
        """Write what is queued and let go of the store."""
        ...


class JournalUnavailable(Exception):
    """The journal's store cannot be read or written; the message says where it is (without secrets) and why."""


class ShellError(Exception):
    """A command could not be run, or its outcome is not known. ``director`` and ``argv`` say which."""

    def __init__(self, director: str, argv: Sequence[str], reason: str) -> None:
        super().__init__(f"{director}: {reason}")
        self.director = director
        self.argv = tuple(argv)
        self.reason = reason


class Unreachable(ShellError):
    """No SSH connection: the command did not run."""


class HostKeyRefused(ShellError):
    """The host showed a key that is not the pinned one: the command did not run."""


class AuthenticationRefused(ShellError):
    """The host refused the bot's key: the command did not run."""


class OutcomeUnknown(ShellError):
    """The deadline passed or the connection broke after the command was sent: it may have run. Observe first.

    ``cause`` is what happened, without the warning: enough for a command that only reads.
    """

    def __init__(self, director: str, argv: Sequence[str], reason: str, cause: str = "") -> None:
        super().__init__(director, argv, reason)
        self.cause = cause or reason


class RemoteShell(Protocol):
    """Runs argv lists on directors over SSH."""

    @property
    def patience(self) -> float:
        """How many seconds a director may take to answer a question before it is asked again, for twice as long."""
        ...

    async def run(
        self,
        director: Director,
        argv: Sequence[str],
        *,
        deadline: float = 10.0,
        sudo: bool = False,
        user: str | None = None,
    ) -> CommandResult:
        """Run *argv* on *director* within *deadline* seconds, through ``sudo -n`` where *sudo* is set.

        *user* is the account that sudo runs it as; None: root.
        A non-zero exit status is a result, not an error. Raises a ShellError when there is no result.
        """
        ...

    async def ask(
        self, director: Director, commands: Sequence[Sequence[str]], *, deadline: float = 10.0
    ) -> tuple[CommandResult, ...]:
        """Run *commands*, which only read, one after the other and all in one go, within *deadline* seconds.

        What the first of them answered counts also where a later one hangs: there are fewer results than commands
        then. Each one's ``duration_s`` is that of all together. Raises a ShellError when there is no result at all.
        """
        ...

    def changing(self, director: Director) -> AbstractAsyncContextManager[None]:
        """Hold the one lock per director that every change of its state is made under."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRef:
    """Where a message stands: the channel id and the ``ts`` that Slack gave."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where something was said; ``covered`` where a message about several things at once said it."""

    ref: MessageRef
    covered: bool = False


class MessengerUnavailable(Exception):
    """Slack could not be reached or keeps answering with errors; what was to be said stays in the journal."""


class RateLimited(MessengerUnavailable):
    """Slack asks for ``retry_after_s`` seconds of patience with this method, in this channel. Nothing was done."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MessageRefused(Exception):
    """Slack refused this very message (``invalid_blocks``, ``channel_not_found`` …): a retry would not help."""


class Messenger(Protocol):
    """Posts and edits messages."""

    async def post(
        self,
        channel: str,
        message: SlackMessage,
        *,
        key: str | None = None,
        covers: Sequence[str] = (),
        thread_ts: str | None = None,
        broadcast: bool = False,
        attempt: str | None = None,
    ) -> MessageRef:
        """Post *message*; a reply that is *broadcast* is shown outside of its thread, too.

        *key*, and the keys of everything else that it *covers*, are kept in the message's metadata so that :meth:`find`
        can find it again; so is the name of this very *attempt*, for :meth:`attempts`.
        """
        ...

    async def update(
        self, ref: MessageRef, message: SlackMessage, *, key: str | None = None, covers: Sequence[str] = ()
    ) -> None:
        """Replace the message at *ref*."""
        ...

    async def find(
        self, channel: str, keys: Collection[str], *, thread_ts: str | None = None, since: datetime | None = None
    ) -> Mapping[str, Found]:
        """Those of *keys* that messages carry which were posted *since* then, in the channel or in a thread of it."""
        ...

    async def attempts(
        self, channel: str, names: Collection[str], *, thread_ts: str | None = None, since: datetime | None = None
    ) -> Mapping[str, MessageRef]:
        """Those of the attempts to post called *names* that were carried out, and what stands by them."""
        ...

    async def delete(self, ref: MessageRef) -> None:
        """Take the message at *ref* away, if it is still there."""
        ...

    async def upload(self, channel: str, thread_ts: str | None, filename: str, title: str, content: str) -> None:
        """Put a file with *content* into *channel*, or into the thread *thread_ts* of it."""
        ...

    async def greet(self) -> None:
        """Find out whether Slack can be reached and lets the bot in (auth.test)."""
        ...

    async def tell(self, channel: str, user: str, message: SlackMessage) -> None:
        """Show *message* to *user* only (chat.postEphemeral)."""
        ...

    async def members_of(self, usergroup: str) -> tuple[str, ...]:
        """The user ids of a user group (usergroups.users.list)."""
        ...

    async def close(self) -> None:
        """Let go of the HTTP session."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What is said of an incident another way than in Slack. ``key`` is the same for the same thing said again."""

    key: str
    title: str
    text: str
    incident: int
    cluster: str
    kind: str
    open: bool


class NotDelivered(Exception):
    """A word could not be sent, or may not have arrived; the message says why, without secrets."""


class Way(Protocol):
    """Another way to reach people than Slack."""

    @property
    def name(self) -> str:
        """What it is called in the journal and in the log."""
        ...

    async def send(self, word: Word) -> None:
        """Hand *word* over. Raises NotDelivered."""
        ...

    async def close(self) -> None:
        """Let go of what is kept open."""
        ...


class Prober(Protocol):
    """Asks one target one question."""

    async def measure(self, probe: Probe) -> ProbeResult:
        """The outcome; never raises: what could not be measured is an outcome of its own."""
        ...

    async def close(self) -> None:
        """Let go of what is kept open."""
        ...
