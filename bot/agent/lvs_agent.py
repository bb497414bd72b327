#!/usr/bin/env python3
"""The agent on a director: reads keepalived's notify FIFO, keeps each line on disk, posts it signed to the bot.

One file, Python 3.6 or newer, standard library only; docs/agent.md has the wire format and how to install it.

The promises, and how they are kept:

* Order: one reader, one spool file, one sender.
* No line that was spooled is lost or renamed: a line gets its counter in the same write that puts it on disk, and the
  spool forgets it only after the bot's 200 or 202. What is sent twice carries the same boot id and counter both times.
* Nothing is dropped in silence: where a line had to go (a full spool, a torn write, a record that the bot refuses), a
  gap record takes its place in the queue and tells the bot how many and why.
"""

import argparse
import contextlib
import errno
import fcntl
import hashlib
import hmac
import http.client
import json
import math
import os
import random
import select
import signal
import socket
import ssl
import stat
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

VERSION = "0.2.0"
WIRE_VERSION = 1

LINE_MAX = 4096  # bytes; keepalived's lines are far shorter, and a write of up to PIPE_BUF (4096) is atomic: pipe(7)
PIPE_SIZE = 1 << 20  # bytes asked of the kernel for the FIFO: room for a burst while the disk is busy
BATCH_BYTES = 32 * 1024  # of JSON in one POST: half of what the bot takes by default
BATCH_RECORDS = 200
COMPACT_BYTES = 128 * 1024  # the spool is rewritten once this much of it has been sent
ASIDE_BYTES = 1 << 20  # the file of refused records is rotated at this size
TICK_S = 5.0  # how often the FIFO is looked after
DISK_RETRY_S = 1.0
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 10.0
REFUSED_RETRY_S = 30.0  # after an answer that only a person can mend; an accepted heartbeat ends the wait early
FLUSH_S = 3.0  # how long a stopping agent goes on trying to deliver
F_SETPIPE_SZ = 1031  # linux/fcntl.h; the fcntl module knows it since Python 3.10 only


class AgentError(Exception):
    """What keeps the agent from working, in words for the person who can change it."""


def log(text: str) -> None:
    """Say *text* on standard error, where systemd's journal takes it."""
    with contextlib.suppress(OSError):  # a log that cannot be written must not stop the events
        print("lvs-agent: " + text, file=sys.stderr, flush=True)


