"""S5, S7, S9: what of the machine a step reaches: networks, devices, cgroups."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .check import NotApplicable, Verdict, check, right_if
from .lab import Lab, as_user, find_tool, path_without

UNIFIED = next((path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                if os.path.exists(f"{path}/cgroup.procs")), "")


def _pasta(lab: Lab, pasta: bool) -> dict[str, str]:
    """The environment of a command that finds pasta, or does not."""
    if not pasta:
        return {"PATH": path_without("pasta", lab.dir)}
    tool = find_tool("pasta")
    if tool is None:
        raise NotApplicable("pasta is not installed")
    return {"PATH": f"{os.path.dirname(tool)}:{os.environ['PATH']}"}


@check("S5", "loopback", "without pasta, a step connects to the host's loopback", False, False)
@check("S5", "loopback-rootless", "the same without root", False, True)
@check("S5", "loopback-pasta", "with pasta, a step connects to the host's loopback", True, False)
def loopback(lab: Lab, pasta: bool, rootless: bool) -> Verdict:
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        over = threading.Event()

        def accept() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError), server.accept()[0]:
                    reached.set()
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            done = _step(lab, f"echo x | nc -w 1 127.0.0.1 {server.getsockname()[1]}; true", pasta, rootless)
        finally:
            over.set()
            thread.join()
    return right_if(not reached.is_set(), "the step reached the host's 127.0.0.1" if reached.is_set() else done)


@check("S5", "abstract-socket", "without pasta, a step sees the host's abstract sockets", False, False)
@check("S5", "abstract-socket-rootless", "the same without root: as the user", False, True)
def abstract_socket(lab: Lab, pasta: bool, rootless: bool) -> Verdict:
    name = f"faults-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        said = _step(lab, f"grep -c {name[7:]} /proc/net/unix | sed s/^/SEEN=/; true", pasta, rootless)
    return right_if("SEEN=1" not in said, "the socket is in the step's /proc/net/unix" if "SEEN=1" in said else said)


@check("S5", "interfaces", "without pasta, a step of root has the host's interfaces for packet sockets", False, False)
def interfaces(lab: Lab, pasta: bool, rootless: bool) -> Verdict:
    said = _step(lab, "readlink /proc/self/ns/net | sed s/^/SEEN=/", pasta, rootless)
    own = os.readlink("/proc/self/ns/net")
    return right_if(f"SEEN={own}" not in said, "the network namespace is the host's" if f"SEEN={own}" in said else said)


@check("S5", "asked-for", "--network host still gives the host's network")
def asked_for(lab: Lab) -> Verdict:
    done = lab.build("FROM base\nRUN readlink /proc/self/ns/net\n", "--network", "host", "--allow", "network.host",
                     env=_pasta(lab, False))
    return right_if(os.readlink("/proc/self/ns/net") in done.err, done.last)


def _step(lab: Lab, command: str, pasta: bool, rootless: bool) -> str:
    """The line that says how a build with `command` went."""
    env = _pasta(lab, pasta)
    if rootless:
        lab.image("base", [], user=0)
        os.chown(lab.dir, 65534, 65534)
    done = lab.build(f"FROM base\nRUN {command}\n", env=env, wrap=as_user(lab) if rootless else ())
    if done.code:
        if "RUN" not in done.err or "network" not in done.err:
            raise AssertionError(f"the build failed: {done.last}")
        return f"refused: {done.last}"
    return " ".join(line for line in done.err.splitlines() if "SEEN=" in line) or "not reached"


# device -> what a step of root gets when it opens it, as under runc
DEVICES = {
    "console": ("5 1", "denied"), "tty1": ("4 1", "denied"), "mem": ("1 1", "denied"), "kmsg": ("1 11", "denied"),
    "disk": ("254 0 b", "denied"), "loop": ("7 0 b", "denied"), "null": ("1 3", "open"), "urandom": ("1 9", "open"),
    "fuse": ("10 229", "denied"), "tun": ("10 200", "denied"),
}


def _device(lab: Lab, numbers: str, expected: str) -> Verdict:
    numbers, _, kind = numbers.partition(" b")
    kind = "b" if _ or kind else "c"
    # opened for reading and closed at once: nothing is read or written
    done = lab.build(f"FROM base\nRUN mknod /c {kind} {numbers} && if err=$( (: < /c) 2>&1 ); then echo SEEN=open;"
                     " else echo SEEN=$err; fi\n")
    seen = next((line.partition("SEEN=")[2] for line in done.err.splitlines() if "SEEN=" in line
                 and "RUN" not in line), done.last)
    if expected == "open":
        return right_if(seen == "open", seen)
    return right_if("permitted" in seen or "denied" in seen, seen)


for _name, (_numbers, _expected) in DEVICES.items():
    check("S7", _name, f"a step of root opens the device {_numbers}: must be {_expected}", _numbers,
          _expected)(_device)


@contextlib.contextmanager
def _group() -> Iterator[str]:
    """A cgroup of the host's, to be looked for."""
    if not UNIFIED:
        raise NotApplicable("no cgroup v2 hierarchy is mounted")
    name = f"faults-{secrets.token_hex(6)}"
    os.mkdir(f"{UNIFIED}/{name}")
    try:
        yield name
    finally:
        os.rmdir(f"{UNIFIED}/{name}")


