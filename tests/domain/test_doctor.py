"""The doctor: each thing that can be wrong is found, judged, and comes with the next step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.doctor import Examination, Finding, Judgement, Known, examine, narrowed
from bot.domain.events import (
    Actor,
    CertificateChanged,
    KeepalivedProcess,
    NatPath,
    OperationKind,
    ProcessRole,
    RollCallAnswer,
    Via,
    VrrpState,
)
from bot.domain.fleet import Cluster, Forwarding, Probe, ProbeKind, Protocol
from bot.domain.health import Outcome
from bot.domain.observed import UnitActive
from bot.domain.operations import Operation, Operations, Override, Phase
from bot.domain.situation import Health, Situation, fold
from tests.domain.reference import NOON, SITE, VIP, WEIGHTS, Pen, answer, unit

SERVICES = tuple(s.name for s in SITE.services)
PROCESSES = tuple(
    KeepalivedProcess(pid=600 + n, role=role, state="S")
    for n, role in enumerate((ProcessRole.PARENT, ProcessRole.VRRP, ProcessRole.CHECKERS))
)
PATH = NatPath(ip_forward=True, conntrack=True, snat=True, packets=100, untracked=True)
NOW = NOON + timedelta(minutes=10)
ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)


def well(director: str, **different: object) -> RollCallAnswer:
    """What a director answers when all is well."""
    whole = replace(
        answer(director, holds=director == "sv1"),
        services=SERVICES,
        processes=PROCESSES,
        nat=PATH,
        clock_behind_s=0.1,
    )
    return replace(whole, **different)  # type: ignore[arg-type]


def calm() -> Situation:
    """All targets healthy, and each director's last word is what it is."""
    pen = Pen().says(0, "sv1", VrrpState.MASTER).says(0.1, "sv2", VrrpState.BACKUP)
    situation = Situation()
    for line in pen.lines:
        situation = fold(situation, line, SITE)
    targets = [(s.name, r) for s in SITE.services for r in (None, "web1", "web2")]
    return replace(situation, health={t: Health(outcome=Outcome.HEALTHY, since=NOON, reason="") for t in targets})


@dataclass
class Patient:
    """A site to be examined; a test spoils what it is about."""

    sv1: RollCallAnswer = field(default_factory=lambda: well("sv1"))
    sv2: RollCallAnswer = field(default_factory=lambda: well("sv2"))
    earlier: tuple[RollCallAnswer, ...] = field(
        default_factory=lambda: (well("sv1", nat=replace(PATH, packets=90)), well("sv2"))
    )
    situation: Situation = field(default_factory=calm)
    operations: Operations = field(default_factory=Operations)
    heard: Mapping[str, datetime | None] | None = field(
        default_factory=lambda: {d: NOW - timedelta(seconds=3) for d in ("sv1", "sv2")}
    )
    listening: datetime | None = None
    cluster: Cluster = SITE

    def found(self) -> tuple[Finding, ...]:
        known = Known(
            situation=self.situation,
            operations=self.operations,
            now=NOW,
            heard=self.heard,
            listening=self.listening,
        )
        return examine(self.cluster, (self.sv1, self.sv2), known, earlier=self.earlier)

    def amiss(self) -> list[tuple[str, str, Judgement]]:
        return [(f.about, f.looked_at, f.judgement) for f in self.found() if f.judgement is not Judgement.OK]

    def only(self) -> Finding:
        """The one thing that is not well."""
        (finding,) = (f for f in self.found() if f.judgement is not Judgement.OK)
        assert finding.then
        return finding


BAD, WARNING, UNKNOWN = Judgement.BAD, Judgement.WARNING, Judgement.UNKNOWN


