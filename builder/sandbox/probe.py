"""What this machine allows, tried out rather than assumed, and what follows for how steps will run.

Every trial happens in a forked child with namespaces of its own and leaves nothing behind.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

import msgspec

from builder.rooted.removing import remove_path
from builder.sandbox import apparmor, rootless
from builder.sandbox.ociruntime import is_hybrid
from builder.sandbox.runtime import cgroups, host, kernel, landlock, seccomp
from builder.sandbox.runtime import overlaymount as overlay
from builder.sandbox.runtime.spawnergroup import usual_task_limit
from builder.sandbox.runtime.system import can_limit_tasks

_RUNTIMES = ("runc", "crun", "youki")
_CONTROLLERS = ("memory", "cpu", "cpuset", "pids")
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


class Fact(msgspec.Struct, frozen=True):
    """One finding: `detail` says what was found, or why not."""

    name: str
    ok: bool
    detail: str


class Findings(msgspec.Struct, frozen=True):
    facts: tuple[Fact, ...]

    def __getitem__(self, name: str) -> Fact:
        return next(fact for fact in self.facts if fact.name == name)

    def lines(self) -> Iterator[str]:
        """One line for each fact, then what is chosen by them."""
        width = max(len(fact.name) for fact in self.facts)
        for fact in self.facts:
            yield f"{'ok' if fact.ok else 'no'}  {fact.name:{width}}  {fact.detail}"
        choice = choose(self)
        yield f"{'=>' if choice.possible else '!!'}  {'steps run':{width}}  {choice.sentence}"


class Choice(msgspec.Struct, frozen=True):
    """How steps are run here: `user` is `root`, `subordinate` or `single`; not at all unless `possible`."""

    possible: bool
    user: str
    sentence: str


def probe(folder: str | None = None) -> Findings:
    """Tries everything; layers are tried in `folder`, which should be on the file system of the state folder.

    Takes some 50 ms. Never raises for what does not work.
    """
    return Findings(tuple(_facts(folder or tempfile.gettempdir())))


def choose(findings: Findings) -> Choice:
    """The rung of the ladder that these findings allow."""
    is_root = findings["user"].ok
    user = "root" if is_root else "subordinate" if findings["subordinate ids"].ok else "single"
    needed = ("kernel", "namespaces", "seccomp", *(() if is_root else ("user namespaces",)))
    missing = [findings[name] for name in needed if not findings[name].ok]
    if missing:
        problem = "; ".join(f"{fact.name}: {fact.detail}" for fact in missing)
        return Choice(False, user, f"not at all ({problem})")
    manner = {"root": "as root", "subordinate": "in a user namespace with subordinate ids",
              "single": "in a user namespace with a single id: steps cannot become other users"}[user]
    overlays = findings["overlayfs" if is_root else "overlayfs (user namespace)"]
    layers = "on overlayfs" if overlays.ok else f"with layers copied for each step, which is slow ({overlays.detail})"
    return Choice(True, user, f"by the built-in runtime, {manner}, {layers}")


def _facts(folder: str) -> Iterator[Fact]:
    yield _kernel()
    yield _user()
    yield _trial("user namespaces", _user_namespace, "can be made")
    yield _subordinate_ids()
    yield _trial("namespaces", _namespaces, "mount, pid, ipc, uts and net namespaces can be made")
    works = f"works in `{folder}`, volatile and with whiteouts"
    yield _trial("overlayfs", functools.partial(_overlay, folder, as_user=False), works)
    yield _trial("overlayfs (user namespace)", functools.partial(_overlay, folder, as_user=True), works)
    yield _trial("lowerdir+", _lowers, "more layers than fit a page, up to the kernel's 500")
    yield _fuse_overlayfs()
    yield _trial("seccomp", _seccomp, "the default profile can be installed")
    yield _landlock()
    yield _apparmor()
    yield from _cgroups()
    yield _tasks()
    yield _resource()
    yield from _runtimes()
    yield _trial("network of steps", _network)
    yield _binfmt()


def _trial(name: str, action: Callable[[], str | None], success: str = "") -> Fact:
    """Runs `action` in a child; what it raises is the reason why not, what it returns takes the place of `success`."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = "+" + (action() or success)
        except OSError as error:
            said = "-" + (error.strerror or str(error) or "failed")
        except BaseException as error:
            said = "-" + repr(error)
        os.write(writer, said.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    return Fact(name, said.startswith("+"), said[1:])


def _kernel() -> Fact:
    system = os.uname()
    words = system.release.split(".")
    version = (int(words[0]), int("".join(c for c in words[1] if c.isdigit()) or 0))
    if version < (5, 12):
        return Fact("kernel", False, f"Linux {system.release} is older than 5.12: use `--runtime runc`")
    try:
        seccomp.program(system.machine)
    except OSError:
        return Fact("kernel", False, f"the built-in runtime does not know `{system.machine}`: use `--runtime runc`")
    return Fact("kernel", True, f"Linux {system.release} {system.machine}")


def _user() -> Fact:
    if os.geteuid() != 0:
        return Fact("user", False, f"uid {os.geteuid()}, not root")
    if host.in_user_namespace():
        return Fact("user", False, "root, but only of a user namespace")
    return Fact("user", True, "root")


def _user_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    rootless.map_single(uid, gid)


def _subordinate_ids() -> Fact:
    if os.geteuid() == 0:
        count = sum(size for _, _, size in host.id_map("uid"))
        return Fact("subordinate ids", count > 1, f"{count} ids exist")
    ranges = rootless.subordinate_ids("uid"), rootless.subordinate_ids("gid")
    if all(ranges):
        return Fact("subordinate ids", True, f"{sum(count for _, count in ranges[0])} ids by newuidmap")
    tools = all(shutil.which(tool) for tool in ("newuidmap", "newgidmap"))
    reason = "no range for this user in /etc/subuid and /etc/subgid" if tools else "newuidmap or newgidmap is missing"
    return Fact("subordinate ids", False, reason)


def _become_root() -> None:
    if os.geteuid() != 0:
        _user_namespace()


def _namespaces() -> None:
    _become_root()
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
                   | kernel.CLONE_NEWNET)