def _needs_v2() -> None:
    if UNIFIED != "/sys/fs/cgroup":
        raise NotApplicable("this machine has cgroup v1 controllers; boot with cgroup v2 only")


@check("S9", "tree", "cgroup v2: a step sees the host's groups in /sys/fs/cgroup")
def cgroup_tree(lab: Lab) -> Verdict:
    _needs_v2()
    with _group() as name:
        done = lab.build(f"FROM base\nRUN find /sys/fs/cgroup 2>/dev/null | "
                         f"grep -c {name[7:]} | sed s/^/SEEN=/; true\n")
    if done.code:
        raise AssertionError(f"the build failed: {done.last}")
    return right_if("SEEN=0" in done.err, "the host's group is seen" if "SEEN=1" in done.err else "not seen")


@check("S9", "own-group", "cgroup v2: a step's own group is not the root of what it sees")
def own_group(lab: Lab) -> Verdict:
    _needs_v2()
    done = lab.build("FROM base\nRUN grep ^0: /proc/self/cgroup | sed s/^/SEEN=/\n")
    seen = next((line.partition("SEEN=")[2] for line in done.err.splitlines() if "SEEN=0" in line), done.last)
    return right_if(seen == "0::/", f"/proc/self/cgroup says {seen}")


@check("S9", "pids", "a step has no limit of processes unless asked")
def pids_limit(lab: Lab) -> Verdict:
    mark = f"3{secrets.randbelow(10**6):06}.5"
    found: list[str] = []

    def look() -> None:
        for _ in range(100):
            time.sleep(0.1)
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    if path.read_bytes() == f"sleep\0{mark}\0".encode():
                        found.append(_pids_max((path.parent / "cgroup").read_text()))
                        return
    thread = threading.Thread(target=look)
    thread.start()
    with contextlib.suppress(Exception):
        lab.build(f"FROM base\nRUN timeout 4 sleep {mark} || sleep {mark} & sleep 4; kill %1; true\n", seconds=12)
    thread.join()
    if not found:
        raise AssertionError("the step's process was not found")
    if found[0] == "none":
        raise NotApplicable("no pids controller")
    return right_if(found[0].isdigit(), f"pids.max is {found[0]}")


def _pids_max(groups: str) -> str:
    """What /proc/PID/cgroup's group of processes is limited to."""
    for line in groups.splitlines():
        number, controllers, path = line.split(":", 2)
        if "pids" in controllers.split(",") or (number == "0" and "pids" in groups.split(":")[1]):
            mounted = next(iter(Path("/sys/fs/cgroup").glob("*pids*")), Path("/sys/fs/cgroup"))
            with contextlib.suppress(OSError):
                return (mounted / path.lstrip("/") / "pids.max").read_text().strip()
    limit = Path("/sys/fs/cgroup") / groups.strip().rpartition("::/")[2] / "pids.max"
    return limit.read_text().strip() if limit.exists() else "max" if os.path.isdir("/sys/fs/cgroup/pids") else "none"
