"""The kernel's file systems in a container: /proc, /dev and /sys, with what BuildKit hides of them hidden.

They go to real directories of the root only, never through a link of the image; what lies in them is the kernel's and
is addressed relative to the mount itself.
"""

from __future__ import annotations

import errno
import fcntl
import os

from builder.rooted import resolving
from builder.sandbox.runtime import cgroups, facts, kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.sandbox.runtime.cgroups import Group
    from builder.sandbox.runtime.host import Host
    from builder.sandbox.runtime.kernel import Options
    from builder.sandbox.runtime.wire import ContainerDocument

_GUARDED = kernel.NOSUID | kernel.NODEV | kernel.NOEXEC
_CHARACTER, _BLOCK, _REGULAR = 0o020000, 0o060000, 0o100000
_LOOP_CTL_GET_FREE = 0x4C82
_PID_MAX_OF_NAMESPACES, _RESERVED_PIDS = (6, 14), 300
_EMPTY: Options = (("source", "tmpfs"), ("size", "4k"), ("nr_inodes", "1"))


def mount_system(root: int, host: Host, container: ContainerDocument, group: Group | None, *,
                 sys_template: str) -> None:
    """Mounts all three in `root`. `sys_template` is a /sys to be cloned (`sys_template`), or ""."""
    masked = (*facts.hidden(host.masked_paths, container["unmasked"]), *container["masked"])
    proc = kernel.new_filesystem("proc", (("source", "proc"),), _GUARDED)
    _attach(proc, _real_directory(root, "proc"))
    dev = _mount_dev(_real_directory(root, "dev"), host, container)
    spot = _real_directory(root, "sys")
    if sys_template:
        fd = kernel.clone_mount(sys_template)
        _attach(fd, spot)
        os.close(fd)
    else:
        shown = cgroups.shown_dirs(host.hierarchies, group.dirs if group is not None else {}, host.group_dirs)
        _mount_sys(spot, shown, masked, dev, privileged=container["privileged"])
    if group is None or not group.limits_tasks:
        _limit_tasks(proc, container["pids_limit"] or host.task_limit)
    if not container["privileged"]:
        _protect(proc, "/proc/", facts.hidden(host.readonly_paths, container["unmasked"]))
        _mask(proc, "/proc/", masked, dev)
    os.close(proc)
    os.close(dev)


def sys_template(host: Host, network: str) -> str:
    """A /sys to be cloned that fits a container's network; "" where each container needs its own.

    Mounting one takes longer than all of the rest, so it happens once, when a network is first asked for.
    """
    if network == "host":
        if not os.path.isdir(host.sys_template):
            os.mkdir(host.sys_template)
            _mount_template(host, host.sys_template)
        return host.sys_template
    if network == "none":
        return ""
    try:
        found = os.stat(network)
    except OSError:
        # Joining it will say what is wrong.
        return ""
    # Numbers of namespaces are used again, but not with the time at which this one's file came to be.
    path = f"{host.sys_template}-{found.st_ino}-{found.st_ctime_ns}"
    return path if os.path.isdir(path) or _make_template(host, path, network) else ""


def _make_template(host: Host, path: str, network: str) -> bool:
    """By a child that joins the network: a user namespace's root could not come back from there."""
    os.mkdir(path)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fd = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
            kernel.setns(fd, kernel.CLONE_NEWNET)
            _mount_template(host, path)
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1] == 0:
        return True
    os.rmdir(path)
    return False


def _mount_template(host: Host, path: str) -> None:
    spot = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    _mount_sys(spot, cgroups.shown_dirs(host.hierarchies, host.group_dirs), host.masked_paths, -1, privileged=False)


def _mount_sys(spot: int, shown: tuple[tuple[str, str], ...], masked: tuple[str, ...], dev: int, *,
               privileged: bool) -> None:
    """Mounts /sys at the directory `spot`, which it closes, with the control groups `shown` in it (`cgroups`).

    Of the paths `masked` those below /sys are hidden; files need a /dev, which `dev` is.
    """
    attributes = _GUARDED | (0 if privileged else kernel.RDONLY)
    try:
        sys = kernel.new_filesystem("sysfs", (("source", "sysfs"),), attributes)
    except PermissionError:
        # sysfs shows a network namespace, and this user namespace does not own the host's: show the host's /sys.
        sys = kernel.clone_mount("/sys")
        kernel.set_attributes(sys, attributes, recursive=True)
    _attach(sys, spot)
    _mount_cgroups(sys, shown, attributes)
    if not privileged:
        _mask(sys, "/sys/", masked, dev)
    os.close(sys)


