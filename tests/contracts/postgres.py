"""A private PostgreSQL for the tests: its own cluster in a temporary directory, reached by a Unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALL = "apt-get install -y --no-install-recommends postgresql-15"


class Postgres:
    """A running server. Each :meth:`database` is new and empty."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        self.binaries = binaries
        self.directory = directory
        self._count = 0

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._count += 1
        name = f"journal{self._count}"
        self.run("createdb", "-h", str(self.directory), "-U", "lvsbot", name)
        return f"postgresql+psycopg://lvsbot@/{name}?host={self.directory}"

    def sql(self, url: str, statement: str) -> str:
        """What psql prints for *statement* in the database at *url*."""
        name = url.partition("@/")[2].partition("?")[0]
        return self.run("psql", "-h", str(self.directory), "-U", "lvsbot", "-d", name, "-Atc", statement)

    def run(self, tool: str, *arguments: str) -> str:
        """Run one of PostgreSQL's tools as the server's user."""
        done = subprocess.run(
            [self.binaries / tool, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            timeout=60,
            user=_account(),
            group=_account(),
            extra_groups=None if _account() is None else [],
        )
        if done.returncode:
            raise RuntimeError(f"{tool} {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout.strip()


def _account() -> str | None:
    # The server refuses to run as root; Debian's package brings the account postgres.
    return "postgres" if os.geteuid() == 0 else None


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Make a cluster, run it, and leave nothing of it behind."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if not found:
        raise RuntimeError(f"PostgreSQL is not installed, and the journal's contract includes it: {INSTALL}")
    # A Unix socket's path is at most 107 bytes, which pytest's own temporary directories may exceed.
    directory = Path(tempfile.mkdtemp(prefix="lvsbot-pg-", dir="/tmp"))
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(directory, account.pw_uid, account.pw_gid)
    postgres = Postgres(found[0].parent, directory)
    data = str(directory / "data")
    try:
        postgres.run("initdb", "-D", data, "-U", "lvsbot", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={directory} -c shared_buffers=16MB"
        postgres.run("pg_ctl", "-D", data, "-w", "-t", "60", "-l", str(directory / "log"), "-o", options, "start")
        try:
            yield postgres
        finally:
            postgres.run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(directory)
