"""What a named version of a tool printed (tests/lvs/captures)."""

from __future__ import annotations

from pathlib import Path

CAPTURES = Path(__file__).parent / "captures"


def captured(name: str) -> str:
    """The text of the capture *name* (``ipvsadm-1.31/reference-site.table``), with every byte that was printed."""
    return (CAPTURES / f"{name}.txt").read_bytes().decode()


def captures(pattern: str) -> list[str]:
    """The names of the captures that match *pattern*."""
    names = sorted(str(path.relative_to(CAPTURES)).removesuffix(".txt") for path in CAPTURES.glob(f"{pattern}.txt"))
    assert names, pattern
    return names
