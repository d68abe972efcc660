"""The spawner's own control groups: one in each hierarchy that lets it make one, entered once, for all of its steps.

A step sees nothing above them, as it gets a control group namespace, and together the steps of a build may not have
more than a share of the machine's tasks. A group for each step would cost it 15 ms: version 1 moves a process only
after an RCU grace period. Steps with limits of their own pay that (`cgroups.Group`).
"""

from __future__ import annotations

import os

from builder.sandbox.runtime import cgroups, devices

_MOST_TASKS = 4096


class SpawnerGroup:
    """Immutable once entered; `cgroups.sweep` removes the groups."""

    __slots__ = ("_found", "_name", "dirs", "guard", "limits_tasks", "most_tasks")

    def __init__(self, found: tuple[cgroups.Hierarchy, ...], name: str) -> None:
        """For `enter`; to be made where /proc/sys/kernel/pid_max is the machine's, outside of a PID namespace."""
        self._found = found
        self._name = name
        self.dirs: dict[str, str] = {}
        """The groups by the names of their hierarchies."""
        self.guard: devices.DeviceGuard | None = None
        """Keeps steps from opening devices; None without device rules of ours."""
        self.most_tasks = usual_task_limit()
        self.limits_tasks = False
        """Whether these groups hold all steps together to `most_tasks`."""

    def enter(self, *, guard_devices: bool) -> None:
        """Makes the groups and moves the calling process into them; a hierarchy that refuses is left out."""
        for hierarchy in self._found:
            path = f"{hierarchy.own_dir}/{self._name}"
            guard = None
            if guard_devices and cgroups.has_devices(hierarchy):
                guard = devices.DeviceGuard(path, version1=bool(hierarchy.name))
            try:
                os.mkdir(path)
            except OSError:
                # Control groups are read-only in many containers, and not everybody's.
                continue
            try:
                cgroups.fill_cpuset(hierarchy, path)
                if guard is not None:
                    guard.apply()
                limited = self._limit_tasks(hierarchy, path)
                cgroups.write(f"{path}/cgroup.procs", "0")
            except OSError:
                cgroups.remove((path,))
                continue
            self.dirs[hierarchy.name] = path
            self.guard = guard or self.guard
            self.limits_tasks = self.limits_tasks or limited

    def _limit_tasks(self, hierarchy: cgroups.Hierarchy, path: str) -> bool:
        if not hierarchy.name and hierarchy.own_dir == hierarchy.mount_dir:
            try:
                cgroups.enable(hierarchy.own_dir, "pids")
            except OSError:
                return False
        if not os.path.exists(f"{path}/pids.max"):
            return False
        cgroups.write(f"{path}/pids.max", str(self.most_tasks))
        return True


def usual_task_limit() -> int:
    """How many tasks steps may have unless a build says otherwise: a share of the machine's pids and memory.

    Half of the pids, and a task for each MiB of memory or so: threads-max is the kernel's own estimate, 1/8 of memory.
    """
    return min(_MOST_TASKS, _number("pid_max") // 2, _number("threads-max") // 8)


def _number(name: str) -> int:
    with open(f"/proc/sys/kernel/{name}") as file:
        return int(file.read())
