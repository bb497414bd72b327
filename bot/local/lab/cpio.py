"""Writes cpio archives that the kernel unpacks at boot (its driver-api/early-userspace/buffer-format.rst)."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One regular file of an archive; the directories above it are made as they are needed."""

    path: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


def archive(members: Iterable[Member]) -> bytes:
    """The archive of *members*: the same bytes for the same members, so that it can be a cache's key."""
    parts: list[bytes] = []
    made: set[str] = set()
    for member in members:
        path = PurePosixPath(member.path.lstrip("/"))
        for parent in reversed(path.parents[:-1]):
            if str(parent) not in made:
                made.add(str(parent))
                parts.append(_entry(str(parent), stat.S_IFDIR | 0o755, 0, 0, b"", len(parts) + 1))
        mode = stat.S_IFREG | member.mode
        parts.append(_entry(str(path), mode, member.uid, member.gid, member.content, len(parts) + 1))
    parts.append(_entry("TRAILER!!!", 0, 0, 0, b"", 0))
    return _padded(b"".join(parts), 512)


def _entry(name: str, mode: int, uid: int, gid: int, content: bytes, inode: int) -> bytes:
    encoded = name.encode() + b"\0"
    links, modified, checksum, device = 1, 0, 0, (0, 0, 0, 0)
    fields = (inode, mode, uid, gid, links, modified, len(content), *device, len(encoded), checksum)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded, 4) + _padded(content, 4)


def _padded(data: bytes, multiple: int) -> bytes:
    return data + b"\0" * (-len(data) % multiple)
