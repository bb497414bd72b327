"""The buttons below an incident. Acknowledged at once; the work is handed on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond

from bot.domain.commands import Command, Verb
from bot.domain.events import Actor
from bot.domain.fleet import NotFound
from bot.domain.incidents import Incident
from bot.entrypoints.slack_answers import (
    Deliveries,
    answer_message,
    apology,
    hand_over,
    plain,
    pressed,
    request_id,
    say,
)
from bot.flows.chronicle import Chronicle
from bot.flows.doctor import Doctor
from bot.flows.errands import Errands
from bot.flows.hands import MUTED_BY_BUTTON, Hands
from bot.flows.operating import Answer, Request
from bot.flows.ports import Clock, Messenger, RemoteShell
from bot.flows.status import gather_status
from bot.views import incident_actions as buttons
from bot.views.doctor import doctor_message
from bot.views.incident_list import Shown, incident_story_message
from bot.views.message import SlackMessage
from bot.views.mutes import mute_set_message
from bot.views.status import status_message


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A button that was pressed below an incident: which, by whom, and where it stood."""

    shown: Shown
    by: Actor
    request_id: str
    channel: str
    only_theirs: bool
    respond: AsyncRespond

    @property
    def incident(self) -> Incident:
        """The incident as it is now, whatever the message showed."""
        return self.shown.incident

    def request(self, verb: Verb, **more: Any) -> Request:
        """The command that the button stands for."""
        command = Command(verb=verb, names=(buttons.reference(self.incident),), **more)
        return Request(command=command, by=self.by, request_id=self.request_id)


class IncidentButtons:
    """What each button does."""

    def __init__(
        self,
        chronicle: Chronicle,
        hands: Hands,
        doctor: Doctor,
        messenger: Messenger,
        shell: RemoteShell,
        clock: Clock,
        errands: Errands,
        *,
        command: str,
    ) -> None:
        self._chronicle = chronicle
        self._hands = hands
        self._doctor = doctor
        self._messenger = messenger
        self._shell = shell
        self._clock = clock
        self._errands = errands
        self._command = command
        self._deliveries = Deliveries()
        self._works: dict[str, Callable[[Press], Coroutine[Any, Any, None]]] = {
            buttons.ACKNOWLEDGE: self._acknowledge,
            buttons.MUTE: self._mute,
            buttons.STATUS: self._status,
            buttons.DOCTOR: self._examine,
            buttons.TIMELINE: self._timeline,
            buttons.EXPORT: self._export,
        }

    def register(self, app: AsyncApp) -> None:
        """Make *app* call these listeners."""
        for action in self._works:
            app.action(action)(self.on_button)

    async def on_button(self, ack: AsyncAck, respond: AsyncRespond, body: dict[str, Any]) -> None:
        """Any of the buttons."""
        await ack()
        if self._deliveries.again(body):
            return
        number, actor = pressed(body)
        action = str(body["actions"][0]["action_id"])
        shown = self._hands.incident(number)
        doing = f"{action.removeprefix('incident_')} {number}"
        if isinstance(shown, Answer):
            self._errands.start(say(respond, answer_message(shown, self._command)), doing)
            return
        press = Press(
            shown=shown,
            by=actor,
            request_id=request_id(body),
            channel=str(body.get("container", {}).get("channel_id") or body.get("channel", {}).get("id", "")),
            only_theirs=bool(body.get("container", {}).get("is_ephemeral")),
            respond=respond,
        )
        self._errands.start(self._works[action](press), doing, apology(respond))

    async def _acknowledge(self, press: Press) -> None:
        done = await self._hands.acknowledge(press.request(Verb.ACK))
        # Done: the incident's own message shows it, and that is the answer.
        if isinstance(done, Answer):
            await say(press.respond, answer_message(done, self._command))
        elif press.only_theirs:
            await say(press.respond, plain(f"You are on incident {press.incident.id}: its message shows it."))

    async def _mute(self, press: Press) -> None:
        request = press.request(Verb.MUTE, span=MUTED_BY_BUTTON)
        done = await self._hands.mute_incident(press.incident, request)
        if isinstance(done, Answer):
            await say(press.respond, answer_message(done, self._command))
        elif done is not None:
            await self._tell(press, mute_set_message(done.mute, done.before, done.asked, command=self._command))

    async def _timeline(self, press: Press) -> None:
        await say(press.respond, incident_story_message(press.shown, self._clock.now(), buttons=False))

    async def _status(self, press: Press) -> None:
        name = f"{press.incident.cluster}/{press.incident.subject}"
        found = await gather_status(self._chronicle, self._shell, self._clock, name)
        if isinstance(found, NotFound):
            # What it is about is no longer in the fleet file, or never was (one of the bot's own senses).
            found = await gather_status(self._chronicle, self._shell, self._clock, press.incident.cluster)
        assert not isinstance(found, NotFound)
        for status in found:
            await self._tell(press, status_message(status))

    async def _examine(self, press: Press) -> None:
        found = await self._doctor.examine(f"{press.incident.cluster}/{press.incident.subject}")
        if isinstance(found, NotFound):
            found = await self._doctor.examine(press.incident.cluster)
        assert not isinstance(found, NotFound)
        for examination in found:
            await self._tell(press, doctor_message(examination))

    async def _export(self, press: Press) -> None:
        draft = await self._hands.export(press.request(Verb.EXPORT))
        channel, command = press.channel, self._command
        await hand_over(draft, self._hands, self._messenger, press.respond, channel=channel, command=command)

    async def _tell(self, press: Press, message: SlackMessage) -> None:
        """Say it in the incident's thread, where everybody who follows it sees it; in the channel if it has none."""
        place = self._hands.place(press.incident)
        if place is None:
            await say(press.respond, message, in_channel=True)
            return
        await self._messenger.post(place.channel, message, thread_ts=place.ts)
        if press.only_theirs:
            await say(press.respond, plain("The answer stands in the incident's thread."))
