"""The prober against real servers on loopback: good ones, broken ones, silent ones; and a host short of things."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.adapters.prober import NetworkProber
from bot.adapters.prober.http import Answer, Question, dechunk
from bot.adapters.prober.icmp import checksum
from bot.adapters.prober.verdict import of_error
from bot.adapters.source_ports import TRIES, SourcePorts
from bot.domain.fleet import Probe, ProbeKind, Protocol
from bot.domain.health import Outcome, ProbeResult

LOOPBACK = "127.0.0.1"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def probe(kind: ProbeKind, port: int | None, *, address: str = LOOPBACK, timeout: float = 5.0, **more: Any) -> Probe:
    fields = {"name": "vip:x", "cluster": "site", "service": "x", "real_server": None, **more}
    return Probe(kind=kind, address=ip_address(address), port=port, timeout=timeout, **fields)


async def measure(asked: Probe, prober: NetworkProber | None = None) -> ProbeResult:
    return await (prober or NetworkProber()).measure(asked)


async def measure_in_time(asked: Probe) -> ProbeResult:
    """The measurement of which this test was not kept by others: where it was held up, the prober says so."""
    for _ in range(50):
        found = await measure(asked)
        if not found.reason.startswith("the bot was held up"):
            return found
        assert found.outcome is Outcome.UNMEASURED
    raise AssertionError(f"held up each time: {found}")


@asynccontextmanager
async def server(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A TCP server that treats each connection with *handler*; gives its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the prober hung up, as it may
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listening = await asyncio.start_server(serve, LOOPBACK, 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def says(*pieces: bytes, hold: bool = False) -> Handler:
    """A handler that reads the request, sends *pieces* one by one, and then closes (or holds the line)."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if hold:
            await asyncio.Event().wait()
        writer.write_eof()
        await reader.read()

    return handle


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() then sends RST (socket(7))


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        return int(sock.getsockname()[1])


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("pieces", "hold"),
    [
        ((OK + b"Content-Length: 5\r\n\r\nhello",), True),
        ((OK + b"Content-Length: 5\r\n\r\nhe", b"llo"), True),
        ((OK + b"\r\nhello",), False),
        ((b"HTTP/1.0 200 OK\r\n\r\nhello",), False),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",), True),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3", b"\r\nllo\r\n0\r\n", b"\r\n"), True),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",), True),
        ((b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"content-length:5\r\n\r\nhello",), True),
        (tuple(bytes([b]) for b in OK + b"Content-Length: 5\r\n\r\nhello"), True),
        ((OK + b"\r\nhello" + b"." * 400_000,), True),
    ],
    ids=str,
)
async def test_a_whole_answer_with_the_expected_status_and_body_is_healthy(pieces: tuple[bytes], hold: bool) -> None:
    async with server(says(*pieces, hold=hold)) as port:
        found = await measure(probe(ProbeKind.HTTP, port, expect_body="hello"))
    assert (found.outcome, found.reason, found.detail) == (Outcome.HEALTHY, "", "HTTP 200")


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ((b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9999\r\n\r\nsorry",), "HTTP 503, expected 200"),
        ((b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n",), "HTTP 302, expected 200"),
        ((OK + b"Content-Length: 3\r\n\r\nbye",), "the body does not contain 'hello'"),
        ((OK + b"Content-Length: 50\r\n\r\nhello",), "the answer was cut off after 5 bytes of its body"),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhello",), "the answer was cut off after 5 bytes of its body"),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\nhello",), "the answer was cut off after 0 bytes of its body"),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello",), "the answer's chunks are malformed"),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello",), "the answer's chunks are malformed"),
        ((OK + b"Content-Length: many\r\n\r\n",), "content-length is b'many'"),
        ((b"220 mail ESMTP\r\n",), "not an HTTP answer: it begins with b'220 mail ESMTP\\r\\n'"),
        ((b"HTTP/1.1 OK\r\n\r\n",), "not an HTTP answer: b'HTTP/1.1 OK'"),
        ((b"HTTP/2 200\r\n\r\n",), "not an HTTP answer: b'HTTP/2 200'"),
        ((b"HTTP/1.1 200 O",), "connection closed after 14 bytes of the answer's head"),
        ((), "empty answer"),
        ((OK + b"X: " + b"x" * 40_000,), "the answer's head is larger than 32768 bytes"),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
async def test_anything_else_is_unhealthy_and_says_why(pieces: tuple[bytes], reason: str) -> None:
    async with server(says(*pieces)) as port:
        found = await measure(probe(ProbeKind.HTTP, port, expect_body="hello"))
    assert (found.outcome, found.reason) == (Outcome.UNHEALTHY, reason)


async def test_http_asks_for_the_path_with_the_host_header_and_closes() -> None:
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/health", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    port = runner.addresses[0][1]
    wanted: dict[str, Any] = {"path": "/health?deep=1", "expect_status": (200, 204)}
    found = await measure(probe(ProbeKind.HTTP, port, host_header="www.site.test", **wanted))
    plain = await measure(probe(ProbeKind.HTTP, port, **wanted))
    await runner.cleanup()
    assert (found.outcome, found.detail) == (Outcome.HEALTHY, "HTTP 204")
    assert plain.outcome is Outcome.HEALTHY
    assert [r.headers["Host"] for r in seen] == ["www.site.test", f"{LOOPBACK}:{port}"]
    assert (seen[0].path_qs, seen[0].headers["Connection"]) == ("/health?deep=1", "close")


@pytest.mark.parametrize("kind", [ProbeKind.HTTP, ProbeKind.TLS, ProbeKind.DNS])
async def test_a_server_that_accepts_and_says_nothing_is_unhealthy_at_the_timeout(kind: ProbeKind) -> None:
    async with server(hangs) as port:
        found = await measure_in_time(probe(kind, port, timeout=0.1, query="x.test"))
    assert found.outcome is Outcome.UNHEALTHY
    assert found.reason.endswith("no answer within 0.1 s")


async def test_a_drip_of_bytes_does_not_outlast_the_timeout() -> None:
    async with server(drips) as port:
        found = await measure_in_time(probe(ProbeKind.HTTP, port, timeout=0.2))
    assert found.reason == "waiting for the HTTP answer: no answer within 0.2 s"


@pytest.mark.parametrize("kind", [ProbeKind.HTTP, ProbeKind.TLS, ProbeKind.DNS])
async def test_a_reset_connection_is_unhealthy(kind: ProbeKind) -> None:
    async with server(resets) as port:
        found = await measure(probe(kind, port, query="x.test"))
    assert found.outcome is Outcome.UNHEALTHY
    assert found.reason


@pytest.mark.parametrize("kind", [ProbeKind.HTTP, ProbeKind.TCP, ProbeKind.TLS, ProbeKind.DNS])
async def test_a_closed_port_is_unhealthy(kind: ProbeKind) -> None:
    found = await measure(probe(kind, closed_port(), query="x.test"))
    assert (found.outcome, found.reason) == (Outcome.UNHEALTHY, "connecting: connection refused")


async def test_a_tcp_probe_is_healthy_when_it_connects() -> None:
    async with server(hangs) as port:
        found = await measure(probe(ProbeKind.TCP, port))
    assert (found.outcome, found.detail) == (Outcome.HEALTHY, "connected")


async def test_a_full_accept_queue_is_unhealthy_at_the_timeout() -> None:
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        with filled_queue(port):
            found = await measure_in_time(probe(ProbeKind.TCP, port, timeout=0.1))
    assert (found.outcome, found.reason) == (Outcome.UNHEALTHY, "connecting: no answer within 0.1 s")


@contextmanager
def filled_queue(port: int) -> Iterator[None]:
    """Connections that nobody accepts, until the kernel takes no more."""
    waiting = [socket.socket() for _ in range(4)]
    for sock in waiting:
        sock.setblocking(False)
        sock.connect_ex((LOOPBACK, port))
    try:
        yield
    finally:
        for sock in waiting:
            sock.close()


async def test_the_start_is_taken_before_the_first_packet_and_the_latency_until_the_verdict() -> None:
    accepted: list[datetime] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(datetime.now(UTC))
        await says(OK + b"Content-Length: 0\r\n\r\n")(reader, writer)

    before, began = datetime.now(UTC), time.perf_counter()
    async with server(note) as port:
        found = await measure(probe(ProbeKind.HTTP, port))
    after = datetime.now(UTC)
    assert before <= found.started_at <= accepted[0]
    assert found.began is not None
    assert began <= found.began <= began + (after - before).total_seconds() + 0.005
    assert found.started_at + timedelta(seconds=found.latency_s) <= after + timedelta(milliseconds=5)


# --- source ports ---------------------------------------------------------------------------------------------------


class Noted(SourcePorts):
    """Source ports that remember which ones they gave."""

    def __init__(self, ports: Sequence[int] | None = None) -> None:
        super().__init__(ports)
        self.given: list[int] = []

    def _turns(self, to: int) -> Iterator[int]:
        for port in super()._turns(to):
            self.given.append(port)
            yield port


QUESTIONS = (
    (ProbeKind.HTTP, Protocol.TCP),
    (ProbeKind.TCP, Protocol.TCP),
    (ProbeKind.TLS, Protocol.TCP),
    (ProbeKind.DNS, Protocol.TCP),
    (ProbeKind.DNS, Protocol.UDP),
)


@pytest.mark.parametrize(("kind", "protocol"), QUESTIONS)
async def test_every_question_comes_from_the_port_whose_turn_it_is(kind: ProbeKind, protocol: Protocol) -> None:
    sources = Noted()
    assert await asked_from(kind, protocol, sources) == sources.given[-1]


@pytest.mark.parametrize(("kind", "protocol"), QUESTIONS)
async def test_a_source_port_that_somebody_has_is_passed_over(kind: ProbeKind, protocol: Protocol) -> None:
    with socket.socket(type=socket.SOCK_DGRAM if protocol is Protocol.UDP else socket.SOCK_STREAM) as other:
        other.bind((LOOPBACK, 0))
        taken = other.getsockname()[1]
        sources = Noted([taken])
        assert await asked_from(kind, protocol, sources) != taken
    assert sources.given == [taken] * TRIES


async def asked_from(kind: ProbeKind, protocol: Protocol, sources: SourcePorts) -> int:
    """The port that a question comes from."""
    seen: list[int] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[1])
        writer.transport.abort()

    prober = NetworkProber(sources=sources)
    if protocol is Protocol.UDP:
        with socket.socket(type=socket.SOCK_DGRAM) as asked:
            asked.bind((LOOPBACK, 0))
            await measure(probe(kind, asked.getsockname()[1], protocol=protocol, query="x.test", timeout=0.1), prober)
            return int(asked.recvfrom(512, socket.MSG_DONTWAIT)[1][1])  # it has come before the timeout
    async with server(note) as port:
        await measure(probe(kind, port, protocol=protocol, query="x.test"), prober)
        async with asyncio.timeout(5):
            while not seen:
                await asyncio.sleep(0.01)
    return seen[0]


# --- DNS ------------------------------------------------------------------------------------------------------------

ZONE = {"www.site.test.": "10.100.5.11"}


def dns_answer(wire: bytes) -> bytes:
    """What a small name server says: A records of ZONE, NXDOMAIN for other names."""
    query = dns.message.from_wire(wire)
    answer = dns.message.make_response(query)
    name = query.question[0].name.to_text()
    if name == "cut.test.":
        answer.flags |= dns.flags.TC
    elif name == "empty.test.":
        pass
    elif name in ZONE:
        answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", ZONE[name]))
    else:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    return answer.to_wire()


class NameServer(asyncio.DatagramProtocol):
    def __init__(self, answers: Callable[[bytes], list[bytes]]) -> None:
        self.answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)  # uvloop has a class of its own

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for answer in self.answers(data):
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def name_server(
    protocol: Protocol, answers: Callable[[bytes], list[bytes]] = lambda wire: [dns_answer(wire)]
) -> AsyncIterator[int]:
    async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        for answer in answers(await reader.readexactly(length)):
            writer.write(struct.pack("!H", len(answer)) + answer)
        await reader.read()

    if protocol is Protocol.TCP:
        async with server(over_tcp) as port:
            yield port
        return
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(answers), local_addr=(LOOPBACK, 0))
    yield transport.get_extra_info("sockname")[1]
    transport.close()


