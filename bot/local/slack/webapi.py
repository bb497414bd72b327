"""The Web API over HTTP: tokens, arguments in three forms, faults, and the answers in Slack's words."""

from __future__ import annotations

import asyncio
import json
import mimetypes
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.local.slack.faults import Fault, FaultKind
from bot.local.slack.interactions import Interactions
from bot.local.slack.methods import METHODS, Method
from bot.local.slack.wire import Args, Json, SlackError
from bot.local.slack.world import ApiCall, World

MOST_BODY = 16 * 1024 * 1024
_INLINE = {"image/png", "image/jpeg", "image/gif"}


class WebApi:
    """Serves ``/api/METHOD``, response URLs and uploads."""

    def __init__(self, world: World, interactions: Interactions) -> None:
        self._world = world
        self._interactions = interactions

    def routes(self) -> list[web.RouteDef]:
        """What the app reaches."""
        return [
            web.route("*", "/api/{method}", self.api),
            web.post("/respond/{token}", self.respond),
            web.post("/upload/{file}/{ticket}", self.upload),
            web.get("/files/{file}/{name}", self.download),
        ]

    async def api(self, request: web.Request) -> web.StreamResponse:
        """One call: record it, let it meet its fault, carry it out."""
        name = request.match_info["method"]
        if self._world.faults.is_down:
            return self._cut(request, name, {})
        try:
            values, token = await _arguments(request)
        except SlackError as refused:
            return self._answer(name, {}, refused.as_json())
        channel = str(values.get("channel") or "")
        fault = self._world.faults.take(name, channel)
        if fault is not None and not fault.after_effect:
            return await self._meet(fault, request, name, values)
        origin = f"http://{request.host}"
        if fault is not None and fault.held:
            self._world.faults.hold(lambda: self._run(name, values, token, origin))
            return await self._meet(fault, request, name, values)
        if fault is not None and fault.later:
            asyncio.get_running_loop().call_later(fault.later, self._run, name, values, token, origin)
            return await self._meet(fault, request, name, values)
        body = self._run(name, values, token, origin)
        if fault is not None:
            return await self._meet(fault, request, name, values)
        return self._answer(name, values, body)

    def _run(self, name: str, values: Json, token: str, origin: str) -> Json:
        try:
            method = METHODS.get(name)
            if method is None:
                raise SlackError("unknown_method", req_method=name)
            self._authorise(method, token)
            if method.token:
                self._world.origin = origin
            return {"ok": True, **method.run(self._world, Args(values=values, origin=origin))}
        except SlackError as refused:
            return refused.as_json()

    def _authorise(self, method: Method, token: str) -> None:
        config = self._world.config
        if not method.token:
            return
        if not token:
            raise SlackError("not_authed")
        if token not in (config.bot_token, config.app_token):
            raise SlackError("invalid_auth")
        if token != (config.app_token if method.token == "app" else config.bot_token):  # noqa: S105 - its kind
            raise SlackError("not_allowed_token_type")
        if method.scope and method.scope not in config.scopes:
            raise SlackError("missing_scope", needed=method.scope, provided=",".join(sorted(config.scopes)))

    async def _meet(self, fault: Fault, request: web.Request, name: str, values: Json) -> web.StreamResponse:
        match fault.kind:
            case FaultKind.RATE_LIMITED:
                return self._answer(name, values, {"ok": False, "error": "ratelimited"}, 429, fault.retry_after)
            case FaultKind.SERVER_ERROR:
                self._record(name, values, fault.status, None)
                return web.Response(status=fault.status, text="<html>upstream error</html>", content_type="text/html")
            case FaultKind.TIMEOUT:
                try:
                    async with asyncio.timeout(fault.seconds):
                        await self._world.faults.cleared.wait()
                except TimeoutError:
                    pass  # The time is up: now the connection is cut, as it is when the fault is cleared.
                return self._cut(request, name, values)
            case FaultKind.RESET:
                return self._cut(request, name, values)

    def _cut(self, request: web.Request, name: str, values: Json) -> web.Response:
        self._record(name, values, 0, None)
        return cut(request)

    def _answer(
        self, name: str, values: Json, body: Json, status: int = 200, retry_after: int | None = None
    ) -> web.Response:
        body = json.loads(json.dumps(body))
        self._record(name, values, status, body)
        headers = {"x-oauth-scopes": ",".join(sorted(self._world.config.scopes))}
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        return web.json_response(body, status=status, headers=headers)

    def _record(self, name: str, values: Json, status: int, answer: Json | None) -> None:
        args = {k: v for k, v in values.items() if k != "token"}
        self._world.calls.append(ApiCall(method=name, args=args, at=self._world.clock(), status=status, answer=answer))
        self._world.changes.wake()

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """A response URL: five uses within 30 minutes."""
        if self._world.faults.is_down:
            return self._cut(request, "response_url", {})
        try:
            body = json.loads(await request.text())
            if not isinstance(body, dict):
                raise SlackError("invalid_payload", "the body must be a JSON object")
        except ValueError:
            return self._answer("response_url", {}, SlackError("invalid_payload").as_json(), 400)
        except SlackError as refused:
            return self._answer("response_url", {}, refused.as_json(), 400)
        fault = self._world.faults.take("response_url", "")
        if fault is not None and not fault.after_effect:
            return await self._meet(fault, request, "response_url", body)
        answer, status = self._respond(request.match_info["token"], body)
        if fault is not None:
            return await self._meet(fault, request, "response_url", body)
        return self._answer("response_url", body, answer, status)

    def _respond(self, token: str, body: Json) -> tuple[Json, int]:
        try:
            url = self._world.triggers.use(token)
        except SlackError as refused:
            return refused.as_json(), 404
        try:
            self._interactions.respond(url, body)
        except SlackError as refused:
            return refused.as_json(), 400
        return {"ok": True}, 200

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """The bytes of a file, raw or as a form; they must be as many as were announced."""
        if self._world.faults.is_down:
            return self._cut(request, "upload", {})
        fault = self._world.faults.take("upload", "")
        if fault is not None and not fault.after_effect:
            return await self._meet(fault, request, "upload", {})
        answer = await self._take(request)
        return answer if fault is None else await self._meet(fault, request, "upload", {})

    async def _take(self, request: web.Request) -> web.Response:
        file = self._world.files.get(request.match_info["file"])
        if file is None or file.ticket != request.match_info["ticket"] or file.content is not None:
            return web.Response(status=404, text="no such upload")
        content = await request.read()
        if request.content_type == "multipart/form-data":
            parts = [part for part in (await request.post()).values() if isinstance(part, web.FileField)]
            content = parts[0].file.read() if parts else b""
        if len(content) != file.length:
            return web.Response(status=400, text=f"announced {file.length} bytes, got {len(content)}")
        file.content = content
        return web.Response(text=f"OK - {len(content)}")

    async def download(self, request: web.Request) -> web.Response:
        """A shared file, for the page."""
        file = self._world.files.get(request.match_info["file"])
        if file is None or file.content is None or not file.shared:
            raise web.HTTPNotFound
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        headers = {"X-Content-Type-Options": "nosniff"}
        if kind not in _INLINE:
            headers["Content-Disposition"] = "attachment"
        return web.Response(body=file.content, content_type=kind, headers=headers)


def cut(request: web.Request) -> web.Response:
    """Reset the connection; the response that is returned never leaves."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _arguments(request: web.Request) -> tuple[Json, str]:
    """The arguments and the token. Raises SlackError for a body that cannot be read."""
    values: dict[str, Any] = dict(request.query)
    if request.can_read_body:
        match request.content_type:
            case "application/json":
                try:
                    body = json.loads(await request.text())
                except ValueError:
                    raise SlackError("invalid_json") from None
                if not isinstance(body, Mapping):
                    raise SlackError("json_not_object")
                values |= body
            case "application/x-www-form-urlencoded" | "multipart/form-data":
                values |= {k: v for k, v in (await request.post()).items() if isinstance(v, str)}
            case other:
                raise SlackError("invalid_post_type", f"cannot read {other}")
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    token = bearer.strip() if scheme.lower() == "bearer" else ""
    return values, token or str(values.get("token") or "")
