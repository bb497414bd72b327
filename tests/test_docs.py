"""The documentation is true: settings, variables, commands, options, links and the Slack manifest against the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic_core import PydanticUndefined
from ruamel.yaml import YAML

from bot.cli import app
from bot.domain.commands import GRAMMAR
from bot.domain.observed import Observed
from bot.domain.situation import Situation
from bot.domain.status import status_of
from bot.entrypoints.server import SLACK_PATH
from bot.local.cli import add_to
from bot.local.slack.methods import METHODS
from bot.settings import bot_shapes, check, fleet_shapes, load_fleet, secrets
from bot.settings.reader import Shape
from bot.views.status import status_json
from tests import pictures

ROOT = Path(__file__).parents[1]
EXAMPLES = {bot_shapes: ROOT / "config/bot.yaml", fleet_shapes: ROOT / "config/fleet.yaml"}
SETTINGS = (ROOT / "docs/settings.md").read_text()
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def shapes(module: Any) -> list[type[Shape]]:
    """Every mapping that a settings file can have, from the module that knows its shapes."""
    every = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, Shape)]
    return [c for c in every if c.__module__ == module.__name__]


# --- settings --------------------------------------------------------------------------------------------------------

NAME = "clusters.NAME"
SECTIONS: Mapping[str, type[Shape]] = {
    "## bot.yaml": bot_shapes.BotShape,
    "### `slack`": bot_shapes.SlackShape,
    "### `roles`": bot_shapes.RolesShape,
    "### `roles.operator`": bot_shapes.OperatorShape,
    "### `storage`": bot_shapes.StorageShape,
    "### `listen`": bot_shapes.ListenShape,
    "### `webhook`": bot_shapes.WebhookShape,
    "### `ssh`": bot_shapes.SshShape,
    "### `intervals`": bot_shapes.IntervalsShape,
    "### `selftest`": bot_shapes.SelfTestShape,
    "### `ping`": bot_shapes.PingShape,
    "### `alerts`": bot_shapes.AlertsShape,
    "### `alerts.fallback`": bot_shapes.FallbackShape,
    "### `alerts.fallback.email`": bot_shapes.EmailShape,
    "## fleet.yaml": fleet_shapes.FleetShape,
    f"### `{NAME}`": fleet_shapes.ClusterShape,
    f"### `{NAME}.ssh` and `{NAME}.directors.NAME.ssh`": fleet_shapes.SshShape,
    f"### `{NAME}.directors.NAME`": fleet_shapes.DirectorShape,
    f"### `{NAME}.real_servers.NAME`": fleet_shapes.RealServerShape,
    f"### `{NAME}.vrrp_instances.NAME`": fleet_shapes.VrrpShape,
    f"### `{NAME}.snat`": fleet_shapes.SnatShape,
    f"### `{NAME}.virtual_services.NAME`": fleet_shapes.ServiceShape,
    f"### `{NAME}.virtual_services.NAME.pool.NAME`": fleet_shapes.MemberShape,
    "### `….check`": fleet_shapes.CheckShape,
    "### `….check.http_get`": fleet_shapes.HttpGetShape,
    "### `….check.tcp_check`": fleet_shapes.TcpCheckShape,
    "### `….check.dns_check`": fleet_shapes.DnsCheckShape,
    "### `….probes`": fleet_shapes.ProbesShape,
    "### `….probes.vip` and `….probes.real_servers`": fleet_shapes.ProbeShape,
    "### `….http`": fleet_shapes.HttpProbeShape,
    "### `….dns`": fleet_shapes.DnsProbeShape,
    "### `….tls`": fleet_shapes.TlsProbeShape,
}
WITHOUT_KEYS = {fleet_shapes.TcpProbeShape, fleet_shapes.IcmpProbeShape}


def section(page: str, heading: str) -> str:
    """What stands under *heading* up to the next one."""
    _, found, rest = f"\n{page}".partition(f"\n{heading}\n")
    assert found, f"there is no heading {heading!r}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str) -> dict[str, list[str]]:
    """The rows of the first table of *text*, by the code in their first cell."""
    lines = [line.strip().strip("|").strip() for line in text.splitlines() if line.startswith("| `")]
    rows = [re.split(r"\s\|\s", line) for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_every_mapping_of_the_settings_has_a_table_of_its_own() -> None:
    every = {shape for module in EXAMPLES for shape in shapes(module)}
    assert every == {*SECTIONS.values(), *WITHOUT_KEYS}
    assert all(not shape.model_fields for shape in WITHOUT_KEYS)


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_table_has_the_keys_of_its_mapping_and_no_other(heading: str) -> None:
    assert sorted(table(section(SETTINGS, heading))) == sorted(SECTIONS[heading].model_fields)


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_documented_default_is_the_default(heading: str) -> None:
    shape = SECTIONS[heading]
    for key, (default, meaning) in table(section(SETTINGS, heading)).items():
        field = shape.model_fields[key]
        needed = field.default is PydanticUndefined
        assert needed == meaning.startswith("*needed*"), f"{key}: needed or not"
        if needed or field.default is None:
            assert default == "—", f"{key} has no default"
        else:
            assert accepted(shape, key, YAML(typ="safe").load(default.strip("`"))) == field.default, key


def accepted(shape: type[Shape], key: str, value: object) -> object:
    """What *shape* makes of *value* under *key*, its needed keys filled in."""
    given: dict[str, object] = {"query": "www.site.test"} if "query" in shape.model_fields else {}
    if needed := {k for k, f in shape.model_fields.items() if f.is_required()} - set(given):
        examples = {k: YAML(typ="safe").load(str((shape.model_fields[k].examples or [])[0])) for k in needed}
        given |= examples
    return getattr(shape.model_validate({**given, key: value}), key)


def test_every_variable_is_documented_and_stands_in_the_example() -> None:
    example = (ROOT / "config/bot.env.example").read_text()
    fixed = {secrets.BOT_TOKEN, secrets.APP_TOKEN, secrets.SIGNING_SECRET, secrets.STORAGE_PASSWORD, secrets.PING_URL}
    assert fixed | {"LVSBOT_SECRET_<DIRECTOR>", "LVSBOT_CONFIG"} <= set(table(section(SETTINGS, "## Environment")))
    named = {v.auth_pass_env for c in load_fleet(EXAMPLES[fleet_shapes]).clusters for v in c.vrrp_instances}
    for variable in {*fixed, "LVSBOT_SECRET_SV1", "LVSBOT_SECRET_SV2", *(name for name in named if name)}:
        assert re.search(rf"^#?{variable}=", example, re.MULTILINE), variable
        assert variable in SETTINGS or variable == "LVSBOT_SECRET_SV2"
    for line in example.splitlines():
        assert re.fullmatch(r"#.*|[A-Z0-9_]+=\S*|", line), "systemd and a shell have to read the same"


def test_the_example_settings_lack_nothing_but_host_keys(tmp_path: Path) -> None:
    for name in ("bot.yaml", "fleet.yaml"):
        (tmp_path / name).write_text((ROOT / "config" / name).read_text())
    given = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "LVS_VRRP_VI_1": "7890"}
    environ = given | {f"LVSBOT_SECRET_SV{n}": "0123456789abcdef" for n in (1, 2)}
    problems = check(tmp_path / "bot.yaml", environ).problems
    assert [problem.where for problem in problems] == ["ssh.known_hosts"]


# --- commands --------------------------------------------------------------------------------------------------------


@cache
def commands() -> dict[str, Any]:
    """Every command of the program, by what one types after ``python -m bot``."""
    whole = typer.Typer()
    whole.registered_commands = [*app.registered_commands]
    whole.registered_groups = [*app.registered_groups]
    add_to(whole)

    def below(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield path, command
        else:
            for name, child in inner.items():
                yield from below(child, f"{path} {name}".strip())

    return dict(below(typer.main.get_command(whole), ""))


def code() -> str:
    """Everything that the README and the docs show as code."""
    text = "\n".join(page.read_text() for page in PAGES)
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`|^ {4}.*$", text, re.DOTALL | re.MULTILINE))


def test_the_program_has_commands() -> None:
    assert {"run", "check", "render", "demo", "lvs status", "lab up"} <= set(commands())


def test_every_command_of_the_program_is_documented() -> None:
    shown = code()
    missing = [name for name in commands() if not re.search(rf"python -m bot {name}\b", shown)]
    assert not missing


def test_every_option_of_the_program_is_documented() -> None:
    shown = code()
    missing = [
        f"{name} {option}"
        for name, command in commands().items()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option != "--help" and not re.search(rf"{option}\b", shown)
    ]
    assert not missing


def test_every_command_line_in_the_documentation_is_one_that_the_program_takes() -> None:
    for line in re.findall(r"python -m bot ((?:[a-z]+ ?)+)", code()):
        words = line.split()
        found = any(" ".join(words[:n]) in commands() for n in (1, 2))
        group = any(name.startswith(f"{words[0]} ") for name in commands()) and len(words) == 1
        assert found or group, f"python -m bot {line}"


def test_every_slash_command_is_in_the_readmes_table() -> None:
    for row in GRAMMAR:
        assert f"`/lvs {row.usage}`" in README, row.usage
        for flag in row.flags:
            assert flag in README


def test_no_slash_command_in_the_documentation_is_made_up() -> None:
    verbs = {row.verb.value for row in GRAMMAR}
    # Not `/lvs failed with the error …`: these are Slack's own words.
    assert set(re.findall(r"/lvs (?!failed with)([a-z]+)", code())) <= verbs


def test_the_readmes_test_command_is_what_ci_runs() -> None:
    ci = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("exec ")]
    assert ci == ["exec make test"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= set(re.findall(r"\bmake ([a-z]+)", README)) <= targets


def test_the_procfile_and_the_unit_start_a_command_that_exists() -> None:
    procfile = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    unit = (ROOT / "config/lvsbot.service").read_text()
    started = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert started
    for line in (procfile["bot"], started[1]):
        _, _, module, *rest = shlex.split(line)
        assert module == "bot"
        command = commands()[rest[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest[1:] if word.startswith("-")} <= options


# --- status, Slack, links --------------------------------------------------------------------------------------------


def test_every_key_of_the_status_for_machines_is_documented() -> None:
    cluster = load_fleet(EXAMPLES[fleet_shapes]).clusters[0]
    observed = tuple(Observed(director=d.name, reachable=False, error="x") for d in cluster.directors)
    status = status_of(cluster, observed, Situation(), at=datetime(2026, 1, 1, tzinfo=UTC), overrides={})
    documented = (ROOT / "docs/status.md").read_text()

    def keys(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                yield from keys(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from keys(inner)

    by_name = {"10.100.5.11"}  # holders are by address, what was found by director
    assert not [key for key in {*keys(status_json(status))} - by_name if f"`{key}`" not in documented]


def manifest(*, http: bool = False) -> Any:
    """The Slack app's manifest: as it stands, or as its head says for HTTP mode."""
    text = (ROOT / "config/manifest.yaml").read_text()
    if http:
        text = re.sub(r"^(\s*)# (url|request_url): ", r"\1\2: ", text, flags=re.MULTILINE)
        text = text.replace("socket_mode_enabled: true", "socket_mode_enabled: false")
    return YAML(typ="safe").load(text)


