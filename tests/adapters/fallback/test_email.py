"""The e-mail way against a real SMTP server on loopback."""

from __future__ import annotations

import asyncio
import datetime
import email
import email.policy
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from bot.adapters.fallback import EmailWay
from bot.flows.ports import NotDelivered
from bot.settings import EmailSettings
from tests.adapters.fallback.words import DOWN, ODD

PASSWORD = "hunter2 with blanks"


class Mailbox:
    """What an SMTP server does with what it is given. ``refused`` are addresses that it does not take."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[EmailMessage] = []
        self.to: list[list[str]] = []
        self.encrypted: list[bool] = []
        self.users: list[str] = []
        self.refused: set[str] = set()
        self.answer = "250 OK"
        self.hang = False

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.hang:
            await asyncio.sleep(3)
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        self.to.append(list(envelope.rcpt_tos))
        self.encrypted.append(session.ssl is not None)
        return self.answer

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.users.append(data.login.decode())
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@asynccontextmanager
async def serving(mailbox: Mailbox, server: type[SMTP] = SMTP, **options: Any) -> AsyncIterator[Mailbox]:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: server(mailbox, hostname="mail.site.test", loop=loop, **options), "127.0.0.1", 0
    )
    mailbox.port = listening.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        listening.close()
        await listening.wait_closed()


def settings(mailbox: Mailbox, **more: Any) -> EmailSettings:
    given: dict[str, Any] = {"starttls": False, "user": None, "password": None, **more}
    return EmailSettings(
        to=("duty@site.test", "boss@site.test"), sender="lvsbot@site.test", host="127.0.0.1", port=mailbox.port, **given
    )


async def test_a_word_arrives_as_a_mail_to_everybody() -> None:
    async with serving(Mailbox()) as mailbox:
        way = EmailWay(settings(mailbox))
        await way.send(DOWN)
        await way.send(DOWN)
        mail, again = mailbox.mails
    assert (mail["From"], mail["To"]) == ("lvsbot@site.test", "duty@site.test, boss@site.test")
    assert (mail["Subject"], mail["Auto-Submitted"]) == ("[site] web1 is down", "auto-generated")
    assert mail.get_content().splitlines() == DOWN.text.splitlines()
    assert mail["Message-ID"] == again["Message-ID"] == "<incident.site.42@site.test>"
    assert mailbox.to[0] == ["duty@site.test", "boss@site.test"]


class Lingering(Thread):
    """A thread that is not gone at once when its work is done, as on a busy machine."""

    def run(self) -> None:
        super().run()
        time.sleep(0.3)


async def test_a_mail_is_over_when_it_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.adapters.fallback.email.Thread", Lingering)
    async with serving(Mailbox()) as mailbox:
        way = EmailWay(settings(mailbox))
        await way.send(DOWN)
        await way.send(DOWN)
        assert len(mailbox.mails) == 2


async def test_odd_words_arrive_as_they_are_and_never_become_headers() -> None:
    async with serving(Mailbox()) as mailbox:
        await EmailWay(settings(mailbox)).send(ODD)
        (mail,) = mailbox.mails
    assert mail["Subject"] == "[site] web1: Bcc: everybody@evil.test"
    assert mail["Bcc"] is None
    assert mail.get_content().splitlines() == ODD.text.splitlines()


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server with a certificate of its own speaks TLS with, and what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.site.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "mail.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())
    return server, client


async def test_nothing_is_said_before_tls_and_the_account_is_named_inside_of_it(
    authority: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = authority
    mailbox = Mailbox()
    async with serving(
        mailbox, tls_context=server, require_starttls=True, authenticator=mailbox.authenticate, auth_required=True
    ):
        named = settings(mailbox, starttls=True, user="lvsbot", password=SecretStr(PASSWORD))
        await EmailWay(named, context=client).send(DOWN)
    assert (mailbox.encrypted, mailbox.users) == ([True], ["lvsbot"])


async def test_a_server_whose_certificate_nobody_vouches_for_gets_neither_mail_nor_password(
    authority: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, _ = authority
    mailbox = Mailbox()
    async with serving(mailbox, tls_context=server, authenticator=mailbox.authenticate):
        way = EmailWay(settings(mailbox, starttls=True, user="lvsbot", password=SecretStr(PASSWORD)))
        with pytest.raises(NotDelivered, match="SSLCertVerificationError"):
            await way.send(DOWN)
    assert (mailbox.mails, mailbox.users) == ([], [])


async def test_a_server_without_tls_gets_nothing_where_tls_is_asked_for() -> None:
    async with serving(Mailbox()) as mailbox:
        with pytest.raises(NotDelivered, match="SMTPNotSupportedError"):
            await EmailWay(settings(mailbox, starttls=True)).send(DOWN)
        assert mailbox.mails == []


async def test_a_wrong_password_is_told_by_its_number_only() -> None:
    mailbox = Mailbox()
    async with serving(mailbox, authenticator=mailbox.authenticate, auth_require_tls=False):
        way = EmailWay(settings(mailbox, user="lvsbot", password=SecretStr("hunter3")))
        with pytest.raises(NotDelivered, match="SMTPAuthenticationError 535") as raised:
            await way.send(DOWN)
    assert "hunter" not in str(raised.value)


async def test_one_who_is_unknown_does_not_keep_the_others_from_getting_it() -> None:
    async with serving(Mailbox()) as mailbox:
        mailbox.refused = {"boss@site.test"}
        await EmailWay(settings(mailbox)).send(DOWN)
        assert mailbox.to == [["duty@site.test"]]
        mailbox.refused = {"boss@site.test", "duty@site.test"}
        with pytest.raises(NotDelivered, match="SMTPRecipientsRefused"):
            await EmailWay(settings(mailbox)).send(DOWN)


async def test_a_refused_mail_was_not_delivered() -> None:
    async with serving(Mailbox()) as mailbox:
        mailbox.answer = "451 later"
        with pytest.raises(NotDelivered, match="SMTPDataError 451"):
            await EmailWay(settings(mailbox)).send(DOWN)


class Unfriendly(SMTP):
    """Takes mails, and leaves without a good-bye: at its limit of connections, or because it is stopped just then."""

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        if self.session is not None and self.session.host_name == "silent":
            return
        await self.push("421 4.4.2 closing transmission channel")
        assert self.transport is not None
        self.transport.close()


@pytest.mark.parametrize("silent", [False, True])
async def test_a_mail_that_was_taken_was_delivered_whatever_the_server_says_to_the_quit_after_it(
    silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.adapters.fallback.email.LEAVE_S", 0.2)
    if silent:
        monkeypatch.setattr("smtplib.socket.getfqdn", lambda: "silent")
    async with serving(Mailbox(), server=Unfriendly) as mailbox:
        await EmailWay(settings(mailbox)).send(DOWN)
        assert len(mailbox.mails) == 1


async def test_nobody_there_means_not_delivered() -> None:
    mailbox = Mailbox()
    mailbox.port = 1
    with pytest.raises(NotDelivered, match="ConnectionRefusedError"):
        await EmailWay(settings(mailbox)).send(DOWN)


async def test_a_server_that_hangs_is_not_waited_for_and_holds_one_thread_at_most() -> None:
    async with serving(Mailbox()) as mailbox:
        mailbox.hang = True
        way = EmailWay(settings(mailbox), deadline_s=0.2)
        with pytest.raises(NotDelivered, match=r"longer than 0\.2 s"):
            await way.send(DOWN)
        with pytest.raises(NotDelivered, match="still under way"):
            await way.send(DOWN)
