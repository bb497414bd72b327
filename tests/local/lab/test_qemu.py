"""When a guest's process is there, and when it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.local.lab.qemu import QEMU, is_guest

LEADER_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("program", ["import time; print('ready', flush=True); time.sleep(600)", LEADER_ENDS])
def test_it_is_there_until_its_last_thread_is_gone(program: str, tmp_path: Path) -> None:
    """Its tap device is busy for as long as one thread holds it: the next start of the guest would be refused."""
    qemu = tmp_path / QEMU
    qemu.symlink_to(sys.executable)
    with subprocess.Popen([qemu, "-c", program, "sv1"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            if program == LEADER_ENDS:
                while _state(process.pid) != "Z":
                    pass
            assert is_guest(process.pid, "sv1")
        finally:
            process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_guest(process.pid, "sv1"), "a zombie without threads"
    assert not is_guest(process.pid, "sv1"), "reaped"


def test_another_process_is_no_guest() -> None:
    """A number from an old file may be anybody's by now."""
    assert not is_guest(os.getpid(), "sv1")
    assert not is_guest(2, "sv1"), "a thread of the kernel has no command line either"
