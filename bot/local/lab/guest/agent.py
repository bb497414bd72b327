"""Starts the director's agent; in a guest that is about to be saved, it is loaded but begins when the guest wakes.

Loading it takes Python three seconds under emulation: this way a saved state has them behind it.
"""

import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

AGENT = "/usr/local/sbin/lvs-agent"
ASLEEP = Path("/run/lab-asleep")
SIGN = Path("/run/lvs-agent/asleep")

agent = ModuleType("lvs_agent")
sys.modules[agent.__name__] = agent
SourceFileLoader(agent.__name__, AGENT).exec_module(agent)

if ASLEEP.exists():
    SIGN.touch()
    boot = ASLEEP.read_text().strip()
    SIGN.unlink()
    # The new boot id is mounted over the old one, but not in here: systemd gave this process its own view of /proc/sys.
    agent.boot_id = lambda: boot  # type: ignore[attr-defined]

sys.argv = [AGENT, "run"]
sys.exit(agent.main())
