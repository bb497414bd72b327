"""However a settings file is broken, it gives settings or a SettingsError, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.settings import Settings, SettingsError, check, load_settings
from tests.settings_site import CONFIG, ENVIRON, Site, make_site

TEXTS = {name: (CONFIG / name).read_text() for name in ("bot.yaml", "fleet.yaml")}
ODDITIES = st.sampled_from(
    [
        *("", "null", "true", "-1", "0", "1e400", ".nan", ".inf", "0x1F", "0o17", "1_000", "99999999999999999999"),
        *("[]", "{}", "[[]]", "{a: {b: c}}", "[1, two, null]", "'", '"', '"\\', "*x", "&x y", "&x [*x]", "<<: {a: 1}"),
        *(
            "!!binary aGk=",
            "!!python/object:os.system x",
            "!tag x",
            "%YAML 1.1",
            "--- a",
            "...",
            "? a",
            "- a",
            "#",
            "|",
        ),
        *("@x", "`x`", "2026-01-01", "10.0.0.1", "::1", "fe80::1%eth0", "1:30", "\t", "\x00", "\u2028", "\ufeff", "😀"),
    ]
)
RELAXED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def tried(site: Site, name: str, text: str) -> None:
    for each, original in TEXTS.items():
        site.file(each).write_text(text if each == name else original, encoding="utf-8", newline="")
    try:
        loaded = load_settings(site.bot, ENVIRON)
    except SettingsError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.what
            assert problem.instead
            assert problem.line is None or 1 <= problem.line <= len(re.split("\r\n|[\n\r\x85\u2028\u2029]", text)) + 1
    else:
        assert isinstance(loaded, Settings)
    assert check(site.bot, ENVIRON).exit_code in (0, 2)


def mutate(data: st.DataObject, text: str) -> str:
    """*text* with one part of it taken out, doubled, swapped, cut or replaced by something odd."""
    words = list(re.finditer(r"[^\s:{}\[\],#]+", text))
    if not words:
        return data.draw(ODDITIES)
    lines = text.splitlines(keepends=True)
    number = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(st.integers(0, len(lines) - 1))
    odd = data.draw(ODDITIES)
    word = words[data.draw(st.integers(0, len(words) - 1))]
    ways: list[Callable[[], str]] = [
        lambda: "".join(lines[:number] + lines[number + 1 :]),
        lambda: "".join([*lines[:number], lines[number], *lines[number:]]),
        lambda: "".join([*lines[:number], lines[other], *lines[number + 1 :]]),
        lambda: "".join([*lines[:number], "  " + lines[number], *lines[number + 1 :]]),
        lambda: "".join([*lines[:number], lines[number].lstrip(), *lines[number + 1 :]]),
        lambda: text[: word.start()],
        lambda: text[: word.start()] + odd + text[word.end() :],
        lambda: text[: word.start()] + odd + text[word.start() :],
        lambda: text[: word.start()] + text[word.end() :],
        lambda: text.replace(word.group(), odd),
    ]
    return data.draw(st.sampled_from(ways))()


@pytest.mark.parametrize("name", sorted(TEXTS))
@RELAXED
@given(data=st.data())
def test_a_mutated_file_gives_settings_or_problems(name: str, site: Site, data: st.DataObject) -> None:
    text = TEXTS[name]
    for _ in range(data.draw(st.integers(1, 3))):
        text = mutate(data, text) or "x"
    tried(site, name, text)


@RELAXED
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_gives_settings_or_problems(site: Site, text: str) -> None:
    tried(site, "fleet.yaml", text)


@RELAXED
@given(raw=st.binary())
def test_any_bytes_give_problems(site: Site, raw: bytes) -> None:
    site.bot.write_bytes(raw)
    assert check(site.bot, ENVIRON).exit_code == 2


@RELAXED
@given(environ=st.dictionaries(st.sampled_from([*ENVIRON, "LVSBOT_STORAGE_PASSWORD"]), st.text().map("☃{}".format)))
def test_any_environment_gives_settings_or_problems_without_its_values(site: Site, environ: dict[str, str]) -> None:
    for problem in check(site.bot, environ).problems:
        assert problem.file == "environment"
        assert "☃" not in str(problem)
