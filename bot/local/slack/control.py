"""``/control/faults``: arming faults from outside the process, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.local.slack.delivery import Delivery
from bot.local.slack.faults import Fault, FaultKind
from bot.local.slack.sockets import SocketMode
from bot.local.slack.ui import refuse_strangers
from bot.local.slack.wire import Json, SlackError
from bot.local.slack.world import World

API_FAULTS = tuple(kind.value for kind in FaultKind)


class Order(BaseModel):
    """The body of ``POST /control/faults``. ``kind`` is one of API_FAULTS or of the others that docs/ lists."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    calls: int | None = Field(default=1, ge=1)
    methods: frozenset[str] = frozenset()
    retry_after: int = Field(default=1, ge=0)
    status: int = Field(default=503, ge=500, le=599)
    seconds: float | None = Field(default=None, ge=0)
    after_effect: bool = False
    later: float = Field(default=0.0, ge=0)
    per_second: int = Field(default=1, ge=1)


class Control:
    """Arms, lists and clears faults."""

    def __init__(self, world: World, delivery: Delivery, sockets: SocketMode) -> None:
        self._faults = world.faults
        self._delivery = delivery
        self._sockets = sockets

    def routes(self) -> list[web.RouteDef]:
        """What a script reaches."""
        return [
            web.get("/control/faults", self.list),
            web.post("/control/faults", self.arm),
            web.delete("/control/faults", self.clear),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """What is armed."""
        refuse_strangers(request)
        return web.json_response(self._faults.as_json())

    async def clear(self, request: web.Request) -> web.Response:
        """Disarm everything."""
        refuse_strangers(request)
        self._faults.clear()
        return web.json_response(self._faults.as_json())

    async def arm(self, request: web.Request) -> web.Response:
        """Arm one fault."""
        refuse_strangers(request)
        # A content type that a plain HTML form cannot send: a browser asks us first, and we do not answer.
        if request.content_type != "application/json":
            return web.json_response({"error": "send application/json"}, status=415)
        try:
            order = Order.model_validate(json.loads(await request.text()))
            self._arm(order)
        except ValidationError as bad:
            return web.json_response({"error": bad.errors(include_url=False, include_context=False)}, status=400)
        except (ValueError, SlackError) as bad:
            return web.json_response({"error": str(bad)}, status=400)
        return web.json_response(self._faults.as_json())

    def _arm(self, order: Order) -> None:
        faults, seconds = self._faults, order.seconds
        others: dict[str, Callable[[], Any]] = {
            "rate": lambda: faults.rate(order.per_second, *sorted(order.methods)[:1]),
            "down": lambda: faults.down(seconds if seconds is not None else float("inf")),
            "slow_acks": lambda: faults.slow_acks(seconds if seconds is not None else 5.0),
            "drop_sockets": self._sockets.drop,
            "redeliver": self._delivery.redeliver_soon,
        }
        if order.kind in others:
            others[order.kind]()
        elif order.kind in API_FAULTS:
            kept: Json = order.model_dump(exclude={"kind", "seconds", "per_second"})
            if seconds is not None:
                kept["seconds"] = seconds
            faults.arm(Fault(kind=FaultKind(order.kind), **kept))
        else:
            raise ValueError(f"no fault is called {order.kind!r}: take one of {', '.join((*API_FAULTS, *others))}")
