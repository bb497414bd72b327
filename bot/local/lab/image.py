"""The image that every guest boots: Debian's own kernel and packages, built once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from bot.local.lab.commands import run
from bot.local.lab.cpio import Member, archive
from bot.local.lab.errors import LabError
from bot.local.lab.places import Progress, alone, cache_root, forget

RELEASE = "bookworm"
KERNEL = "linux-image-cloud-amd64"
BOT_UID = 900
AGENT_UID = 901
DISK_SIZE = "512M"
KEPT = 2  # images: each is some 140 MB

GUEST_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "procps", "kmod", "sudo", "openssh-server", "python3"),
    *("keepalived", "ipvsadm", "iptables", "nftables", "conntrack", "iproute2", "iputils-ping", "curl"),
    *("nginx-light", "dnsmasq-base"),
)

# What the guests' hardware needs before there is a root file system, in any order.
BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "squashfs", "overlay")

# The parts of the kernel's modules that a director or a real server can want: a few MB of 92.
MODULE_PARTS = (
    *("net/netfilter", "net/ipv4", "net/ipv6", "net/bridge", "net/802", "net/llc", "net/core", "net/sctp"),
    *("net/sched", "crypto", "lib", "arch/x86/crypto", "fs/squashfs", "fs/overlayfs"),
    *("drivers/virtio", "drivers/block/virtio_blk.ko", "drivers/char/hw_random", "drivers/net/net_failover.ko"),
    *("drivers/net/virtio_net.ko", "drivers/net/veth.ko", "drivers/net/dummy.ko"),
)

# A guest has no use for these, and each of them costs a second or more under emulation.
MASKED = (
    *("systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket"),
    *("systemd-udev-trigger.service", "systemd-udev-settle.service", "systemd-hwdb-update.service"),
    *("systemd-logind.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service"),
    *("systemd-random-seed.service", "systemd-pstore.service", "systemd-rfkill.service", "systemd-binfmt.service"),
    *("systemd-user-sessions.service", "systemd-machine-id-commit.service", "systemd-timesyncd.service"),
    *("systemd-journal-flush.service", "systemd-ask-password-wall.path", "systemd-ask-password-console.path"),
    *("getty.target", "getty@tty1.service", "serial-getty@ttyS0.service", "remote-fs.target", "timers.target"),
    *("dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"),
    *("sys-kernel-config.mount", "sys-fs-fuse-connections.mount", "proc-sys-fs-binfmt_misc.automount"),
    *("modprobe@configfs.service", "modprobe@drm.service", "modprobe@fuse.service", "modprobe@efi_pstore.service"),
    *("modprobe@loop.service", "modprobe@dm_mod.service", "systemd-remount-fs.service", "systemd-sysusers.service"),
    *("e2scrub_reap.service", "ipvsadm.service", "nftables.service", "systemd-journald-audit.socket"),
)

HOOKS = (
    # Fixed ids, so that the seed can hand files to them. A * as password: key logins only, but not a locked account.
    f"chroot \"$1\" useradd --uid {BOT_UID} --user-group --create-home --shell /bin/sh --password '*' lvsbot",
    f'chroot "$1" useradd --uid {AGENT_UID} --user-group --system --home-dir / --shell /usr/sbin/nologin lvs-agent',
    f'chroot "$1" systemctl mask --quiet {shlex.join(MASKED)}',
    'chroot "$1" systemctl set-default --quiet multi-user.target',
    # The journal would have the kernel audit every command otherwise (journald.conf(5)).
    'mkdir -p "$1"/etc/systemd/journald.conf.d',
    "printf '[Journal]\\nAudit=no\\n' >\"$1\"/etc/systemd/journald.conf.d/lab.conf",
    'rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/etc/ssh/ssh_host_* "$1"/etc/nginx/sites-enabled/default',
    'rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/machine-id; touch "$1"/etc/machine-id',
)

EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*", "/usr/share/info/*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a guest boots from, in the directory ``home``. ``key`` is a hash of the recipe."""

    key: str
    home: Path

    @classmethod
    def current(cls) -> Image:
        """The image of the recipe as it is now, whether it was built yet or not."""
        recipe = (RELEASE, KERNEL, GUEST_PACKAGES, BOOT_MODULES, MODULE_PARTS, HOOKS, EXCLUDED, DISK_SIZE)
        key = hashlib.sha256(json.dumps(recipe).encode() + _init()).hexdigest()[:16]
        return cls(key=key, home=cache_root() / "images" / key)

    @property
    def kernel(self) -> Path:
        """Debian's kernel."""
        return self.home / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The start-up archive."""
        return self.home / "initrd"

    @property
    def root(self) -> Path:
        """The root file system, shared by all guests and never written to."""
        return self.home / "root.squashfs"

    @property
    def disk(self) -> Path:
        """An empty file system that each guest gets a copy of."""
        return self.home / "disk.ext4"


def ensure_image(progress: Progress) -> Image:
    """The image, from the cache if it is there, else built now (some 40 s). Raises LabError."""
    image = Image.current()
    with alone(cache_root() / "images.lock", progress):
        if not image.home.is_dir():
            # Built beside its place and moved there whole: a build that was interrupted is never taken for an image.
            work = image.home.with_name(f"{image.key}.part")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            try:
                _build(work, progress)
                work.rename(image.home)
                forget(image.home.parent, keep=KEPT)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return image


def _build(work: Path, progress: Progress) -> None:
    progress("image 1 of 4: Debian's cloud kernel")
    modules = _fetch_kernel(work)
    progress("image 2 of 4: a Debian root with keepalived, ipvsadm and nginx (the longest step, some 30 s)")
    _bootstrap(work / "root")
    progress("image 3 of 4: packing the root")
    _copy_modules(modules, work / "root")
    packing = ["-comp", "lz4", "-no-xattrs", "-noappend", "-quiet", "-no-progress"]
    run(["mksquashfs", str(work / "root"), str(work / "root.squashfs"), *packing], deadline=300)
    progress("image 4 of 4: the start-up archive and an empty disk")
    (work / "initrd").write_bytes(_initrd(work / "root", modules.name))
    run(["truncate", "--size", DISK_SIZE, str(work / "disk.ext4")])
    run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=0", str(work / "disk.ext4")])
    for left_over in ("root", "kernel"):
        shutil.rmtree(work / left_over)


def _fetch_kernel(work: Path) -> Path:
    """Download and unpack the kernel package; returns its directory of modules."""
    depends = run(["apt-cache", "depends", "--important", KERNEL]).stdout
    package = next((word for word in depends.split()[1:] if word.startswith("linux-image-")), None)
    if package is None:
        raise LabError(f"apt knows no package {KERNEL}: run `apt-get update` as root, then try again")
    kernel = work / "kernel"
    kernel.mkdir()
    run(["apt-get", "download", "--quiet", package], deadline=300, cwd=kernel)
    deb = next(kernel.glob("*.deb"))
    run(["dpkg-deb", "--extract", str(deb), str(kernel)], deadline=120)
    shutil.copy(next((kernel / "boot").glob("vmlinuz-*")), work / "vmlinuz")
    return next((kernel / "lib/modules").iterdir())


def _bootstrap(root: Path) -> None:
    argv = ["mmdebstrap", "--variant=minbase", "--quiet", "--format=directory", f"--include={','.join(GUEST_PACKAGES)}"]
    argv += [f"--aptopt={line}" for line in _apt_options()]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    argv += [f"--customize-hook={hook}" for hook in HOOKS]
    run([*argv, RELEASE, str(root), "-"], stdin=_apt_sources(), deadline=900)


def _apt_sources() -> str:
    """Debian's own sources as this machine's apt has them. Raises LabError if it has none of this release."""
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    options = f'[signed-by="{keyring}"] ' if keyring.exists() else ""
    line = f"deb {options}$(REPO_URI) $(RELEASE) $(COMPONENT)"
    lines = run(["apt-get", "indextargets", "--format", line, "Identifier: Packages", "Origin: Debian"]).stdout
    if f" {RELEASE} main" not in lines:
        raise LabError(
            f"this machine's apt has no Debian {RELEASE} sources (apt-get indextargets): the lab is built from them; "
            "add them and run `apt-get update`"
        )
    return lines


def _apt_options() -> list[str]:
    """The settings that fetching depends on, as this machine's apt has them."""
    wanted = ("Acquire::http::", "Acquire::https::", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    dump = run(["apt-config", "dump", "--no-empty"]).stdout
    return ['Acquire::Languages "none";', *(line for line in dump.splitlines() if line.startswith(wanted))]


def _copy_modules(modules: Path, root: Path) -> None:
    target = root / "lib/modules" / modules.name
    for part in MODULE_PARTS:
        source = modules / "kernel" / part
        place = target / "kernel" / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, dirs_exist_ok=True)
        else:
            shutil.copy(source, place)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(modules / name, target / name)
    run(["depmod", "--basedir", str(root), modules.name], deadline=60)


def _initrd(root: Path, release: str) -> bytes:
    modules = root / "lib/modules" / release
    paths = _in_order(modules / "modules.dep")
    members = [
        Member(path="init", content=_init(), mode=0o755),
        Member(path="bin/busybox", content=Path("/bin/busybox").read_bytes(), mode=0o755),
        Member(path="modules", content="".join(f"/{path}\n" for path in paths).encode()),
        *(Member(path=path, content=(modules / path).read_bytes()) for path in paths),
    ]
    return archive(members)


def _in_order(dependencies: Path) -> list[str]:
    """The files of BOOT_MODULES with all that they need, each after what it needs (modules.dep(5))."""
    needs = {}
    for line in dependencies.read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    ordered: list[str] = []

    def add(path: str) -> None:
        if path not in ordered:
            for need in needs[path]:
                add(need)
            ordered.append(path)

    for name in BOOT_MODULES:
        add(next(path for path in needs if path.endswith(f"/{name}.ko")))
    return ordered


def _init() -> bytes:
    return (files("bot.local.lab") / "guest/init.sh").read_bytes()
