"""What the bot's own probes say."""

from __future__ import annotations

from collections.abc import Iterator

from bot.domain.doctor.finding import Finding, Judgement, Look, unread
from bot.domain.fleet import VirtualService
from bot.domain.health import Outcome
from bot.domain.moments import moment


def probes(look: Look) -> Iterator[Finding]:
    """What the bot's own probes say."""
    targets = [(s, r) for s in look.cluster.services for r in (None, *(m.real_server for m in s.members))]
    mute = [t for t in targets if (t[0].name, t[1]) not in look.known.situation.health and _probed(look, *t)]
    for service, server in targets:
        if (service, server) not in mute:
            yield from _probe(look, service, server)
        yield from _certificate(look, service, server)
    well = sum(look.known.situation.healthy(s.name, r) is True for s, r in targets)
    if well:
        words = f"{well} {'target is' if well == 1 else 'targets are'} healthy"
        yield Finding(about=look.cluster.name, looked_at="probes", judgement=Judgement.OK, found=words)
    if mute:
        found = f"{len(mute)} of {len(targets)} targets were never measured: the bot does not run, or has just begun"
        yield unread(look.cluster.name, "probes", "Ask again when the bot has run for a minute.", found)


def _probed(look: Look, service: VirtualService, server: str | None) -> bool:
    return any(p.service == service.name and p.real_server == server for p in look.cluster.probes)


def _probe(look: Look, service: VirtualService, server: str | None) -> Iterator[Finding]:
    health = look.known.situation.health.get((service.name, server))
    about, target = (server, f"probe for {service.name}") if server else (service.name, "probe of the VIP")
    if health is None or health.outcome is Outcome.HEALTHY:
        return
    since = moment(health.since, look.known.now)
    if health.outcome is Outcome.UNMEASURED:
        found = f"it cannot be measured since {since} UTC: {health.reason}"
        yield unread(about, target, "Look at the bot's own network: the probe itself cannot be made.", found)
        return
    # By everything that is known of the service: the pool may have been narrowed to the one that is asked about.
    others = server is not None and any(
        name == service.name and other not in (None, server) and h.outcome is Outcome.HEALTHY
        for (name, other), h in look.known.situation.health.items()
    )
    port = next((m.port for m in service.members if m.real_server == server), service.port)
    yield Finding(
        about=about,
        looked_at=target,
        judgement=Judgement.WARNING if others else Judgement.BAD,
        found=f"it fails since {since} UTC: {health.reason}",
        then=f"Look at {server}: does anything listen on port {port}?"
        if server
        else "The other findings say what stands in the way; if none does, ask the VIP from a client's network.",
    )


def _certificate(look: Look, service: VirtualService, server: str | None) -> Iterator[Finding]:
    known = look.known.situation.certificates.get((service.name, server))
    if known is not None and known.expiring:
        yield Finding(
            about=server or service.name,
            looked_at=f"certificate for {service.name}",
            judgement=Judgement.BAD if known.ends_at <= look.known.now else Judgement.WARNING,
            found=f"it ends at {known.ends_at:%Y-%m-%d %H:%M} UTC",
            then="Renew it, and load it where TLS ends.",
        )
