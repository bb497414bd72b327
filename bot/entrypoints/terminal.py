"""The same commands from a terminal, for the day Slack is down: same flows, same journal."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shlex
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from bot.domain.commands import Command, Verb
from bot.domain.doctor import Judgement
from bot.domain.events import Actor, OperationCancelled, Verdict, Via
from bot.domain.fleet import NotFound
from bot.domain.operations import Operation, Phase
from bot.domain.wording import listed
from bot.flows.chronicle import Chronicle
from bot.flows.doctor import Doctor
from bot.flows.hands import A_DAY, Hands
from bot.flows.operating import Answer, Operator, Request
from bot.flows.ports import Clock, Entry, RemoteShell
from bot.flows.selftest_requests import Begun, SelfTestRequests
from bot.flows.status import gather_status
from bot.views.doctor import doctor_json, doctor_lines
from bot.views.incident_list import (
    incident_json,
    incident_list_json,
    incident_list_lines,
    incident_story_lines,
)
from bot.views.mutes import mutes_json, mutes_lines, unmuted
from bot.views.operation import headline
from bot.views.selftest import selftest_lines
from bot.views.status import status_json, status_lines
from bot.views.words import plural

DONE, REFUSED, BAD_INPUT = 0, 1, 2


def me() -> Actor:
    """The account that runs this command, by the kernel's word: the environment can be forged.

    Under sudo it is root that acts; who called it is named beside, for people and never for the policy.
    """
    account = pwd.getpwuid(os.geteuid()).pw_name
    caller = os.environ.get("SUDO_USER", "")
    name = f"{account} (sudo by {caller[:32]})" if account == "root" and caller.isprintable() and caller else account
    return Actor(id=account, name=name, via=Via.TERMINAL)


class Terminal:
    """Runs one command and says how it went; each method returns the exit status."""

    def __init__(
        self,
        chronicle: Chronicle,
        operator: Operator,
        hands: Hands,
        tests: SelfTestRequests,
        doctor: Doctor,
        shell: RemoteShell,
        clock: Clock,
        out: Console,
        err: Console,
        *,
        channels: Mapping[str, str],
    ) -> None:
        self._chronicle = chronicle
        self._operator = operator
        self._hands = hands
        self._tests = tests
        self._doctor = doctor
        self._shell = shell
        self._clock = clock
        self._out = out
        self._err = err
        self._channels = channels

    async def status(self, name: str | None, *, as_json: bool) -> int:
        """Show what the directors hold now."""
        names = listed(d.name for c in self._chronicle.fleet.clusters for d in c.directors)
        with self._err.status(f"asking {escape(names)} …"):
            found = await gather_status(self._chronicle, self._shell, self._clock, name)
        if isinstance(found, NotFound):
            self._say_unknown(found)
            return BAD_INPUT
        if as_json:
            self._print_json([status_json(status) for status in found])
        else:
            self._print(line for status in found for line in status_lines(status))
        return DONE if all(o.reachable for status in found for o in status.observed) else REFUSED

    def _say_unknown(self, found: NotFound) -> None:
        hint = f" Did you mean {listed(found.suggestions)}?" if found.suggestions else ""
        problem = "means more than one thing." if found.ambiguous else "is not in the fleet file."
        self._err.print(f"[red]{escape(found.name)}[/] {problem}{escape(hint)}")

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._out.print(line, markup=False, highlight=False, soft_wrap=True)

    def _print_json(self, value: Any) -> None:
        self._out.print_json(json.dumps(value))

    async def incidents(self, command: Command, *, as_json: bool) -> int:
        """List incidents."""
        shown = self._hands.incidents(command.choice, command.name)
        if isinstance(shown, NotFound):
            self._say_unknown(shown)
            return BAD_INPUT
        now = self._clock.now()
        if as_json:
            self._print_json(incident_list_json(shown, now))
        else:
            self._print(incident_list_lines(shown, now, of_a_day=command.choice == A_DAY))
        return DONE

    async def incident(self, command: Command, *, as_json: bool) -> int:
        """Tell the whole story of one incident."""
        assert command.name is not None
        shown = self._hands.incident(command.name)
        if isinstance(shown, Answer):
            self._say(shown)
            return BAD_INPUT
        now = self._clock.now()
        if as_json:
            self._print_json(incident_json(shown, now))
        else:
            self._print(incident_story_lines(shown, now))
        return DONE

    async def mutes(self, *, as_json: bool) -> int:
        """List what is muted."""
        mutes = self._hands.mutes()
        if as_json:
            self._print_json(mutes_json(mutes))
        else:
            self._print(mutes_lines(mutes, self._clock.now()))
        return DONE

    async def examine(self, name: str | None, *, as_json: bool) -> int:
        """Look at every director twice and say what is not well; exits 1 when something is bad."""
        names = listed(d.name for c in self._chronicle.fleet.clusters for d in c.directors)
        with self._err.status(f"examining {escape(names)} …"):
            found = await self._doctor.examine(name)
        if isinstance(found, NotFound):
            self._say_unknown(found)
            return BAD_INPUT
        if as_json:
            self._print_json([doctor_json(examination) for examination in found])
        else:
            self._print(line for examination in found for line in doctor_lines(examination))
        return REFUSED if any(e.worst is Judgement.BAD for e in found) else DONE

    async def export(self, command: Command) -> int:
        """Print the draft of a post-mortem."""
        draft = await self._hands.export(Request(command=command, by=me(), request_id=f"terminal:{uuid.uuid4()}"))
        assert draft is not None, "a request id of our own is never known already"
        if isinstance(draft, Answer):
            return self._decline(draft)
        self._print(draft.content.splitlines())
        return DONE

    async def record(self, command: Command) -> int:
        """Acknowledge, mute, unmute, announce maintenance."""
        request = Request(command=command, by=me(), request_id=f"terminal:{uuid.uuid4()}")
        if command.verb is Verb.ACK:
            acknowledged = await self._hands.acknowledge(request)
            if isinstance(acknowledged, Answer):
                return self._decline(acknowledged)
            self._print(incident_story_lines(acknowledged, self._clock.now())[:1])
            return DONE
        done = await (self._hands.unmute(request) if command.verb is Verb.UNMUTE else self._hands.mute(request))
        assert done is not None, "a request id of our own is never known already"
        if isinstance(done, Answer):
            return self._decline(done)
        if command.verb is Verb.UNMUTE:
            told = f"{done.mute.subject} is told of again"
            self._print([unmuted(done.mute, done.covering) if done.covering else told])
        else:
            self._print(mutes_lines([done.mute], self._clock.now()))
        return DONE

    async def test(self, command: Command) -> int:
        """Have the running bot test the alert path, and wait for what comes of it."""
        request = Request(command=command, by=me(), request_id=f"terminal:{uuid.uuid4()}")
        begun = await self._tests.request(request)
        if isinstance(begun, NotFound):
            self._say_unknown(begun)
            return BAD_INPUT
        if isinstance(begun, Answer):
            return self._decline(begun)
        with self._err.status("waiting for the running bot …"):
            passed = [await self._passed(one) for one in begun]
        return DONE if all(passed) else REFUSED

    async def _passed(self, begun: Begun) -> bool:
        """Wait for a self-test's end and show it; whether it passed."""
        ended = await self._tests.outcome(begun)
        if ended is None:
            problem = "no running bot took the test up: is `python -m bot run` at work on this journal?"
            self._err.print(f"[red]{escape(begun.cluster)}[/]: {problem}")
            return False
        self._print(selftest_lines(ended))
        return ended.passed

    def _decline(self, answer: Answer) -> int:
        self._say(answer)
        return REFUSED if answer.refused else DONE

    async def change(self, command: Command, *, confirmed: Callable[[], bool] | None, dry_run: bool, wait: bool) -> int:
        """Drain or restore. *confirmed* asks the person (None: they said ``--yes``)."""
        with self._err.status("asking every director …"):
            request = Request(
                command=command, by=me(), request_id=f"terminal:{uuid.uuid4()}", channel=self._channel(command)
            )
            answer = await self._operator.request(request)
        if isinstance(answer, Answer):
            self._say(answer)
            return REFUSED if answer.refused else DONE
        assert answer is not None, "a request id of our own is never known already"
        self._show(answer)
        if dry_run or (confirmed and not confirmed()):
            reason = "a dry run" if dry_run else f"called off by {me().name}"
            await self._chronicle.append(Entry(event=OperationCancelled(operation=answer.id, by=me(), reason=reason)))
            self._err.print("nothing was changed")
            return DONE if dry_run else REFUSED
        decided = await self._operator.confirm(answer.id, me())
        if decided:
            self._say(decided)
            return REFUSED
        return await self._see_through(answer, wait=wait)

    def _channel(self, command: Command) -> str | None:
        """Where the running bot shows the operation, once it is confirmed: colleagues on duty see what is done here."""
        found = self._chronicle.fleet.find(command.name or "")
        return None if isinstance(found, NotFound) else self._channels.get(found.cluster.name)

    async def _see_through(self, operation: Operation, *, wait: bool) -> int:
        """Carry *operation* out, saying what is left every second."""
        work = asyncio.create_task(self._operator.carry_out(operation.id))
        with self._err.status("setting weights …") as progress:
            while not work.done():
                now = self._chronicle.world.operations.by_id[operation.id]
                progress.update(escape(headline(now, self._operator.connected.get(operation.id))))
                if now.phase is Phase.WAITING and not now.failures and not wait:
                    work.cancel()
                await asyncio.wait({work}, timeout=0.5)
        ended = self._chronicle.world.operations.by_id[operation.id]
        if work.cancelled():
            self._out.print(
                f"{headline(ended, None)}; the running bot goes on with that", markup=False, highlight=False
            )
            return DONE
        work.result()
        self._out.print(headline(ended, None), markup=False, highlight=False)
        return DONE if ended.verdict in (Verdict.DONE, Verdict.DRAINED, Verdict.SUPERSEDED) else REFUSED

    def _show(self, operation: Operation) -> None:
        total = sum(step.active for step in operation.steps)
        self._err.print(f"{headline(operation, None)}", markup=False, highlight=False)
        for step in operation.steps:
            change = f"weight {step.before} → {step.after}, {plural(step.active, 'active connection')}"
            line = f"  {step.director}: sudo {shlex.join(step.argv)}   ({change})"
            self._err.print(line, markup=False, highlight=False, soft_wrap=True)
        for warning in operation.warnings:
            self._err.print(f"[yellow]warning:[/] {escape(warning)}")
        if operation.steps and not total:
            self._err.print("  no active connection", style="dim")

    def _say(self, answer: Answer) -> None:
        hint = f" Try: python -m bot lvs {answer.instead}" if answer.instead else ""
        style = "red" if answer.refused else ""
        self._err.print(f"{answer.text}{hint}", style=style, markup=False, highlight=False)
