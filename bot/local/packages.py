"""What a checkout needs of the machine: prints the Debian packages that are missing, one a line (for setup.sh)."""

from __future__ import annotations

import sys

from bot.local.lab.packages import HOST_PACKAGES, missing_packages

TEST_PACKAGES = (
    "chromium",
    "fonts-dejavu-core",
    "fonts-noto-color-emoji",
    "iputils-ping",
    "libatomic1",  # Playwright's driver is a Node.js that links to it
    "openssh-server",
    "postgresql",
    "util-linux",
)


def main() -> None:
    """Print what is missing: for the demo, and with ``--tests`` for the tests too."""
    wanted = (*HOST_PACKAGES, *(TEST_PACKAGES if "--tests" in sys.argv[1:] else ()))
    sys.stdout.writelines(f"{package}\n" for package in missing_packages(wanted))


if __name__ == "__main__":
    main()
