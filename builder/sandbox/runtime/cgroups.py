"""Control groups: the hierarchies of this machine, and one group per container that asked for limits.

Version 1 (one hierarchy per controller), version 2 (one for all) and the mixture, where version 1 has the controllers.
"""

from __future__ import annotations

import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.sandbox.runtime.devices import DeviceGuard
    from builder.sandbox.runtime.wire import ContainerDocument

_LIMITS = ("memory", "memory_swap", "cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems", "pids_limit")


class Hierarchy:
    """A mounted tree of groups. `name` is "" for version 2, else the directory's name below /sys/fs/cgroup."""

    __slots__ = ("controllers", "mount_dir", "name", "own_dir")

    def __init__(self, name: str, mount_dir: str, root: str, controllers: tuple[str, ...]) -> None:
        self.name = name
        self.mount_dir = mount_dir
        self.controllers = controllers
        self.own_dir = self._find_own(root)
        """The directory of the group in which this process was when it looked."""

    def _find_own(self, root: str) -> str:
        with open("/proc/self/cgroup") as file:
            for line in file:
                _, controllers, path = line.rstrip("\n").split(":", 2)
                names = tuple(c.removeprefix("name=") for c in controllers.split(",") if c)
                if names == self.controllers or (not names and not self.name):
                    return (self.mount_dir + path.removeprefix(root.rstrip("/"))).rstrip("/")
        return self.mount_dir


def hierarchies() -> tuple[Hierarchy, ...]:
    """The hierarchies that have controllers: version 1's if there are any, else version 2's."""
    first: list[Hierarchy] = []
    second: list[Hierarchy] = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            kind, _, options = right.split()[:3]
            root, mount_dir = left.split()[3:5]
            if os.path.dirname(mount_dir) == "/sys/fs/cgroup" and kind == "cgroup":
                known = set(options.split(",")) - {"rw", "ro", "xattr", "noprefix", "clone_children"}
                # The kernel lists a hierarchy's controllers in one order here and in /proc/self/cgroup.
                names = tuple(o.removeprefix("name=") for o in options.split(",") if o in known)
                names = tuple(n for n in names if not n.startswith("release_agent="))
                first.append(Hierarchy(os.path.basename(mount_dir), mount_dir, root, names))
            elif mount_dir == "/sys/fs/cgroup" and kind == "cgroup2":
                second.append(Hierarchy("", mount_dir, root, ()))
    return tuple(first or second)


def wants_group(container: ContainerDocument) -> bool:
    """Whether the container needs a group of its own: entering one costs 15 ms, so others share the spawner's."""
    return bool(container["privileged"] or container["cgroup_parent"]
                or any(container[key] for key in _LIMITS))  # type: ignore[literal-required]


def wants_only_tasks(container: ContainerDocument) -> bool:
    """Whether all that the container asks for is another limit of tasks."""
    return wants_group(container) and not wants_group({**container, "pids_limit": 0})


class Group:
    """A container's group in every hierarchy that its limits need. The spawner makes and removes it.

    A privileged container has one where the spawner's forbids devices.
    """

    def __init__(self, container: ContainerDocument, found: tuple[Hierarchy, ...], name: str,
                 guard: DeviceGuard | None) -> None:
        self.dirs: dict[str, str] = {}
        """By the name of the hierarchy."""
        self._guard = None if container["privileged"] else guard
        settings = _version1(container) if found and found[0].name else _version2(container)
        self.limits_tasks = "pids" in settings
        try:
            for controller, values in settings.items():
                self._limit(container, found, name, controller, values)
            for hierarchy in found:
                leaves_guard = container["privileged"] and guard is not None and has_devices(hierarchy)
                follows = container["cgroup_parent"] and not settings and "devices" not in hierarchy.controllers
                if leaves_guard or follows:
                    self._make(_parent_dir(container["cgroup_parent"], hierarchy), name, hierarchy)
        except OSError:
            self.remove()
            raise

    def _limit(self, container: ContainerDocument, found: tuple[Hierarchy, ...], name: str, controller: str,
               values: tuple[tuple[str, str], ...]) -> None:
        owner = _owner(found, controller)
        parent_dir = _parent_dir(container["cgroup_parent"], owner)
        if not owner.name:
            enable(parent_dir, controller)
        path = self._make(parent_dir, name, owner)
        for key, value in values:
            write(f"{path}/{key}", value)

    def _make(self, parent_dir: str, name: str, hierarchy: Hierarchy) -> str:
        path = f"{parent_dir}/{name}"
        if hierarchy.name not in self.dirs:
            os.makedirs(path, exist_ok=True)
            self.dirs[hierarchy.name] = path
            fill_cpuset(hierarchy, path)
            if self._guard is not None:
                self._guard.extend(path)
        return path

    def join(self) -> None:
        """Moves the calling process, and so all that it starts, into the group."""
        for path in self.dirs.values():
            write(f"{path}/cgroup.procs", "0")

    def oom_killed(self) -> bool:
        """Whether the kernel killed a process of the group because its memory was used up."""
        for path in self.dirs.values():
            for name in ("memory.events", "memory.oom_control"):
                try:
                    words = _read(f"{path}/{name}").split()
                except OSError:
                    continue
                if "oom_kill" in words:
                    return int(words[words.index("oom_kill") + 1]) > 0
        return False

    def remove(self) -> None:
        """Removes the group; its processes must have ended."""
        remove(self.dirs.values())
        self.dirs.clear()