def test_a_site_that_is_well_is_found_well_and_everything_was_looked_at() -> None:
    findings = Patient().found()
    assert {f.judgement for f in findings} == {Judgement.OK}
    looked_at = {f.looked_at for f in findings}
    assert looked_at == {
        "SSH", "clock", "keepalived", "keepalived's processes", "virtual services", "weights", "net.ipv4.ip_forward",
        "net.ipv4.vs.conntrack", "SNAT rule", "SNAT rule's counter", "agent", "holder", "role", "differences", "probes",
        "packets for a VIP elsewhere",
    }  # fmt: skip
    assert not any(f.then for f in findings)


# --- can it be asked ------------------------------------------------------------------------------------------------


def test_a_director_that_does_not_answer_is_bad_and_the_rest_of_it_unknown() -> None:
    patient = Patient(sv2=RollCallAnswer(director="sv2", error="no answer within 5 s"), heard={"sv1": NOW, "sv2": None})
    assert patient.amiss() == [
        ("sv2", "SSH", BAD),
        ("sv2", "everything else", UNKNOWN),
        ("sv2", "agent", BAD),
    ]
    assert "console of sv2" in next(f.then for f in patient.found() if f.judgement is BAD)


def test_where_its_agent_is_heard_the_way_in_is_to_be_looked_at() -> None:
    patient = Patient(sv2=RollCallAnswer(director="sv2", error="no route to host"))
    assert "so the host lives: look at sshd" in next(f.then for f in patient.found() if f.judgement is BAD)


def test_a_director_that_refuses_the_bot_is_no_dead_one() -> None:
    patient = Patient(sv2=RollCallAnswer(director="sv2", error="the host key changed", refused=True))
    bad = next(f for f in patient.found() if f.judgement is BAD)
    assert "does not let the bot in: the host key changed" in bad.found
    assert "known_hosts" in bad.then


@pytest.mark.parametrize(
    ("behind", "judgement", "words"),
    [
        (0.4, Judgement.OK, "right to within a second"),
        (1.5, Judgement.OK, "1.5 s behind"),
        (-12.0, WARNING, "12.0 s ahead; its times mislead"),
        (301.0, BAD, "301.0 s behind; its events are refused as too old"),
        (None, UNKNOWN, "it could not be read"),
    ],
)
def test_a_clock_is_judged_by_how_far_it_is_off(behind: float | None, judgement: Judgement, words: str) -> None:
    findings = Patient(sv1=well("sv1", clock_behind_s=behind)).found()
    clock = next(f for f in findings if (f.about, f.looked_at) == ("sv1", "clock"))
    assert (clock.judgement, clock.found) == (judgement, words)


# --- keepalived -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("active", "result", "judgement", "words"),
    [
        (UnitActive.FAILED, "exit-code", BAD, "its unit is failed (exit-code)"),
        (UnitActive.INACTIVE, "success", BAD, "its unit is inactive"),
        (UnitActive.RELOADING, "success", WARNING, "its unit is reloading"),
    ],
)
def test_keepalived_s_unit_has_to_be_active(active: UnitActive, result: str, judgement: Judgement, words: str) -> None:
    patient = Patient(sv2=well("sv2", keepalived=unit(active, result)))
    finding = patient.only()
    assert (finding.about, finding.looked_at, finding.judgement, finding.found) == (
        "sv2",
        "keepalived",
        judgement,
        words,
    )


def test_a_table_that_keepalived_took_with_it_is_not_told_besides() -> None:
    patient = Patient(sv2=well("sv2", keepalived=unit(UnitActive.INACTIVE), services=(), weights=(), processes=()))
    assert patient.amiss() == [("sv2", "keepalived", BAD)]


def test_a_process_that_is_stopped_by_a_signal_is_frozen() -> None:
    frozen = (*PROCESSES[:2], replace(PROCESSES[2], state="Tl"))
    finding = Patient(sv1=well("sv1", processes=frozen)).only()
    assert finding.judgement is BAD
    assert finding.found == "its health checker (pid 602) is frozen: stopped by a signal (state T)"
    assert "kill -CONT 602" in finding.then


