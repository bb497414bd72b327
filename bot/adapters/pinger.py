"""A GET to a monitor's URL. The URL is a secret: whoever has it can keep the monitor quiet."""

from __future__ import annotations

import aiohttp
from pydantic import SecretStr

from bot.flows.pinging import PingFailed

TIMEOUT_S = 10.0


class HttpPinger:
    """See :class:`bot.flows.pinging.Pinger`. No word of it has the URL or what of it aiohttp's errors repeat."""

    def __init__(self, url: SecretStr, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def ping(self) -> None:
        """See :meth:`Pinger.ping`: any 2xx will do, and no redirect. Each has a connection of its own."""
        # `from None`: a traceback of the cause would print its words, and the URL with them.
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout) as session,
                session.get(self._url.get_secret_value(), allow_redirects=False) as answer,
            ):
                status = answer.status
        except TimeoutError:
            raise PingFailed(f"no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PingFailed(_why(error)) from None
        if not 200 <= status < 300:
            raise PingFailed(f"answer {status}; is the URL in the environment right?")


def _why(error: BaseException) -> str:
    """What happened, by the error's kind alone."""
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        return f"no connection: {error.os_error.strerror}"
    return type(error).__name__
