"""The webhook against requests that no honest agent sends: nothing changes, and nothing is ever answered with a 500."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.events import AgentGap, AgentLineUnreadable, Recorded, VrrpStateChanged
from bot.entrypoints.webhook import DirectorAccess, Heartbeat, WebhookSettings, sign, webhook_routes
from tests.agent.site import SECRET, ListJournal, SetClock

PATH = "/events/keepalived"
BOOT = "958ba76d-c616-40fb-8c56-654b02ceeaa3"
MAX_BODY = 4096


class Hook:
    """The webhook on loopback, and a client that signs as an agent does."""

    def __init__(self) -> None:
        self.journal = ListJournal()
        self.clock = SetClock()
        self.events: list[Recorded] = []
        self.heartbeats: list[Heartbeat] = []
        self.client: TestClient[web.Request, web.Application]

    async def __aenter__(self) -> Hook:
        app = web.Application()
        access = {
            "sv1": DirectorAccess(cluster="site", secret=SECRET),
            "sv2": DirectorAccess(cluster="site", secret=b"sv2's own secret"),
        }
        app.add_routes(
            webhook_routes(
                WebhookSettings(directors=access, max_body=MAX_BODY),
                journal=self.journal,
                clock=self.clock,
                on_event=self.events.append,
                on_heartbeat=self.heartbeats.append,
            )
        )
        self.client = TestClient(TestServer(app, host="127.0.0.1"))
        await self.client.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    def signed(self, body: bytes, *, director: str = "sv1", secret: bytes = SECRET, age: float = 0) -> dict[str, str]:
        timestamp = str(int(self.clock.now().timestamp() - age))
        return {
            "Content-Type": "application/json",
            "X-LVS-Director": director,
            "X-LVS-Timestamp": timestamp,
            "X-LVS-Signature": sign(secret, timestamp, body),
        }

    async def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        answer = await self.client.post(PATH, data=body, headers=self.signed(body) if headers is None else headers)
        return answer.status, await answer.json()

    @property
    def untouched(self) -> bool:
        """Whether nothing was journalled and nobody told anything."""
        return not (self.journal.entries or self.events or self.heartbeats)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with Hook() as hook:
        yield hook


def record(counter: int = 1, **fields: object) -> dict[str, object]:
    base = {"boot": BOOT, "counter": counter, "at": 1732412345.123}
    return {**base, **(fields or {"line": f'INSTANCE "VI_{counter}" MASTER 100'})}


def message(**parts: object) -> bytes:
    return json.dumps({"version": 1, "director": "sv1", **parts}).encode()


def beat(**fields: object) -> dict[str, object]:
    told = {"agent": "0.1.0", "boot": BOOT, "at": 1732412345.5, "counter": 17, "pending": 0, "aside": 0}
    return {**told, "attached": True, "keepalived": None, "uptime_s": 3.5, "trouble": None, **fields}


async def test_new_records_are_journalled_in_one_append_and_answered_202(hook: Hook) -> None:
    assert await hook.post(message(records=[record(1), record(2)])) == (202, {"taken": 2, "known": 0})
    assert hook.journal.appends == 1
    assert [entry.source_key for entry in hook.journal.entries] == [f"agent:sv1:{BOOT}:1", f"agent:sv1:{BOOT}:2"]
    assert [str(entry.at_source) for entry in hook.journal.entries] == ["2024-11-24 01:39:05.123000+00:00"] * 2
    assert [event.sequence for event in hook.events] == [1, 2]


async def test_a_replay_within_the_window_is_answered_200_and_has_no_second_effect(hook: Hook) -> None:
    body = message(records=[record(1)])
    headers = hook.signed(body)
    assert (await hook.post(body, headers))[0] == 202
    assert await hook.post(body, headers) == (200, {"taken": 0, "known": 1})
    assert len(hook.events) == len(hook.journal.entries) == 1


async def test_only_what_is_new_in_a_partly_known_batch_is_told(hook: Hook) -> None:
    await hook.post(message(records=[record(1)]))
    assert await hook.post(message(records=[record(1), record(2)])) == (202, {"taken": 1, "known": 1})
    assert [event.sequence for event in hook.events] == [1, 2]


async def test_an_unreadable_line_is_journalled_and_taken(hook: Hook) -> None:
    status, _ = await hook.post(message(records=[record(1, line="RS [10.0.0.1"), record(2)]))
    assert status == 202
    kinds = [type(entry.event) for entry in hook.journal.entries]
    assert kinds == [AgentLineUnreadable, VrrpStateChanged]


async def test_a_gap_is_journalled(hook: Hook) -> None:
    await hook.post(message(records=[record(1, gap={"lost": 7, "why": "the spool was full"})]))
    assert hook.events[0].event == AgentGap(cluster="site", director="sv1", lost=7, why="the spool was full")


async def test_a_heartbeat_is_handed_on_and_not_journalled(hook: Hook) -> None:
    assert (await hook.post(message(heartbeat=beat(trouble="disk full"))))[0] == 200
    assert not hook.journal.entries
    assert (hook.heartbeats[0].director, hook.heartbeats[0].counter, hook.heartbeats[0].trouble) == (
        "sv1",
        17,
        "disk full",
    )


async def test_a_newer_agent_may_say_more_than_the_bot_reads(hook: Hook) -> None:
    assert (await hook.post(message(records=[{**record(1), "new": {"a": 1}}], also=[])))[0] == 202


async def test_while_the_journal_is_unavailable_the_agent_is_asked_to_come_again(hook: Hook) -> None:
    hook.journal.broken = True
    body = message(records=[record(1)])
    answer = await hook.client.post(PATH, data=body, headers=hook.signed(body))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert hook.untouched


async def test_a_listener_that_fails_does_not_make_the_agent_send_again(hook: Hook) -> None:
    def fails(_: object) -> None:
        raise ValueError("a listener's own defect")

    app = web.Application()
    access = {"sv1": DirectorAccess(cluster="site", secret=SECRET)}
    app.add_routes(
        webhook_routes(
            WebhookSettings(directors=access),
            journal=hook.journal,
            clock=hook.clock,
            on_event=fails,
            on_heartbeat=fails,
        )
    )
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        for body, status in ((message(records=[record(1)]), 202), (message(heartbeat=beat()), 200)):
            assert (await client.post(PATH, data=body, headers=hook.signed(body))).status == status


# --- who may not speak ----------------------------------------------------------------------------------------------

SOUND = message(records=[record(1)])

FORGERIES: dict[str, dict[str, str | None]] = {
    "no headers of ours": {"X-LVS-Director": None, "X-LVS-Timestamp": None, "X-LVS-Signature": None},
    "no director": {"X-LVS-Director": None},
    "no timestamp": {"X-LVS-Timestamp": None},
    "no signature": {"X-LVS-Signature": None},
    "empty signature": {"X-LVS-Signature": ""},
    "signature without its version": {"X-LVS-Signature": "00" * 32},
    "signature of another version": {"X-LVS-Signature": "v2=" + "00" * 32},
    "wrong signature": {"X-LVS-Signature": "v1=" + "00" * 32},
    "signature with strange characters": {"X-LVS-Signature": "v1=\xe9\xff"},
    "unknown director": {"X-LVS-Director": "sv9"},
    "another director's name": {"X-LVS-Director": "sv2"},
    "another time than was signed": {"X-LVS-Timestamp": "1732412345"},
    "timestamp is no number": {"X-LVS-Timestamp": "now"},
    "timestamp is negative": {"X-LVS-Timestamp": "-1"},
    "timestamp in other digits": {"X-LVS-Timestamp": "\u0661\u0662\u0663"},
    "timestamp beyond all bounds": {"X-LVS-Timestamp": "9" * 400},
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
async def test_a_forged_request_is_refused_in_the_same_words_and_changes_nothing(
    hook: Hook, forgery: dict[str, str | None]
) -> None:
    headers = {**hook.signed(SOUND), **{name: value for name, value in forgery.items() if value is not None}}
    for name in [name for name, value in forgery.items() if value is None]:
        del headers[name]
    status, content = await hook.post(SOUND, headers)
    assert (status, content) == (
        401,
        {"error": "signature", "reason": "the director is not known, or the signature is not its own"},
    )
    assert hook.untouched


async def test_a_changed_body_is_refused(hook: Hook) -> None:
    assert (await hook.post(SOUND.replace(b"MASTER", b"BACKUP"), hook.signed(SOUND)))[0] == 401
    assert hook.untouched


@pytest.mark.parametrize("age", [301, -302, 10**9])
async def test_a_stale_request_is_refused_and_says_how_far_the_clocks_are_apart(hook: Hook, age: int) -> None:
    status, content = await hook.post(SOUND, hook.signed(SOUND, age=age))
    assert (status, content["error"]) == (401, "stale")
    assert "set the clocks" in content["reason"]
    assert hook.untouched


@pytest.mark.parametrize("age", [298, -298])
async def test_a_request_inside_the_window_is_taken(hook: Hook, age: int) -> None:
    assert (await hook.post(SOUND, hook.signed(SOUND, age=age)))[0] == 202


async def test_a_director_cannot_speak_for_another(hook: Hook) -> None:
    headers = hook.signed(SOUND, director="sv2", secret=b"sv2's own secret")
    status, content = await hook.post(SOUND, headers)
    assert (status, content["error"]) == (400, "malformed")
    assert hook.untouched


# --- what is not understood -----------------------------------------------------------------------------------------

MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"version":1,"director":"sv1\xff","records":[]}',
    "a list": b"[]",
    "null": b"null",
    "nested without end": b"[" * 3000,
    "no version": json.dumps({"director": "sv1", "records": [record()]}).encode(),
    "no records": message(),
    "empty records": message(records=[]),
    "records and a heartbeat": message(records=[record()], heartbeat=beat()),
    "record without a line": message(records=[record(1, mono=1.0)]),
    "record with a line and a gap": message(records=[record(1, line="x", gap={"lost": 1, "why": "x"})]),
    "counter is a text": message(records=[{**record(), "counter": "17"}]),
    "counter is true": message(records=[{**record(), "counter": True}]),
    "counter is negative": message(records=[{**record(), "counter": -1}]),
    "counter is huge": message(records=[{**record(), "counter": 10**40}]),
    "boot with a colon": message(records=[{**record(), "boot": "a:1"}]),
    "boot is empty": message(records=[{**record(), "boot": ""}]),
    "at is not a number": message(records=[{**record(), "at": float("nan")}]),
    "at is infinite": message(records=[{**record(), "at": float("inf")}]),
    "at is before 1970": message(records=[{**record(), "at": -1.0}]),
    "at is after the year 9999": message(records=[{**record(), "at": 1e15}]),
    "line is a lone surrogate": message(records=[{**record(), "line": "\ud800"}]),
    "line is a list": message(records=[{**record(), "line": ["x"]}]),
    "gap without a number": message(records=[record(1, gap={"why": "x"})]),
    "one good record and a bad one": message(records=[record(1), {**record(2), "at": "noon"}]),
    "heartbeat without a boot": message(heartbeat={"agent": "0.1.0"}),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_body_is_answered_400_with_the_reason(hook: Hook, body: bytes) -> None:
    status, content = await hook.post(body)
    assert (status, content["error"]) == (400, "malformed")
    assert len(content["reason"]) > 10
    assert hook.untouched


async def test_another_version_is_not_called_malformed_so_that_the_agent_keeps_its_records(hook: Hook) -> None:
    status, content = await hook.post(message(version=2, records=[record()]))
    assert (status, content["error"]) == (400, "version")
    assert hook.untouched


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_another_method_is_answered_405(hook: Hook, method: str) -> None:
    assert (await hook.client.request(method, PATH, data=SOUND, headers=hook.signed(SOUND))).status == 405
    assert hook.untouched


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
async def test_another_content_type_is_answered_415(hook: Hook, kind: str) -> None:
    assert (await hook.post(SOUND, {**hook.signed(SOUND), "Content-Type": kind}))[0] == 415
    assert hook.untouched


async def test_a_body_that_is_too_large_is_refused_by_its_length_alone(hook: Hook) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hook.client.port)
    headers = f"Content-Type: application/json\r\nContent-Length: {MAX_BODY + 1}\r\n"
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: bot\r\n{headers}\r\n".encode())
    assert b"413" in await reader.readline(), "answered before any of the body came"
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_is_too_large_is_refused_without_a_length_too(hook: Hook) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 100 + 2):
            yield b" " * 100

    async with ClientSession() as session:
        answer = await session.post(hook.client.make_url(PATH), data=pieces(), headers=hook.signed(b""))
        assert answer.status == 413
    assert hook.untouched


async def test_a_body_of_exactly_the_limit_is_taken(hook: Hook) -> None:
    assert (await hook.post(SOUND + b" " * (MAX_BODY - len(SOUND))))[0] == 202


async def test_a_request_that_breaks_off_changes_nothing_and_the_next_is_served(hook: Hook) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", hook.client.port)
    headers = "".join(f"{name}: {value}\r\n" for name, value in hook.signed(SOUND).items())
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: bot\r\n{headers}Content-Length: {len(SOUND)}\r\n\r\n".encode())
    writer.write(SOUND[:-10])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await hook.post(message(records=[record(2)])))[0] == 202
    assert len(hook.journal.entries) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["version", "director", "records", "heartbeat", "test"])
bodies = (
    st.binary(max_size=200)
    | st.dictionaries(fields, json_values).map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda records: message(records=records),
        st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "boot": st.just(BOOT) | json_values,
                    "counter": st.integers() | json_values,
                    "at": st.floats() | json_values,
                    "line": st.text(st.characters(codec="utf-8"), max_size=60) | json_values,
                    "gap": st.fixed_dictionaries({"lost": st.integers(), "why": st.text()}) | json_values,
                },
            ),
            max_size=4,
        ),
    )
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies=st.lists(bodies, min_size=1, max_size=8))
def test_whatever_a_known_director_sends_is_taken_or_refused_and_never_an_accident(bodies: list[bytes]) -> None:
    async def send() -> None:
        async with Hook() as hook:
            for body in bodies:
                status, content = await hook.post(body)
                assert status in (200, 202, 400, 413)
                assert (status in (400, 413)) == ("reason" in content)

    asyncio.run(send())


names = st.sampled_from(["X-LVS-Director", "X-LVS-Timestamp", "X-LVS-Signature", "Content-Type"])
values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)


@settings(max_examples=100, deadline=None)
@given(forged=st.lists(st.dictionaries(names, values, min_size=1), min_size=1, max_size=8))
def test_whatever_stands_in_the_headers_an_unsigned_request_changes_nothing(forged: list[dict[str, str]]) -> None:
    async def send() -> None:
        async with Hook() as hook:
            for headers in forged:
                signed = {**hook.signed(b"another body"), **headers}
                status, _ = await hook.post(SOUND, signed)
                assert status in (401, 415)
            assert hook.untouched

    asyncio.run(send())
