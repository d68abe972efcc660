"""What the spawner knows about the machine and its own user: found out once, the same for all containers."""

from __future__ import annotations

import os

from builder.sandbox.runtime import cgroups, facts, kernel, landlock, seccomp, system
from builder.sandbox.runtime import overlaymount as overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.sandbox.runtime.spawnergroup import SpawnerGroup


class Host:
    """Immutable once made; the process must have a mount namespace of its own, where templates are mounted.

    Raises OSError when the built-in runtime cannot work here.
    """

    __slots__ = (
        "appends_lowers",
        "cgroup_namespaces",
        "group_dirs",
        "groups_denied",
        "guard",
        "has_kcore",
        "has_scopes",
        "hierarchies",
        "in_user_namespace",
        "last_capability",
        "masked_paths",
        "nodev",
        "permitted",
        "program",
        "readonly_paths",
        "scratch_dir",
        "sys_template",
        "task_limit",
        "tty_gid",
        "userxattr",
    )

    def __init__(self, mount_dir: str, *, userxattr: bool, hierarchies: tuple[cgroups.Hierarchy, ...],
                 group: SpawnerGroup | None) -> None:
        self.userxattr = userxattr
        self.appends_lowers = overlay.appends_lowers()
        self.hierarchies = hierarchies
        self.program = seccomp.program(kernel.MACHINE)
        self.in_user_namespace = in_user_namespace()
        if group is not None:
            group.enter(guard_devices=not self.in_user_namespace)
        self.group_dirs = group.dirs if group is not None else {}
        self.cgroup_namespaces = os.path.exists("/proc/self/ns/cgroup")
        self.task_limit = 0 if group is None or group.limits_tasks else group.most_tasks
        """How many tasks each step may have that says nothing else; 0 where our group sees to that."""
        self.guard = group.guard if group is not None else None
        """Keeps steps from opening devices; without it, file systems that a step can write to are mounted `nodev`."""
        self.nodev = kernel.NODEV if self.guard is None else 0
        self.groups_denied = groups_denied()
        self.tty_gid = any(first <= 5 < first + count for first, _, count in id_map("gid"))
        """Whether gid 5, which owns terminals, exists in the user namespace."""
        # The container's /proc and /sys show the same kernel, so what is not there now need not be hidden later.
        self.masked_paths = tuple(p for p in facts.MASKED_PATHS if os.path.exists(p))
        self.readonly_paths = tuple(p for p in facts.READONLY_PATHS if os.path.exists(p))
        self.has_kcore = os.path.exists("/proc/kcore")
        self.permitted = permitted_capabilities()
        # A step's user could get what is inheritable from a file that the image marks so (CVE-2022-24769 of runc).
        kernel.capset(self.permitted, self.permitted, 0)
        self.has_scopes = landlock.has_scopes()
        self.last_capability = int(_read("/proc/sys/kernel/cap_last_cap"))
        self.scratch_dir = f"{mount_dir}/scratch"
        """Where a container mounts a tmpfs of its own, in its own mount namespace."""
        self.sys_template = f"{mount_dir}/sys"
        """A /sys to be cloned, the host's; those of other networks lie beside it. Making one takes longer than all of
        the rest, and each is copied for each step, so they are made when they are needed."""
        self._prepare(mount_dir)

    def template_for(self, network: str) -> str:
        """A /sys that fits a container's network, made when it is first asked for; "" where each needs its own."""
        if network == "host":
            if not os.path.isdir(self.sys_template):
                os.mkdir(self.sys_template)
                self._mount_template(self.sys_template)
            return self.sys_template
        if network == "none":
            return ""
        try:
            found = os.stat(network)
        except OSError:
            # Joining it will say what is wrong.
            return ""
        # Numbers of namespaces are used again, but not with the time at which this one's file came to be.
        path = f"{self.sys_template}-{found.st_ino}-{found.st_ctime_ns}"
        return path if os.path.isdir(path) or self._make_template(path, network) else ""

    def _make_template(self, path: str, network: str) -> bool:
        """By a child that joins the network: a user namespace's root could not come back from there."""
        os.mkdir(path)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                fd = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
                kernel.setns(fd, kernel.CLONE_NEWNET)
                self._mount_template(path)
                status = 0
            finally:
                os._exit(status)
        if os.waitpid(child, 0)[1] == 0:
            return True
        os.rmdir(path)
        return False

    def _prepare(self, mount_dir: str) -> None:
        spot = os.open(mount_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        tmpfs = kernel.new_filesystem("tmpfs", (("source", "tmpfs"), ("mode", "0700")))
        kernel.attach(tmpfs, spot)
        os.close(tmpfs)
        os.close(spot)
        os.mkdir(self.scratch_dir)

    def _mount_template(self, path: str) -> None:
        spot = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        shown = cgroups.shown_dirs(self.hierarchies, self.group_dirs)
        system.mount_sys(spot, shown, self.masked_paths, -1, privileged=False)


def in_user_namespace() -> bool:
    """Whether this process' ids are not those of the machine itself."""
    return id_map("uid") != [(0, 0, 0xFFFFFFFF)]


def groups_denied() -> bool:
    """Whether supplementary groups cannot be set: in a user namespace with a single id."""
    return _read("/proc/self/setgroups").strip() == "deny"


def id_map(kind: str) -> list[tuple[int, int, int]]:
    """The `uid` or `gid` map of this process: (first inside, first outside, count)."""
    lines = _read(f"/proc/self/{kind}_map").splitlines()
    return [(int(inside), int(outside), int(count)) for inside, outside, count in (line.split() for line in lines)]


def permitted_capabilities() -> int:
    """The capabilities that this process may use, as bits."""
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