def tell_systemd(state: str) -> None:
    """Tell the service manager *state*, if there is one (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(state.encode())


# --- configuration --------------------------------------------------------------------------------------------------


class Config(NamedTuple):
    """/etc/lvs-agent.json. Sizes are bytes, times seconds."""

    director: str
    url: str
    secret_file: str
    fifo: str = "/run/lvs-agent/notify.fifo"
    spool: str = "/var/lib/lvs-agent"
    heartbeat_s: float = 5.0
    timeout_s: float = 5.0
    spool_max_bytes: int = 8 << 20
    ca_file: Optional[str] = None
    keepalived_unit: str = "keepalived.service"


NUMBERS = {"heartbeat_s": (0.05, 3600.0), "timeout_s": (0.05, 300.0), "spool_max_bytes": (4096, 1 << 32)}


def load_config(path: str) -> Config:
    """Read *path*. Raises AgentError that names the key and what to write instead."""
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except (OSError, ValueError) as error:
        raise AgentError("%s: cannot be read as JSON (%s); see docs/agent.md for an example" % (path, error)) from error
    if not isinstance(values, dict):
        raise AgentError('%s: must be an object such as {"director": "sv1", …}' % path)
    unknown = sorted(set(values) - set(Config._fields))
    if unknown:
        raise AgentError("%s: unknown key %r; the keys are %s" % (path, unknown[0], ", ".join(Config._fields)))
    for key in ("director", "url", "secret_file"):
        if key not in values:
            raise AgentError("%s: %r is missing" % (path, key))
    for key, value in values.items():
        if key in NUMBERS:
            low, high = NUMBERS[key]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise AgentError("%s: %r must be a number from %s to %s, not %r" % (path, key, low, high, value))
        elif not (isinstance(value, str) and value) and not (key == "ca_file" and value is None):
            raise AgentError("%s: %r must be a text, not %r" % (path, key, value))
    split_url(values["url"], path)
    return Config(**values)


def split_url(url: str, where: str) -> Tuple[str, str, Optional[int], str]:
    """Scheme, host, port and path of *url*. Raises AgentError for anything but http(s)://HOST[:PORT]/PATH."""
    example = "%s: 'url' must look like https://bot.example.net:8780/events/keepalived, not %r" % (where, url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AgentError(example) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise AgentError(example)
    return parts.scheme, parts.hostname, port, parts.path or "/"


def read_secret(path: str) -> bytes:
    """The shared secret in *path*, read anew for each POST so that a rotation needs no restart. Raises AgentError."""
    try:
        with open(path, "rb") as file:
            secret = file.read(4096).strip()
    except OSError as error:
        raise AgentError("the secret cannot be read: %s" % error) from error
    if len(secret) < 16:
        raise AgentError("%s: the secret is shorter than 16 bytes; make one with: openssl rand -hex 32" % path)
    return secret


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of X-LVS-Signature: HMAC-SHA256 (RFC 2104) over timestamp, a dot and the body."""
    return "v1=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def boot_id() -> str:
    """The kernel's name for this boot (random(4))."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


class Troubles:
    """What is wrong right now, by source: logged when it changes, and told in each heartbeat."""

    def __init__(self) -> None:
        self._texts = {}  # type: Dict[str, str]
        self._lock = threading.Lock()

    def note(self, source: str, text: Optional[str]) -> None:
        """*source* has the trouble *text*, or none any more (None)."""
        with self._lock:
            before = self._texts.pop(source, None)
            if text is not None:
                self._texts[source] = text
        if text != before:
            log("%s: %s" % (source, text or "fine again"))

    def told(self) -> Optional[str]:
        """Every trouble in one line, or None."""
        with self._lock:
            return "; ".join("%s: %s" % item for item in sorted(self._texts.items())) or None


# --- the spool ------------------------------------------------------------------------------------------------------


class Record(NamedTuple):
    """One line of the spool: a line of keepalived's, or a gap where lines are missing.

    ``boot`` and ``counter`` name it for ever. ``at`` is wall-clock seconds, ``mono`` seconds since the boot.
    """

    boot: str
    counter: int
    at: float
    mono: float
    line: Optional[str] = None
    gap: Optional[Dict[str, Any]] = None

    def encoded(self) -> bytes:
        """The record as one line of the spool file."""
        return json.dumps(self._nonempty(), separators=(",", ":")).encode("ascii") + b"\n"

    def wire(self, boot: str, wall: float, mono: float) -> Dict[str, Any]:
        """The record as the bot gets it, ``at`` told by the clock as it is now (*wall*, *mono*, during *boot*).

        A clock that was set since (NTP just after a boot, a resumed guest) would otherwise put the line at a moment
        that never was; the monotonic clock knows how long ago it came.
        """
        fields = self._nonempty()
        by_age = wall - (mono - self.mono)
        if self.boot == boot and abs(by_age - self.at) > 0.5:
            fields["at"] = round(by_age, 6)
        return fields

    def _nonempty(self) -> Dict[str, Any]:
        return {key: value for key, value in self._asdict().items() if value is not None}


def decode_record(data: bytes) -> Optional[Record]:
    """The record in one line of the spool file, or None if the line is damaged."""
    try:
        record = Record(**json.loads(data.decode("ascii")))
        numbers = (record.counter, record.at, record.mono, record.gap["lost"] if record.gap else 0)
        sound = isinstance(record.boot, str) and (isinstance(record.line, str) if record.gap is None else True)
        return record if sound and all(math.isfinite(number) for number in numbers) else None
    except (ValueError, TypeError, KeyError):
        return None


def decode_records(data: bytes, start: int) -> Iterator[Tuple[Optional[Record], int]]:
    """The records in the whole lines of *data*, which begins at byte *start*: each (None if damaged) and its end."""
    end = start
    for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]:
        end += len(line) + 1
        yield decode_record(line), end


def write_all(descriptor: int, data: bytes) -> None:
    """write(2) until all of *data* is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class HeldFile:
    """A file that others may replace. It is kept open, so that its inode number cannot come back as another file's."""

    def __init__(self, open_: Callable[[], int], path: str) -> None:
        self._open = open_
        self._path = path
        self._descriptor = -1

    def current(self) -> Tuple[int, bool]:
        """The descriptor of what stands at the path now, and whether that is another file than last time."""
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self._path).st_ino == os.fstat(self._descriptor).st_ino:
                    return self._descriptor, False
            os.close(self._descriptor)
            self._descriptor = -1
        self._descriptor = self._open()
        return self._descriptor, True