def test_the_manifest_names_the_slash_command_of_the_example() -> None:
    settings = YAML(typ="safe").load(EXAMPLES[bot_shapes].read_text())
    assert [c["command"] for c in manifest()["features"]["slash_commands"]] == [settings["slack"]["command"]]
    assert manifest()["settings"]["interactivity"]["is_enabled"]
    assert manifest()["settings"]["socket_mode_enabled"]


def test_the_manifest_asks_for_every_scope_of_every_method_that_the_bot_calls() -> None:
    calls = set(re.findall(r'"([a-z]+\.[a-zA-Z.]+)"', (ROOT / "bot/adapters/messenger.py").read_text())) - {"chat."}
    assert {"chat.postMessage", "chat.update", "conversations.history"} <= calls <= set(METHODS)
    scopes = set(manifest()["oauth_config"]["scopes"]["bot"])
    assert {METHODS[call].scope for call in calls} - {None, ""} <= scopes


def test_the_manifest_for_http_mode_points_to_where_the_bot_listens() -> None:
    found = manifest(http=True)
    urls = [found["features"]["slash_commands"][0]["url"], found["settings"]["interactivity"]["request_url"]]
    assert all(url.startswith("https://") and url.endswith(SLACK_PATH) for url in urls)
    assert not found["settings"]["socket_mode_enabled"]


def anchors(page: Path) -> set[str]:
    """What a link into *page* can point to: GitHub's names of its headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_every_picture_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(found), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    file = r"`((?:bot|config|docs|tests)/[\w./-]+\.(?:py|md|ya?ml|service|example|json|sh|j2))`"
    named = re.findall(file, page.read_text())
    made = {"docs/speed.md"}  # by `make bench`
    assert not [name for name in {*named} - made if not (ROOT / name).exists()]


def test_the_picture_of_an_incident_shows_what_the_bot_says() -> None:
    assert pictures.WORDS.read_text() == pictures.words(), "it is old: python -m tests.pictures"


def test_pictures_are_small_enough_to_load_at_night() -> None:
    images = [*(ROOT / "docs/images").iterdir()]
    assert images
    assert all(picture.stat().st_size < 300_000 for picture in images)
