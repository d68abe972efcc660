"""A container as an OCI runtime-spec `config.json`, made of the facts that the built-in runtime acts on.

The runtime finds a bundle whose root and mounts have been put in place by `runtime.bundle`: every mount of the
container is a bind from there. Reference: github.com/opencontainers/runtime-spec, config.md and config-linux.md.
"""

from __future__ import annotations

import json
import os
from typing import Any

from builder.sandbox.apparmor import chosen_profile
from builder.sandbox.container import Container, Rlimit
from builder.sandbox.runtime import allowed as syscalls
from builder.sandbox.runtime import facts, system
from builder.sandbox.runtime.spawnergroup import usual_task_limit

_GUARDED = ["nosuid", "noexec", "nodev"]


def oci_config(container: Container, *, binds_dir: str, cgroups_path: str, rootless: bool,
               single_id: bool = False, network_path: str = "") -> dict[str, Any]:
    """The document; mount number n is bound from `binds_dir`/n.

    `rootless` is for a user namespace, `single_id` for one in which only root exists.
    """
    namespaces = ["pid", "ipc", "uts", "mount"]
    network: dict[str, Any] = {"type": "network"}
    if container.network not in ("none", "host"):
        network["path"] = network_path
    if os.path.exists("/sys/fs/cgroup/cgroup.subtree_control"):
        namespaces.append("cgroup")
    linux: dict[str, Any] = {
        "namespaces": [*({"type": kind} for kind in namespaces), *([] if container.network == "host" else [network])],
        "maskedPaths": [],
        "readonlyPaths": [],
    }
    if not container.privileged:
        linux["maskedPaths"] = [*facts.hidden(facts.MASKED_PATHS, container.unmasked), *container.masked]
        linux["readonlyPaths"] = list(facts.hidden(facts.READONLY_PATHS, container.unmasked))
        if container.seccomp:
            linux["seccomp"] = json.loads(container.seccomp_profile) if container.seccomp_profile else seccomp()
    elif not rootless:
        nodes = [(name, "c", major, minor) for name, major, minor in facts.PRIVILEGED_DEVICES]
        nodes += [(f"loop{n}", "b", 7, n) for n in range(system.free_loop() + facts.PRIVILEGED_LOOPS)]
        linux["devices"] = [{"path": f"/dev/{name}", "type": kind, "major": major, "minor": minor}
                            for name, kind, major, minor in nodes]
    if not rootless:
        linux |= {"cgroupsPath": cgroups_path, "resources": _resources(container)}
    binds = [{"destination": mount.target, "type": "bind", "source": f"{binds_dir}/{number}", "options": ["rbind"]}
             for number, mount in enumerate(container.mounts)]
    return {
        "ociVersion": "1.0.2",
        "process": _process(container, single_id=single_id),
        "root": {"path": "root", "readonly": container.readonly_root},
        "hostname": container.hostname,
        "mounts": [*_system_mounts(container, rootless=rootless, single_id=single_id), *binds],
        "linux": linux,
    }


def seccomp() -> dict[str, Any]:
    """The default profile in the specification's words."""
    plain = [word.partition(":")[0] for word in syscalls.NUMBERS.split()]
    rules: list[dict[str, Any]] = [
        {"names": [name for name in plain if name not in syscalls.CONDITIONAL], "action": "SCMP_ACT_ALLOW"},
        _argument("clone", syscalls.NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ"),
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        *(_argument("personality", value, "SCMP_CMP_EQ") for value in syscalls.PERSONALITIES),
    ]
    lowest, highest = syscalls.REFUSED_FAMILIES
    rules += [_argument("socket", lowest, "SCMP_CMP_LT"), _argument("socket", highest, "SCMP_CMP_GT")]
    rules += [_argument("socket", family, "SCMP_CMP_EQ") for family in range(lowest + 1, highest)]
    machines = syscalls.FAMILIES.get(os.uname().machine, ())
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
            "architectures": [syscalls.OCI_ARCH[machine] for machine in machines], "syscalls": rules}


def _argument(name: str, value: int, operator: str) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": value, "op": operator}]}


def _process(container: Container, *, single_id: bool) -> dict[str, Any]:
    groups = container.groups if container.gid in container.groups else (container.gid, *container.groups)
    groups = () if single_id else groups
    held = _held_capabilities()
    wanted = facts.granted(container.added_capabilities, container.dropped_capabilities)
    names = held if container.privileged else tuple(name for name in held if name in wanted)
    capabilities = [f"CAP_{name}" for name in names]
    apparmor = chosen_profile(container.apparmor)
    kinds = ("bounding", "effective", "permitted", *(("inheritable", "ambient") if container.privileged else ()))
    return {
        "terminal": container.terminal,
        "user": {"uid": container.uid, "gid": container.gid, "additionalGids": list(groups)},
        "args": list(container.argv),
        "env": list(container.env),
        "cwd": container.cwd,
        "capabilities": dict.fromkeys(kinds, capabilities),
        "rlimits": [_limit(limit, may_raise="SYS_RESOURCE" in held) for limit in container.rlimits],
        "noNewPrivileges": container.no_new_privileges,
        **({"apparmorProfile": apparmor} if apparmor and not container.privileged else {}),
    }


def _held_capabilities() -> tuple[str, ...]:
    with open("/proc/self/status") as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm:"))
    return facts.names_of(mask)


def _limit(limit: Rlimit, *, may_raise: bool) -> dict[str, Any]:
    import resource

    soft, hard = limit.soft, limit.hard
    number = getattr(resource, f"RLIMIT_{limit.name.upper()}", None)
    if number is not None and not may_raise:
        soft, hard = facts.lowered(soft, hard, resource.getrlimit(number)[1])
    return {"type": f"RLIMIT_{limit.name.upper()}", "soft": soft % 2**64, "hard": hard % 2**64}


def _system_mounts(container: Container, *, rootless: bool, single_id: bool) -> list[dict[str, Any]]:
    readonly = [] if container.privileged else ["ro"]
    owner = [] if single_id else ["gid=5"]

    def mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
        return {"destination": target, "type": kind, "source": source, "options": list(options)}

    mounts = [
        mount("/proc", "proc", "proc", *_GUARDED),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", f"size={facts.DEV_SIZE}"),
        mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *owner),
        mount("/dev/shm", "tmpfs", "shm", *_GUARDED, "mode=1777", f"size={container.shm_size}"),
        mount("/dev/mqueue", "mqueue", "mqueue", *_GUARDED),
    ]
    if rootless:
        # The user namespace owns neither the network namespace, which sysfs shows, nor the control groups.
        return [*mounts, mount("/sys", "bind", "/sys", *_GUARDED, "rbind", *readonly)]
    return [*mounts, mount("/sys", "sysfs", "sysfs", *_GUARDED, *readonly),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", *_GUARDED, *readonly)]


def _resources(container: Container) -> dict[str, Any]:
    devices: list[dict[str, Any]] = [{"allow": container.privileged, "access": "rwm"}]
    tasks = container.pids_limit or usual_task_limit()
    memory = {"limit": container.memory, "swap": container.memory_swap}
    cpu = {"shares": container.cpu_shares, "period": container.cpu_period, "quota": container.cpu_quota,
           "cpus": container.cpuset_cpus, "mems": container.cpuset_mems}
    found: dict[str, Any] = {"devices": devices}
    for name, values in (("memory", memory), ("cpu", cpu), ("pids", {"limit": max(tasks, 0)})):
        given = {key: value for key, value in values.items() if value}
        if given:
            found[name] = given
    return found
