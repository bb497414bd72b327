"""The alerts section: what it gives, and every way in which it is wrong that we know of."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.settings import AlertSettings, EmailSettings, check, load_settings
from tests.settings_site import ENVIRON, Site, make_site

SECRETS = {**ENVIRON, "URL": "https://chat.example.net/hooks/hunter2?x=1", "MAIL": "hunter2"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def with_alerts(site: Site, text: str) -> Site:
    before, _, _ = site.bot.read_text().partition("\nalerts:")
    site.bot.write_text(f"{before}\nalerts: {text}\n")
    return site


def alerts(site: Site) -> AlertSettings:
    return load_settings(site.bot, SECRETS).alerts


def test_a_file_without_the_section_stays_valid(site: Site) -> None:
    before, _, _ = site.bot.read_text().partition("\nalerts:")
    site.bot.write_text(before)
    found = alerts(site)
    assert (found.remind_after_s, found.escalate_after_s, found.escalate_to, found.call) == (1800, 900, {}, ())
    assert (found.fallback.after_s, found.fallback.webhook, found.fallback.email) == (60, None, None)


def test_everything_that_is_given_arrives(site: Site) -> None:
    email = "{to: [a@b.test], sender: bot@b.test, host: '::1', port: 25, starttls: false, user: u, password: MAIL}"
    fallback = f"{{after: 2m, webhook: URL, email: {email}}}"
    with_alerts(
        site,
        f'{{remind: 1h, escalate: 5m, escalate_to: {{site: "#duty"}}, call: [U0ALICE, S0OPS], fallback: {fallback}}}',
    )
    found = alerts(site)
    assert (found.remind_after_s, found.escalate_after_s) == (3600, 300)
    assert (found.escalate_to, found.call, found.fallback.after_s) == ({"site": "#duty"}, ("U0ALICE", "S0OPS"), 120)
    assert found.fallback.webhook
    assert found.fallback.webhook.get_secret_value() == SECRETS["URL"]
    email_settings = found.fallback.email
    assert isinstance(email_settings, EmailSettings)
    assert (email_settings.to, email_settings.sender, email_settings.host) == (("a@b.test",), "bot@b.test", "::1")
    assert (email_settings.port, email_settings.starttls, email_settings.user) == (25, False, "u")
    assert email_settings.password
    assert email_settings.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("text", "where", "what", "instead"),
    [
        ("{remind: 60d}", "alerts.remind", "'60d' is out of range", "from 0 to 2.592e+06 seconds"),
        ('{escalate_to: {sit: "#duty"}}', "alerts.escalate_to.sit", "there is no cluster 'sit'", "did you mean site?"),
        ("{escalate_to: {site: duty}}", "alerts.escalate_to.site", "is not a channel's id or #name", '"#lvs-site"'),
        ("{call: [alice]}", "alerts.call[0]", "is not the id of a Slack user or user group", "U0ALICE or S0OPS"),
        ("{fallback: {webhook: 'https://x/y'}}", "alerts.fallback.webhook", "is not the name of an env", "LVS_VRRP"),
        (
            "{fallback: {email: {sender: a@b.test}}}",
            "alerts.fallback.email.to",
            "nobody would get it",
            "at least one",
        ),
        (
            "{fallback: {email: {to: [], sender: a@b.test}}}",
            "alerts.fallback.email.to",
            "nobody would get it",
            "at least one",
        ),
        (
            "{fallback: {email: {to: [a], sender: a@b.test}}}",
            "alerts.fallback.email.to[0]",
            "is not a mail address",
            "duty@example.net",
        ),
        (
            "{fallback: {email: {to: [a@b.test], sender: a@b.test, starttls: maybe}}}",
            "alerts.fallback.email.starttls",
            "'maybe' is neither true nor false",
            "true or false",
        ),
        (
            "{fallback: {email: {to: [a@b.test], sender: a@b.test, user: u}}}",
            "alerts.fallback.email.user",
            "its password is missing",
            "`password: LVSBOT_SMTP_PASSWORD`",
        ),
        (
            "{fallback: {email: {to: [a@b.test], sender: a@b.test, password: MAIL}}}",
            "alerts.fallback.email.password",
            "there is no user",
            "`user: …`",
        ),
        (
            "{fallback: {email: {to: [a@b.test], host: mx.test, starttls: false, user: u, password: MAIL}}}",
            "alerts.fallback.email.starttls",
            "in clear to another machine",
            "`starttls: true`",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_to_write_instead(
    text: str, where: str, what: str, instead: str, site: Site
) -> None:
    (problem,) = check(with_alerts(site, text).bot, SECRETS).problems
    assert problem.where == where
    assert what in problem.what
    assert instead in problem.instead


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("", "is not set"),
        (" https://chat.test/hunter2", "has blanks around it"),
        ("chat.test/hunter2", "is not a URL of the web"),
        ("ftp://chat.test/hunter2", "is not a URL of the web"),
        ("https://chat.test:hunter2/", "is not a URL"),
        ("http://chat.test/hunter2", "would be sent in clear to another machine"),
    ],
)
def test_a_url_that_cannot_be_right_is_reported_without_being_shown(value: str, what: str, site: Site) -> None:
    (problem,) = check(with_alerts(site, "{fallback: {webhook: URL}}").bot, {**ENVIRON, "URL": value}).problems
    assert (problem.file, problem.where) == ("environment", "URL")
    assert what in problem.what
    assert "hunter2" not in str(problem)


def test_a_url_of_this_machine_may_go_in_clear(site: Site) -> None:
    with_alerts(site, "{fallback: {webhook: URL}}")
    assert not check(site.bot, {**ENVIRON, "URL": "http://127.0.0.1:8065/hooks/x"}).problems
