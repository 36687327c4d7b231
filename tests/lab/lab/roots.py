"""The root file system that all nodes share: Debian with Ganeti, made once and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from lab.cache import Cache
from lab.commands import LabError, run

PACKAGES = (
    "ganeti ganeti-os-noop openssh-server iproute2 iputils-ping iputils-arping procps curl "
    "netcat-openbsd cron dbus faketime logrotate systemd time qemu-system-x86"
).split()

# What the storage stand-in answers for. /usr/local/sbin comes before the real tools.
STAND_INS = ("lvs vgs pvs lvcreate lvremove lvchange lvrename lvextend drbdsetup drbdmeta blockdev dd").split()

# Where a package file is kept as NAME.deb.
PACKAGE_DIRECTORY = "/var/cache/lab-packages"

INSIDE = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"]
# Without a user of its own, which minimal roots cannot give their files to, and with little to say.
APT_CONFIGURATION = 'APT::Sandbox::User "root";\nDpkg::Use-Pty "0";\nquiet "2";\n'


def root(cache: Cache, suite: str) -> Path:
    recipe = hashlib.sha256(Path(__file__).read_bytes() + suite.encode()).hexdigest()[:12]
    return cache.kept(f"root-{suite}", recipe, lambda directory: _build(directory, suite))


def _build(directory: Path, suite: str) -> None:
    # Ganeti is installed in a second step: debootstrap cannot resolve virtual packages.
    run("debootstrap", "--variant=minbase", suite, str(directory))
    resolver = directory / "etc/resolv.conf"
    shutil.copy("/etc/resolv.conf", resolver)
    policy = directory / "usr/sbin/policy-rc.d"
    _write(policy, "#!/bin/sh\nexit 101\n", 0o755)
    _write(directory / "etc/apt/apt.conf.d/lab", APT_CONFIGURATION)
    _inside(directory, "apt-get", "update")
    _inside(directory, "apt-get", "install", "-y", "--no-install-recommends", *PACKAGES)
    _inside(directory, "apt-get", "clean")
    _keep_package(directory, "ganeti")
    resolver.write_text("")
    (directory / "etc/hostname").unlink(missing_ok=True)
    _let_nodes_trust_each_other(directory)
    _put_stand_ins(directory)
    _divert_watcher(directory)


def _keep_package(directory: Path, name: str) -> None:
    """Nodes have no network, and a case may want to install it once more."""
    kept = directory / PACKAGE_DIRECTORY.lstrip("/")
    kept.mkdir()
    _inside(directory, "sh", "-c", f"cd {PACKAGE_DIRECTORY} && apt-get download {name}")
    next(kept.iterdir()).rename(kept / f"{name}.deb")


def _inside(directory: Path, *command: str) -> None:
    run("chroot", str(directory), *INSIDE, *command)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.chmod(path, mode)


def _let_nodes_trust_each_other(directory: Path) -> None:
    """One key pair and one set of host keys for all nodes; they never leave the lab."""
    _inside(directory, "ssh-keygen", "-A")
    ssh = directory / "root/.ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    _inside(directory, "ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", "/root/.ssh/id_rsa")
    shutil.copy(ssh / "id_rsa.pub", ssh / "authorized_keys")
    _write(directory / "etc/ssh/ssh_config.d/lab.conf", "StrictHostKeyChecking no\nLogLevel ERROR\n")
    _write(directory / "etc/ssh/sshd_config.d/lab.conf", "PermitRootLogin yes\nUseDNS no\n")


def _put_stand_ins(directory: Path) -> None:
    for tool in STAND_INS:
        (directory / "usr/local/sbin" / tool).symlink_to("/run/lab/emulation/storage")
    # noded reads these two from files of the kernel module, which the lab does not have.
    _substitute(directory, "ganeti/_constants.py", '"/proc/drbd"', '"/run/lab/storage/proc-drbd"')
    helper = directory / "etc/drbd-usermode-helper"
    helper.write_text("/bin/true\n")
    kernel_file = "/sys/module/drbd/parameters/usermode_helper"
    _substitute(directory, "ganeti/storage/drbd.py", f'"{kernel_file}"', '"/etc/drbd-usermode-helper"')
    # An instance of the fake hypervisor is a file. A fourth line in it may say that its
    # user shut it down (1), which the fake hypervisor itself cannot express.
    running = "stat = hv_base.HvInstanceState.RUNNING"
    _substitute(
        directory,
        "ganeti/hypervisor/hv_fake.py",
        running,
        "stat = int(fh.readline() or hv_base.HvInstanceState.RUNNING)",
    )


def _substitute(directory: Path, name: str, old: str, new: str) -> None:
    found = [path for path in (directory / "usr/share/ganeti").glob(f"*/{name}") if old in path.read_text()]
    if not found:
        raise LabError(f"nothing to substitute: {old} in Ganeti's {name}")
    for path in found:
        path.write_text(path.read_text().replace(old, new))


def _divert_watcher(directory: Path) -> None:
    """Makes room for the watcher under test; the original stays beside it."""
    original = "/usr/sbin/ganeti-watcher.distrib"
    _inside(directory, "dpkg-divert", "--local", "--rename", "--divert", original, "--add", "/usr/sbin/ganeti-watcher")
    (directory / "usr/sbin/ganeti-watcher").symlink_to("ganeti-watcher.distrib")