@pytest.mark.parametrize("protocol", [Protocol.UDP, Protocol.TCP])
@pytest.mark.parametrize(
    ("query", "expect", "outcome", "said"),
    [
        ("www.site.test", "10.100.5.11", Outcome.HEALTHY, "10.100.5.11"),
        ("www.site.test", None, Outcome.HEALTHY, "10.100.5.11"),
        ("www.site.test", "10.100.5.12", Outcome.UNHEALTHY, "answered 10.100.5.11 to www.site.test A, expected 10.1"),
        ("other.test", None, Outcome.UNHEALTHY, "answered NXDOMAIN to other.test A"),
        ("empty.test", None, Outcome.UNHEALTHY, "answered no record to empty.test A"),
        ("empty.test", "10.0.0.1", Outcome.UNHEALTHY, "answered no record to empty.test A, expected 10.0.0.1"),
        ("cut.test", None, Outcome.UNHEALTHY, "the answer to cut.test A was cut short: ask over TCP"),
    ],
)
async def test_a_name_server_is_judged_by_its_answer(
    protocol: Protocol, query: str, expect: str | None, outcome: Outcome, said: str
) -> None:
    async with name_server(protocol) as port:
        found = await measure(probe(ProbeKind.DNS, port, protocol=protocol, query=query, expect_answer=expect))
    assert found.outcome is outcome
    assert (found.reason or found.detail).startswith(said)


