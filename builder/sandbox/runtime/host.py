"""What the spawner knows about the machine and its own user: found out once, the same for all containers."""

from __future__ import annotations

import os

from builder.sandbox.runtime import cgroups, facts, kernel, landlock, seccomp
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
        # The container's /proc and /sys show the same kernel, so missing files need not be hidden later.
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
        """Where `system.sys_template` mounts the host's /sys, to be cloned; those of other networks lie beside it."""
        self._prepare(mount_dir)

    def _prepare(self, mount_dir: str) -> None:
        spot = os.open(mount_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        tmpfs = kernel.new_filesystem("tmpfs", (("source", "tmpfs"), ("mode", "0700")))
        kernel.attach(tmpfs, spot)
        os.close(tmpfs)
        os.close(spot)
        os.mkdir(self.scratch_dir)


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