def has_devices(hierarchy: Hierarchy) -> bool:
    """Whether device rules belong in its groups."""
    return not hierarchy.name or "devices" in hierarchy.controllers


def shown_dirs(found: tuple[Hierarchy, ...], *owned: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """What a step may see of the hierarchies, as (name, directory): the first of `owned` that has a group there.

    Nothing of a hierarchy without one: the group that builder came from holds others' groups too.
    """
    shown = []
    for hierarchy in found:
        path = next((dirs[hierarchy.name] for dirs in owned if hierarchy.name in dirs), "")
        if path:
            shown.append((hierarchy.name, path))
    return tuple(shown)


def fill_cpuset(hierarchy: Hierarchy, path: str) -> None:
    """Lets processes into a new group of version 1's cpuset, which is born without processors and memory."""
    if hierarchy.name and "cpuset" in hierarchy.controllers:
        _inherit_cpuset(path, hierarchy.mount_dir)


def _inherit_cpuset(path: str, mount_dir: str) -> None:
    """Gives a group, and those above it that are as empty, the processors and memory of their parents.

    Version 1 makes groups without any, and no process may join such a one.
    """
    if path == mount_dir:
        return
    parent_dir = os.path.dirname(path)
    for key in ("cpuset.cpus", "cpuset.mems"):
        if not _read(f"{path}/{key}").strip():
            _inherit_cpuset(parent_dir, mount_dir)
            write(f"{path}/{key}", _read(f"{parent_dir}/{key}"))


def remove(group_dirs: Iterable[str]) -> None:
    """Removes groups whose processes have ended or are just ending; those that are not there are fine."""
    for path in group_dirs:
        for _ in range(50):
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    break
                time.sleep(0.002)
            else:
                break


def try_controller(found: tuple[Hierarchy, ...], controller: str) -> None:
    """Makes and removes a group that `controller` could limit; raises OSError with the reason when that fails."""
    owner = _owner(found, controller)
    parent_dir = _parent_dir("", owner)
    if not owner.name:
        enable(parent_dir, controller)
    path = f"{parent_dir}/{group_name(os.getpid())}"
    try:
        os.mkdir(path)
    except OSError as error:
        raise OSError(error.errno, f"mkdir `{path}`: {os.strerror(error.errno or 0)}") from None
    remove((path,))


def _owner(found: tuple[Hierarchy, ...], controller: str) -> Hierarchy:
    for hierarchy in found:
        if not hierarchy.name or controller in hierarchy.controllers:
            return hierarchy
    raise OSError(errno.ENODEV, f"this machine has no `{controller}` control groups")


def group_name(pid: int) -> str:
    """A new name for a spawner's groups: `sweep` sees by it whose they are."""
    return f"builder-{pid}-{os.urandom(4).hex()}"


def sweep(found: tuple[Hierarchy, ...], *, ended: int = 0) -> None:
    """Removes the groups beside ours of spawners that are gone: those that were killed, and that of pid `ended`."""
    for hierarchy in found:
        own_dir = hierarchy.own_dir
        for parent_dir in {own_dir, own_dir if hierarchy.name else os.path.dirname(own_dir)}:
            for name in os.listdir(parent_dir):
                words = name.split("-")
                if words[0] != "builder" or len(words) < 3 or not words[1].isdigit():
                    continue
                if int(words[1]) == ended or not _is_alive(words[1]):
                    remove((f"{parent_dir}/{name}",))


def _is_alive(pid: str) -> bool:
    """Whether the process exists and is not just waiting to be reaped, which init may take seconds to do."""
    try:
        return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def remove_of_runtime(path: str) -> None:
    """Removes what an OCI runtime leaves when it is killed: the group at `path`, and its parent if empty."""
    top = "/sys/fs/cgroup"
    found = [f"{top_dir}{path}" for top_dir in (top, *(f"{top}/{name}" for name in os.listdir(top)))]
    remove(found)
    for group_dir in found:
        try:
            os.rmdir(os.path.dirname(group_dir))
        except OSError:
            # Other containers are in it.
            continue


def _parent_dir(parent: str, hierarchy: Hierarchy) -> str:
    if parent:
        inside = os.path.normpath("/" + parent.lstrip("/"))
        return f"{hierarchy.mount_dir}{inside if inside != '/' else ''}"
    own_dir = hierarchy.own_dir
    if hierarchy.name or own_dir == hierarchy.mount_dir:
        return own_dir
    # Version 2 allows no processes beside limited groups, so the group goes beside ours, where systemd delegates.
    return os.path.dirname(own_dir)


def enable(parent_dir: str, controller: str) -> None:
    """Gives the groups below a version 2 group the controller."""
    os.makedirs(parent_dir, exist_ok=True)
    if controller not in _read(f"{parent_dir}/cgroup.subtree_control").split():
        write(f"{parent_dir}/cgroup.subtree_control", f"+{controller}")


def _version1(container: ContainerDocument) -> dict[str, tuple[tuple[str, str], ...]]:
    return _settings(container, {
        "memory": (("memory.limit_in_bytes", container["memory"]),
                   ("memory.memsw.limit_in_bytes", container["memory_swap"])),
        "cpu": (("cpu.shares", container["cpu_shares"]), ("cpu.cfs_period_us", container["cpu_period"]),
                ("cpu.cfs_quota_us", container["cpu_quota"])),
        "cpuset": (("cpuset.cpus", container["cpuset_cpus"]), ("cpuset.mems", container["cpuset_mems"])),
        "pids": (("pids.max", _tasks(container)),),
    })


def _version2(container: ContainerDocument) -> dict[str, tuple[tuple[str, str], ...]]:
    memory, both, shares = container["memory"], container["memory_swap"], container["cpu_shares"]
    swap = "" if not both else "max" if both < 0 else str(max(both - memory, 0))
    quota, period = container["cpu_quota"], container["cpu_period"]
    # The scale of runc: shares 2..262144 onto weights 1..10000.
    weight = 1 + (min(max(shares, 2), 262144) - 2) * 9999 // 262142 if shares else 0
    bandwidth = f"{quota if quota > 0 else 'max'} {period or 100000}" if quota or period else ""
    return _settings(container, {
        "memory": (("memory.max", memory), ("memory.swap.max", swap)),
        "cpu": (("cpu.weight", weight), ("cpu.max", bandwidth)),
        "cpuset": (("cpuset.cpus", container["cpuset_cpus"]), ("cpuset.mems", container["cpuset_mems"])),
        "pids": (("pids.max", _tasks(container)),),
    })


def _tasks(container: ContainerDocument) -> int | str:
    return "max" if container["pids_limit"] < 0 else container["pids_limit"]


def _settings(container: ContainerDocument,
              values: dict[str, tuple[tuple[str, int | str], ...]]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Those values that were asked for, by controller."""
    wanted = {}
    for controller, pairs in values.items():
        given = tuple((key, str(value)) for key, value in pairs if value)
        if given:
            wanted[controller] = given
    return wanted


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def write(path: str, text: str) -> None:
    """Writes a control file; the OSError names it and the text."""
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise OSError(error.errno, f"write `{text.strip()}` to `{path}`: {os.strerror(error.errno or 0)}") from None