async def test_a_late_answer_to_another_question_is_passed_over() -> None:
    def two(wire: bytes) -> list[bytes]:
        stale = bytes([wire[0] ^ 1]) + dns_answer(wire)[1:]
        return [stale, b"", dns_answer(wire)]

    async with name_server(Protocol.UDP, two) as port:
        found = await measure(probe(ProbeKind.DNS, port, protocol=Protocol.UDP, query="www.site.test"))
    assert found.outcome is Outcome.HEALTHY


@pytest.mark.parametrize("protocol", [Protocol.UDP, Protocol.TCP])
async def test_rubbish_is_no_dns_answer(protocol: Protocol) -> None:
    async with name_server(protocol, lambda wire: [wire[:2] + b"\x84"]) as port:
        found = await measure(probe(ProbeKind.DNS, port, protocol=protocol, query="www.site.test"))
    assert found.outcome is Outcome.UNHEALTHY
    assert found.reason.startswith("not a DNS answer")


async def test_an_echo_of_the_question_is_no_dns_answer() -> None:
    async with name_server(Protocol.UDP, lambda wire: [wire]) as port:
        found = await measure(probe(ProbeKind.DNS, port, protocol=Protocol.UDP, query="www.site.test"))
    assert (found.outcome, found.reason[:12]) == (Outcome.UNHEALTHY, "the question")


