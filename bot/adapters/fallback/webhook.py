"""A POST of JSON to a URL, for a chat or a pager that takes it."""

from __future__ import annotations

import aiohttp

from bot.flows.ports import NotDelivered, Word

DEADLINE_S = 10.0


class WebhookWay:
    """See :class:`bot.flows.ports.Way`. The *url* is a secret as a whole: no part of it is in any error."""

    name = "webhook"

    def __init__(self, url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=deadline_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, word: Word) -> None:
        """Post *word*; only a 2xx means that it was taken. Raises NotDelivered."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        body = {
            "text": word.text,
            "incident": word.incident,
            "cluster": word.cluster,
            "kind": word.kind,
            "open": word.open,
        }
        # The same key for the same thing said again: who receives it can tell a repetition (draft-ietf-httpapi-
        # idempotency-key-header).
        headers = {"Idempotency-Key": f'"{word.key}"'}
        try:
            # A redirect could lead the alert to anywhere: the URL has to be the right one.
            async with self._session.post(self._url, json=body, headers=headers, allow_redirects=False) as answer:
                if not 200 <= answer.status < 300:
                    raise NotDelivered(f"the webhook answered HTTP {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NotDelivered(f"the webhook could not be reached: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()