def test_a_process_that_is_missing_or_dead_is_told_by_its_role() -> None:
    assert Patient(sv1=well("sv1", processes=PROCESSES[:2])).only().found == "its health checker is not there"
    dead = (PROCESSES[0], replace(PROCESSES[1], state="Z"), PROCESSES[2])
    assert "its VRRP process (pid 601) has ended" in Patient(sv1=well("sv1", processes=dead)).only().found


def test_processes_that_do_not_say_what_they_are_are_counted() -> None:
    nameless = (PROCESSES[0], *(replace(p, role=ProcessRole.CHILD) for p in PROCESSES[1:]))
    assert Patient(sv1=well("sv1", processes=nameless)).amiss() == []
    finding = Patient(sv1=well("sv1", processes=nameless[:2])).only()
    assert finding.found == "one of its 3 processes is not there"


# --- the table ------------------------------------------------------------------------------------------------------


def test_a_service_that_is_gone_from_the_table_is_bad_if_both_looks_miss_it() -> None:
    weights = tuple(w for w in WEIGHTS if w[0] != "http")
    emptied = well("sv1", services=("dns-udp",), weights=weights)
    torn = Patient(sv1=emptied)
    assert ("sv1", "virtual services", BAD) not in torn.amiss()
    patient = Patient(sv1=emptied, earlier=(emptied, well("sv2")))
    assert patient.amiss() == [("sv1", "virtual services", BAD)], "what the service lacks is told by that"
    finding = next(f for f in patient.found() if f.looked_at == "virtual services" and f.judgement is BAD)
    assert finding.found == "the IPVS table lacks http, and keepalived runs"
    assert "Restart keepalived on sv1" in finding.then


def test_a_weight_that_is_not_the_fleet_file_s_is_a_warning_on_that_director_and_a_difference() -> None:
    other = tuple((s, r, 5 if (s, r) == ("http", "web1") else w) for s, r, w in WEIGHTS)
    patient = Patient(sv2=well("sv2", weights=other), earlier=())
    assert patient.amiss() == [("sv2", "web1 in http", WARNING), ("site", "differences", WARNING)]
    found = [f.found for f in patient.found()]
    assert "it has weight 5, and the fleet file says 1" in found
    assert "the directors differ: web1 in http (1 on sv1, 5 on sv2)" in found


def drained() -> Operations:
    override = Override(cluster="site", real_server="web1", by=ALICE, since=NOON, operation="op-1", weights={})
    return Operations(overrides={("site", "web1"): override})


def test_what_is_drained_has_weight_0_and_any_other_is_bad() -> None:
    zero = tuple((s, r, 0 if r == "web1" else w) for s, r, w in WEIGHTS)
    both = {"sv1": well("sv1", weights=zero), "sv2": well("sv2", weights=zero)}
    assert Patient(**both, operations=drained()).amiss() == []  # type: ignore[arg-type]
    patient = Patient(sv1=both["sv1"], operations=drained(), earlier=())
    assert ("sv2", "web1 in http", BAD) in patient.amiss()
    assert any("drained by alice and has weight 1 all the same" in f.found for f in patient.found())


def test_what_a_restore_could_not_reach_is_not_called_somebody_elses() -> None:
    zero = tuple((s, r, 0 if (s, r) == ("http", "web1") else w) for s, r, w in WEIGHTS)
    owed = Operations(owed={("site", "web1"): {("sv2", "http"): 1}})
    patient = Patient(sv2=well("sv2", weights=zero), operations=owed)
    assert ("sv2", "web1 in http", WARNING) in patient.amiss()
    assert "it has weight 0, and was restored while sv2 did not answer" in [f.found for f in patient.found()]


