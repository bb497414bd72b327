"""The words of a timeline: what is noted when a trouble begins, and when it is no more."""

from __future__ import annotations

from bot.domain.incidents.present import faults
from bot.domain.incidents.story import Incident
from bot.domain.situation import Situation
from bot.domain.troubles import Matter, Trouble

INSERTED = "inserted as observed: "  # what an event that was missed is told by


def words_for(trouble: Trouble, situation: Situation) -> str:
    """What is found, in words: for the timeline, and as evidence."""
    about = trouble.subject
    match trouble.matter:
        case Matter.STREAM if about in situation.gaps and trouble not in situation.found:
            return f"the agent on {about}: {situation.gaps[about]}"
        case Matter.UNIT if trouble not in situation.found:
            return f"{about} says FAULT for {', '.join(faults(situation, about))}"
        case Matter.ADDRESS:
            director, _ = situation.readdressed[about]
            return (
                f"{director} lost the address of {about} and took it again sooner than an election ends: "
                "somebody or something removed it"
            )
        case Matter.CERTIFICATE:
            certificate = situation.certificates[about, trouble.of or None]
            return f"the certificate of {trouble.of or about} ends at {certificate.ends_at:%Y-%m-%d %H:%M} UTC"
        case Matter.SENSE:
            return next((e.detail for s, e in situation.senses.items() if s.value == about), "")
        case Matter.AGENT:
            return f"no word from the agent on {about}"
        case Matter.COMPLAINT:
            return f"the agent on {about} complains: {situation.complaining_agents[about]}"
        case Matter.BLIND:
            return f"{about} is there, and does not let the bot in: {situation.answers[about].answer.error}"
        case _:
            return situation.found.get(trouble, _begins(trouble))


def _begins(trouble: Trouble) -> str:
    match trouble.matter:
        case Matter.VIP:
            return f"the VIP of {trouble.subject} does not answer"
        case Matter.DIRECTOR:
            return f"{trouble.subject} does not answer"
        case Matter.REAL_SERVER:
            return f"{trouble.subject} is down"
        case Matter.SERVICE:
            return f"{trouble.subject} has no healthy real server left"
        case Matter.CONTEST:
            return f"more than one director holds the address of {trouble.subject}"
        case _:
            return ""


def well_again(trouble: Trouble, incident: Incident) -> str:
    """What is noted when *trouble* is no more; empty where the timeline tells it already."""
    about = trouble.subject
    words = {
        Matter.VIP: "the VIP answers again",
        Matter.DIRECTOR: f"{about} answers again",
        Matter.REAL_SERVER: f"{about} is up again",
        Matter.SERVICE: f"{about} has a healthy real server again",
        Matter.AGENT: f"the agent on {about} reports in again",
        Matter.COMPLAINT: f"the agent on {about} complains no more",
        Matter.CONTEST: "one director holds the address again",
        Matter.ROLE: "" if incident.returned_at else f"{incident.old_master} stands by as BACKUP",
        Matter.VACANCY: f"the address of {about} is held again",
        Matter.ADDRESS: f"the address of {about} is where it belongs",
        Matter.PROCESS: f"the processes of keepalived on {about} run",
        Matter.UNIT: f"keepalived on {about} runs again",
        Matter.TABLE: f"the IPVS table on {about} is complete again",
        Matter.CHECKER: f"the health checker on {about} works again",
        Matter.NAT: f"{about} can forward by NAT again",
        Matter.WEIGHT: f"{about} has the weight that it is meant to have on {trouble.of}",
        Matter.DIFFERENCE: f"{about} is complete again on {trouble.of}",
        Matter.BLIND: f"{about} lets the bot in again",
        Matter.STREAM: f"what {about} says and what it holds agree again",
        Matter.CERTIFICATE: f"the certificate of {trouble.of or about} was renewed",
        Matter.SENSE: f"{about} is back",
    }
    return words[trouble.matter]
