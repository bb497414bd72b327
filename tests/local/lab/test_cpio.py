"""The archives that guests are seeded with, read by the tool that everybody has."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bot.local.lab.cpio import Member, archive

MEMBERS = (
    Member(path="/seed/etc/hostname", content=b"sv1\n"),
    Member(path="seed/etc/secret", content=b"\0" * 1001, mode=0o400, uid=901, gid=901),
)


def test_busybox_unpacks_what_was_put_in(tmp_path: Path) -> None:
    subprocess.run(["busybox", "cpio", "-i", "-d"], input=archive(MEMBERS), cwd=tmp_path, check=True, timeout=10)
    secret = tmp_path / "seed/etc/secret"
    assert (tmp_path / "seed/etc/hostname").read_bytes() == b"sv1\n"
    assert secret.read_bytes() == b"\0" * 1001
    assert secret.stat().st_mode & 0o777 == 0o400


def test_the_same_members_make_the_same_bytes() -> None:
    assert archive(MEMBERS) == archive(MEMBERS)
    assert archive(MEMBERS) != archive(MEMBERS[:1])


def test_an_archive_can_stand_behind_another() -> None:
    assert len(archive(MEMBERS)) % 512 == 0