def test_what_an_operation_is_changing_right_now_is_no_finding() -> None:
    running = Operation(
        id="op-1", kind=OperationKind.DRAIN, cluster="site", real_server="web1", by=ALICE, requested_at=NOON, steps=(),
        phase=Phase.RUNNING,
    )  # fmt: skip
    busy = replace(drained(), by_id={"op-1": running})
    assert Patient(operations=busy).amiss() == []
    waiting = replace(busy, by_id={"op-1": replace(running, phase=Phase.WAITING)})
    assert ("sv2", "web1 in http", BAD) in Patient(operations=waiting).amiss()


def test_a_member_that_is_missing_is_judged_by_whether_anything_says_it_is_down() -> None:
    without = tuple(w for w in WEIGHTS if w[:2] != ("http", "web1"))
    gone = {"sv1": well("sv1", weights=without), "sv2": well("sv2", weights=without)}
    earlier = (replace(gone["sv1"], nat=replace(PATH, packets=90)), gone["sv2"])
    silent = Patient(**gone, earlier=earlier)  # type: ignore[arg-type]
    assert silent.amiss() == [("sv1", "web1 in http", BAD), ("sv2", "web1 in http", BAD)]
    down = Health(outcome=Outcome.UNHEALTHY, since=NOON, reason="refused")
    situation = replace(calm(), health={**calm().health, ("http", "web1"): down})
    known = Patient(**gone, earlier=earlier, situation=situation)  # type: ignore[arg-type]
    assert known.amiss() == [
        ("sv1", "web1 in http", WARNING),
        ("sv2", "web1 in http", WARNING),
        ("web1", "probe for http", WARNING),
    ]
    assert Patient(**gone).amiss() == [], "it was there a moment ago"  # type: ignore[arg-type]


def test_a_real_server_inside_of_a_dead_director_is_explained_by_that() -> None:
    gone = well("sv2", holds=(VIP,), weights=tuple(w for w in WEIGHTS if w[1] != "web1"))
    patient = Patient(sv1=RollCallAnswer(director="sv1", error="no answer"), sv2=gone, earlier=(gone,))
    found = [f for f in patient.found() if f.about == "sv2" and f.looked_at.startswith("web1")]
    assert [f.judgement for f in found] == [WARNING, WARNING]
    assert found[0].found == "keepalived took it out: it lives inside sv1, which does not answer"


def test_a_stranger_in_a_pool_is_a_warning() -> None:
    finding = Patient(sv1=well("sv1", strangers=(("http", "10.100.0.99:80", 1),))).only()
    assert (finding.looked_at, finding.judgement) == ("pool of http", WARNING)
    assert finding.found.startswith("10.100.0.99:80 stands in it (weight 1)")


def test_a_table_that_could_not_be_read_is_unknown_and_not_empty() -> None:
    patient = Patient(sv1=well("sv1", weights=None, services=None))
    assert patient.amiss() == [("sv1", "IPVS table", UNKNOWN)]


# --- the NAT path ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "looked_at", "judgement"),
    [
        (replace(PATH, ip_forward=False), "net.ipv4.ip_forward", BAD),
        (replace(PATH, conntrack=False), "net.ipv4.vs.conntrack", BAD),
        (replace(PATH, conntrack=None), "net.ipv4.vs.conntrack", UNKNOWN),
        (replace(PATH, snat=False, packets=None), "SNAT rule", BAD),
        (replace(PATH, packets=0), "SNAT rule's counter", UNKNOWN),
        (replace(PATH, untracked=False), "packets for a VIP elsewhere", WARNING),
        (replace(PATH, untracked=None), "packets for a VIP elsewhere", UNKNOWN),
    ],
)
def test_each_part_of_the_nat_path_is_looked_at(path: NatPath, looked_at: str, judgement: Judgement) -> None:
    finding = Patient(sv1=well("sv1", nat=path)).only()
    assert (finding.about, finding.looked_at, finding.judgement) == ("sv1", looked_at, judgement)


