"""DNS: one query over UDP or TCP (RFC 1035), and whether the answer is the expected one."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from bot.adapters.prober.stage import Stage
from bot.adapters.prober.verdict import Verdict, healthy, unhealthy, unmeasured
from bot.adapters.source_ports import SourcePorts


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask. ``expect_answer`` is one record's data as text; None: any record of the type will do."""

    name: str
    kind: str
    over_tcp: bool
    expect_answer: str | None


async def resolve(address: str, port: int, question: Question, stage: Stage, sources: SourcePorts) -> Verdict:
    """Ask the server at *address* and judge its answer. Raises OSError when the network fails."""
    try:
        query = dns.message.make_query(question.name, question.kind)
    except (dns.exception.DNSException, ValueError) as error:
        return unmeasured(f"not a DNS question: {question.name} {question.kind}: {error}")
    exchange = _over_tcp if question.over_tcp else _over_udp
    try:
        answer = await exchange(address, port, query, stage, sources)
    except dns.exception.DNSException as error:
        return unhealthy(f"not a DNS answer: {error}")
    except asyncio.IncompleteReadError as error:
        return unhealthy(f"connection closed after {len(error.partial)} bytes of the DNS answer")
    return _judge(answer, question)


async def _over_udp(
    address: str, port: int, query: dns.message.Message, stage: Stage, sources: SourcePorts
) -> dns.message.Message:
    stage.doing = "sending the DNS query"
    loop = asyncio.get_running_loop()
    # Connected, so that the kernel lets nobody else answer and reports a closed port (udp(7)).
    with await sources.connected(address, port, socket.SOCK_DGRAM) as sock:
        await loop.sock_sendall(sock, query.to_wire())
        stage.doing = "waiting for the DNS answer"
        while True:
            data = await loop.sock_recv(sock, 65535)
            if data[:2] == struct.pack("!H", query.id):  # a late answer to an older question is not this one's
                return dns.message.from_wire(data, ignore_trailing=True)


async def _over_tcp(
    address: str, port: int, query: dns.message.Message, stage: Stage, sources: SourcePorts
) -> dns.message.Message:
    stage.doing = "connecting"
    reader, writer = await sources.opened(asyncio.open_connection, address, port)
    try:
        wire = query.to_wire()
        writer.write(struct.pack("!H", len(wire)) + wire)
        stage.doing = "waiting for the DNS answer"
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return dns.message.from_wire(await reader.readexactly(length))
    finally:
        writer.transport.abort()


def _judge(answer: dns.message.Message, question: Question) -> Verdict:
    asked = f"{question.name} {question.kind}"
    code = answer.rcode()
    if not answer.flags & dns.flags.QR:
        return unhealthy(f"the question {asked} came back instead of an answer")
    if code != dns.rcode.NOERROR:
        return unhealthy(f"answered {dns.rcode.to_text(code)} to {asked}")
    kind = dns.rdatatype.from_text(question.kind)
    found = tuple(record.to_text() for rrset in answer.answer if rrset.rdtype == kind for record in rrset)
    said = ", ".join(found) or "no record"
    if not found and answer.flags & dns.flags.TC:
        return unhealthy(f"the answer to {asked} was cut short: ask over TCP")
    wanted = question.expect_answer
    if wanted is None:
        return healthy(said) if found else unhealthy(f"answered no record to {asked}")
    if _plain(wanted) in {_plain(text) for text in found}:
        return healthy(said)
    return unhealthy(f"answered {said} to {asked}, expected {wanted}")


def _plain(text: str) -> str:
    """A record's data without what makes no difference: case, the final dot, quotes around a text."""
    return text.strip('"').rstrip(".").casefold()