async def test_a_udp_port_that_nobody_listens_on_is_unhealthy_at_once() -> None:
    found = await measure(probe(ProbeKind.DNS, closed_port(), protocol=Protocol.UDP, query="x.test"))
    assert found.outcome is Outcome.UNHEALTHY
    assert found.reason.endswith("connection refused")


# --- TLS ------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, *, days: float, name: str = "www.site.test") -> tuple[ssl.SSLContext, Path]:
    """A server's context with a self-made certificate good for *days* more, and the file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "cert.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, pem


@pytest.mark.parametrize(
    ("days", "server_name", "outcome", "said"),
    [
        (30.5, "www.site.test", Outcome.HEALTHY, "in 30."),
        (30.5, None, Outcome.HEALTHY, "in 30."),
        # Good for users until it has ended: a warning of its own, and no outage of the VIP.
        (13.5, "www.site.test", Outcome.HEALTHY, "fewer than 14 are left"),
        (-1, "www.site.test", Outcome.UNHEALTHY, "certificate: certificate has expired"),
        (30, "other.test", Outcome.UNHEALTHY, "certificate: Hostname mismatch"),
    ],
)
async def test_a_certificate_is_judged_by_its_chain_its_name_and_the_days_left(
    tmp_path: Path, days: float, server_name: str | None, outcome: Outcome, said: str
) -> None:
    context, pem = certificate(tmp_path, days=days)
    prober = NetworkProber(trust=lambda: ssl.create_default_context(cafile=pem))
    async with server(hangs, tls=context) as port:
        found = await measure(probe(ProbeKind.TLS, port, server_name=server_name), prober)
    assert found.outcome is outcome
    assert said in (found.reason or found.detail)
    assert (found.certificate_ends_at is not None) is (outcome is Outcome.HEALTHY)


async def test_the_end_of_a_certificate_is_told_as_it_stands_in_it(tmp_path: Path) -> None:
    context, pem = certificate(tmp_path, days=30)
    async with server(hangs, tls=context) as port:
        prober = NetworkProber(trust=lambda: ssl.create_default_context(cafile=pem))
        found = await measure(probe(ProbeKind.TLS, port, server_name="www.site.test"), prober)
    assert found.certificate_ends_at == x509.load_pem_x509_certificate(pem.read_bytes()).not_valid_after_utc


async def test_a_certificate_that_nobody_vouches_for_is_unhealthy(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path, days=300)
    async with server(hangs, tls=context) as port:
        found = await measure(probe(ProbeKind.TLS, port))
    assert (found.outcome, found.reason) == (Outcome.UNHEALTHY, "certificate: self-signed certificate")


async def test_a_server_that_speaks_no_tls_is_unhealthy() -> None:
    async with server(says_at_once) as port:
        found = await measure(probe(ProbeKind.TLS, port))
    assert found.outcome is Outcome.UNHEALTHY
    assert found.reason.startswith("TLS handshake")


async def says_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail ESMTP\r\n")
    await asyncio.Event().wait()


# --- ICMP -----------------------------------------------------------------------------------------------------------


def may_ping() -> bool:
    low, high = map(int, Path("/proc/sys/net/ipv4/ping_group_range").read_text().split())
    return os.geteuid() == 0 or any(low <= group <= high for group in os.getgroups())


async def test_loopback_answers_an_echo_or_the_reason_names_the_sysctl() -> None:
    found = await measure(probe(ProbeKind.ICMP, None))
    if may_ping():
        assert (found.outcome, found.detail) == (Outcome.HEALTHY, "echo reply")
    else:
        assert found.outcome is Outcome.UNMEASURED
        assert "net.ipv4.ping_group_range" in found.reason


async def test_many_echoes_side_by_side_each_find_their_own_reply() -> None:
    found = await asyncio.gather(*(measure(probe(ProbeKind.ICMP, None, address=f"127.0.0.{n}")) for n in range(1, 9)))
    assert {each.outcome for each in found} == {Outcome.HEALTHY if may_ping() else Outcome.UNMEASURED}


def test_the_checksum_is_that_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D


# --- what the bot itself lacks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ProbeKind.HTTP, ProbeKind.TCP, ProbeKind.DNS, ProbeKind.TLS, ProbeKind.ICMP])
async def test_without_file_descriptors_nothing_is_measured_and_nobody_is_blamed(kind: ProbeKind) -> None:
    prober = NetworkProber(trust=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    port = closed_port()
    await measure(probe(ProbeKind.TLS, port), prober)
    with no_descriptors():
        found = await measure(probe(kind, port, query="x.test"), prober)
    assert found.outcome is Outcome.UNMEASURED
    assert "raise LimitNOFILE" in found.reason


@contextmanager
def no_descriptors() -> Iterator[None]:
    """No further file can be opened in here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path("/dev/null").open() as probe_file:
        lowest = probe_file.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_an_address_without_a_port_cannot_be_asked() -> None:
    found = await measure(probe(ProbeKind.TCP, None))
    assert (found.outcome, found.reason) == (
        Outcome.UNMEASURED,
        "the probe vip:x has no port: give it one in the fleet file",
    )


