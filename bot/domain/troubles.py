"""Troubles: single things that are not as they should be, in the field's words. Incidents are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Matter(StrEnum):
    """What a trouble is about."""

    CONTEST = "contested address"
    ROLE = "role"
    PROCESS = "keepalived's process"
    DIRECTOR = "director"
    VACANCY = "address held by nobody"
    UNIT = "keepalived"
    ADDRESS = "address removed by hand"
    TABLE = "IPVS table"
    CHECKER = "health checker"
    SERVICE = "virtual service"
    NAT = "NAT path"
    VIP = "VIP"
    REAL_SERVER = "real server"
    WEIGHT = "weight"
    DIFFERENCE = "directors differ"
    CERTIFICATE = "certificate"
    BLIND = "no way in"
    AGENT = "agent"
    COMPLAINT = "agent's complaint"
    STREAM = "event stream"
    SENSE = "the bot itself"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Trouble:
    """One thing that is not as it should be.

    ``subject`` is a name of the fleet's: an instance (CONTEST, ROLE, VACANCY, VIP, ADDRESS), a director (PROCESS,
    DIRECTOR, UNIT, TABLE, CHECKER, NAT, BLIND, AGENT, COMPLAINT, STREAM), a service (SERVICE, DIFFERENCE,
    CERTIFICATE), a real server (REAL_SERVER, WEIGHT), or what the bot lost (SENSE). ``of`` narrows it down: the
    director of a WEIGHT or a DIFFERENCE, the real server of a CERTIFICATE.
    """

    matter: Matter
    subject: str
    of: str = ""


OF_DIRECTORS = frozenset({Matter.PROCESS, Matter.UNIT, Matter.TABLE, Matter.CHECKER, Matter.NAT, Matter.COMPLAINT})
"""What is found on a director: of one that does not answer, nothing of it is known."""
