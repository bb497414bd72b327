"""Prober over the network: picks the question, keeps the time, and turns every ending into a result."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bot.adapters.prober import dns, http, icmp, tcp, tls
from bot.adapters.prober.stage import Stage
from bot.adapters.prober.verdict import Verdict, of_error, unhealthy, unmeasured
from bot.adapters.source_ports import SourcePorts
from bot.domain.fleet import Probe, ProbeKind, Protocol
from bot.domain.health import ProbeResult

log = logging.getLogger(__name__)

HELD_UP_S = 0.25
"""A timeout that is noticed this much too late was the bot's own fault: its event loop or its host stood still."""


class NetworkProber:
    """Measures over real sockets (implements ``bot.flows.ports.Prober``).

    ``trust`` makes what TLS certificates are verified against; by default the host's own certificate authorities.
    ``sources`` makes the sockets, each from a port of its own.
    """

    def __init__(
        self, *, trust: Callable[[], ssl.SSLContext] = ssl.create_default_context, sources: SourcePorts | None = None
    ) -> None:
        self._trust = trust
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._sources = sources or SourcePorts()

    async def measure(self, probe: Probe) -> ProbeResult:
        """The outcome of one question (see ``Prober.measure``); never raises, except when it is cancelled."""
        stage = Stage()
        started_at = datetime.now(UTC)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(probe.timeout):
                verdict = await self._ask(probe, stage)
        except TimeoutError:
            verdict = _too_late(probe, stage, time.perf_counter() - began)
        except OSError as error:
            verdict = of_error(error, stage.doing)
        except Exception as error:
            # A defect of ours must neither look like a dead target nor stop the schedule.
            log.exception("probe %s failed while %s", probe.name, stage.doing)
            verdict = unmeasured(f"a defect in the bot while {stage.doing}: {type(error).__name__}: {error}")
        return ProbeResult(
            probe=probe.name,
            outcome=verdict.outcome,
            started_at=started_at,
            latency_s=time.perf_counter() - began,
            reason=verdict.reason,
            detail=verdict.detail,
            certificate_ends_at=verdict.certificate_ends_at,
            began=began,
        )

    async def _ask(self, probe: Probe, stage: Stage) -> Verdict:
        address = str(probe.address)
        if probe.kind is ProbeKind.ICMP:
            return await icmp.echo(probe.address, stage)
        if probe.port is None:
            return unmeasured(f"the probe {probe.name} has no port: give it one in the fleet file")
        match probe.kind:
            case ProbeKind.HTTP:
                return await http.get(address, probe.port, _http_question(probe), stage, self._sources)
            case ProbeKind.TCP:
                return await tcp.connect(address, probe.port, stage, self._sources)
            case ProbeKind.DNS:
                return await dns.resolve(address, probe.port, _dns_question(probe), stage, self._sources)
            case ProbeKind.TLS:
                return await tls.expiry(
                    address,
                    probe.port,
                    server_name=probe.server_name,
                    least_days=probe.expiry_days,
                    trust=await self._context(check_name=probe.server_name is not None),
                    stage=stage,
                    sources=self._sources,
                )

    async def _context(self, *, check_name: bool) -> ssl.SSLContext:
        if check_name not in self._contexts:
            # Reading the host's certificate authorities takes tens of milliseconds: not on the event loop.
            context = await asyncio.to_thread(self._trust)
            context.check_hostname = check_name
            self._contexts[check_name] = context
        return self._contexts[check_name]

    async def close(self) -> None:
        """Nothing is kept open between measurements."""


def _http_question(probe: Probe) -> http.Question:
    return http.Question(
        path=probe.path,
        host=probe.host_header,
        expect_status=probe.expect_status,
        expect_body=probe.expect_body,
    )


def _dns_question(probe: Probe) -> dns.Question:
    return dns.Question(
        name=probe.query or ".",
        kind=probe.query_type,
        over_tcp=probe.protocol is Protocol.TCP,
        expect_answer=probe.expect_answer,
    )


def _too_late(probe: Probe, stage: Stage, took_s: float) -> Verdict:
    if took_s > probe.timeout + HELD_UP_S:
        return unmeasured(f"the bot was held up: a timeout of {probe.timeout:g} s took it {took_s:.1f} s to notice")
    return unhealthy(f"{stage.doing}: no answer within {probe.timeout:g} s")
