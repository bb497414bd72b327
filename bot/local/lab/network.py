"""The lab's network: a bridge in a namespace without an uplink, a tap for each guest, and the namespace ``ops``."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bot.local.lab.commands import attempt, run
from bot.local.lab.errors import LabError
from bot.local.lab.places import Places
from bot.local.lab.seed import mac
from bot.local.lab.site import Site

BRIDGE = "br0"
NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000  # linux/sched.h

T = TypeVar("T")


def build(places: Places, site: Site) -> None:
    """Make both namespaces, the bridge and a tap for each guest. Raises LabError."""
    run(["ip", "netns", "add", places.net])
    run(["ip", "netns", "add", places.ops])
    lines = [
        "link set lo up",
        f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"link set {BRIDGE} up",
        f"link add ops address {mac(site.ops, 'outer')} type veth peer name eth0 netns {places.ops}",
        f"link set ops master {BRIDGE} up",
    ]
    for host in site.directors:
        lines += [f"tuntap add dev {tap(host)} mode tap", f"link set {tap(host)} master {BRIDGE} up"]
    run(["ip", "-n", places.net, "-batch", "-"], stdin="\n".join(lines) + "\n")
    lines = [
        "link set lo up",
        f"link set eth0 address {mac(site.ops)} up",
        f"address add {site.ops}/{site.network.prefixlen} broadcast + dev eth0",
    ]
    run(["ip", "-n", places.ops, "-batch", "-"], stdin="\n".join(lines) + "\n")


def remove(places: Places) -> None:
    """Delete both namespaces with all that is in them; nothing happens where there are none. Raises LabError."""
    for name in (places.ops, places.net):
        if exists(name):
            run(["ip", "netns", "delete", name])


def exists(name: str) -> bool:
    """Whether the network namespace *name* is there."""
    return (NETNS / name).exists()


def end_members(name: str) -> None:
    """Kill the processes in the namespace *name*, and wait until they are gone. Raises LabError."""
    deadline = time.monotonic() + 10
    while exists(name) and (pids := _members(name)):
        if time.monotonic() > deadline:
            raise LabError(f"processes {pids} in namespace {name} are still there 10 s after a kill -9; look with ps")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _members(name: str) -> list[int]:
    pids = [int(pid) for pid in attempt(["ip", "netns", "pids", name]).stdout.split()]
    return [pid for pid in pids if pid != os.getpid()]


def tap(host: str) -> str:
    """The name of the tap device of guest *host*."""
    return f"tap-{host}"


def inside(name: str, work: Callable[[], T]) -> T:
    """Do *work* in the network namespace *name*, in a thread of its own: the caller stays where it is.

    A socket stays in the namespace that it was made in, wherever it is used. Raises what *work* raises, and LabError.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            _enter(NETNS / name)
            results.append(work())
        except BaseException as error:  # handed to the caller's thread below
            errors.append(error)

    thread = threading.Thread(target=enter_and_work, name=f"in {name}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(path: Path) -> None:
    # os.setns came with Python 3.12 only.
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise LabError(f"{path} is not there: the lab is down; start it with `python -m bot lab up`") from error
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise LabError(f"cannot enter {path}: {os.strerror(ctypes.get_errno())}; this needs root")
    finally:
        os.close(descriptor)


def connect(name: str, address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection from within the namespace *name*; *timeout* is in seconds. Raises OSError and LabError."""
    return inside(name, lambda: socket.create_connection((address, port), timeout=timeout))


def listen(name: str, address: str, port: int) -> socket.socket:
    """A TCP socket that listens within the namespace *name*. Raises OSError and LabError."""
    return inside(name, lambda: socket.create_server((address, port), backlog=1024))