def _mount_dev(spot: int, host: Host, container: ContainerDocument) -> int:
    """Mounts /dev with everything in it; returns a descriptor of it."""
    dev = kernel.new_filesystem("tmpfs", (("source", "tmpfs"), ("mode", "755"), ("size", facts.DEV_SIZE)),
                                kernel.NOSUID | kernel.STRICTATIME | host.nodev)
    _attach(dev, spot)
    owner: Options = (("gid", "5"),) if host.tty_gid else ()
    shm_size = str(container["shm_size"])
    _mount_in(dev, "pts", "devpts", (("source", "devpts"), ("mode", "0620"), ("ptmxmode", "0666"), *owner),
              kernel.NOSUID | kernel.NOEXEC)
    _mount_in(dev, "shm", "tmpfs", (("source", "shm"), ("mode", "1777"), ("size", shm_size)), _GUARDED)
    _mount_in(dev, "mqueue", "mqueue", (("source", "mqueue"),), _GUARDED)
    for name, major, minor in facts.DEVICES:
        _make_node(dev, host, name, _CHARACTER, os.makedev(major, minor))
    if container["privileged"] and not host.in_user_namespace:
        os.mkdir("net", 0o755, dir_fd=dev)
        for name, major, minor in facts.PRIVILEGED_DEVICES:
            _make_node(dev, host, name, _CHARACTER, os.makedev(major, minor))
        for number in range(free_loop() + facts.PRIVILEGED_LOOPS):
            _make_node(dev, host, f"loop{number}", _BLOCK, os.makedev(7, number))
    for name, target in facts.DEVICE_LINKS:
        os.symlink(target, name, dir_fd=dev)
    if host.has_kcore:
        os.symlink("/proc/kcore", "core", dir_fd=dev)
    return dev


def _mount_cgroups(sys: int, shown: tuple[tuple[str, str], ...], attributes: int) -> None:
    """Puts groups at /sys/fs/cgroup: version 2's itself, or version 1's side by side; an empty directory for none.

    Also where /sys is the host's, whose groups this covers.
    """
    try:
        spot = os.open("fs/cgroup", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=sys)
    except FileNotFoundError:
        return
    if shown and not shown[0][0]:
        top = kernel.clone_mount(shown[0][1], recursive=False)
        kernel.set_attributes(top, attributes)
        _attach(top, spot)
    else:
        top = kernel.new_filesystem("tmpfs", (("source", "tmpfs"), ("mode", "755")), _GUARDED)
        _attach(top, spot)
        for name, path in shown:
            fd = kernel.clone_mount(path, recursive=False)
            kernel.set_attributes(fd, attributes)
            os.mkdir(name, 0o755, dir_fd=top)
            _attach(fd, os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=top))
            os.close(fd)
    os.close(top)


def can_limit_tasks(number: int) -> bool:
    """Whether a PID namespace can hold its processes to so many, which Linux 6.14 and later do, from 301 on.

    Before that the file that `_limit_tasks` writes was the machine's.
    """
    major, minor, *_ = (*os.uname().release.split("-")[0].split("."), "0")
    return (int(major), int(minor)) >= _PID_MAX_OF_NAMESPACES and not 0 < number <= _RESERVED_PIDS


def _limit_tasks(proc: int, number: int) -> None:
    """Lets this PID namespace have no more than `number` tasks, where that can be; 0 and -1 stand for no limit."""
    if number > 0 and can_limit_tasks(number):
        with open("sys/kernel/pid_max", "w", opener=lambda name, flags: os.open(name, flags, dir_fd=proc)) as file:
            file.write(str(number))


def _mount_in(top: int, name: str, kind: str, options: Options, attributes: int) -> None:
    os.mkdir(name, 0o755, dir_fd=top)
    fd = kernel.new_filesystem(kind, options, attributes)
    _attach(fd, os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=top))
    os.close(fd)


def _make_node(dev: int, host: Host, name: str, kind: int, number: int) -> None:
    if host.guard is not None:
        os.mknod(name, kind | 0o666, number, dir_fd=dev)
        return
    # A node made in a user namespace, or on a `nodev` mount, cannot be opened; the host's, bound here, can.
    os.mknod(name, _REGULAR | 0o666, dir_fd=dev)
    fd = kernel.clone_mount(f"/dev/{name}", recursive=False)
    _attach(fd, os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=dev))
    os.close(fd)


def _protect(top: int, prefix: str, hidden: tuple[str, ...]) -> None:
    for path in hidden:
        if path.startswith(prefix):
            fd = kernel.clone_mount(path.removeprefix(prefix), at=top)
            kernel.set_attributes(fd, kernel.RDONLY, recursive=True)
            _attach(fd, os.open(path.removeprefix(prefix), os.O_PATH | os.O_CLOEXEC, dir_fd=top))
            os.close(fd)


def _mask(top: int, prefix: str, hidden: tuple[str, ...], dev: int) -> None:
    """Covers directories with an empty read-only one, files with the null device of `dev`."""
    for path in hidden:
        if not path.startswith(prefix):
            continue
        try:
            spot = os.open(path.removeprefix(prefix), os.O_PATH | os.O_CLOEXEC, dir_fd=top)
        except FileNotFoundError:
            continue
        if resolving.is_directory(spot):
            fd = kernel.new_filesystem("tmpfs", _EMPTY, kernel.RDONLY)
        else:
            fd = kernel.clone_mount("null", at=dev, recursive=False)
        _attach(fd, spot)
        os.close(fd)


def _real_directory(root: int, name: str) -> int:
    """The directory `name` of the root itself, made if it is missing."""
    place = resolving.walk(root, name)
    spot = resolving.make_directories(place)
    if place.names != (name,) or not resolving.is_directory(spot):
        raise OSError(errno.ENOTDIR, f"`/{name}` in the image is not a directory")
    return spot


def _attach(mount: int, spot: int) -> None:
    kernel.attach(mount, spot)
    os.close(spot)


def free_loop() -> int:
    """The number of the first loop device that is not in use; 0 when that cannot be known."""
    try:
        fd = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return fcntl.ioctl(fd, _LOOP_CTL_GET_FREE)
    except OSError:
        return 0
    finally:
        os.close(fd)