def test_a_counter_that_stands_still_is_bad_only_while_the_vip_fails() -> None:
    still = well("sv1", nat=replace(PATH, packets=90))
    assert Patient(sv1=still).amiss() == [], "nobody need have come"
    down = Health(outcome=Outcome.UNHEALTHY, since=NOON, reason="no answer within 0.9 s")
    situation = replace(calm(), health={**calm().health, ("http", None): down})
    patient = Patient(sv1=still, situation=situation)
    assert patient.amiss() == [("sv1", "SNAT rule's counter", BAD), ("http", "probe of the VIP", BAD)]
    words = next(f.found for f in patient.found() if f.judgement is BAD)
    assert words == "90 packets, none of them between two looks, while the VIP does not answer and sv1 holds it"
    assert Patient(situation=situation).amiss() == [("http", "probe of the VIP", BAD)], "it counts: it is not the rule"


def test_the_counter_of_a_director_that_holds_nothing_says_nothing() -> None:
    idle = well("sv2", nat=replace(PATH, packets=0))
    assert Patient(sv2=idle, earlier=(well("sv1"), idle)).amiss() == []


def test_nothing_of_it_is_asked_where_no_service_forwards_by_nat() -> None:
    services = tuple(replace(s, forwarding=Forwarding.DIRECT_ROUTING) for s in SITE.services)
    patient = Patient(sv1=well("sv1", nat=None), sv2=well("sv2", nat=None), cluster=replace(SITE, services=services))
    assert patient.amiss() == []


def test_ipv4_forwarding_is_not_asked_of_a_site_that_forwards_ipv6_only() -> None:
    services = tuple(replace(s, address=ip_address("2001:db8::11")) for s in SITE.services)
    patient = Patient(sv1=well("sv1", nat=replace(PATH, ip_forward=False)), cluster=replace(SITE, services=services))
    assert "net.ipv4.ip_forward" not in {f.looked_at for f in patient.found()}


def test_a_path_that_could_not_be_read_is_unknown() -> None:
    patient = Patient(sv1=well("sv1", nat=None))
    assert [(looked_at, j) for _, looked_at, j in patient.amiss()] == [
        ("net.ipv4.ip_forward", UNKNOWN),
        ("net.ipv4.vs.conntrack", UNKNOWN),
        ("SNAT rule", UNKNOWN),
        ("packets for a VIP elsewhere", UNKNOWN),
    ]


# --- who holds the address ------------------------------------------------------------------------------------------


def test_two_holders_are_a_split_brain() -> None:
    patient = Patient(sv2=well("sv2", holds=(VIP,)))
    assert ("VI_1", "holder", BAD) in patient.amiss()
    finding = next(f for f in patient.found() if f.looked_at == "holder")
    assert finding.found == "split brain: sv1 and sv2 hold the address"
    assert "stop keepalived on sv2" in finding.then


def test_an_address_that_nobody_holds_is_bad_and_unknown_while_somebody_does_not_answer() -> None:
    patient = Patient(sv1=well("sv1", holds=()))
    assert ("VI_1", "holder", BAD) in patient.amiss()
    silent = Patient(sv1=RollCallAnswer(director="sv1", error="no answer"))
    assert ("VI_1", "holder", UNKNOWN) in silent.amiss()


@pytest.mark.parametrize(
    ("sv1", "words"),
    [
        (well("sv1", holds=()), "sv2 (90) holds the address, sv1 (100) should: keepalived runs on sv1"),
        (
            well("sv1", holds=(), keepalived=unit(UnitActive.INACTIVE)),
            "sv2 (90) holds the address, sv1 (100) should: keepalived does not run on sv1",
        ),
        (
            RollCallAnswer(director="sv1", error="x"),
            "sv2 (90) holds the address, sv1 (100) should: sv1 does not answer",
        ),
    ],
)
def test_a_holder_of_lower_priority_is_a_warning_that_says_why(sv1: RollCallAnswer, words: str) -> None:
    patient = Patient(sv1=sv1, sv2=well("sv2", holds=(VIP,)))
    role = next(f for f in patient.found() if f.looked_at == "role")
    assert (role.judgement, role.found) == (WARNING, words)
    assert role.then


