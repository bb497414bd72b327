"""A mail over SMTP (RFC 5321), in a thread of its own: smtplib blocks."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from threading import Thread

import structlog

from bot.flows.ports import NotDelivered, Word
from bot.settings import EmailSettings

log = structlog.get_logger(__name__)

DEADLINE_S = 30.0  # for the whole mail
STEP_S = 10.0  # for each answer of the server
LEAVE_S = 2.0  # for its last one, on which nothing depends


class EmailWay:
    """See :class:`bot.flows.ports.Way`. *context* is how TLS trusts the server; the system's authorities by default."""

    name = "email"

    def __init__(
        self, settings: EmailSettings, *, context: ssl.SSLContext | None = None, deadline_s: float = DEADLINE_S
    ) -> None:
        self._settings = settings
        self._context = context or ssl.create_default_context()
        self._deadline_s = deadline_s
        self._under_way = False

    async def send(self, word: Word) -> None:
        """Send *word* to everybody; that the server refuses some of them is only logged. Raises NotDelivered."""
        if self._under_way:
            # A thread cannot be stopped: one that hangs must not become many.
            raise NotDelivered("the mail before it is still under way")
        message = self._message(word)
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._in_thread(lambda: self._deliver(message))
        except TimeoutError:
            raise NotDelivered(f"the mail server took longer than {self._deadline_s:g} s") from None
        except smtplib.SMTPResponseException as error:
            raise NotDelivered(f"the mail server refused: {type(error).__name__} {error.smtp_code}") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise NotDelivered(f"the mail could not be sent: {type(error).__name__}") from None

    async def close(self) -> None:
        """Nothing is kept open between two mails."""

    def _message(self, word: Word) -> EmailMessage:
        settings = self._settings
        message = EmailMessage()
        message["From"] = settings.sender
        message["To"] = ", ".join(settings.to)
        message["Subject"] = " ".join(word.title.split())  # a header is one line
        message["Date"] = format_datetime(datetime.now(UTC))
        # The same id for the same thing said again: many programs show such a mail once (RFC 5322, 3.6.4).
        message["Message-ID"] = f"<{word.key.replace(':', '.')}@{settings.sender.rpartition('@')[2]}>"
        # Out-of-office replies to a bot help nobody (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(word.text)
        return message

    def _deliver(self, message: EmailMessage) -> None:
        settings = self._settings
        server = smtplib.SMTP(settings.host, settings.port, timeout=STEP_S)
        try:
            if settings.starttls:
                server.starttls(context=self._context)
            if settings.user and settings.password:
                server.login(settings.user, settings.password.get_secret_value())
            refused = server.send_message(message)
            _take_leave(server)
        finally:
            server.close()
        if refused:
            # The others have it: sent again, they would get it over and over.
            log.error("the mail server refused some of those who were to be told", refused=sorted(refused))

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """Have *work* done. It is a daemon: a server that hangs must not keep the bot from stopping."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def settle(error: BaseException | None) -> None:
            # Not whether the thread is alive: it is for a moment after it has handed its answer over.
            self._under_way = False
            if done.done():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        def run() -> None:
            error: BaseException | None = None
            try:
                work()
            except BaseException as caught:  # it belongs to whoever waits for it
                error = caught
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, error)

        Thread(target=run, name="mail", daemon=True).start()
        self._under_way = True
        await done


def _take_leave(server: smtplib.SMTP) -> None:
    """Say QUIT. The server has the mail: whatever it answers now, to send it again would be wrong."""
    with contextlib.suppress(smtplib.SMTPException, OSError):
        if server.sock is not None:
            server.sock.settimeout(LEAVE_S)
        server.quit()
