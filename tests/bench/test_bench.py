"""The bench still runs: each measurement with a handful of rounds. What it measures then means nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import acks, alerts, directors, memory, probes, start
from tests.bench.report import BEGIN, END, PAGE, as_json, keep
from tests.bench.results import TINY, Result, Verdict


@pytest.mark.sshd
@pytest.mark.parametrize("part", [acks, alerts, directors, memory, probes, start], ids=lambda part: part.__name__[12:])
async def test_each_part_of_the_bench_gives_figures(part: object, tmp_path: Path) -> None:
    results = await part.measure(tmp_path, TINY)  # type: ignore[attr-defined]
    assert results
    # A count without a unit may be 0: that nothing was lost is what it is there to say.
    empty = [r for r in results if (r.ours <= 0 and r.unit) or r.ours < 0 or (r.bare is not None and r.bare <= 0)]
    assert empty == []


def test_a_goal_is_held_against_the_ratio_where_there_is_a_bare_figure() -> None:
    assert Result(what="", unit="ms", ours=3, bare=2, goal=1.5).verdict is Verdict.MET
    assert Result(what="", unit="ms", ours=3.1, bare=2, goal=1.5).verdict is Verdict.MISSED
    assert Result(what="", unit="MiB", ours=91, goal=90).verdict is Verdict.MISSED
    assert Result(what="", unit="/s", ours=1).verdict is Verdict.NOTED


def test_the_table_replaces_only_what_stands_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    keep([Result(what="probes", unit="µs", ours=3, bare=2, goal=2)], page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| probes | 3 µs | 2 µs | 1.50 | ≤ 2 | met |" in text


def test_the_page_of_the_project_has_a_place_for_the_table() -> None:
    assert BEGIN in PAGE.read_text()
    assert END in PAGE.read_text()


def test_the_json_has_the_figures_unrounded() -> None:
    found = json.loads(as_json([Result(what="a", unit="ms", ours=1.23456, bare=1)]))
    assert found["results"][0]["figure"] == 1.23456