async def test_a_question_that_cannot_be_put_is_unmeasured() -> None:
    header = await measure(probe(ProbeKind.HTTP, closed_port(), path="/\r\nX: y"))
    name = await measure(probe(ProbeKind.DNS, closed_port(), query="a..b"))
    assert header.outcome is name.outcome is Outcome.UNMEASURED


async def test_a_timeout_that_the_bot_slept_through_is_the_bots_own_fault() -> None:
    async with server(hangs) as port:
        running = asyncio.create_task(measure(probe(ProbeKind.HTTP, port, timeout=0.05)))
        await asyncio.sleep(0.02)
        loop = asyncio.get_running_loop()
        stalled_until = loop.time() + 0.5
        while loop.time() < stalled_until:  # what a blocking call does to the event loop
            pass
        found = await running
    assert found.outcome is Outcome.UNMEASURED
    assert found.reason.startswith("the bot was held up")


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (errno.ENETUNREACH, Outcome.UNMEASURED),
        (errno.EMFILE, Outcome.UNMEASURED),
        (errno.EADDRNOTAVAIL, Outcome.UNMEASURED),
        (errno.EPERM, Outcome.UNMEASURED),
        (errno.EHOSTUNREACH, Outcome.UNHEALTHY),
        (errno.ECONNREFUSED, Outcome.UNHEALTHY),
        (errno.EPROTO, Outcome.UNHEALTHY),
    ],
)
def test_errors_of_the_bots_own_host_are_told_apart_from_the_targets(number: int, outcome: Outcome) -> None:
    assert of_error(OSError(number, os.strerror(number)), "connecting").outcome is outcome