def test_a_last_word_that_is_not_what_the_director_is_was_not_the_last() -> None:
    patient = Patient(sv1=well("sv1", holds=()), sv2=well("sv2", holds=(VIP,)))
    words = {f.about: f.found for f in patient.found() if f.looked_at == "its last word on VI_1"}
    assert words == {"sv1": "MASTER, and it does not hold the address", "sv2": "BACKUP, and it holds the address"}


# --- agents and probes ----------------------------------------------------------------------------------------------


def test_an_agent_that_is_not_heard_is_bad_and_one_that_never_was_waits_for_its_first_word() -> None:
    late = NOW - timedelta(seconds=31)
    assert Patient(heard={"sv1": NOW, "sv2": late}).only().found.endswith("(last heard 31.0 s ago)")
    begun = Patient(heard={"sv1": NOW, "sv2": None}, listening=NOW - timedelta(seconds=5))
    assert begun.amiss() == [("sv2", "agent", UNKNOWN)]
    assert Patient(heard={"sv1": NOW, "sv2": None}, listening=late).amiss() == [("sv2", "agent", BAD)]
    assert Patient(heard={"sv1": NOW}).amiss() == [], "none is set up on sv2"


def test_where_nobody_hears_agents_the_journal_s_word_counts() -> None:
    assert Patient(heard=None).amiss() == []
    silent = replace(calm(), silent=frozenset({"sv1"}))
    assert Patient(heard=None, situation=silent).amiss() == [("sv1", "agent", BAD)]


def test_what_an_agent_complains_of_is_told_in_its_words() -> None:
    patient = Patient(situation=replace(calm(), complaining_agents={"sv1": "spool: No space left on device"}))
    assert patient.amiss() == [("sv1", "agent", BAD)]
    assert patient.only().found == "it complains: spool: No space left on device"


def test_an_agent_that_lost_events_is_a_warning() -> None:
    patient = Patient(situation=replace(calm(), gaps={"sv1": "its spool was full"}))
    assert patient.only().found == "it lost events: its spool was full"


def probe(server: str | None) -> Probe:
    return Probe(
        name="x", cluster="site", service="http", real_server=server, kind=ProbeKind.TCP, protocol=Protocol.TCP,
        address=SITE.real_servers[0].address, port=80,
    )  # fmt: skip


def test_a_probe_that_says_nothing_is_unknown_where_there_is_one() -> None:
    cluster = replace(SITE, probes=(probe(None), probe("web1")))
    patient = Patient(situation=replace(calm(), health={}), cluster=cluster)
    assert patient.only().found.startswith("2 of 6 targets were never measured")
    unmeasured = Health(outcome=Outcome.UNMEASURED, since=NOON, reason="no route to host")
    patient = Patient(situation=replace(calm(), health={**calm().health, ("http", None): unmeasured}))
    assert patient.amiss() == [("http", "probe of the VIP", UNKNOWN)]


def test_a_probe_that_fails_since_another_day_says_since_which() -> None:
    for since, told in ((NOON, "12:00:00"), (NOON - timedelta(days=1), "02-28 12:00:00")):
        down = Health(outcome=Outcome.UNHEALTHY, since=since, reason="refused")
        found = Patient(situation=replace(calm(), health={**calm().health, ("http", "web1"): down})).only()
        assert found.found == f"it fails since {told} UTC: refused"


def test_one_healthy_target_is_one() -> None:
    health = calm().health
    one = replace(calm(), health={("http", None): health["http", None]})
    for situation, told in ((one, "1 target is healthy"), (calm(), "6 targets are healthy")):
        assert told in [f.found for f in Patient(situation=situation).found()]


