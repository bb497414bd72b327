"""One guest: a QEMU process with its own disk, spoken to over QMP (docs/interop/qmp-spec.txt)."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.local.lab.commands import run
from bot.local.lab.errors import LabError
from bot.local.lab.image import Image
from bot.local.lab.network import tap

QEMU = "qemu-system-x86_64"
COMM = QEMU[:15]  # what proc_pid_comm(5) leaves of it
MEMORY = "384M"
# Not audit=0: sudo and sshd then ask for the audit socket, and the kernel starts a modprobe for it, each time.
# norandmaps: QEMU translates code anew wherever it stands at another virtual address, and by that each program each
# time that it is started.
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=-1 mitigations=off nokaslr norandmaps apparmor=0 tsc=reliable net.ifnames=0 "
    "systemd.show_status=0 systemd.log_level=warning"
)


# What emulation is slow at, and no director needs: page tables of five levels, a change of mode for each copy to or
# from a process, copies byte by byte (erms), registers of 32 bytes to save with each change of process.
LACKING = ("la57", "smap", "smep", "umip", "pku", "erms", "xsave", "avx", "avx2")
EMULATED = ",".join(("max", *(f"{feature}=off" for feature in LACKING)))


def accelerator() -> tuple[str, ...]:
    """QEMU's options for the processor: KVM only where it is real.

    A /dev/kvm without the processor's own flag exists on some machines; guests crawl on it.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
        if "vmx" in flags or "svm" in flags:
            os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
            return ("-accel", "kvm", "-cpu", "host")
    except OSError:
        pass  # no such device, or not for us: emulation works everywhere
    return ("-accel", "tcg,thread=multi,tb-size=256", "-cpu", EMULATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The files of one guest that was saved: its memory, its devices, its disk."""

    memory: Path
    devices: Path
    disk: Path

    @classmethod
    def of(cls, home: Path, host: str) -> Saved:
        """The files of guest *host* in the directory *home*."""
        return cls(memory=home / f"{host}.memory", devices=home / f"{host}.devices", disk=home / f"{host}.disk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One guest. ``run`` is the lab's run directory, ``label`` what its command line carries, ``net`` its namespace."""

    host: str
    label: str
    net: str
    mac: str
    run: Path
    image: Image

    @property
    def disk(self) -> Path:
        """The guest's own disk: what it writes survives its restart."""
        return self.run / f"{self.host}.disk"

    @property
    def initrd(self) -> Path:
        """The image's start-up archive with the guest's seed behind it."""
        return self.run / f"{self.host}.initrd"

    @property
    def console(self) -> Path:
        """All that the guest's kernel and systemd said on the first serial port."""
        return self.run / f"{self.host}.console"

    @property
    def ssh(self) -> Path:
        """Where SSH clients find the connection that they share. It goes with the guest: it must not outlive it."""
        return self.run / f"{self.host}.ssh"

    def pid(self) -> int | None:
        """The process, or None when there is none (any more)."""
        try:
            pid = int((self.run / f"{self.host}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if is_guest(pid, self.label) else None

    def boot(self, memory: Path | None = None) -> None:
        """Start it from its disk. With *memory*, its memory is that file, so that it can be saved. Raises LabError."""
        self._start(f"memory-backend-file,mem-path={memory},share=on" if memory else "memory-backend-ram")

    def resume(self, saved: Saved) -> None:
        """Start it, paused, from *saved*: its memory is read as it is needed, and never written back.

        Raises LabError.
        """
        run(["cp", "--sparse=always", "--reflink=auto", str(saved.disk), str(self.disk)])
        self._start(f"memory-backend-file,mem-path={saved.memory},share=off", "-S", "-incoming", "defer")
        with self.monitor() as monitor:
            monitor.leave_memory_out()
            monitor.command("migrate-incoming", uri=f"exec:cat {saved.devices}")
            monitor.migrated()

    def save(self, saved: Saved) -> None:
        """Stop it for good and keep all of it. It must have been booted with ``saved.memory``. Raises LabError."""
        with self.monitor() as monitor:
            monitor.command("stop")
            monitor.leave_memory_out()
            monitor.command("migrate", uri=f"exec:cat >{saved.devices}")
            monitor.migrated()
        self.kill()
        run(["cp", "--sparse=always", "--reflink=auto", str(self.disk), str(saved.disk)])

    def kill(self) -> None:
        """Pull the plug: ``kill -9``. Returns once it is gone; nothing happens when it is down. Raises LabError."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + 10
            while is_guest(pid, self.label):
                if time.monotonic() > deadline:
                    raise LabError(
                        f"{self.label}: process {pid} is still there 10 s after a kill -9; look at it with ps"
                    )
                time.sleep(0.005)
        for left_over in ("pid", "qmp", "wake", "ssh"):
            (self.run / f"{self.host}.{left_over}").unlink(missing_ok=True)

    def monitor(self) -> Monitor:
        """A connection to its QMP socket. Raises LabError when it is down."""
        return Monitor(self.run / f"{self.host}.qmp", self.label)

    def wake(self, deadline: float = 30.0) -> None:
        """Tell a guest that was resumed what time it is, and wait (seconds) until it has set itself to it.

        Raises LabError.
        """
        boot = str(uuid.uuid4())
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(deadline)
            try:
                channel.connect(str(self.run / f"{self.host}.wake"))
                channel.sendall(f"wake {time.time():.3f} {boot}\n".encode())
                heard = b""
                while f"awake {boot}".encode() not in heard:
                    more = channel.recv(4096)
                    if not more:
                        raise LabError(f"{self.label} ended while it woke; its console is {self.console}")
                    heard += more
            except OSError as error:
                raise LabError(
                    f"{self.label} did not wake within {deadline:g} s: {error}; see {self.console}"
                ) from error

    def _start(self, memory: str, *more: str) -> None:
        self.kill()
        path = f"{self.run}/{self.host}"
        argv = [
            *("nsenter", f"--net=/run/netns/{self.net}"),
            *(QEMU, "-name", self.label, *accelerator()),
            *("-M", "q35,memory-backend=ram", "-m", MEMORY, "-object", f"{memory},id=ram,size={MEMORY}", "-smp", "1"),
            *("-nodefaults", "-display", "none", "-no-reboot", "-device", "virtio-rng-pci"),
            *("-kernel", str(self.image.kernel), "-initrd", str(self.initrd), "-append", KERNEL_ARGUMENTS),
            *("-drive", f"if=virtio,format=raw,readonly=on,file={self.image.root}"),
            # The host's page cache outlives the guest's process: what the guest has flushed survives a pulled plug.
            *("-drive", f"if=virtio,format=raw,cache=unsafe,file={self.disk}"),
            *("-netdev", f"tap,id=net,ifname={tap(self.host)},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,id=nic,netdev=net,mac={self.mac},romfile="),
            *("-serial", f"file:{self.console}"),
            *("-serial", f"unix:{path}.wake,server=on,wait=off"),
            *("-qmp", f"unix:{path}.qmp,server=on,wait=off"),
            *("-daemonize", "-pidfile", f"{path}.pid", *more),
        ]
        # Not captured: a daemon that inherits the pipe would keep it open for as long as it lives.
        log = self.run / f"{self.host}.qemu"
        with log.open("w") as said:
            status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False, timeout=60)
        if status.returncode != 0:
            raise LabError(f"{self.label} did not start: {log.read_text().strip()[-2000:]}")


class Monitor:
    """A QMP connection: one command at a time, each with its answer."""

    def __init__(self, path: Path, label: str) -> None:
        self._label = label
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        try:
            self._socket.connect(str(path))
            self._lines = self._socket.makefile("rb")
            self._read()
            self.command("qmp_capabilities")
        except OSError as error:
            self._socket.close()
            raise LabError(f"{label} is down (nobody listens on {path}: {error}); start it first") from error

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def command(self, execute: str, **arguments: object) -> Any:
        """Run the QMP command *execute* and return what it gave. Raises LabError."""
        try:
            self._socket.sendall(json.dumps({"execute": execute, "arguments": arguments}).encode())
            while True:
                answer = self._read()
                if "error" in answer:
                    raise LabError(f"{self._label}: QEMU refused {execute}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]
        except OSError as error:
            raise LabError(f"{self._label}: QEMU gave no answer to {execute}: {error}") from error

    def leave_memory_out(self) -> None:
        """Have the next migration leave out memory that a file holds already."""
        self.command("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])

    def migrated(self) -> None:
        """Wait until a migration has ended. Raises LabError when it failed."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            state = self.command("query-migrate")
            if state.get("status") == "completed":
                return
            if state.get("status") == "failed":
                raise LabError(
                    f"{self._label}: QEMU could not save or resume it: {state.get('error-desc', 'no reason')}"
                )
            time.sleep(0.01)
        raise LabError(f"{self._label}: QEMU did not save or resume it within 120 s")

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise LabError(f"{self._label}: QEMU ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def is_guest(pid: int, label: str) -> bool:
    """Whether process *pid* is the guest that is called *label*, and is there with at least one of its threads.

    A process that was killed loses its memory first, and with it its command line; the kernel shows it as a zombie
    while other threads of it still hold its files, its network device among them. It is gone when its pidfd says so:
    when its last thread is (pidfd_open(2)).
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        if ended.poll(0):
            return False
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return False
    finally:
        os.close(descriptor)
    return label.encode() in words or (words == [b""] and name == COMM)