class Spool:
    """The queue on this director's disk. Safe for several processes at once (flock(2)): the agent and any emitters.

    ``events`` holds the records, ``sent`` the counter of the last one that the bot has, ``aside`` what it refused.
    """

    def __init__(self, directory: str, limit: int) -> None:
        self.directory = directory
        self._limit = limit
        self.boot = boot_id()
        events = self._path("events")
        self._writer = HeldFile(lambda: self._open("events", os.O_RDWR | os.O_CREAT | os.O_APPEND), events)
        self._reader = HeldFile(lambda: self._open("events", os.O_RDONLY), events)
        self._size, self._last = -1, 0  # of `events` as this process left it: saves reading it again
        self._new = False  # whether `events` was made anew and its directory is not on the disk yet
        self.trouble = None  # type: Optional[str]  # why what is due after a write could not be done
        self._offset = 0  # in the reader's file: what stands before it is sent
        self.sent = 0
        with self.locked():
            self.sent = self._load_sent()
        self.aside = self._read_file("aside").count(b"\n")

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _open(self, name: str, flags: int) -> int:
        """Open a file of the spool. Root's emitter must not leave files that the agent's own user cannot write."""
        descriptor = os.open(self._path(name), flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if flags & os.O_CREAT and os.geteuid() == 0:
            owner = os.stat(self.directory)
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other thread and process from writing; :meth:`write` asks for it."""
        descriptor = self._open("lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _replace(self, name: str, data: bytes, durable: bool) -> None:
        """Put *data* in place of a file, all of it or nothing."""
        descriptor = self._open(name + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        except OSError:
            os.unlink(self._path(name + ".new"))  # what there was no room for takes none
            raise
        finally:
            os.close(descriptor)
        os.rename(self._path(name + ".new"), self._path(name))
        if durable:
            self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _load_sent(self) -> int:
        """The last counter that the bot has.

        A spool without the file is new, or was wiped: its counters start anywhere, so that they do not meet older ones
        of the same boot, which the bot would take for repetitions. (Clock and chance both: a resumed guest may have
        either of them as before.)
        """
        try:
            with open(self._path("sent"), "rb") as file:
                return int(file.read())
        except FileNotFoundError:
            pass
        except ValueError:
            log("%s is damaged; what it said is delivered again" % self._path("sent"))
        counters = self._counters()
        start = counters[0] - 1 if counters else int(time.time() * 1e6) ^ random.getrandbits(50)
        self._replace("sent", b"%d" % start, durable=True)
        self.sent = start
        return start

    def _read_file(self, name: str) -> bytes:
        """All of a file of the spool; nothing if there is none."""
        try:
            with open(self._path(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def _counters(self) -> List[int]:
        return [record.counter for record, _ in decode_records(self._read_file("events"), 0) if record]

    def _survey(self, descriptor: int, replaced: bool) -> Tuple[int, int]:
        """Size of the whole lines and last counter of `events`; it is longer only where a write was cut off."""
        size = os.fstat(descriptor).st_size
        self._new = self._new or replaced
        if replaced or size != self._size:
            sent = self._load_sent()
            self._last = max([*self._counters(), sent])
            if replaced:  # by one with other counters, if it was wiped
                self.sent = sent
            size = self._read_file("events").rfind(b"\n") + 1
        return size, self._last

    def write(self, lines: List[str], gap: Optional[Dict[str, Any]] = None) -> None:
        """Put *lines* (and *gap* before them) on the disk, in order, each with its counter. Raises OSError.

        Then none of them is there, and they may be written again. The caller holds the lock.
        """
        wall, mono = round(time.time(), 6), round(time.monotonic(), 6)
        descriptor, replaced = self._writer.current()
        whole, last = self._survey(descriptor, replaced)
        gaps = [gap] if gap else []
        if whole < os.fstat(descriptor).st_size:
            os.ftruncate(descriptor, whole)
            gaps.insert(0, {"lost": 1, "why": "a write to the spool was cut off"})
        contents = [(None, gap) for gap in gaps] + [(line, None) for line in lines]
        records = [Record(self.boot, last + n, wall, mono, *content) for n, content in enumerate(contents, 1)]
        data = b"".join(record.encoded() for record in records)
        try:
            write_all(descriptor, data)
            os.fdatasync(descriptor)
        except OSError:
            os.ftruncate(descriptor, whole)
            raise
        self._size, self._last = whole + len(data), last + len(records)
        self.tidy()

    def tidy(self) -> None:
        """Do what is due after a write; where it cannot be done, :attr:`trouble` says why, and it can be tried again.

        It raises nothing: the lines are on the disk, and would be stored once more if this passed for their failure.
        The caller holds the lock.
        """
        events = self._path("events")
        try:
            if self._new:
                self._sync_directory()
                self._new = False
            if os.path.exists(events) and os.path.getsize(events) > self._limit:
                self._compact()
        except OSError as error:
            self.trouble = "%s cannot be tidied up: %s" % (self.directory, error)
        else:
            self.trouble = None

    def append(self, *lines: str) -> None:
        """:meth:`write` *lines* under the lock."""
        with self.locked():
            self.write(list(lines))

    def append_gap(self, lost: int, why: str) -> None:
        """Put a gap in the queue: *lost* lines are missing, because of *why*. Raises OSError."""
        with self.locked():
            self.write([], {"lost": lost, "why": why})

    def _compact(self) -> None:
        """Rewrite `events` without what was sent; if it is too large still, a gap takes the place of the oldest half.

        Damaged lines are not kept; a gap at the end tells of those that the bot may not have.

        The gap has the counter of the last record that it stands for. If the bot has that one after all, it has all
        of them (delivery is in order) and absorbs the gap; so ``lost`` is an upper bound and never too small.
        """
        sent = self._load_sent()
        self._replace("sent", b"%d" % sent, durable=True)
        keep = self._unsent(sent)
        sizes = [len(record.encoded()) for record in keep]
        excess, dropped = sum(sizes) - self._limit // 2 if sum(sizes) > self._limit else 0, 0
        while excess > 0 and dropped < len(keep) - 1:
            excess -= sizes[dropped]
            dropped += 1
        if dropped:
            lost = sum(record.gap["lost"] if record.gap else 1 for record in keep[:dropped])
            why = "the spool was full (%d bytes): the bot could not be reached for too long" % self._limit
            keep[:dropped] = [keep[dropped - 1]._replace(line=None, gap={"lost": lost, "why": why})]
            log("spool: full; at most %d of the oldest lines were given up" % lost)
        self._replace("events", b"".join(record.encoded() for record in keep), durable=True)

    def _unsent(self, sent: int) -> List[Record]:
        """What stands in `events` and was not *sent*, with a gap for what is damaged behind the last that was."""
        data = self._read_file("events")
        keep, damaged, last = [], 0, sent  # type: List[Record], int, int
        for record, _ in decode_records(data, 0):
            if record is None:
                damaged += 1
            elif record.counter > sent:
                keep.append(record)
                last = record.counter
            else:
                damaged = 0
        if not data.endswith(b"\n") and data:
            damaged += 1  # a write was cut off
        if damaged:
            gap = {"lost": damaged, "why": "%d lines of the spool were damaged on the disk" % damaged}
            keep.append(Record(self.boot, last + 1, round(time.time(), 6), round(time.monotonic(), 6), gap=gap))
        return keep

    def unsent(self) -> List[Record]:
        """The next records for one POST, oldest first."""
        batch, size = [], 0  # type: List[Record], int
        for record, end in decode_records(*self._ahead()):
            if record is None and not batch:
                self._offset = end
                self.append_gap(1, "a line of the spool was damaged on the disk")
            elif record is None:
                break
            elif record.counter <= self.sent and not batch:
                self._offset = end
            else:
                size += len(record.encoded())
                if batch and (size > BATCH_BYTES or len(batch) >= BATCH_RECORDS):
                    break
                batch.append(record)
        return batch

    def _ahead(self) -> Tuple[bytes, int]:
        """What stands in `events` behind the place read up to (its start, if the file was rewritten), and where."""
        try:
            descriptor, replaced = self._reader.current()
        except FileNotFoundError:
            return b"", 0
        if replaced:
            self._offset = 0
            with self.locked():
                self.sent = self._load_sent()
        return os.pread(descriptor, 4 * BATCH_BYTES, self._offset), self._offset

    def acknowledge(self, counter: int) -> None:
        """The bot has everything up to *counter*: it is never sent again."""
        with self.locked():
            if not self._load_sent() <= counter <= self._survey(*self._writer.current())[1]:
                return  # of a spool that was wiped meanwhile: it says nothing of the lines of this one
            self.sent = counter
            self._replace("sent", b"%d" % counter, durable=False)
            if self._offset > COMPACT_BYTES:
                self._compact()

    def set_aside(self, record: Record, why: str) -> None:
        """Take *record*, which the bot will never accept, out of the way of the others, and report that."""
        with self.locked():
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self._path("aside")).st_size > ASIDE_BYTES:
                    os.rename(self._path("aside"), self._path("aside.1"))
            descriptor = self._open("aside", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                write_all(descriptor, json.dumps({"why": why, "record": record._asdict()}).encode("ascii") + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self.aside += 1
        log("record %d was refused for good (%s); it is kept in %s" % (record.counter, why, self._path("aside")))
        if record.gap is None:  # a refused report about a refusal would go round for ever
            self.append_gap(1, "the bot refused record %d (%s); it is kept in 'aside'" % (record.counter, why))

    def last_counter(self) -> int:
        """The counter of the newest record, sent or not."""
        with self.locked():
            return self._survey(*self._writer.current())[1]


# --- keepalived's FIFO ----------------------------------------------------------------------------------------------


class Fifo:
    """The reading end of keepalived's notify FIFO, and a writing end that keeps the pipe from ever coming to its end.

    keepalived closes the FIFO and opens it again at every reload; with an end of our own open all the time, it never
    meets a FIFO without a reader, we never meet an end of file, and what is in the pipe stays there.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.attached = False  # whether some other process (keepalived) has it open for writing
        self._reader = -1
        self._keeper = -1
        self._rest = b""

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._reader

    def look_after(self) -> None:
        """Open the FIFO if it is not open, or not the one at the path any more. Raises AgentError."""
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            status = self._create()
        except OSError as error:
            raise AgentError("the FIFO %s cannot be looked at: %s" % (self.path, error)) from error
        if not stat.S_ISFIFO(status.st_mode):
            raise AgentError("%s is not a FIFO; remove it and restart lvs-agent, then reload keepalived" % self.path)
        if self._reader < 0 or os.fstat(self._reader).st_ino != status.st_ino:
            self._open()
        self._look_for_keepalived()

    def _create(self) -> os.stat_result:
        try:
            os.mkfifo(self.path, 0o600)  # keepalived writes as root
            return os.lstat(self.path)
        except OSError as error:
            raise AgentError(
                "the FIFO %s cannot be made: %s; does its directory exist?" % (self.path, error)
            ) from error

    def _open(self) -> None:
        try:
            reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            keeper = self._open_keeper(reader)
        except OSError as error:
            os.close(reader)
            raise self._unusable(error) from error
        self._empty()
        self.close()
        self._reader, self._keeper = reader, keeper
        with contextlib.suppress(OSError):  # a wish: the default of 64 KiB does too
            fcntl.fcntl(reader, F_SETPIPE_SZ, PIPE_SIZE)

    def _empty(self) -> None:
        """Take what waits in the FIFO that was open so far: somebody has put another one in its place."""
        if self._reader < 0:
            return
        with contextlib.suppress(OSError):
            self._rest += os.read(self._reader, PIPE_SIZE)  # all of it: no pipe of ours holds more
        if self._rest and not self._rest.endswith(b"\n"):
            self._rest += b"\n"  # what the new one holds is no end of that

    def _unusable(self, error: OSError) -> AgentError:
        advice = "restart lvs-agent: its unit makes it the agent's if it is root's"
        return AgentError("the FIFO %s cannot be opened: %s; %s" % (self.path, error, advice))

    @staticmethod
    def _open_keeper(reader: int) -> int:
        """A writing end of the very FIFO that *reader* has open, whatever stands at its path by now."""
        return os.open("/proc/self/fd/%d" % reader, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def _look_for_keepalived(self) -> None:
        """Let go of our writing end for a moment: a hang-up says that nobody else has one (poll(2)).

        Writers lose nothing meanwhile, for the reading end stays open.
        """
        os.close(self._keeper)
        poller = select.poll()
        poller.register(self._reader, 0)
        self.attached = not any(event & select.POLLHUP for _, event in poller.poll(0))
        self._keeper = self._open_keeper(self._reader)

    def read_lines(self) -> List[str]:
        """The whole lines that wait in the pipe; a blank one is an emitter's poke. Stray bytes show as ``\\xNN``."""
        data = self._rest
        with contextlib.suppress(BlockingIOError):
            data += os.read(self._reader, PIPE_SIZE)
        *lines, self._rest = data.split(b"\n")
        if len(self._rest) > LINE_MAX:  # nothing of keepalived's: passed on in pieces rather than kept for ever
            lines, self._rest = [*lines, self._rest], b""
        pieces = [line[at : at + LINE_MAX] for line in lines for at in range(0, max(len(line), 1), LINE_MAX)]
        return [piece.decode("utf-8", "backslashreplace") for piece in pieces]

    def close(self) -> None:
        """Let go of both ends; the FIFO itself stays for keepalived."""
        for descriptor in (self._reader, self._keeper):
            if descriptor >= 0:
                os.close(descriptor)
        self._reader = self._keeper = -1


# --- the bot --------------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What the bot answered. ``error`` is its one-word reason, empty where the answer was not the bot's own."""

    status: int
    error: str
    reason: str
    retry_after: float

    @property
    def accepted(self) -> bool:
        """Whether the bot has it."""
        return self.status in (200, 202)

    def __str__(self) -> str:
        return "answer %d %s" % (self.status, self.reason or self.error)


class Unanswered(Exception):
    """The bot did not answer; the message says why."""


class Bot:
    """The bot's webhook, over one connection that is kept open."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._connection = None  # type: Optional[http.client.HTTPConnection]

    def post(self, **content: Any) -> Answer:
        """POST *content*, signed. Raises Unanswered, and AgentError where there is no secret to sign with."""
        message = dict(content, version=WIRE_VERSION, director=self._config.director)
        body = json.dumps(message, separators=(",", ":")).encode("ascii")
        timestamp = "%d" % time.time()
        headers = {
            "Content-Type": "application/json",
            "X-LVS-Director": self._config.director,
            "X-LVS-Timestamp": timestamp,
            "X-LVS-Signature": sign(read_secret(self._config.secret_file), timestamp, body),
            "User-Agent": "lvs-agent/" + VERSION,
        }
        while True:
            kept = self._connection is not None
            try:
                return self._exchange(body, headers)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A kept connection may have been closed by the bot in the meantime: once more, on a new one. What
                # the bot may have taken already, it knows by its key.
                if not kept or isinstance(error, socket.timeout):
                    why = str(error) or type(error).__name__
                    raise Unanswered("no answer from %s: %s" % (self._config.url, why)) from error

    def _exchange(self, body: bytes, headers: Dict[str, str]) -> Answer:
        scheme, host, port, path = split_url(self._config.url, "the configuration")
        if self._connection is None:
            self._connection = self._connect(scheme, host, port)
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        data = response.read(64 * 1024)
        if response.will_close or not response.isclosed():
            self.close()
        retry_after = response.getheader("Retry-After") or ""
        error, reason = self._reason(data)
        return Answer(response.status, error, reason, float(retry_after[:6]) if retry_after.isdecimal() else 0.0)

    def _connect(self, scheme: str, host: str, port: Optional[int]) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._config.timeout_s)
        context = ssl.create_default_context(cafile=self._config.ca_file)
        return http.client.HTTPSConnection(host, port, timeout=self._config.timeout_s, context=context)

    @staticmethod
    def _reason(data: bytes) -> Tuple[str, str]:
        try:
            content = json.loads(data.decode())
            return str(content.get("error", "")), str(content.get("reason", ""))[:300]
        except (ValueError, AttributeError):
            return "", ""

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Sender(threading.Thread):
    """Delivers the spool in order, and a heartbeat in between."""

    def __init__(
        self, config: Config, spool: Spool, troubles: Troubles, describe: Callable[[], Dict[str, Any]]
    ) -> None:
        super().__init__(name="sender", daemon=True)
        self._config = config
        self._spool = spool
        self._troubles = troubles
        self._describe = describe
        self._bot = Bot(config)
        self._news = threading.Event()
        self._give_up_at = math.inf
        self._failures = 0
        self._single_to = 0  # up to this counter, one record a POST: the bot refused one of them

    def wake(self) -> None:
        """There is something new in the spool."""
        self._news.set()

    def finish(self) -> None:
        """Deliver what is there, for a few seconds at most, and end."""
        self._give_up_at = time.monotonic() + FLUSH_S
        self._news.set()

    def run(self) -> None:
        """Until finished: deliver, wait for news, the next heartbeat or the next try."""
        beat_at = retry_at = 0.0
        while True:
            self._news.clear()
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + self._config.heartbeat_s
                if self._beat():
                    retry_at = 0.0
            batch = self._next()
            if batch and (time.monotonic() >= retry_at or self._give_up_at < math.inf):
                pause = self._deliver(batch)
                retry_at = time.monotonic() + pause
                if not pause:
                    continue
            now = time.monotonic()
            if now >= self._give_up_at or (self._give_up_at < math.inf and not batch):
                self._bot.close()
                return
            until = min(beat_at, retry_at if batch else math.inf, self._give_up_at)
            self._news.wait(max(until - now, RETRY_FIRST_S if self._give_up_at < math.inf else 0.0))

    def _next(self) -> List[Record]:
        """What to send next."""
        try:
            batch = self._spool.unsent()
        except OSError as error:
            self._troubles.note("queue", "the spool cannot be read: %s" % error)
            return []
        return batch[:1] if batch and batch[0].counter <= self._single_to else batch

    def _beat(self) -> bool:
        """Send a heartbeat; whether the bot took it."""
        try:
            answer = self._bot.post(heartbeat=self._describe())
        except (Unanswered, AgentError, OSError) as error:
            self._troubles.note("heartbeat", str(error))
            return False
        self._troubles.note("heartbeat", None if answer.accepted else str(answer))
        return answer.accepted

    def _deliver(self, batch: List[Record]) -> float:
        """Send *batch*; how many seconds to wait before the next try, 0 for none."""
        wall, mono = time.time(), time.monotonic()
        try:
            answer = self._bot.post(records=[record.wire(self._spool.boot, wall, mono) for record in batch])
        except (Unanswered, AgentError) as error:
            self._troubles.note("delivery", str(error))
            return self._backoff(0.0)
        if answer.accepted:
            self._troubles.note("delivery", None)
            self._failures = 0
            return self._settle(batch, None)
        if answer.status in (400, 413) and answer.error in ("malformed", "too large"):
            self._single_to = batch[-1].counter
            return self._settle(batch, str(answer)) if len(batch) == 1 else 0.0
        self._troubles.note("delivery", str(answer))
        if 400 <= answer.status < 500 and answer.status != 429:
            return REFUSED_RETRY_S
        return self._backoff(answer.retry_after)

    def _settle(self, batch: List[Record], refused: Optional[str]) -> float:
        """Take *batch* off the queue: the bot has it, or has *refused* it for good."""
        try:
            if refused:
                self._spool.set_aside(batch[0], refused)
            self._spool.acknowledge(batch[-1].counter)
        except OSError as error:
            self._troubles.note("queue", "%s cannot be written: %s" % (self._config.spool, error))
            return RETRY_FIRST_S
        self._troubles.note("queue", None)
        return 0.0

    def _backoff(self, at_least: float) -> float:
        """Exponential, with jitter, so that many directors do not come back in step."""
        self._failures += 1
        pause = min(RETRY_FIRST_S * 2.0 ** min(self._failures - 1, 16), RETRY_MAX_S)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        return max(pause * jitter, min(at_least, REFUSED_RETRY_S))


# --- the agent ------------------------------------------------------------------------------------------------------


def keepalived_runs(unit: str) -> Optional[bool]:
    """Whether *unit* has processes, by its control group (cgroups(7)): cheap, unprivileged. None: unknown."""
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd"):
        slice_ = os.path.join(root, "system.slice")
        try:
            with open(os.path.join(slice_, unit, "cgroup.procs"), "rb") as file:
                return bool(file.read(1))
        except OSError:
            if os.path.isdir(slice_):
                return False
    return None


@contextlib.contextmanager
def sole_reader(spool: str) -> Iterator[None]:
    """Be the only agent: two readers of one FIFO would garble each other's lines. Raises AgentError."""
    try:
        descriptor = os.open(
            os.path.join(spool, "reader"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
    except OSError as error:
        raise AgentError(
            "the spool %s cannot be used: %s; make it, owned by the agent's user" % (spool, error)
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AgentError("another lvs-agent runs on the spool %s" % spool) from error
        yield
    finally:
        os.close(descriptor)


class Agent:
    """The reader, and what it looks after."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._spool = Spool(config.spool, config.spool_max_bytes)
        self._fifo = Fifo(config.fifo)
        self._troubles = Troubles()
        self._sender = Sender(config, self._spool, self._troubles, self._describe)
        self._started = time.monotonic()
        self._stopped, self._stop = os.pipe()
        self._in_hand = []  # type: List[str]  # read from the FIFO and not yet taken by the disk

    def _describe(self) -> Dict[str, Any]:
        """The content of a heartbeat."""
        last = self._spool.last_counter()
        return {
            "agent": VERSION,
            "boot": self._spool.boot,
            "at": round(time.time(), 6),
            "counter": last,
            "pending": last - self._spool.sent,
            "aside": self._spool.aside,
            "attached": self._fifo.attached,
            "keepalived": keepalived_runs(self._config.keepalived_unit),
            "uptime_s": round(time.monotonic() - self._started, 3),
            "trouble": self._troubles.told(),
        }

    def run(self) -> int:
        """Read until told to stop; the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._sender.start()
        ready, tick_at = False, 0.0
        while not self._wait(max(tick_at - time.monotonic(), 0.0)):
            if time.monotonic() >= tick_at:
                tick_at = time.monotonic() + min(TICK_S, self._config.heartbeat_s)
                opened = self._tick()
                if opened and not ready:
                    ready = True
                    tell_systemd("READY=1")
                    log("reads %s for %s" % (self._fifo.path, self._config.url))
            self._take_lines()
        self._take_lines()
        if self._in_hand:
            log("stopped with lines that the disk did not take: %r" % self._in_hand)
        tell_systemd("STOPPING=1")
        self._sender.finish()
        self._sender.join(FLUSH_S + 2 * self._config.timeout_s)
        log("stopped; %d records wait in the spool" % (self._spool.last_counter() - self._spool.sent))
        return 0

    def _on_signal(self, *_: Any) -> None:
        os.write(self._stop, b"x")

    def _wait(self, seconds: float) -> bool:
        """Wait for lines, or for *seconds*; whether it is time to stop.

        While the disk refuses what we have in hand, the pipe keeps what comes.
        """
        poller = select.poll()
        poller.register(self._stopped, select.POLLIN)
        if self._in_hand:
            seconds = min(seconds, DISK_RETRY_S)
        elif self._fifo.fileno() >= 0:
            poller.register(self._fifo.fileno(), select.POLLIN)
        return any(descriptor == self._stopped for descriptor, _ in poller.poll(math.ceil(seconds * 1000)))

    def _tick(self) -> bool:
        """Look after the FIFO and the sender; whether the FIFO is open. Raises AgentError if the sender has died."""
        if not self._sender.is_alive():
            raise AgentError("the sender ended unexpectedly (see above); the service manager starts the agent again")
        tell_systemd("WATCHDOG=1")
        try:
            self._fifo.look_after()
        except AgentError as error:
            self._troubles.note("fifo", str(error))
            return False
        self._troubles.note("fifo", None)
        return True

    def _take_lines(self) -> None:
        """From the FIFO to the disk: the lock is taken first, so that no wait comes between the read and the write."""
        if self._fifo.fileno() < 0:
            return
        try:
            with self._spool.locked():
                self._in_hand = self._in_hand or self._fifo.read_lines()
                lines = [line for line in self._in_hand if line.strip()]
                if lines:
                    self._spool.write(lines)
                elif self._spool.trouble:
                    self._spool.tidy()
        except OSError as error:
            self._troubles.note("spool", "%s cannot be written: %s" % (self._config.spool, error))
            return
        self._troubles.note("spool", self._spool.trouble)
        if self._in_hand:
            self._in_hand = []
            self._sender.wake()


# --- the commands ---------------------------------------------------------------------------------------------------


def command_run(config: Config, _: argparse.Namespace) -> int:
    """Read the FIFO and deliver, until stopped."""
    with sole_reader(config.spool):
        return Agent(config).run()


def write_to_fifo(path: str, line: bytes) -> float:
    """Write *line* into the FIFO as keepalived does; when that began, by this director's clock. Raises AgentError.

    A write of up to PIPE_BUF bytes is all or nothing and never ends up inside of another's line (pipe(7)).
    """
    if len(line) + 1 > select.PIPE_BUF:
        raise AgentError("an event of %d bytes; the longest for the FIFO is %d" % (len(line), select.PIPE_BUF - 1))
    try:
        fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise AgentError("nobody reads the FIFO %s: is lvs-agent running?" % path) from error
        raise AgentError("the FIFO %s cannot be written to: %s" % (path, error)) from error
    try:
        if not stat.S_ISFIFO(os.fstat(fifo).st_mode):
            raise AgentError("%s is not a FIFO; remove it and restart lvs-agent, then reload keepalived" % path)
        began = time.time()
        os.write(fifo, line + b"\n")
        return began
    except BlockingIOError as error:
        raise AgentError("the FIFO %s is full: lvs-agent does not read it" % path) from error
    finally:
        os.close(fifo)


def command_emit(config: Config, arguments: argparse.Namespace) -> int:
    """Spool one event given as words, as keepalived's `notify` scripts get them, and wake the agent."""
    words = [" ".join(word.split()) for word in arguments.words]
    if words[0] in ("INSTANCE", "GROUP") and len(words) > 1:
        words[1] = '"%s"' % words[1].strip('"')
    line = " ".join(words).encode("utf-8", "surrogateescape")
    if len(line) > LINE_MAX:
        raise AgentError("an event of %d bytes; the longest is %d" % (len(line), LINE_MAX))
    if arguments.through_fifo:
        print(json.dumps({"at": round(write_to_fifo(config.fifo, line), 6)}))
        return 0
    try:
        Spool(config.spool, config.spool_max_bytes).append(line.decode("utf-8", "backslashreplace"))
    except OSError as error:
        raise AgentError("%s: the event could not be spooled: %s" % (config.spool, error)) from error
    with contextlib.suppress(OSError):  # without the poke, the agent finds it at its next heartbeat
        fifo = os.open(config.fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.write(fifo, b"\n")
        finally:
            os.close(fifo)
    return 0


def command_status(config: Config, _: argparse.Namespace) -> int:
    """Say how things stand; 0 if the agent runs and nothing waits, 3 if not."""
    try:
        with sole_reader(config.spool):
            running = False
    except AgentError as error:
        running = str(error).startswith("another")
        if not running:
            raise
    spool = Spool(config.spool, config.spool_max_bytes)
    last = spool.last_counter()
    keepalived = {True: "running", False: "not running", None: "unknown"}[keepalived_runs(config.keepalived_unit)]
    print("director    %s -> %s" % (config.director, config.url))
    print("agent       %s, version %s" % ("running" if running else "NOT RUNNING", VERSION))
    print("keepalived  %s" % keepalived)
    print("fifo        %s%s" % (config.fifo, "" if os.path.exists(config.fifo) else " (missing)"))
    print("spool       %d waiting, last counter %d, %d refused by the bot" % (last - spool.sent, last, spool.aside))
    return 0 if running and last == spool.sent else 3


def command_test(config: Config, _: argparse.Namespace) -> int:
    """Send a test message, signed as events are, and say what the bot made of it; the journal is left alone."""
    start = time.monotonic()
    try:
        answer = Bot(config).post(test={"agent": VERSION, "at": round(time.time(), 6)})
    except Unanswered as error:
        raise AgentError(str(error)) from error
    if not answer.accepted:
        raise AgentError("%s refused the test message: %s" % (config.url, answer))
    print("the bot took a signed test message from %s in %.1f ms" % (config.director, 1e3 * (time.monotonic() - start)))
    return 0


def main(argv: Optional[List[str]] = None) -> int:
    """The command line; its exit status."""
    parser = argparse.ArgumentParser(prog="lvs-agent", description="Passes keepalived's events on to the bot.")
    parser.add_argument("--config", default="/etc/lvs-agent.json", help="default: %(default)s")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True
    for name, function in (("run", command_run), ("status", command_status), ("test", command_test)):
        commands.add_parser(name, help=function.__doc__).set_defaults(function=function)
    emit = commands.add_parser("emit", help=command_emit.__doc__)
    emit.add_argument(
        "--through-fifo",
        action="store_true",
        help="write it into the FIFO, as keepalived would, and print when: the agent has to run",
    )
    emit.add_argument("words", nargs="+", metavar="WORD", help="for example: INSTANCE VI_1 MASTER 100")
    emit.set_defaults(function=command_emit)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.function(load_config(arguments.config), arguments))
    except (AgentError, OSError) as error:
        log("error: %s" % error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
