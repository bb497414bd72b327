"""HTTP: one GET on a connection of its own (RFC 9112). It follows no redirect, as a health check must not.

Our own client, because it is asked for hundreds of times a second: measured here, aiohttp's costs twice the CPU of raw
asyncio streams and httpx six times.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import cast

from bot.adapters.prober.stage import Stage
from bot.adapters.prober.verdict import Verdict, healthy, unhealthy
from bot.adapters.source_ports import SourcePorts

MAX_HEAD = 32 * 1024
MAX_BODY = 256 * 1024
"""Bytes: what is larger is cut there, and judged by what was read."""
BODILESS = (204, 304)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask for and what to expect. ``host`` None: the address and port themselves."""

    path: str
    host: str | None
    expect_status: tuple[int, ...]
    expect_body: str | None

    def request(self, address: str, port: int) -> bytes:
        """The request's bytes; raises ValueError for what cannot stand in one."""
        literal = f"[{address}]" if ":" in address else address
        host = self.host or (literal if port == 80 else f"{literal}:{port}")
        if any(c in self.path + host for c in "\r\n ") or not self.path.startswith("/"):
            raise ValueError(f"not a path and host that HTTP can carry: {self.path!r}, {host!r}")
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lvs-chatops\r\nAccept: */*\r\n"
            "Connection: close\r\n\r\n"
        ).encode()


async def get(address: str, port: int, question: Question, stage: Stage, sources: SourcePorts) -> Verdict:
    """Ask, read the answer to its end, judge it. Raises OSError when the connection fails."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Verdict] = loop.create_future()
    request = question.request(address, port)
    stage.doing = "connecting"
    opening = partial(loop.create_connection, lambda: _Exchange(request, question, done))
    transport, _ = await sources.opened(opening, address, port)
    stage.doing = "waiting for the HTTP answer"
    try:
        return await done
    finally:
        transport.abort()


class _Exchange(asyncio.Protocol):
    """One request and its answer on one connection."""

    def __init__(self, request: bytes, question: Question, done: asyncio.Future[Verdict]) -> None:
        self._request = request
        self._answer = Answer(question)
        self._done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked by isinstance: uvloop's transports are no subclasses of asyncio's.
        cast("asyncio.WriteTransport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._settle(self._answer.feed(data))

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self._done.done():
            self._done.set_exception(exc)
        self._settle(self._answer.end())

    def _settle(self, verdict: Verdict | None) -> None:
        if verdict is not None and not self._done.done():
            self._done.set_result(verdict)


class Answer:
    """An HTTP answer as it comes in: fed with bytes, it gives a verdict as soon as there is one."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._buffer = bytearray()
        self._body_at: int | None = None
        self._status = 0
        self._length: int | None = None
        self._chunked = False

    def feed(self, data: bytes) -> Verdict | None:
        """Take *data*; the verdict once the answer is complete, too long or no HTTP at all."""
        self._buffer += data
        while self._body_at is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return self._without_head()
            wrong = self._read_head(bytes(self._buffer[:end]))
            if wrong is not None:
                return wrong
            if 100 <= self._status < 200:  # an interim answer (RFC 9110, 15.2): the real one follows
                del self._buffer[: end + 4]
            else:
                self._body_at = end + 4
        return self._judge(whole=True) if self._unwanted() or self._complete() else None

    def end(self) -> Verdict:
        """The connection was closed: what came is all there is."""
        if self._body_at is None:
            got = len(self._buffer)
            return unhealthy(f"connection closed after {got} bytes of the answer's head" if got else "empty answer")
        # Without a length the body ends with the connection (RFC 9112, 6.3): then being closed is no fault.
        return self._judge(whole=self._complete() or (self._length is None and not self._chunked))

    def _without_head(self) -> Verdict | None:
        start = bytes(self._buffer[:5])
        if not b"HTTP/".startswith(start):
            return unhealthy(f"not an HTTP answer: it begins with {bytes(self._buffer[:40])!r}")
        if len(self._buffer) > MAX_HEAD:
            return unhealthy(f"the answer's head is larger than {MAX_HEAD} bytes")
        return None

    def _read_head(self, head: bytes) -> Verdict | None:
        status_line, *fields = head.split(b"\r\n")
        version, _, rest = status_line.partition(b" ")
        code = rest[:3]
        if not version.startswith(b"HTTP/1.") or not code.isdigit() or len(code) != 3:
            return unhealthy(f"not an HTTP answer: {status_line[:80]!r}")
        self._status = int(code)
        for field in fields:
            name, _, value = field.partition(b":")
            name, value = name.lower(), value.strip()
            if name == b"content-length":
                if not value.isdigit():
                    return unhealthy(f"content-length is {value[:40]!r}")
                self._length = int(value)
            elif name == b"transfer-encoding":
                self._chunked = b"chunked" in value.lower()
        return None

    def _unwanted(self) -> bool:
        return self._status not in self._question.expect_status

    def _complete(self) -> bool:
        """Whether all of the body is there, or as much as is read at most."""
        assert self._body_at is not None
        size = len(self._buffer) - self._body_at
        if size >= MAX_BODY or self._status in BODILESS:
            return True
        if self._chunked:
            # Looked at only where the last chunk can have ended, or a long body would be decoded over and over.
            return self._buffer.endswith(b"\r\n\r\n") and self._body().complete
        return self._length is not None and size >= self._length

    def _body(self) -> Body:
        raw = bytes(memoryview(self._buffer)[self._body_at :])
        return dechunk(raw) if self._chunked else Body(content=raw[: self._length], complete=True)

    def _judge(self, *, whole: bool) -> Verdict:
        question = self._question
        detail = f"HTTP {self._status}"
        if self._unwanted():
            wanted = " or ".join(str(status) for status in question.expect_status)
            return unhealthy(f"HTTP {self._status}, expected {wanted}", detail)
        body = self._body()
        if body.broken:
            return unhealthy("the answer's chunks are malformed", detail)
        if not whole:
            return unhealthy(f"the answer was cut off after {len(body.content)} bytes of its body", detail)
        if question.expect_body is not None and question.expect_body.encode() not in body.content:
            return unhealthy(f"the body does not contain {question.expect_body!r}", detail)
        return healthy(detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A body so far; ``broken``: it is not what it says it is."""

    content: bytes
    complete: bool
    broken: bool = False


def dechunk(raw: bytes) -> Body:
    """Undo the chunked transfer coding (RFC 9112, 7.1) as far as it has come in."""
    content = bytearray()
    at = 0
    while (line_end := raw.find(b"\r\n", at)) >= 0:
        size = _chunk_size(raw[at:line_end])
        if not size:
            return Body(content=bytes(content), complete=size == 0, broken=size is None)
        start, at = line_end + 2, line_end + 2 + size + 2
        content += raw[start : start + size]
        if raw[at - 2 : at] not in (b"\r\n", b"\r", b""):
            return Body(content=bytes(content), complete=False, broken=True)
    return Body(content=bytes(content), complete=False)


def _chunk_size(line: bytes) -> int | None:
    """The bytes that a chunk's first line announces, or None if it is no such line."""
    digits = line.partition(b";")[0].strip()
    return int(digits, 16) if digits and all(d in b"0123456789abcdefABCDEF" for d in digits) else None
