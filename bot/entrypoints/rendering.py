"""``python -m bot render``: the files of one director, printed to be read or written to be installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from bot.domain.fleet import Cluster, Director, Fleet, Found
from bot.lvs.agent import PROGRAM
from bot.lvs.rendering import AgentTarget, CannotRender, Firewall, RenderedFile, render_director

MASKED = "*" * 8


def files_of(
    fleet: Fleet, name: str, environ: Mapping[str, str] | None, webhook: str | None, firewall: Firewall
) -> tuple[RenderedFile, ...]:
    """Every file that belongs on the director *name*, by path; those of its agent only where *webhook* is given.

    VRRP passwords are taken from *environ*, or masked where it is None. Raises CannotRender.
    """
    found = fleet.find(name, Director)
    if not isinstance(found, Found) or not isinstance(found.thing, Director):
        names = ", ".join(d.name for c in fleet.clusters for d in c.directors)
        raise CannotRender(f"{name} is not one director of the fleet file; it has: {names}")
    agent = AgentTarget(url=webhook) if webhook else None
    passwords = _passwords(found.cluster, environ)
    rendered = render_director(found.cluster, found.thing, auth_passes=passwords, firewall=firewall, agent=agent)
    return tuple(sorted((*rendered, *(_agent() if agent else ())), key=lambda file: file.path))


def _passwords(cluster: Cluster, environ: Mapping[str, str] | None) -> dict[str, str]:
    named = {v.name: v.auth_pass_env for v in cluster.vrrp_instances if v.auth_pass_env}
    return {name: MASKED if environ is None else environ.get(variable, "") for name, variable in named.items()}


def _agent() -> Iterator[RenderedFile]:
    source = files("bot.agent")
    program, unit = source / "lvs_agent.py", source / "lvs-agent.service"
    yield RenderedFile(path=PROGRAM, mode=0o755, owner="root", content=program.read_text(encoding="utf-8"))
    path = "/etc/systemd/system/lvs-agent.service"
    yield RenderedFile(path=path, mode=0o644, owner="root", content=unit.read_text(encoding="utf-8"))


def printed(rendered: tuple[RenderedFile, ...]) -> Iterator[str]:
    """*rendered* as text for a terminal; of the agent's program only the size, for it is the same everywhere."""
    for file in rendered:
        yield f"# {file.path}  ({file.mode:04o} {file.owner})"
        lines = file.content.count("\n")
        yield f"# {lines} lines: bot/agent/lvs_agent.py\n" if file.path == PROGRAM else file.content


def write(rendered: tuple[RenderedFile, ...], out: Path) -> Iterator[str]:
    """Write *rendered* below *out*, each with its mode from the start; yields a line for each. Raises OSError."""
    for file in rendered:
        path = out / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(file.content, encoding="utf-8")
        path.chmod(file.mode)
        yield f"{path}  {file.mode:04o} {file.owner}"