def test_the_last_real_server_down_is_worse_than_one_of_two() -> None:
    down = Health(outcome=Outcome.UNHEALTHY, since=NOON, reason="refused")
    one = replace(calm(), health={**calm().health, ("http", "web1"): down})
    assert Patient(situation=one).amiss() == [("web1", "probe for http", WARNING)]
    both = replace(one, health={**one.health, ("http", "web2"): down})
    assert Patient(situation=both).amiss() == [("web1", "probe for http", BAD), ("web2", "probe for http", BAD)]
    narrow = narrowed(SITE, SITE.real_server("web1"))
    assert Patient(situation=one, cluster=narrow).amiss() == [("web1", "probe for http", WARNING)]


def test_a_certificate_that_is_about_to_end_is_a_warning() -> None:
    ending = CertificateChanged(
        cluster="site", service="http", real_server=None, expiring=True, ends_at=NOW + timedelta(days=3), least_days=14
    )
    situation = replace(calm(), certificates={("http", None): ending})
    assert Patient(situation=situation).amiss() == [("http", "certificate for http", WARNING)]


# --- a part of it ---------------------------------------------------------------------------------------------------


def test_a_name_narrows_what_is_looked_at_down() -> None:
    assert {f.about for f in Patient(cluster=narrowed(SITE, SITE.director("sv2"))).found()} == {"sv2", "VI_1", "site"}
    narrow = narrowed(SITE, SITE.service("http"))
    assert [s.name for s in narrow.services] == ["http"]
    assert Patient(cluster=narrow).amiss() == []
    other = tuple((s, r, 5 if r == "web2" else w) for s, r, w in WEIGHTS)
    patient = Patient(sv1=well("sv1", weights=other), cluster=narrowed(SITE, SITE.real_server("web1")))
    assert patient.amiss() == [], "web2 is not what was asked about"
    assert narrowed(SITE, SITE) is SITE
    assert [s.name for s in narrowed(SITE, SITE.vrrp_instance("VI_1")).services] == ["http", "dns-udp"]


# --- whatever comes -------------------------------------------------------------------------------------------------

processes = st.builds(
    KeepalivedProcess, pid=st.integers(1, 9), role=st.sampled_from(ProcessRole), state=st.sampled_from("STZD")
)
answers = st.builds(
    RollCallAnswer,
    director=st.sampled_from(["sv1", "sv2"]),
    error=st.none() | st.just("no answer"),
    refused=st.booleans(),
    holds=st.sampled_from([(), (VIP,)]),
    keepalived=st.none() | st.sampled_from(UnitActive).map(unit),
    weights=st.none() | st.lists(st.sampled_from(WEIGHTS), unique=True).map(tuple),
    services=st.none() | st.lists(st.sampled_from(SERVICES), unique=True).map(tuple),
    processes=st.none() | st.lists(processes).map(tuple),
    nat=st.none()
    | st.builds(
        NatPath,
        ip_forward=st.none() | st.booleans(),
        conntrack=st.none() | st.booleans(),
        snat=st.none() | st.booleans(),
        packets=st.none() | st.integers(0, 9),
        untracked=st.none() | st.booleans(),
    ),
    clock_behind_s=st.none() | st.floats(-1e6, 1e6),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(answers, max_size=2), st.lists(answers, max_size=2), st.booleans())
def test_whatever_the_directors_answer_each_finding_that_is_not_well_says_what_to_do(
    now: list[RollCallAnswer], before: list[RollCallAnswer], hears: bool
) -> None:
    known = Known(situation=calm(), operations=drained(), now=NOW, heard={} if hears else None)
    findings = examine(SITE, tuple(now), known, earlier=tuple(before))
    for finding in findings:
        assert finding.found
        assert bool(finding.then) == (finding.judgement is not Judgement.OK), finding
    examination = Examination(cluster="site", name=None, at=NOW, findings=findings)
    silent = {d.name for d in SITE.directors if not any(a.director == d.name and a.answered for a in now)}
    if silent:
        assert examination.worst is Judgement.BAD