async def test_a_cancelled_measurement_leaves_no_connection_behind() -> None:
    closed = asyncio.Event()

    async def wait_for_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        running.cancel()
        await reader.read()
        closed.set()

    async with server(wait_for_end) as port:
        running = asyncio.create_task(measure(probe(ProbeKind.HTTP, port)))
        await asyncio.wait([running])
        await closed.wait()
    assert running.cancelled()


def test_any_cut_of_a_chunked_body_is_incomplete_and_never_broken() -> None:
    whole = b"5\r\nhello\r\n1a;x\r\n" + b"z" * 26 + b"\r\n0\r\n\r\n"
    assert dechunk(whole).content == b"hello" + b"z" * 26
    for cut in range(len(whole) - len(b"0\r\n\r\n") + 2):
        found = dechunk(whole[:cut])
        assert not found.complete
        assert not found.broken
        assert whole.replace(b"\r\n", b"").startswith(b"5") or found.content == b""


def test_an_answer_gives_its_verdict_once_however_it_is_cut() -> None:
    question = Question(path="/", host=None, expect_status=(200,), expect_body="lo")
    text = OK + b"Content-Length: 5\r\n\r\nhello"
    for cut in range(len(text)):
        answer = Answer(question)
        assert answer.feed(text[:cut]) is None
        verdict = answer.feed(text[cut:])
        assert verdict is not None
        assert verdict.outcome is Outcome.HEALTHY
