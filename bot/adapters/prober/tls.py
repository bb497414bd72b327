"""TLS: whether the certificate verifies, and for how many days more."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime

from bot.adapters.prober.stage import Stage
from bot.adapters.prober.verdict import Verdict, healthy, unhealthy
from bot.adapters.source_ports import SourcePorts

DAY_S = 86400


async def expiry(
    address: str,
    port: int,
    *,
    server_name: str | None,
    least_days: int,
    trust: ssl.SSLContext,
    stage: Stage,
    sources: SourcePorts,
) -> Verdict:
    """Shake hands and look at the certificate, which must verify.

    One that ends within *least_days* is no outage yet: the target is healthy, and the verdict says when it ends. The
    name is verified where *server_name* says which to expect: one address may serve many. Raises OSError when the
    connection fails.
    """
    stage.doing = "connecting"
    sock = await sources.connected(address, port, socket.SOCK_STREAM)
    stage.doing = "shaking hands (TLS)"
    try:
        # All at once: what a server says before it is asked must not be read as anything but TLS.
        _, writer = await asyncio.open_connection(sock=sock, ssl=trust, server_hostname=server_name or address)
    except ssl.SSLCertVerificationError as error:
        return unhealthy(f"certificate: {error.verify_message}")
    except ssl.SSLError as error:
        return unhealthy(f"TLS handshake: {error.reason or error}")
    certificate = writer.get_extra_info("peercert")
    writer.transport.abort()
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (ends_at - datetime.now(UTC)).total_seconds() / DAY_S
    detail = f"certificate ends {ends_at:%Y-%m-%d %H:%M} UTC, in {days:.1f} days"
    if days < least_days:
        detail += f"; fewer than {least_days} are left"
    return healthy(detail, certificate_ends_at=ends_at)
