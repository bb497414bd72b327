"""What must hold between the entries of a fleet file: names, addresses, priorities, pools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.domain.fleet import Fleet, Forwarding
from bot.settings.fleet_shapes import (
    DirectorShape,
    MemberShape,
    RealServerShape,
    ServiceShape,
    SnatShape,
    VrrpShape,
)
from bot.settings.problems import Key
from bot.settings.reader import Reader


def secret_variable(director: str) -> str:
    """The environment variable with the secret that *director*'s agent signs with."""
    return "LVSBOT_SECRET_" + re.sub(r"[^A-Z0-9]", "_", director.upper())


def check_names(reader: Reader, fleet: Fleet) -> None:
    """Report names that would mean two things: operators type them, and the journal keeps them for ever."""
    clusters: dict[str, Key] = {}
    directors: dict[str, Key] = {}
    sections = ("directors", "real_servers", "virtual_services", "vrrp_instances")
    for cluster in fleet.clusters:
        _once(reader, clusters, cluster.name.casefold(), ("clusters", cluster.name), "name")
    for cluster in fleet.clusters:
        key: Key = ("clusters", cluster.name)
        seen = dict(clusters)
        for section in sections:
            for name in reader.at((*key, section)) or ():
                _once(reader, seen, name.casefold(), (*key, section, name), "name")
        for director in cluster.directors:
            at = (*key, "directors", director.name)
            _once(reader, directors, secret_variable(director.name), at, "director's name (in any cluster)")


def _once(reader: Reader, seen: dict[str, Key], value: str, key: Key, kind: str, *, at_key: bool = True) -> None:
    """Report *value* at *key* if it was seen before; remember it otherwise."""
    first = seen.setdefault(value, key)
    if first != key:
        line = reader.document.problem(first, "", "", at_key=at_key).line
        reader.report(key, f"the {kind} is taken (line {line})", f"another {kind}", at_key=at_key)


