"""A cluster's status: blocks for Slack, and the same lines for a terminal."""

from __future__ import annotations

from typing import Any

from bot.domain.moments import moment
from bot.domain.observed import IpvsDestination, Observed, UnitActive
from bot.domain.operations import Phase
from bot.domain.situation import Claim
from bot.domain.status import Difference, ServerRow, ServiceRows, Status
from bot.domain.wording import listed
from bot.views.blocks import Block, context, fitted, preformatted, section
from bot.views.incident import RED, headline, icon
from bot.views.message import SlackMessage
from bot.views.words import cut, escape, plural, slack_time, span


def summary(status: Status) -> str:
    """The whole status in one line."""
    holders = "; ".join(
        f"{vip} is held by {listed(names)}" if names else f"{vip} is held by nobody that answers"
        for vip, names in status.holders.items()
    )
    wrong = len({t.subject for t in status.troubles}) + len(status.differences)
    state = "all well" if not wrong and _all_readable(status) else _troubled(status, wrong)
    return f"{status.cluster.name}: {state}; {holders}" if holders else f"{status.cluster.name}: {state}"


def _all_readable(status: Status) -> bool:
    return all(o.reachable and o.error is None for o in status.observed)


def _troubled(status: Status, wrong: int) -> str:
    lost = [o.director for o in status.observed if not o.reachable]
    parts = [f"{listed(lost)} cannot be reached"] if lost else []
    if wrong:
        parts.append(plural(wrong, "thing needs", "things need") + " a look")
    return ", ".join(parts) or "not everything could be read"


def director_line(status: Status, observed: Observed) -> str:
    """One director: reachable, keepalived's state, what it holds."""
    if not observed.reachable:
        return f"{observed.director}: UNKNOWN, cannot be reached ({observed.error})"
    unit = observed.keepalived
    keepalived = "keepalived ?" if unit is None else f"keepalived {unit.active.value}"
    if unit is not None and unit.active is not UnitActive.ACTIVE:
        keepalived += f" ({unit.result})"
    claims = [f"{i.name} {_claim(status, observed, i.name)}" for i in status.cluster.vrrp_instances]
    holds = observed.holds(status.cluster)
    vip = f"holds {listed(holds)}" if holds else "holds no VIP"
    line = f"{observed.director}: {', '.join(claims)}; {vip}; {keepalived}; answered in {span(observed.latency_s)}"
    return f"{line}; {observed.error}" if observed.error else line


def _claim(status: Status, observed: Observed, instance: str) -> str:
    """What the director is, by what it holds now; its own last word is shown where the two differ."""
    vips = {str(v.ip) for v in status.cluster.vrrp_instance(instance).virtual_addresses}
    running = observed.keepalived is not None and observed.keepalived.active is UnitActive.ACTIVE
    fact = "MASTER" if vips & set(observed.holds(status.cluster)) else "BACKUP" if running else "STOP"
    claim: Claim | None = status.situation.claims.get((observed.director, instance))
    if claim is None or claim.state.value == fact:
        return fact
    return f"{fact} (said {claim.state.value} at {moment(claim.at, status.at)})"


def table_lines(status: Status) -> list[str]:
    """Every service's real servers: a column a director with weight and active/inactive connections."""
    lines: list[str] = []
    for rows in status.services:
        if lines:
            lines.append("")
        lines += _service_lines(status, rows)
    return lines


