"""The sections selftest and ping: what they give, and what is wrong with them without a word of the URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.settings import check, load_settings
from tests.settings_site import ENVIRON, Site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def with_sections(site: Site, text: str) -> Site:
    before, _, _ = site.bot.read_text().partition("\nselftest:")
    site.bot.write_text(f"{before}\n{text}\n")
    return site


def test_without_the_sections_there_is_a_test_a_day_and_no_ping(site: Site) -> None:
    settings = load_settings(with_sections(site, "").bot, ENVIRON)
    assert (settings.selftest.every_s, settings.selftest.deadline_s) == (86400, 20)
    assert (settings.ping.url, settings.ping.every_s) == (None, 60)


def test_the_url_comes_from_the_environment_and_does_not_print_itself(site: Site) -> None:
    with_sections(site, "selftest: {every: 0, deadline: 1m}\nping: {url_variable: WATCHED, every: 5s}")
    settings = load_settings(site.bot, {**ENVIRON, "WATCHED": "https://monitor.test/hunter2"})
    assert (settings.selftest.every_s, settings.selftest.deadline_s, settings.ping.every_s) == (0, 60, 5)
    assert settings.ping.url
    assert settings.ping.url.get_secret_value() == "https://monitor.test/hunter2"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "where", "instead"),
    [
        ("selftest: {every: 1s}", "selftest.every", "or 0 for never"),
        ("ping: {every: 0}", "ping.every", "from 1 to 86400 seconds"),
        ("ping: {url_variable: 'https://monitor.test/'}", "ping.url_variable", "the name of an environment variable"),
        ("ping: {url: x}", "ping.url", "url_variable"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_write_instead(site: Site, text: str, where: str, instead: str) -> None:
    (problem,) = check(with_sections(site, text).bot, ENVIRON).problems
    assert problem.where == where
    assert instead in problem.instead


@pytest.mark.parametrize(
    "url", ["monitor.test/hunter2", "http://monitor.test/hunter2", " https://monitor.test/hunter2"]
)
def test_a_url_that_cannot_be_right_is_reported_without_being_shown(site: Site, url: str) -> None:
    (problem,) = check(site.bot, {**ENVIRON, "LVSBOT_PING_URL": url}).problems
    assert (problem.file, problem.where) == ("environment", "LVSBOT_PING_URL")
    assert "hunter2" not in str(problem)