@dataclass(slots=True)
class Rules:
    """The entries of one cluster. An entry that is None is there but unusable: it is known by name only."""

    reader: Reader
    key: Key
    directors: Mapping[str, DirectorShape | None]
    real_servers: Mapping[str, RealServerShape | None]
    instances: Mapping[str, VrrpShape | None]
    services: Mapping[str, ServiceShape | None]
    snat: SnatShape | None

    def check(self) -> None:
        """Report what does not fit together, except for pools (see :meth:`check_pool`)."""
        self._hosts()
        self._vrrp()
        seen: dict[str, Key] = {}
        for name, service in self.services.items():
            if service:
                self._service((*self.key, "virtual_services", name), service, seen)
        self._snat()

    def family_of(self, pool: Iterable[str]) -> int:
        """4 or 6: that of the addresses in *pool*, which tell what a firewall mark in front of it is set on."""
        found = (shape.address.version for name in pool if (shape := self.real_servers.get(name)) is not None)
        return next(found, 4)

    def carrier(self, service: ServiceShape) -> str | None:
        """The VRRP instance whose virtual addresses include the service's, or None."""
        return next(
            (
                name
                for name, instance in self.instances.items()
                if instance and any(vip.ip == service.address for vip in instance.virtual_addresses)
            ),
            None,
        )

    def _hosts(self) -> None:
        taken: dict[str, Key] = {}
        for name, director in self.directors.items():
            if director:
                at = (*self.key, "directors", name, "address")
                _once(self.reader, taken, str(director.address), at, "address", at_key=False)
        taken_by_servers: dict[str, Key] = {}
        for name, server in self.real_servers.items():
            if server is None:
                continue
            at = (*self.key, "real_servers", name)
            _once(self.reader, taken_by_servers, str(server.address), (*at, "address"), "address", at_key=False)
            if server.host is not None and server.host not in self.directors:
                self.reader.unknown((*at, "host"), server.host, "director", self.directors)

    def _vrrp(self) -> None:
        ids: dict[str, Key] = {}
        addresses: dict[str, Key] = self._own_addresses()
        for name, instance in self.instances.items():
            if instance is None:
                continue
            at = (*self.key, "vrrp_instances", name)
            router = f"{instance.interface} {instance.virtual_router_id}"
            _once(self.reader, ids, router, (*at, "virtual_router_id"), "virtual_router_id", at_key=False)
            if not instance.virtual_addresses and self._complete(name, instance):
                self.reader.report((*at, "virtual_addresses"), "there is none", "at least one: [10.100.5.11/21]")
            for index, vip in enumerate(instance.virtual_addresses):
                where = (*at, "virtual_addresses", index)
                _once(self.reader, addresses, str(vip.ip), where, "address", at_key=False)
            self._priorities((*at, "priorities"), instance.priorities)

    def _complete(self, name: str, instance: VrrpShape) -> bool:
        """Whether all of the instance's virtual addresses could be read."""
        written = self.reader.at((*self.key, "vrrp_instances", name, "virtual_addresses"))
        return isinstance(written, list) and len(written) == len(instance.virtual_addresses)

    def _own_addresses(self) -> dict[str, Key]:
        hosts: tuple[tuple[str, Mapping[str, DirectorShape | RealServerShape | None]], ...] = (
            ("directors", dict(self.directors)),
            ("real_servers", dict(self.real_servers)),
        )
        return {
            str(host.address): (*self.key, section, name, "address")
            for section, entries in hosts
            for name, host in entries.items()
            if host
        }

    def _priorities(self, at: Key, priorities: Mapping[str, int]) -> None:
        if not priorities:
            self.reader.report(at, "no director has a priority", "one for each director: {sv1: 100, sv2: 90}")
        seen: dict[int, str] = {}
        for director, priority in priorities.items():
            if director not in self.directors:
                self.reader.unknown((*at, director), director, "director", self.directors, at_key=True)
            first = seen.setdefault(priority, director)
            if first != director:
                what = f"{director} has the same priority as {first}: it would be left open who is MASTER"
                self.reader.report((*at, director), what, "another number; the highest is MASTER when all is well")

    def _service(self, at: Key, service: ServiceShape, seen: dict[str, Key]) -> None:
        if service.vrrp_instance is not None and service.vrrp_instance not in self.instances:
            self.reader.unknown((*at, "vrrp_instance"), service.vrrp_instance, "VRRP instance", self.instances)
        if service.fwmark is not None:
            for name in ("address", "port", "protocol"):
                if getattr(service, name) is not None:
                    what = "a service is a firewall mark or an address, not both"
                    self.reader.report((*at, name), what, "remove it, or remove fwmark", at_key=True)
            _once(self.reader, seen, f"fwmark {service.fwmark}", (*at, "fwmark"), "firewall mark", at_key=False)
            return
        missing = [n for n in ("address", "port", "protocol") if getattr(service, n) is None and not self._wrote(at, n)]
        for name in missing:
            example = {"address": "10.100.5.11", "port": "80", "protocol": "tcp"}[name]
            self.reader.report(
                (*at, name), f"{name} is missing", f"`{name}: {example}`, or `fwmark:` instead of all three"
            )
        if service.address is None:
            return
        if service.port is not None and service.protocol is not None:
            identity = f"{service.protocol} {service.address} {service.port}"
            _once(self.reader, seen, identity, (*at, "address"), "protocol, address and port", at_key=False)
        self._carried(at, service)

    def _wrote(self, at: Key, name: str) -> bool:
        """Whether the key is in the file, so that what is wrong with it has been reported already."""
        return self.reader.at((*at, name)) is not None

    def _carried(self, at: Key, service: ServiceShape) -> None:
        if not all(instance and self._complete(name, instance) for name, instance in self.instances.items()):
            return  # an instance that could not be read, or not all of it, may well carry it
        carrier = self.carrier(service)
        chosen = service.vrrp_instance
        if carrier is None:
            known = [str(v.ip) for i in self.instances.values() if i for v in i.virtual_addresses]
            what = f"no VRRP instance has {service.address} among its virtual_addresses"
            instead = f"one of: {', '.join(known)}, or add it there" if known else "a VRRP instance with this address"
            self.reader.report((*at, "address"), what, instead)
        elif chosen in self.instances and chosen != carrier:
            what = f"{chosen} does not carry {service.address}"
            self.reader.report((*at, "vrrp_instance"), what, f"vrrp_instance: {carrier}")

    def _snat(self) -> None:
        vips = [s.address for s in self.services.values() if s and s.address]
        if self.snat and vips and not any(vip in self.snat.vaddr for vip in vips):
            what = f"none of the virtual services is in {self.snat.vaddr}: the rule would match nothing"
            self.reader.report((*self.key, "snat", "vaddr"), what, f"a network that contains {vips[0]}")

    def check_pool(self, at: Key, service: ServiceShape, members: Mapping[str, MemberShape | None]) -> None:
        """Report pool members that do not exist or that the forwarding method cannot reach."""
        if not members:
            self.reader.report((*at, "pool"), "the pool is empty", f"at least one of: {_words(self.real_servers)}")
        for name, member in members.items():
            where = (*at, "pool", name)
            if name not in self.real_servers:
                self.reader.unknown(where, name, "real server", self.real_servers, at_key=True)
                continue
            server = self.real_servers[name]
            if member is None:
                continue
            if (
                service.forwarding is not Forwarding.MASQUERADING
                and service.port is not None
                and member.port not in (None, service.port)
            ):
                # ipvsadm(8) rewrites the port silently with -g and -i: only NAT can change it.
                what = f"with {service.forwarding} the port cannot differ from the service's"
                self.reader.report((*where, "port"), what, f"port: {service.port}, or forwarding: masquerading")
            if (
                server
                and service.address
                and server.address.version != service.address.version
                and service.forwarding is not Forwarding.TUNNELLING
            ):
                what = f"{name} is IPv{server.address.version} and the VIP IPv{service.address.version}"
                self.reader.report(
                    where, what, "a real server of the same family, or forwarding: tunnelling", at_key=True
                )


def _words(names: Iterable[str]) -> str:
    return ", ".join(names) or "real_servers (there is none yet)"
