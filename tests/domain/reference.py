"""The reference site as a value, and a pen that writes a journal by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from bot.domain.events import (
    AgentSilenceChanged,
    Event,
    HealthChanged,
    KeepalivedProcess,
    OutageMeasured,
    ProcessRole,
    RealServerChanged,
    Recorded,
    RollCallAnswer,
    RollCallTaken,
    VrrpState,
    VrrpStateChanged,
)
from bot.domain.fleet import (
    CheckKind,
    Cluster,
    Director,
    Fleet,
    Forwarding,
    HealthCheck,
    PoolMember,
    Protocol,
    RealServer,
    Snat,
    VirtualService,
    VrrpInstance,
)
from bot.domain.health import Outcome
from bot.domain.observed import UnitActive, UnitState, key_of

VIP = "10.100.5.11"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def service(name: str, protocol: Protocol, port: int) -> VirtualService:
    return VirtualService(
        name=name,
        protocol=protocol,
        address=ip_address(VIP),
        port=port,
        fwmark=None,
        vrrp_instance="VI_1",
        scheduler="rr",
        forwarding=Forwarding.MASQUERADING,
        members=(PoolMember(real_server="web1", port=port), PoolMember(real_server="web2", port=port)),
        check=HealthCheck(kind=CheckKind.TCP_CHECK, connect_timeout=1, retries=2, delay_before_retry=1),
    )


SITE = Cluster(
    name="site",
    directors=(
        Director(name="sv1", address=ip_address("10.100.0.10"), interface="br0"),
        Director(name="sv2", address=ip_address("10.100.0.20"), interface="br0"),
    ),
    vrrp_instances=(
        VrrpInstance(
            name="VI_1",
            virtual_router_id=100,
            interface="br0",
            advert_int=1,
            virtual_addresses=(ip_interface(f"{VIP}/21"),),
            priorities=(("sv1", 100), ("sv2", 90)),
        ),
    ),
    real_servers=(
        RealServer(name="web1", address=ip_address("10.100.0.11"), host="sv1"),
        RealServer(name="web2", address=ip_address("10.100.0.21"), host="sv2"),
    ),
    services=(service("http", Protocol.TCP, 80), service("dns-udp", Protocol.UDP, 53)),
    snat=Snat(vaddr=ip_network("10.100.5.0/24")),
)
FLEET = Fleet(clusters=(SITE,))


def unit(active: UnitActive, result: str = "success") -> UnitState:
    return UnitState(unit="keepalived.service", active=active, sub="running", result=result, main_pid=1)


WEIGHTS = tuple((s.name, m.real_server, 1) for s in SITE.services for m in s.members)


def answer(
    director: str,
    *,
    holds: bool = False,
    active: UnitActive = UnitActive.ACTIVE,
    error: str | None = None,
    weights: tuple[tuple[str, str, int], ...] | None = WEIGHTS,
    **more: Any,
) -> RollCallAnswer:
    """What *director* answers; *more* are further fields of its answer."""
    if error:
        return RollCallAnswer(director=director, error=error, **more)
    fields = {"holds": (VIP,) if holds else (), "keepalived": unit(active), "weights": weights, **more}
    return RollCallAnswer(director=director, **fields)


def processes(parent: int = 10, vrrp: int = 11, checkers: int = 12, stopped: str = "") -> tuple[KeepalivedProcess, ...]:
    """keepalived's three processes; those whose role is named in *stopped* are in state T."""
    pids = {ProcessRole.PARENT: parent, ProcessRole.VRRP: vrrp, ProcessRole.CHECKERS: checkers}
    return tuple(
        KeepalivedProcess(pid=pid, role=role, state="T" if role.name in stopped else "S")
        for role, pid in pids.items()
        if pid
    )


@dataclass
class Pen:
    """Writes a journal line by line; times are seconds after noon."""

    lines: list[Recorded] = field(default_factory=list)

    def at(self, seconds: float, event: Event) -> Pen:
        moment = NOON + timedelta(seconds=seconds)
        self.lines.append(Recorded(sequence=len(self.lines) + 1, recorded_at=moment, at_source=moment, event=event))
        return self

    def says(self, seconds: float, director: str, state: VrrpState) -> Pen:
        return self.at(seconds, VrrpStateChanged(cluster="site", director=director, instance="VI_1", state=state))

    def roll_call(self, seconds: float, *answers: RollCallAnswer) -> Pen:
        return self.at(
            seconds,
            RollCallTaken(
                cluster="site", reason="test", asked_at=NOON + timedelta(seconds=seconds - 0.1), answers=answers
            ),
        )

    def all_well(self, seconds: float) -> Pen:
        return self.roll_call(seconds, answer("sv1", holds=True), answer("sv2"))

    def probe(
        self, seconds: float, name: str, real_server: str | None, outcome: Outcome, reason: str = "refused"
    ) -> Pen:
        return self.at(
            seconds,
            HealthChanged(
                cluster="site",
                service=name,
                real_server=real_server,
                outcome=outcome,
                reason=reason,
                since=NOON + timedelta(seconds=seconds),
            ),
        )

    def check(self, seconds: float, director: str, real_server: str, up: bool, name: str = "http") -> Pen:
        found = SITE.service(name)
        server = SITE.real_server(real_server)
        return self.at(
            seconds,
            RealServerChanged(
                cluster="site",
                director=director,
                service=key_of(found),
                address=server.address,
                port=found.port or 0,
                up=up,
            ),
        )

    def outage(self, first_bad: float, last_bad: float, name: str = "http") -> Pen:
        return self.at(
            last_bad + 0.25,
            OutageMeasured(
                cluster="site",
                service=name,
                real_server=None,
                last_good_at=NOON + timedelta(seconds=first_bad - 0.25),
                first_bad_at=NOON + timedelta(seconds=first_bad),
                last_bad_at=NOON + timedelta(seconds=last_bad),
                first_good_at=NOON + timedelta(seconds=last_bad + 0.25),
                failed=max(1, round((last_bad - first_bad) / 0.25)),
            ),
        )

    def silent(self, seconds: float, director: str, silent: bool = True) -> Pen:
        return self.at(seconds, AgentSilenceChanged(cluster="site", director=director, silent=silent))