def _overlay(folder: str, *, as_user: bool) -> None:
    """Mounts an overlay on real directories and removes a lower file in it, which takes a whiteout."""
    top = tempfile.mkdtemp(prefix="builder-probe-", dir=folder)
    try:
        for name in ("lower", "upper", "work", "scratch"):
            os.mkdir(f"{top}/{name}")
        open(f"{top}/lower/file", "w").close()
        if as_user:
            _user_namespace()
        elif os.geteuid() != 0:
            raise PermissionError(1, "only root may mount it outside a user namespace")
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.make_slave()
        mounter = overlay.Mounter(f"{top}/scratch", userxattr=as_user, appends=overlay.appends_lowers(), attributes=0)
        fd = mounter.mount({"lowers": (f"{top}/lower",), "upper": f"{top}/upper", "work": f"{top}/work"})
        os.unlink("file", dir_fd=fd)
        os.close(fd)
    finally:
        remove_path(top)


def _lowers() -> None:
    _become_root()
    kernel.unshare(kernel.CLONE_NEWNS)
    if not overlay.appends_lowers():
        raise OSError(22, "not before Linux 6.7: at most about 230 layers")


def _seccomp() -> None:
    _become_root()
    kernel.install_filter(seccomp.program(kernel.MACHINE))
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
    except PermissionError:
        return
    raise OSError(0, "the filter is installed but does not filter")


def _fuse_overlayfs() -> Fact:
    if shutil.which("fuse-overlayfs") is None:
        return Fact("fuse-overlayfs", False, "not installed (and not needed where overlayfs works)")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return Fact("fuse-overlayfs", False, "installed, but /dev/fuse cannot be opened")
    return Fact("fuse-overlayfs", True, "installed, though builder does not use it yet")


def _cgroups() -> Iterator[Fact]:
    found = cgroups.hierarchies()
    kinds = "none mounted" if not found else "version 2" if not found[0].name else "version 1"
    if is_hybrid():
        kinds = "hybrid: controllers in version 1"
    yield Fact("control groups", bool(found), kinds)
    for controller in _CONTROLLERS:
        trial = functools.partial(cgroups.try_controller, found, controller)
        yield _trial(f"limits: {controller}", trial, "can be set")


def _landlock() -> Fact:
    if landlock.has_scopes():
        return Fact("Landlock scopes", True, "steps reach no abstract sockets of the host")
    return Fact("Landlock scopes", False, "not before Linux 6.12, or switched off: steps with the host's network reach "
                "its abstract sockets")


def _apparmor() -> Fact:
    profile = apparmor.default_profile()
    if profile:
        return Fact("AppArmor", True, f"steps start in the profile `{profile}`")
    return Fact("AppArmor", False, "enabled, but this process can choose no profile for steps" if apparmor.is_enabled()
                else "not enabled on this machine (and not needed)")


def _tasks() -> Fact:
    most = usual_task_limit()
    if os.access("/sys/fs/cgroup", os.W_OK) or can_limit_tasks(most):
        return Fact("task limit", True, f"{most} processes and threads unless `--pids-limit` says otherwise")
    return Fact("task limit", False, "no control groups, and not by namespaces before Linux 6.14")


def _resource() -> Fact:
    held = host.permitted_capabilities() >> 24 & 1
    return Fact("CAP_SYS_RESOURCE", bool(held), "limits may be raised" if held else "limits cannot be raised")


def _runtimes() -> Iterator[Fact]:
    for name in _RUNTIMES:
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")
        if path is None:
            yield Fact(name, False, "not installed (and not needed)")
        elif name == "crun" and is_hybrid():
            yield Fact(name, False, f"{path} refuses hybrid control groups")
        else:
            yield Fact(name, True, path)


def _network() -> str:
    """Opens one as a build would."""
    from builder.sandbox.networks.opening import INSTALL, NoPrivateNetwork, open_network

    _become_root()
    try:
        network = open_network()
    except NoPrivateNetwork as error:
        raise OSError(0, f"none: {error.reasons}; {INSTALL}") from None
    network.close()
    return {"nat": "one of their own, translated by the kernel (IPv4)", "pasta": "one of their own, through pasta"}[
        network.kind]


def _binfmt() -> Fact:
    folder = "/proc/sys/fs/binfmt_misc"
    try:
        names = sorted(name.removeprefix("qemu-") for name in os.listdir(folder) if name.startswith("qemu-"))
    except OSError:
        names = []
    if not names:
        mounted = os.path.exists(f"{folder}/register")
        return Fact("other platforms", False, "no qemu handlers" if mounted else "binfmt_misc is not mounted")
    return Fact("other platforms", True, f"emulated by qemu: {', '.join(names)}")
