"""What the lab needs from the machine: Debian packages, which are missing, and installing them."""

from __future__ import annotations

import os
import shutil
import subprocess

from bot.local.lab.commands import attempt
from bot.local.lab.errors import LabError
from bot.local.lab.places import Progress

HOST_PACKAGES = (
    "busybox-static",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "mmdebstrap",
    "openssh-client",
    "qemu-system-x86",
    "squashfs-tools",
)


def missing_packages(packages: tuple[str, ...] = HOST_PACKAGES) -> tuple[str, ...]:
    """Those of *packages* that are not installed. Raises LabError where there is no dpkg."""
    asked = attempt(["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *packages])
    installed = {line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")}
    return tuple(package for package in packages if package not in installed)


def install_packages(progress: Progress, packages: tuple[str, ...] = HOST_PACKAGES) -> None:
    """Install what is missing of *packages* with apt-get, through sudo when not root; its output stays visible.

    Raises LabError.
    """
    missing = missing_packages(packages)
    if not missing:
        return
    progress(f"installing {len(missing)} Debian packages: {' '.join(missing)}")
    _apt_get("update", "--quiet")
    _apt_get("install", "--quiet", "--yes", "--no-install-recommends", *missing)


def as_root(argv: list[str]) -> list[str]:
    """*argv* through sudo, unless this is root already. Raises LabError where there is neither."""
    if os.geteuid() == 0:
        return argv
    if shutil.which("sudo") is None:
        raise LabError(f"`{' '.join(argv)}` needs root, and there is no sudo here: run this as root")
    return ["sudo", "--preserve-env=DEBIAN_FRONTEND", *argv]


def _apt_get(*words: str) -> None:
    argv = as_root(["apt-get", *words])
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    status = subprocess.run(argv, env=environment, check=False, timeout=900).returncode
    if status != 0:
        raise LabError(f"`{' '.join(argv)}` failed with status {status}: its own words stand above; mend that first")