def _service_lines(status: Status, rows: ServiceRows) -> list[str]:
    service = rows.service
    where = (
        f"fwmark {service.fwmark}"
        if service.fwmark is not None
        else f"{service.protocol} {service.address}:{service.port}"
    )
    vip = {True: "VIP answers", False: "VIP DOES NOT ANSWER", None: "VIP not probed"}[rows.vip_healthy]
    title = f"{service.name}  {where}  {service.scheduler}, {service.forwarding.value}  {vip}"
    columns = _columns(status)
    missing = [name for place, name in columns if not rows.present[place]]
    head = ["", *(name for _, name in columns), ""]
    cells = [
        head,
        *([row.server.name, *(_cell(row.found[p]) for p, _ in columns), _remark(row, status)] for row in rows.rows),
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    if missing:
        lines.append(f"not in the table of {listed(missing)}")
    return [title, *(f"  {line}" for line in lines)]


def _columns(status: Status) -> list[tuple[int, str]]:
    """The directors that are shown and whose table could be read, each with its place in the rows."""
    return [(place, o.director) for place, o in enumerate(status.readable) if o in status.shown]


def _cell(found: IpvsDestination | None) -> str:
    return "absent" if found is None else f"w {found.weight}  {found.active}/{found.inactive}"


def _remark(row: ServerRow, status: Status) -> str:
    health = {True: "healthy", False: "UNHEALTHY", None: "not probed"}[row.healthy]
    parts = [health]
    if row.override:
        parts.append(f"drained by {row.override.by.name} at {moment(row.override.since, status.at)}")
    if row.difference is not Difference.NONE:
        parts.append(f"≠ {row.difference.value}")
    return ", ".join(parts)


def status_message(status: Status) -> SlackMessage:
    """*status* for Slack."""
    text = summary(status)
    blocks: list[Block] = [section(f"{_light(status)} *{escape(text)}*")]
    blocks.append(section("\n".join(f"• {escape(director_line(status, o))}" for o in status.shown)))
    blocks += preformatted(escape(line) for line in table_lines(status))
    remarks = _remarks(status)
    last = [section("\n".join(f"• {escape(remark)}" for remark in remarks))] if remarks else []
    last.append(context(f"asked over SSH at {slack_time(status.at)} · w = weight, then active/inactive connections"))
    return SlackMessage(text=cut(escape(text), 3000), blocks=fitted(blocks, last))


def _light(status: Status) -> str:
    if any(icon(i) == RED for i in status.incidents) or not any(o.reachable for o in status.observed):
        return RED
    calm = not status.troubles and not status.differences and _all_readable(status)
    return ":large_green_circle:" if calm else ":large_yellow_circle:"


def _remarks(status: Status) -> list[str]:
    open_ones = [f"open incident {i.id}: {headline(i)}" for i in status.incidents if i.open]
    busy = [
        f"{op.kind.value} {op.real_server} ({op.id}): {op.phase.value}"
        for op in status.operations
        if not op.over and op.phase is not Phase.PLANNED
    ]
    return [*open_ones, *busy]


def status_lines(status: Status) -> list[str]:
    """*status* for a terminal."""
    directors = [director_line(status, o) for o in status.shown]
    remarks = _remarks(status)
    return [summary(status), "", *directors, "", *table_lines(status), *([""] if remarks else []), *remarks]


def status_json(status: Status) -> dict[str, Any]:
    """*status* for machines. The keys are stable; docs/status.md explains them."""
    columns = _columns(status)
    return {
        "cluster": status.cluster.name,
        "at": status.at.isoformat(),
        "summary": summary(status),
        "holders": {vip: list(found) for vip, found in status.holders.items()},
        "directors": [
            {
                "name": o.director,
                "reachable": o.reachable,
                "error": o.error,
                "holds": list(o.holds(status.cluster)),
                "keepalived": o.keepalived.active.value if o.keepalived else None,
                "latency_s": round(o.latency_s, 4),
            }
            for o in status.shown
        ],
        "services": [
            {
                "name": rows.service.name,
                "vip_healthy": rows.vip_healthy,
                "real_servers": [_row_json(row, columns) for row in rows.rows],
            }
            for rows in status.services
        ],
        "differences": list(status.differences),
        "open_incidents": [
            {"id": i.id, "kind": i.kind.value, "headline": headline(i)} for i in status.incidents if i.open
        ],
    }


def _row_json(row: ServerRow, columns: list[tuple[int, str]]) -> dict[str, Any]:
    return {
        "name": row.server.name,
        "address": str(row.server.address),
        "healthy": row.healthy,
        "drained_by": row.override.by.name if row.override else None,
        "found": {
            name: None
            if (f := row.found[place]) is None
            else {"weight": f.weight, "active": f.active, "inactive": f.inactive}
            for place, name in columns
        },
    }
